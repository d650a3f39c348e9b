//! Redis and the tokio bridge in the `/metrics` JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use super::json::camel_case;
use super::{BridgeCounters, RedisCounters, SecondLevelSnapshot};

/// Redis, all shards together.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisView {
    /// Shards whose connection is there; the circuit of the others is open.
    pub connected_shards: u64,
    /// Commands that wait for an answer.
    pub in_flight: u64,
    /// What happened how often: the fields of [`RedisCounters`] that only grow.
    #[serde(flatten)]
    pub counters: BTreeMap<String, u64>,
}

/// The tokio bridge.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BridgeView {
    /// Tasks there now.
    pub in_flight: u64,
    /// Tasks started.
    pub started: u64,
    /// Tasks that panicked.
    pub panics: u64,
    /// Tasks aborted because nobody waited for them any more.
    pub cancelled: u64,
    /// Tasks not started because too many were there.
    pub refused: u64,
}

/// One cache in Redis.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecondLevelView {
    /// Its name.
    pub name: String,
    /// The fields of [`SecondLevelCounters`](super::SecondLevelCounters).
    #[serde(flatten)]
    pub counters: BTreeMap<String, u64>,
}

impl From<&SecondLevelSnapshot> for SecondLevelView {
    fn from(level: &SecondLevelSnapshot) -> Self {
        let counters = level.counters.fields().into_iter();
        Self {
            name: level.name.clone(),
            counters: counters
                .map(|(name, count)| (camel_case(name), count))
                .collect(),
        }
    }
}

impl From<&RedisCounters> for RedisView {
    fn from(redis: &RedisCounters) -> Self {
        let counters = redis.counters().into_iter();
        Self {
            connected_shards: redis.connected,
            in_flight: redis.in_flight,
            counters: counters
                .map(|(name, count)| (camel_case(name), count))
                .collect(),
        }
    }
}

impl From<&BridgeCounters> for BridgeView {
    fn from(bridge: &BridgeCounters) -> Self {
        Self {
            in_flight: bridge.in_flight,
            started: bridge.started,
            panics: bridge.panicked,
            cancelled: bridge.cancelled,
            refused: bridge.refused,
        }
    }
}
