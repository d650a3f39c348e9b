//! One shard: its listeners, their connections, their requests. Everything here
//! runs on one thread and one reactor; nothing is shared.
//!
//! In the order of a connection's life: `accept` takes it off a `listener`,
//! `serve` runs its requests if `admin_auth` lets them in, those that need no waiting
//! `fast_path`; `body` reads what they carry, `handle` runs what users wrote, `respond`
//! writes the answers, `sweep` ends what takes too long, `drain` ends the shard.

mod accept;
mod admin_auth;
mod body;
mod connection;
mod drain;
mod exchange;
mod fast_path;
mod handle;
mod listener;
mod log_throttle;
mod read_half;
mod request_line;
mod resources;
mod respond;
mod serve;
mod services;
mod spin;
mod sweep;
mod write_half;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corelane_proto::http::HeadLimits;
use slab::Slab;

use crate::Error;
use crate::app::{App, DrainSignal, ShardContext, ShardInfo, ShardLife};
use crate::bridge::Bridge;
use crate::clock::ShardClock;
use crate::engine::{self, LocalEvent, ShardWaker};
use crate::error_log::ErrorLog;
use crate::ids::RequestIds;
use crate::limits::{DRAIN_OVERDUE_MS, HttpLimits, SHUTDOWN_MS_MIN};
use crate::log_sink::ShardLog;
use crate::metrics::ShardSnapshot;
use crate::middleware::shard_parts;
use crate::peers::{ControlInbox, ControlInboxes, ControlMessage};
use crate::semantics::TrustedProxies;

pub(crate) use listener::{AdminStart, Sockets};
pub(crate) use resources::ResourcesPlan;

use connection::ConnectionState;
use listener::ShardListener;
use resources::Resources;
use services::ShardServices;

/// What a shard is started with.
pub(crate) struct ShardStart {
    pub(crate) app: Arc<App>,
    pub(crate) info: ShardInfo,
    /// Of every shard but that of the admin listener.
    pub(crate) public: Option<Sockets>,
    /// Of that one alone.
    pub(crate) admin: Option<AdminStart>,
    pub(crate) limits: HttpLimits,
    /// Give every response a request id, not only those whose client sent one.
    pub(crate) request_id_always: bool,
    /// Echo a client's request id.
    pub(crate) request_id_echo: bool,
    pub(crate) boot_id: u32,
    pub(crate) spin_us: u32,
    pub(crate) drain_timeout_ms: u64,
    pub(crate) keep_alive_grace_ms: u64,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) server_started: Instant,
    pub(crate) control: Arc<ControlInboxes>,
    pub(crate) log: Option<ShardLog>,
    pub(crate) errors: ErrorLog,
    pub(crate) resources: ResourcesPlan,
    pub(crate) bridge: Bridge,
}

/// What ends a phase of a shard's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    Drain,
    End,
}

/// A shard at work.
pub(crate) struct Shard {
    context: Rc<ShardContext>,
    limits: HttpLimits,
    head_limits: HeadLimits,
    request_id_always: bool,
    request_id_echo: bool,
    drain_timeout_ms: u64,
    keep_alive_grace_ms: u64,
    /// One.
    listeners: Vec<Rc<ShardListener>>,
    connections: RefCell<Slab<Rc<ConnectionState>>>,
    /// Told when a connection has ended; drain waits on it.
    connection_ended: LocalEvent,
    /// Told when the inbox has something.
    inbox_rung: Rc<LocalEvent>,
    inbox: ControlInbox,
    log: Option<RefCell<ShardLog>>,
    errors: ErrorLog,
    /// What the app does beside the requests.
    life: ShardLife,
    /// Since the drain began.
    drain_deadline: Cell<Option<Instant>>,
    /// What other shards speak to.
    services: Rc<ShardServices>,
    spin: Rc<spin::Spin>,
    accept_errors: log_throttle::LogThrottle,
    log_losses: log_throttle::LogThrottle,
}

impl Shard {
    /// Builds the shard's world on its own thread: listeners, state, inbox.
    ///
    /// # Errors
    /// When a listener cannot be registered or a state cannot be built.
    pub(crate) async fn build(start: ShardStart) -> Result<Rc<Self>, Error> {
        let connections_max = start.limits.connections_per_shard_max;
        let public = start
            .public
            .map(|at| ShardListener::public(at, connections_max));
        let admin = start.admin.map(ShardListener::admin);
        let listeners = public.into_iter().chain(admin);
        let listeners = listeners.map(|listener| listener.map(Rc::new));
        let listeners = listeners.collect::<Result<_, _>>()?;
        let app = start.app.compile().map_err(Error::internal)?;
        let states = start.app.build_states(&start.info).await?;
        let mut plan = start.resources;
        let redis = plan.start_redis().await;
        let died = plan.inherited.as_deref();
        let metrics_sources = start.app.metrics_sources_of(&states);
        let parts = shard_parts(&start.app, &states, &metrics_sources, died);
        let inbox_rung = Rc::new(LocalEvent::default());
        let rung = inbox_rung.clone();
        ShardWaker::on_wake(move || rung.notify());
        let inbox = start.control.attach(start.info.index);
        // Last: from here on other shards count on this one.
        let resources = Resources::attach(plan, redis, &start.info, &start.app);
        let context = ShardContext {
            app,
            states,
            peers: resources.peers,
            caches: resources.caches,
            limiter: resources.limiter,
            redis: resources.redis,
            bridge: start.bridge,
            metrics_sources,
            parts,
            clock: ShardClock::new(),
            metrics: RefCell::new(resources.metrics),
            request_ids: RequestIds::new(start.boot_id, start.info.index, start.info.restarts),
            control: start.control,
            trusted_proxies: start.trusted_proxies,
            server_started: start.server_started,
            draining: DrainSignal::default(),
            spare_parts: RefCell::default(),
            info: start.info,
        };
        let context = Rc::new(context);
        let life = ShardLife::new(&start.app, &context, &start.errors);
        life.on_start();
        Ok(Rc::new(Self {
            context,
            life,
            drain_deadline: Cell::new(None),
            head_limits: HeadLimits::from(&start.limits),
            limits: start.limits,
            request_id_always: start.request_id_always,
            request_id_echo: start.request_id_echo,
            drain_timeout_ms: start.drain_timeout_ms,
            keep_alive_grace_ms: start.keep_alive_grace_ms,
            listeners,
            connections: RefCell::default(),
            connection_ended: LocalEvent::default(),
            inbox_rung,
            inbox,
            log: start.log.map(RefCell::new),
            errors: start.errors,
            services: resources.services,
            spin: Rc::new(spin::Spin::new(start.spin_us)),
            accept_errors: log_throttle::LogThrottle::default(),
            log_losses: log_throttle::LogThrottle::default(),
        }))
    }

    /// Serves until told to drain, and through the drain. Returns how many
    /// connections had to be cut.
    pub(crate) async fn run(self: Rc<Self>) -> usize {
        for listener in &self.listeners {
            self.start_accepting(listener);
        }
        let peers = self.context.peers.clone();
        engine::spawn_local(peers.pump(self.services.clone()));
        engine::spawn_local(Self::sweep_every_second(Rc::downgrade(&self)));
        if self.spin.is_on() {
            let peers = self.context.peers.clone();
            engine::spawn_local(spin::spin_while_busy(self.spin.clone(), peers));
        }
        self.life.start_tasks();
        self.obey_until(Order::Drain).await;
        self.drain().await
    }

    /// After the drain: other shards that still drain may need this one's part
    /// of the caches, until all have. Then the app's own ends.
    pub(crate) async fn serve_peers(self: Rc<Self>) {
        let patience = Duration::from_millis(self.drain_timeout_ms + DRAIN_OVERDUE_MS);
        let _ = engine::timeout(patience, self.obey_until(Order::End)).await;
        let at_least = engine::now() + Duration::from_millis(SHUTDOWN_MS_MIN);
        let deadline = self.drain_deadline.get().unwrap_or(at_least);
        self.life.shut_down(deadline.max(at_least)).await;
        self.leave_redis().await;
        self.life.end().await;
    }

    /// Ends the connection to Redis, if there is one.
    pub(crate) async fn leave_redis(&self) {
        if let Some(redis) = &self.context.redis {
            redis.close().await;
        }
    }

    /// Answers what is asked from outside of the shard, until it is this.
    async fn obey_until(&self, last: Order) {
        loop {
            while let Some(message) = self.inbox.poll() {
                let order = match message {
                    ControlMessage::Ping(reply) => {
                        reply.send(self.context.recent_faults());
                        continue;
                    }
                    ControlMessage::Snapshot(reply) => {
                        reply.send(self.context.snapshot());
                        continue;
                    }
                    ControlMessage::CacheKeys(cache, reply) => {
                        reply.send(self.context.caches.keys_here(cache));
                        continue;
                    }
                    ControlMessage::Drain => Order::Drain,
                    ControlMessage::End => Order::End,
                    #[cfg(feature = "fault-injection")]
                    ControlMessage::Crash => panic!("crashed on request (fault injection)"),
                };
                if order >= last {
                    return;
                }
            }
            self.inbox_rung.wait().await;
        }
    }

    /// This shard's numbers.
    pub(crate) fn snapshot(&self) -> ShardSnapshot {
        self.context.snapshot()
    }
}
