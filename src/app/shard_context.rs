//! A shard's world as its requests see it. Built once per shard, shared by
//! reference count with every request in flight; nothing in it leaves the
//! shard.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::states::ShardStates;
use super::{CompiledApp, DrainSignal, RequestParts, ShardInfo, ShardParts};
use crate::bridge::Bridge;
use crate::caches::{Caches, Feed};
use crate::clock::ShardClock;
use crate::engine;
use crate::ids::RequestIds;
use crate::limiter::Limiter;
use crate::limits::{METRICS_GATHER_TIMEOUT_MS, SHARD_PING_TIMEOUT_MS};
use crate::metrics::{MetricsSource, ProcessSnapshot, RecentFaults, ShardMetrics, ShardSnapshot};
use crate::peers::{ControlInboxes, ControlMessage, Peers};
use crate::redis::Redis;
use crate::semantics::TrustedProxies;

/// Everything a request may reach.
pub(crate) struct ShardContext {
    pub(crate) info: ShardInfo,
    pub(crate) app: CompiledApp,
    pub(crate) states: ShardStates,
    pub(crate) peers: Rc<Peers>,
    pub(crate) caches: Rc<Caches>,
    pub(crate) limiter: Limiter,
    pub(crate) redis: Option<Redis>,
    pub(crate) bridge: Bridge,
    /// The ones of the states that count for the metrics.
    pub(crate) metrics_sources: Vec<Rc<dyn MetricsSource>>,
    /// What middleware keeps.
    pub(crate) parts: ShardParts,
    pub(crate) clock: ShardClock,
    pub(crate) metrics: RefCell<ShardMetrics>,
    pub(crate) request_ids: RequestIds,
    pub(crate) control: Arc<ControlInboxes>,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) server_started: Instant,
    pub(crate) draining: DrainSignal,
    /// Boxed because requests own theirs boxed: moving one moves a pointer.
    #[allow(clippy::vec_box)]
    pub(crate) spare_parts: RefCell<Vec<Box<RequestParts>>>,
}

/// Request storage kept per shard; more than this many are freed.
const SPARE_PARTS_MAX: usize = 256;

impl ShardContext {
    /// Storage for one request, used or new.
    pub(crate) fn take_parts(&self) -> Box<RequestParts> {
        self.spare_parts.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn recycle(&self, mut parts: Box<RequestParts>) {
        // A user's destructors run here, while nothing of ours is borrowed.
        parts.attachments.clear();
        let mut spare = self.spare_parts.borrow_mut();
        if spare.len() < SPARE_PARTS_MAX {
            parts.head.clear();
            parts.request_id.clear();
            parts.client.set(None);
            spare.push(parts);
        }
    }

    /// This shard's numbers.
    pub(crate) fn snapshot(&self) -> ShardSnapshot {
        let mut snapshot = self.metrics.borrow().snapshot(&self.info.identity());
        snapshot.caches = self.caches.snapshot();
        snapshot.mesh = self.peers.snapshot();
        snapshot.limits = self.limiter.snapshot();
        snapshot.redis = self.redis.as_ref().map(Redis::counters);
        let sources = self.metrics_sources.iter();
        snapshot.second_levels = sources.flat_map(|source| source.second_levels()).collect();
        self.parts.count(&mut snapshot);
        snapshot
    }

    /// Asks every other shard for its numbers and adds our own.
    pub(crate) async fn gather_metrics(self: &Rc<Self>) -> ProcessSnapshot {
        let mut waiting = Vec::new();
        let mut missing = Vec::new();
        for shard in (0..self.control.members()).filter(|index| *index != self.info.index) {
            let (sender, receiver) = engine::remote();
            match self.control.send(shard, ControlMessage::Snapshot(sender)) {
                Ok(()) => waiting.push((shard, receiver)),
                Err(_) => missing.push(shard),
            }
        }
        let mut process = ProcessSnapshot::empty(crate::process_stats::read(self.server_started));
        process.bridge = self.bridge.counters();
        process.change_feed = self.caches.feed().map(Feed::snapshot);
        process.add(self.snapshot());
        let deadline = Instant::now() + Duration::from_millis(METRICS_GATHER_TIMEOUT_MS);
        for (shard, receiver) in waiting {
            let left = deadline.saturating_duration_since(Instant::now());
            match engine::timeout(left, receiver).await {
                // Added one by one: merging takes a while and others wait.
                Ok(Ok(snapshot)) => process.add(snapshot),
                _ => missing.push(shard),
            }
        }
        missing.sort_unstable();
        process.missing_shards = missing;
        process
    }

    /// What went wrong on this shard lately.
    pub(crate) fn recent_faults(&self) -> RecentFaults {
        let metrics = self.metrics.borrow();
        metrics.recent_faults(self.clock.now_ms())
    }

    /// Asks every other shard for a sign of life, at once, and what went wrong
    /// there: those that give none in time, because something blocks their thread
    /// or they are being restarted, are stuck.
    pub(crate) fn ask_how_they_are(&self) -> impl Future<Output = ShardsHealth> + use<> {
        let mut waiting = Vec::new();
        let mut health = ShardsHealth {
            stuck: Vec::new(),
            faults: self.recent_faults(),
        };
        for shard in (0..self.control.members()).filter(|index| *index != self.info.index) {
            let (sender, receiver) = engine::remote();
            match self.control.send(shard, ControlMessage::Ping(sender)) {
                Ok(()) => waiting.push((shard, receiver)),
                Err(_) => health.stuck.push(shard),
            }
        }
        let deadline = Instant::now() + Duration::from_millis(SHARD_PING_TIMEOUT_MS);
        let shards = self.info.count;
        async move {
            for (shard, receiver) in waiting {
                let left = deadline.saturating_duration_since(Instant::now());
                match engine::timeout(left, receiver).await {
                    Ok(Ok(faults)) => health.faults.add(faults),
                    _ => health.stuck.push(shard),
                }
            }
            // That of the admin listener serves no public request.
            health.stuck.retain(|shard| *shard < shards);
            health.stuck.sort_unstable();
            health
        }
    }
}

/// How the shards of the process are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardsHealth {
    /// Those that gave no sign of life in time.
    pub stuck: Vec<usize>,
    /// What went wrong lately on all that did.
    pub faults: RecentFaults,
}
