//! What a shard has together with others: the caches, the limiter, Redis; and
//! the numbers that it goes on counting for a predecessor that died.

use std::rc::Rc;
use std::sync::Arc;

use crate::app::{App, ShardInfo};
use crate::caches::{CachePlan, Caches, Inherited};
use crate::limiter::{Desk, Limiter, LimiterPlan};
use crate::metrics::{ShardMetrics, ShardSnapshot};
use crate::redis::{Redis, RedisPlan};

/// What they are made of.
pub(crate) struct ResourcesPlan {
    pub(crate) caches: CachePlan,
    pub(crate) limiter: LimiterPlan,
    pub(crate) redis: Option<Arc<RedisPlan>>,
    /// The numbers of a predecessor that died.
    pub(crate) inherited: Option<Box<ShardSnapshot>>,
}

/// See the head.
pub(super) struct Resources {
    pub(super) metrics: ShardMetrics,
    pub(super) caches: Rc<Caches>,
    pub(super) limiter: Limiter,
    pub(super) redis: Option<Redis>,
}

impl ResourcesPlan {
    /// Waits for one attempt to connect: nobody counts on the shard yet.
    pub(super) async fn start_redis(&mut self) -> Option<Redis> {
        Redis::start(self.redis.take(), self.inherited.as_deref()).await
    }
}

impl Resources {
    /// From here on other shards count on this one: the last step before it
    /// serves.
    pub(super) fn attach(
        plan: ResourcesPlan,
        redis: Option<Redis>,
        info: &ShardInfo,
        app: &App,
    ) -> Self {
        let names = app.route_names();
        let died = plan.inherited;
        let metrics = match &died {
            Some(died) => ShardMetrics::resume(names, died),
            None => ShardMetrics::new(names),
        };
        let died = died.map(|died| (died.caches, died.mesh, died.limits));
        let (caches, mesh, limits) = died.unwrap_or_default();
        let inherited = Inherited { caches, mesh };
        let (index, count) = (info.index, info.count);
        let desk = Desk::new(plan.limiter.options.keys_max);
        let caches = Caches::attach(
            plan.caches,
            index,
            count,
            info.restarts,
            inherited,
            desk.clone(),
        );
        caches.look_when_woken();
        let limiter = Limiter::new(
            plan.limiter,
            (index, count),
            desk,
            caches.clone(),
            redis.clone(),
            limits,
        );
        Self {
            metrics,
            caches,
            limiter,
            redis,
        }
    }
}
