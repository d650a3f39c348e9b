//! The chapter's `/metrics` JSON: `requests`, `errors`, `avgResponseTime`,
//! `errorRate`, and what operators ask next.
//!
//! The chapter shows `avgResponseTime` and `errorRate` as texts, `"0.21ms"` and
//! `"0.00%"`; beside them are numbers to count with. Times are milliseconds with
//! three decimals, ratios are fractions, `errors` are answers of 5xx. A quantile is
//! at most 0.8 % over the exact one.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::counted::Counted;
use super::{
    CacheSnapshot, Counters, LimiterSnapshot, ProcessSnapshot, ProcessStats, SecondLevelSnapshot,
    ShardTotals, StatusClass, Tally,
};

/// The whole document, written without a copy of the snapshot.
#[derive(Debug)]
pub struct MetricsView<'a>(&'a ProcessSnapshot);

impl<'a> From<&'a ProcessSnapshot> for MetricsView<'a> {
    fn from(snapshot: &'a ProcessSnapshot) -> Self {
        Self(snapshot)
    }
}

impl Serialize for MetricsView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Object(self.0).serialize(serializer)
    }
}

/// What is written as keys and values of an object, alone or among others.
trait JsonEntries {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// An object with the entries of one thing.
struct Object<'a, T>(&'a T);

impl<T: JsonEntries> Serialize for Object<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.0.write(&mut map)?;
        map.end()
    }
}

/// Writes `"key": value` pairs, in this order.
macro_rules! entries {
    ($map:ident, $($key:literal: $value:expr),+ $(,)?) => {
        $($map.serialize_entry($key, &$value)?;)+
    };
}

impl JsonEntries for ProcessSnapshot {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let routes = self.routes.iter();
        let routes = routes.map(|route| (route.name.to_string(), Object(&route.tally)));
        self.total.write(map)?;
        self.counters.write(map)?;
        entries!(map,
            // `* unmatched` holds 404, 405 and what the codec refused.
            "routes": routes.collect::<BTreeMap<_, _>>(),
            "caches": objects(&self.caches),
            "rateLimits": Object(&self.limits),
        );
        if let Some(redis) = &self.redis {
            entries!(map, "redis": Object(redis));
        }
        entries!(map, "secondLevels": objects(&self.second_levels));
        if let Some(compression) = &self.compression {
            entries!(map, "compression": Object(compression));
        }
        let public = self.shards.iter().filter(|shard| !shard.identity.is_admin);
        entries!(map,
            "bridge": Object(&self.bridge),
            "shards": public.map(Object).collect::<Vec<_>>(),
        );
        // In the sums as well.
        if let Some(admin) = self.shards.iter().find(|shard| shard.identity.is_admin) {
            entries!(map, "admin": Object(admin));
        }
        entries!(map,
            // They are in no sum.
            "missingShards": self.missing_shards,
            "process": Object(&self.process),
        );
        if let Some(database) = &self.database {
            entries!(map, "database": Object(database));
        }
        if let Some(feed) = &self.change_feed {
            entries!(map, "changeFeed": feed);
        }
        Ok(())
    }
}

impl JsonEntries for Tally {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let quantile_ms = |quantile| ms(self.latency.quantile_ns(quantile) as f64 / 1e6);
        let classes = StatusClass::ALL.map(|c| (c.name(), self.by_class[c as usize]));
        let occurred = classes.into_iter().filter(|&(_, count)| count > 0);
        entries!(map,
            "requests": self.requests(),
            "errors": self.errors(),
            "avgResponseTime": format!("{:.2}ms", self.average_ms()),
            "errorRate": format!("{:.2}%", self.error_ratio() * 100.0),
            "avgResponseTimeMs": ms(self.average_ms()),
            "errorRatio": self.error_ratio(),
            "clientErrors": self.client_errors(),
            "p50": quantile_ms(0.5),
            "p90": quantile_ms(0.9),
            "p99": quantile_ms(0.99),
            "p999": quantile_ms(0.999),
            "max": ms(self.latency.max_ns() as f64 / 1e6),
            "status": occurred.collect::<BTreeMap<_, _>>(),
            "requestBytes": self.request_bytes,
            "responseBytes": self.response_bytes,
        );
        Ok(())
    }
}

impl JsonEntries for Counters {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        entries!(map,
            "connections": self.connections.open(),
            "connectionsOpened": self.connections.opened,
            "connectionsRefused": self.connections.refused,
            "requestsInFlight": self.connections.requests_in_flight,
            "parseErrors": self.parse_errors.total(),
            "panics": self.failures.panics,
            "timeouts": Object(&self.timeouts),
            "accessLogLinesDropped": self.failures.access_log_lines_dropped,
            "responsesCut": self.failures.responses_cut,
        );
        Ok(())
    }
}

impl JsonEntries for CacheSnapshot {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        entries!(map,
            "name": self.name,
            "hits": self.counters.hits(),
            "misses": self.counters.missed(),
            "hitRatio": self.counters.hit_ratio(),
        );
        self.gauges.write(map)?;
        entries!(map, "counters": Object(&self.counters));
        Ok(())
    }
}

impl JsonEntries for LimiterSnapshot {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let rules = self.rules.iter();
        let rules = rules.map(|rule| (&rule.name, Object(&rule.counters)));
        entries!(map,
            "keys": self.keys,
            "evictions": self.evicted,
            "rules": rules.collect::<BTreeMap<_, _>>(),
        );
        Ok(())
    }
}

impl JsonEntries for SecondLevelSnapshot {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        entries!(map, "name": self.name);
        self.counters.write(map)
    }
}

impl JsonEntries for ShardTotals {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        entries!(map,
            "shard": self.identity.shard,
            // `null` when it is not pinned.
            "core": self.identity.core,
            "engine": self.identity.engine,
            "restarts": self.identity.incarnation,
        );
        self.total.write(map)?;
        self.counters.write(map)?;
        entries!(map, "mesh": Object(&self.mesh));
        Ok(())
    }
}

impl JsonEntries for ProcessStats {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        entries!(map,
            "uptime": self.uptime_ms as f64 / 1e3,
            "residentBytes": self.resident_bytes,
            "virtualBytes": self.virtual_bytes,
            "cpuSeconds": self.cpu_us as f64 / 1e6,
            "cpuUserSeconds": self.cpu_user_us as f64 / 1e6,
            "cpuSystemSeconds": self.cpu_system_us as f64 / 1e6,
            "openFds": self.open_fds,
            "fdsMax": self.fds_max,
            "threads": self.threads,
        );
        Ok(())
    }
}

impl<T: Counted> JsonEntries for T {
    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for (name, count) in self.json_fields() {
            map.serialize_entry(&camel_case(name), &count)?;
        }
        Ok(())
    }
}

fn objects<T: JsonEntries>(all: &[T]) -> Vec<Object<'_, T>> {
    all.iter().map(Object).collect()
}

/// `hits_l1` as this document writes it, `hitsL1`.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        camel.push_str(&word[..1].to_ascii_uppercase());
        camel.push_str(&word[1..]);
    }
    camel
}

/// Milliseconds rounded to the microsecond.
fn ms(exact: f64) -> f64 {
    (exact * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{RouteIndex, RouteName, ShardIdentity, ShardMetrics};

    fn json() -> serde_json::Value {
        let identity = ShardIdentity {
            shard: 0,
            is_admin: false,
            incarnation: 2,
            core: Some(4),
            engine: "io_uring",
        };
        let mut shard = ShardMetrics::new(vec![RouteName::new("GET", "/api/users/{id}")]);
        for _ in 0..3 {
            shard.record(RouteIndex(0), 200, 1_000_000, 500, 100);
        }
        shard.record(RouteIndex(0), 500, 5_000_000, 500, 100);
        shard.record(RouteIndex::UNMATCHED, 404, 1_000_000, 500, 100);
        shard.connection_opened();
        let stats = ProcessStats {
            uptime_ms: 1_500,
            cpu_us: 250_000,
            ..Default::default()
        };
        let merged = ProcessSnapshot::merge(vec![shard.snapshot(&identity)], vec![1], stats);
        serde_json::to_value(MetricsView::from(&merged)).unwrap()
    }

    #[test]
    fn the_chapters_keys_are_there_with_the_chapters_meaning() {
        let json = json();
        assert_eq!((&json["requests"], &json["errors"]), (&5.into(), &1.into()));
        assert_eq!(json["clientErrors"], 1);
        assert_eq!(json["avgResponseTime"], "1.80ms");
        assert_eq!(json["errorRate"], "20.00%");
        assert_eq!(json["avgResponseTimeMs"], 1.8);
        assert_eq!(json["errorRatio"], 0.2);
    }

    #[test]
    fn quantiles_are_milliseconds_within_a_hundredth() {
        let json = json();
        let near = |key: &str, exact: f64| {
            let told = json[key].as_f64().unwrap();
            assert!(
                (exact..exact * 1.01).contains(&told),
                "{key} is {told}, not {exact}"
            );
        };
        near("p50", 1.0);
        near("p90", 5.0);
        near("p99", 5.0);
        near("p999", 5.0);
    }

    #[test]
    fn routes_shards_and_process_are_told_apart() {
        let json = json();
        assert_eq!(json["routes"]["GET /api/users/{id}"]["requests"], 4);
        assert_eq!(json["routes"]["GET /api/users/{id}"]["status"]["5xx"], 1);
        assert_eq!(json["routes"]["* unmatched"]["clientErrors"], 1);
        assert_eq!(json["shards"][0]["core"], 4);
        assert_eq!(json["shards"][0]["restarts"], 2);
        assert_eq!(json["shards"][0]["requests"], 5);
        assert_eq!(json["connections"], 1);
        assert_eq!(json["missingShards"], serde_json::json!([1]));
        assert_eq!(json["process"]["uptime"], 1.5);
        assert_eq!(json["process"]["cpuSeconds"], 0.25);
    }
}
