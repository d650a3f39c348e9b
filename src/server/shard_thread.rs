//! The life of one shard's thread: pin, build the reactor, run the shard, and
//! when it ends or panics, leave nothing in flight.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::listeners::ShardListeners;
use super::{RequestIdMode, ServerOptions};
use crate::app::{App, ShardInfo};
use crate::bridge::Bridge;
use crate::caches::CachePlan;
use crate::engine::{BlockingPool, EngineOptions, Runtime, panic_text};
use crate::error_log::ErrorLog;
use crate::limiter::LimiterPlan;
use crate::log_sink::AccessLogSink;
use crate::metrics::ShardSnapshot;
use crate::peers::PeersPlan;
use crate::redis::RedisPlan;
use crate::shard::{AdminStart, ResourcesPlan, Shard, ShardStart};
use crate::topology::{ShardSlot, confine_current_thread, pin_current_thread};

/// What all shards of a server have in common.
#[derive(Debug, Clone)]
pub(super) struct ShardPlan {
    pub(super) app: Arc<App>,
    pub(super) options: ServerOptions,
    /// Without that of the admin listener, whose index it is.
    pub(super) count: usize,
    /// Where the threads run that are no shards'.
    pub(super) housekeeping: Vec<usize>,
    pub(super) request_id_always: bool,
    pub(super) boot_id: u32,
    pub(super) server_started: Instant,
    pub(super) peers: PeersPlan,
    pub(super) caches: CachePlan,
    pub(super) limiter: LimiterPlan,
    pub(super) pool: BlockingPool,
    pub(super) pin: bool,
    pub(super) sink: Option<AccessLogSink>,
    pub(super) errors: ErrorLog,
    pub(super) bridge: Bridge,
    pub(super) redis: Option<Arc<RedisPlan>>,
}

/// What one incarnation of a shard is started with.
#[derive(Debug)]
pub(super) struct Incarnation {
    pub(super) slot: ShardSlot,
    pub(super) engine: EngineOptions,
    pub(super) listeners: ShardListeners,
    pub(super) restarts: u32,
    /// The numbers of the one that died, so that totals never go down.
    pub(super) inherited: Option<Box<ShardSnapshot>>,
}

/// What a shard's thread tells the supervisor.
#[derive(Debug)]
pub(super) enum ShardEvent {
    /// It accepts connections.
    Serving { shard: usize },
    /// It could not be built.
    Failed { shard: usize, message: String },
    /// It drained, and is there only for the others' sake. `cut` connections
    /// did not end by themselves.
    Drained { shard: usize, cut: usize },
    /// It ended after its drain.
    Ended { shard: usize },
    /// Its loop died.
    Died {
        shard: usize,
        reason: String,
        last: Option<Box<ShardSnapshot>>,
    },
}

/// Body of the thread.
pub(super) fn run(plan: &ShardPlan, incarnation: Incarnation, tell: impl Fn(ShardEvent)) {
    let shard = incarnation.slot.index;
    let bridge = plan.bridge.for_shard();
    let life = || live(plan, incarnation, bridge.clone(), &tell);
    let event = match catch_unwind(AssertUnwindSafe(life)) {
        Ok(event) => event,
        Err(payload) => ShardEvent::Died {
            shard,
            reason: panic_text(&*payload),
            last: None,
        },
    };
    if let (ShardEvent::Died { shard: 0, .. }, Some(feed)) = (&event, &plan.caches.feed) {
        // Whoever listened for changes was on it, and may not have been dropped.
        feed.cut();
    }
    bridge.abort_all();
    plan.peers.control.detach(shard);
    // Only now: nothing of it answers a request any more.
    plan.peers.mesh.detach(shard);
    tell(event);
}

fn live(
    plan: &ShardPlan,
    incarnation: Incarnation,
    bridge: Bridge,
    tell: &impl Fn(ShardEvent),
) -> ShardEvent {
    let index = incarnation.slot.index;
    let failed = |message: String| ShardEvent::Failed {
        shard: index,
        message,
    };
    let is_admin = index == plan.count;
    if plan.pin && is_admin {
        // Only a wish: it leaves the shards' cores alone.
        let _ = confine_current_thread(&plan.housekeeping);
    } else if plan.pin
        && let Err(error) = pin_current_thread(incarnation.slot.cpu)
    {
        return failed(error.to_string());
    }
    let mut runtime = match Runtime::build(&incarnation.engine, plan.pool.clone()) {
        Ok(runtime) => runtime,
        Err(error) => return failed(error.to_string()),
    };
    let start = plan.shard_start(incarnation, bridge);
    let built = catch_unwind(AssertUnwindSafe(|| runtime.block_on(Shard::build(start))));
    let shard = match built {
        Ok(Ok(shard)) => shard,
        // A connection of what was built until then may have a read in flight.
        Ok(Err(error)) => {
            runtime.abandon();
            return failed(error.to_string());
        }
        Err(payload) => {
            runtime.abandon();
            resume_unwind(payload);
        }
    };
    tell(ShardEvent::Serving { shard: index });
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(shard.clone().run())));
    let ended = ended.and_then(|cut| {
        tell(ShardEvent::Drained { shard: index, cut });
        catch_unwind(AssertUnwindSafe(|| {
            runtime.block_on(shard.clone().serve_peers())
        }))
    });
    plan.peers.control.detach(index);
    let event = match ended {
        Ok(()) => ShardEvent::Ended { shard: index },
        Err(payload) => {
            let reason = panic_text(&*payload);
            // Its connections end now; their buffers must not outlive them.
            let cut = catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(async {
                    shard.leave_redis().await;
                    shard.cut_connections().await;
                });
            }));
            let last = cut.is_ok().then(|| Box::new(shard.snapshot()));
            ShardEvent::Died {
                shard: index,
                reason,
                last,
            }
        }
    };
    end(runtime, shard);
    event
}

/// Frees the runtime if nothing is in flight any more, else leaks it.
fn end(runtime: Runtime, shard: Rc<Shard>) {
    let quiet = shard.is_quiet();
    drop(shard);
    if quiet {
        runtime.shutdown();
    } else {
        runtime.abandon();
    }
}

impl ShardPlan {
    /// What a shard is called in messages.
    pub(super) fn name(&self, index: usize) -> String {
        match index == self.count {
            true => "the admin listener's thread".to_owned(),
            false => format!("shard {index}"),
        }
    }

    /// What its thread is called.
    pub(super) fn thread_name(&self, index: usize) -> String {
        match index == self.count {
            true => "admin".to_owned(),
            false => format!("shard-{index}"),
        }
    }

    fn shard_start(&self, incarnation: Incarnation, bridge: Bridge) -> ShardStart {
        let token = self
            .options
            .admin
            .as_ref()
            .and_then(|admin| admin.token.clone());
        let is_admin = incarnation.slot.index == self.count;
        let admin = incarnation.listeners.admin;
        ShardStart {
            app: self.app.clone(),
            info: ShardInfo {
                index: incarnation.slot.index,
                count: self.count,
                cpu: (self.pin && !is_admin).then_some(incarnation.slot.cpu),
                engine: incarnation.engine.kind,
                restarts: incarnation.restarts,
            },
            public: incarnation.listeners.public,
            admin: admin.map(|sockets| AdminStart { sockets, token }),
            limits: self.options.http.clone(),
            request_id_always: self.request_id_always,
            request_id_echo: self.options.request_id != RequestIdMode::Off,
            boot_id: self.boot_id,
            spin_us: incarnation.slot.spin_us,
            drain_timeout_ms: self.options.drain_timeout_ms,
            keep_alive_grace_ms: self.options.keep_alive_grace_ms,
            trusted_proxies: self.options.trusted_proxies.clone(),
            server_started: self.server_started,
            control: self.peers.control.clone(),
            resources: ResourcesPlan {
                peers: self.peers.clone(),
                caches: self.caches.clone(),
                limiter: self.limiter.clone(),
                redis: self.redis.clone(),
                inherited: incarnation.inherited,
            },
            log: self.sink.as_ref().map(AccessLogSink::shard_log),
            errors: self.errors.clone(),
            bridge,
        }
    }
}
