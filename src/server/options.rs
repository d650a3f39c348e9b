//! What a server is started with. Defaults are those of
//! `tuning/server.toml`, but for the admin listener, which a library opens only
//! when it is told to.

use std::net::SocketAddr;

use super::AdminOptions;
use crate::limiter::LimiterOptions;
use crate::limits::{CACHE_DOUBT_MS, HttpLimits};
use crate::semantics::TrustedProxies;

/// Options of a [`super::Server`].
#[derive(Debug, Clone, PartialEq)]
pub struct ServerOptions {
    /// Address and port; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// The second listener, for an operator; `None` is none. Without it the
    /// routes of [`App::admin`](crate::App::admin) are answered nowhere.
    pub admin: Option<AdminOptions>,
    /// Limits of connections and requests.
    pub http: HttpLimits,
    /// When responses carry `X-Request-Id`.
    pub request_id: RequestIdMode,
    /// Proxies whose word is taken on where a request comes from; without
    /// them the peer is the client. See [`Ctx::client_ip`](crate::Ctx::client_ip).
    pub trusted_proxies: TrustedProxies,
    /// What rate limits remember of clients.
    pub rate_limit: LimiterOptions,
    /// How long a drain may take before connections are cut, milliseconds.
    pub drain_timeout_ms: u64,
    /// How long a drain leaves a connection that waits for its next request,
    /// milliseconds, half of `drain_timeout_ms` at most: a request that was on
    /// its way is answered, and told that it was the last.
    pub keep_alive_grace_ms: u64,
    /// Refuse to start when io_uring is refused, instead of falling back to
    /// epoll with a warning.
    pub require_io_uring: bool,
    /// Threads for blocking work (file lookups, hashing), process-wide.
    pub blocking_threads: usize,
    /// First delay before a dead shard is restarted, milliseconds; doubles up
    /// to `restart_delay_max_ms`.
    pub restart_delay_ms: u64,
    /// See `restart_delay_ms`.
    pub restart_delay_max_ms: u64,
    /// How long a write without a clear outcome may still happen, milliseconds:
    /// so long its key is kept in no cache, and every key of a shard that was
    /// restarted. At least as long as a handler's longest write; the shipped
    /// program makes it longer than `store.busy_timeout_ms`.
    pub cache_doubt_ms: u64,
    /// Messages that one lane between two shards holds, at least 1; `None` is
    /// as many as suit the number of shards
    /// ([`lane_messages_for`](crate::peers::lane_messages_for)). Fewer cost
    /// waits under load; tests have lanes that are always full.
    pub lane_messages: Option<usize>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            admin: None,
            http: HttpLimits::default(),
            request_id: RequestIdMode::Auto,
            trusted_proxies: TrustedProxies::none(),
            rate_limit: LimiterOptions::default(),
            drain_timeout_ms: 10_000,
            keep_alive_grace_ms: 1_000,
            require_io_uring: false,
            blocking_threads: 2,
            restart_delay_ms: 100,
            restart_delay_max_ms: 10_000,
            cache_doubt_ms: CACHE_DOUBT_MS,
            lane_messages: None,
        }
    }
}

/// When responses carry a request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestIdMode {
    /// When the client sent one, or when an access log is on.
    Auto,
    /// Always.
    Always,
    /// Never; a client's id is ignored.
    Off,
}
