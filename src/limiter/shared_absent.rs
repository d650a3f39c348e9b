//! The limiter that all nodes have in common, in a build without the feature
//! `redis`: there is none.

use super::LimiterRule;
use crate::rate_limit::QuotaVerdict;
use crate::redis::{Redis, RedisFault};

pub(super) enum SharedLimiter {}

impl SharedLimiter {
    pub(super) fn new(redis: Redis) -> Self {
        match redis {}
    }

    pub(super) async fn check(
        &self,
        _: &LimiterRule,
        _: &[u8],
    ) -> Result<QuotaVerdict, RedisFault> {
        match *self {}
    }
}
