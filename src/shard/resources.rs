//! What a shard has together with others: the road to them, the caches, the
//! limiter, Redis; and the numbers that it goes on counting for a predecessor
//! that died.

use std::rc::Rc;
use std::sync::Arc;

use crate::app::{App, ShardInfo};
use crate::caches::{CachePlan, Caches};
use crate::limiter::{Limiter, LimiterPlan, PeerLimiter};
use crate::metrics::{ShardMetrics, ShardSnapshot};
use crate::peers::{Peers, PeersPlan};
use crate::redis::{Redis, RedisPlan};

use super::services::ShardServices;

/// What they are made of.
pub(crate) struct ResourcesPlan {
    pub(crate) peers: PeersPlan,
    pub(crate) caches: CachePlan,
    pub(crate) limiter: LimiterPlan,
    pub(crate) redis: Option<Arc<RedisPlan>>,
    /// The numbers of a predecessor that died.
    pub(crate) inherited: Option<Box<ShardSnapshot>>,
}

/// See the head.
pub(super) struct Resources {
    pub(super) metrics: ShardMetrics,
    pub(super) peers: Rc<Peers>,
    pub(super) services: Rc<ShardServices>,
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
        let place = (info.index, info.count);
        let (peers, living) = Peers::attach(plan.peers, place, mesh);
        let road = (peers.clone(), &living);
        let caches = Caches::start(plan.caches, place, info.restarts, road, caches);
        let peer_limiter = PeerLimiter::new(plan.limiter.options.keys_max, plan.limiter.origin);
        let services = Rc::new(ShardServices {
            caches: caches.clone(),
            limiter: peer_limiter.clone(),
        });
        peers.serve(&services);
        let limiter = Limiter::new(
            plan.limiter,
            place,
            peer_limiter,
            peers.clone(),
            redis.clone(),
            limits,
        );
        Self {
            peers,
            services,
            metrics,
            caches,
            limiter,
            redis,
        }
    }
}
