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

impl Resources {
    /// From here on other shards count on this one: the last step before it
    /// serves.
    pub(super) async fn attach(plan: ResourcesPlan, info: &ShardInfo, app: &App) -> Self {
        let names = app.route_names();
        let died = plan.inherited;
        let metrics = match &died {
            Some(died) => ShardMetrics::resume(names, died),
            None => ShardMetrics::new(names),
        };
        let redis_before = died.as_ref().and_then(|died| died.redis);
        let died = died.map(|died| (died.caches, died.mesh, died.limits));
        let (caches, mesh, limits) = died.unwrap_or_default();
        let inherited = Inherited { caches, mesh };
        let (index, count) = (info.index, info.count);
        let redis = match plan.redis {
            Some(plan) => Some(Redis::start(plan, index, redis_before).await),
            None => None,
        };
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
