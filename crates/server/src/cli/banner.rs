//! What `corelane serve` says once it serves: where, on what, with what, and
//! a line to try.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::Config;
use corelane::engine::EngineKind;
use corelane::internals::topology::format_core_list;
use corelane::server::{ServerHandle, ShardSummary};

/// The facts of a start, as they turned out.
pub(super) struct Banner<'a> {
    address: SocketAddr,
    admin: Option<SocketAddr>,
    shards: &'a [ShardSummary],
    fallback: Option<&'a str>,
    config: &'a Config,
    pid: u32,
}

impl<'a> Banner<'a> {
    pub(super) fn new(server: &'a ServerHandle, config: &'a Config) -> Self {
        Self {
            address: server.local_addr(),
            admin: server.admin_addr(),
            shards: server.shards(),
            fallback: server.fallback(),
            config,
            pid: std::process::id(),
        }
    }

    /// The table, ready to print. Its first line is what scripts wait for:
    /// `listening on http://ADDRESS:PORT`.
    pub(super) fn render(&self) -> String {
        let mut text = format!("corelane {}\n", env!("CARGO_PKG_VERSION"));
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<10} {value}");
        };
        row("address", &format!("listening on http://{}", self.address));
        row("admin", &self.admin());
        row("engine", &self.engine());
        row("shards", &self.placement());
        row("store", &self.config.store.url.to_string());
        if !self.config.redis.url.is_empty() {
            row("redis", &self.config.redis.url.to_string());
        }
        row(
            "static",
            &format!("/static/ from {}", self.config.static_files.root.display()),
        );
        row(
            "pid",
            &format!("{} (TERM drains, HUP reopens logs)", self.pid),
        );
        let url = url_of(self.address);
        let _ = write!(text, "try it:\n  curl -i {url}/api/users/1\n");
        if let Some(admin) = self.admin {
            let token = match self.config.admin.token.is_set() {
                // The variable may be set where this is pasted; the token itself
                // is not shown.
                true => "-H \"Authorization: Bearer $CORELANE_ADMIN_TOKEN\" ",
                false => "",
            };
            let _ = writeln!(text, "  curl -i {token}{}/", url_of(admin));
        }
        text
    }

    fn admin(&self) -> String {
        match (self.admin, self.config.admin.token.is_set()) {
            (Some(admin), true) => format!("http://{admin} with the token"),
            (Some(admin), false) => format!("http://{admin} from this machine only"),
            (None, _) => "off".to_owned(),
        }
    }

    fn engine(&self) -> String {
        let mut kinds: Vec<EngineKind> = self.shards.iter().map(|shard| shard.engine).collect();
        kinds.dedup();
        let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
        match self.fallback {
            Some(_) => format!("{}, NOT io_uring (see the warning)", names.join(", ")),
            None => names.join(", "),
        }
    }

    /// `8 on cores 0-7`.
    fn placement(&self) -> String {
        let cpus: Option<Vec<usize>> = self.shards.iter().map(|shard| shard.cpu).collect();
        let count = self.shards.len();
        match cpus {
            Some(cpus) if count == 1 => format!("1 on core {}", format_core_list(&cpus)),
            Some(cpus) => format!("{count} on cores {}", format_core_list(&cpus)),
            None => format!("{count}, not pinned"),
        }
    }
}

/// Where this machine can be reached under an address listened on, for a line
/// to paste.
fn url_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// The warning of a start that did not get io_uring.
pub(super) fn fallback_warning(why: &str) -> String {
    format!(
        "corelane: warning: serving on epoll, not io_uring (--engine io_uring makes this an error, \
         --engine epoll makes it quiet)\n  {why}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(address: &str, shards: &[ShardSummary], fallback: Option<&str>) -> String {
        let config = Config::default();
        let address = address.parse().unwrap();
        Banner {
            address,
            admin: Some(SocketAddr::from(([127, 0, 0, 1], 3001))),
            shards,
            fallback,
            config: &config,
            pid: 7,
        }
        .render()
    }

    fn shard(index: usize, engine: EngineKind) -> ShardSummary {
        ShardSummary {
            index,
            cpu: Some(index + 2),
            engine,
        }
    }

    #[test]
    fn the_table_says_where_on_what_and_what_to_try() {
        let shards = [shard(0, EngineKind::IoUring), shard(1, EngineKind::IoUring)];
        let text = render("127.0.0.1:3000", &shards, None);
        for part in [
            "listening on http://127.0.0.1:3000\n",
            "admin      http://127.0.0.1:3001 from this machine only\n",
            "\n  curl -i http://127.0.0.1:3001/\n",
            "engine     io_uring\n",
            "2 on cores 2-3\n",
            "sqlite:{data}/corelane.db\n",
            "\n  curl -i http://127.0.0.1:3000/api/users/1\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn the_curl_line_can_be_pasted_when_every_address_is_listened_on() {
        let shards = [shard(0, EngineKind::Epoll)];
        let text = render("0.0.0.0:80", &shards, None);
        assert!(text.contains("listening on http://0.0.0.0:80\n"));
        assert!(text.contains("curl -i http://127.0.0.1:80/"));
        let text = render("[::]:80", &shards, None);
        assert!(text.contains("curl -i http://[::1]:80/"));
    }

    #[test]
    fn a_fallback_is_loud() {
        let text = render(
            "127.0.0.1:1",
            &[shard(0, EngineKind::Epoll)],
            Some("refused"),
        );
        assert!(text.contains("epoll, NOT io_uring"), "{text}");
        assert!(fallback_warning("refused").contains("refused"));
    }
}
