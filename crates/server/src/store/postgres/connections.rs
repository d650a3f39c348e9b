//! How a process divides the connections it may have: some for the pools of its
//! shards, one that listens for changes, and, where there are enough, one for
//! each shard to tell of its writes with.

use std::sync::Arc;

use crate::store::OpenError;
use crate::store::limits::{DATABASE_CALL_CONNECTIONS_MIN, DATABASE_FEED_CONNECTIONS};
use corelane::postgres::{Budget, PostgresOptions, ServerLimits};

/// What each has.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) budget: Arc<Budget>,
    /// Whether each shard has a connection to tell of its writes with.
    pub(super) has_announcers: bool,
}

impl Connections {
    /// Those of a process with that many shards.
    ///
    /// # Errors
    /// [`OpenError::ConnectionsMax`] when not every shard can have `pool_min`
    /// connections, and one at least.
    pub(super) fn plan(
        limits: ServerLimits,
        options: &PostgresOptions,
        shards: u32,
    ) -> Result<Self, OpenError> {
        let (configured, pool_min) = (options.connections_max, options.pool_min);
        let allowed = limits.allowed(configured);
        let needed = shards
            .saturating_mul(pool_min.max(1))
            .saturating_add(DATABASE_FEED_CONNECTIONS);
        if allowed < needed {
            return Err(OpenError::ConnectionsMax {
                allowed,
                needed,
                shards,
                pool_min,
                server_max: (configured == 0 || configured > allowed)
                    .then_some(limits.connections_max),
            });
        }
        let calls = pool_min.max(DATABASE_CALL_CONNECTIONS_MIN);
        let ample = shards
            .saturating_mul(calls.saturating_add(1))
            .saturating_add(DATABASE_FEED_CONNECTIONS);
        let has_announcers = allowed >= ample;
        let apart = match has_announcers {
            true => shards.saturating_add(DATABASE_FEED_CONNECTIONS),
            false => DATABASE_FEED_CONNECTIONS,
        };
        Ok(Self {
            budget: Budget::new(allowed.saturating_sub(apart), apart),
            has_announcers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(
        server_max: u32,
        connections_max: u32,
        shards: u32,
        pool_min: u32,
    ) -> Result<Connections, OpenError> {
        let limits = ServerLimits {
            connections_max: server_max,
            reserved: 3,
            own_max: None,
        };
        let options = PostgresOptions {
            connections_max,
            pool_min,
            ..PostgresOptions::default()
        };
        Connections::plan(limits, &options, shards)
    }

    #[test]
    fn a_plan_that_cannot_fit_says_the_numbers() {
        let of_100 = |configured, shards, pool_min| plan(100, configured, shards, pool_min);
        let fits = of_100(9, 8, 1).unwrap();
        assert_eq!(fits.budget.connections_max(), 9);
        let error = of_100(8, 8, 1).unwrap_err().to_string();
        for part in [
            "8 shards",
            "need 9",
            "connections_max is 8",
            "at most 7 shards",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(of_100(17, 8, 2).is_ok() && of_100(16, 8, 2).is_err());
        // No shard can do with none.
        assert!(of_100(9, 8, 0).is_ok() && of_100(8, 8, 0).is_err());
        let error = of_100(0, 92, 1).unwrap_err().to_string();
        assert!(error.contains("max_connections of 100 leaves"), "{error}");
        let error = plan(30, 0, 8, 3).unwrap_err().to_string();
        assert!(
            error.contains("need 25") && error.contains("is 22"),
            "{error}"
        );
    }

    #[test]
    fn each_shard_tells_of_its_writes_where_two_are_left_to_it() {
        for (connections_max, has_announcers) in [(24, false), (25, true)] {
            let planned = plan(100, connections_max, 8, 1).unwrap();
            assert_eq!(planned.has_announcers, has_announcers, "{connections_max}");
            assert_eq!(planned.budget.connections_max(), connections_max);
        }
    }
}
