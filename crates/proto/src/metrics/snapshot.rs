//! What leaves a shard, and how the shards' parts become one whole.

use std::fmt;
use std::sync::Arc;

use super::caches::add_caches;
use super::second_level::add_second_levels;
use super::{
    BridgeCounters, CacheSnapshot, CompressionCounters, Counters, DatabaseSnapshot, FeedSnapshot,
    LimiterSnapshot, MeshCounters, RedisCounters, SecondLevelSnapshot, Tally,
};

/// Everything one shard has counted, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardSnapshot {
    /// Which shard.
    pub identity: ShardIdentity,
    /// Its counters beside the requests.
    pub counters: Counters,
    /// Its requests by route; the last is [`RouteName::unmatched`].
    pub routes: Vec<RouteSnapshot>,
    /// Its share of every cache.
    pub caches: Vec<CacheSnapshot>,
    /// Its messages to other shards and from them.
    pub mesh: MeshCounters,
    /// Its share of the rate limits.
    pub limits: LimiterSnapshot,
    /// Its dealings with Redis, if the app has one.
    pub redis: Option<RedisCounters>,
    /// Its share of every cache in Redis.
    pub second_levels: Vec<SecondLevelSnapshot>,
    /// Its compressed answers, once the app's compression has seen a request.
    pub compression: Option<CompressionCounters>,
}

/// The requests of one route.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteSnapshot {
    /// Method and pattern.
    pub name: RouteName,
    /// Counts, bytes and times.
    pub tally: Tally,
}

/// Which shard counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardIdentity {
    /// Index of the shard, from 0.
    pub shard: usize,
    /// It has the admin listener and nothing else; its index is the last.
    pub is_admin: bool,
    /// How often it has been restarted; 0 for the first.
    pub incarnation: u32,
    /// The CPU it is pinned to, if it is pinned.
    pub core: Option<usize>,
    /// `io_uring` or `epoll`.
    pub engine: &'static str,
}

/// Method and pattern of a route, `GET /api/users/{id}`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteName {
    /// `GET`, `POST`, …; `*` where the route takes any.
    pub method: Arc<str>,
    /// The pattern as the application wrote it.
    pub pattern: Arc<str>,
}

impl RouteName {
    /// A method and a pattern.
    pub fn new(method: &str, pattern: &str) -> Self {
        Self {
            method: method.into(),
            pattern: pattern.into(),
        }
    }

    /// The name [`RouteIndex::UNMATCHED`](super::RouteIndex::UNMATCHED) is shown under.
    pub fn unmatched() -> Self {
        Self::new("*", "unmatched")
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.pattern)
    }
}

/// The whole process at (nearly) one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessSnapshot {
    /// All requests of all shards.
    pub total: Tally,
    /// The shards' counters added up.
    pub counters: Counters,
    /// All shards' requests by route, in the order of the router.
    pub routes: Vec<RouteSnapshot>,
    /// One for each shard that answered, by index.
    pub shards: Vec<ShardTotals>,
    /// The shards' shares of every cache added up.
    pub caches: Vec<CacheSnapshot>,
    /// The shards' shares of the rate limits added up.
    pub limits: LimiterSnapshot,
    /// All shards' dealings with Redis, if the app has one.
    pub redis: Option<RedisCounters>,
    /// The shards' shares of every cache in Redis added up.
    pub second_levels: Vec<SecondLevelSnapshot>,
    /// The shards' compressed answers added up.
    pub compression: Option<CompressionCounters>,
    /// The tokio bridge.
    pub bridge: BridgeCounters,
    /// Shards that did not answer in time; nothing of them is in the sums.
    pub missing_shards: Vec<usize>,
    /// What the kernel knows of the process.
    pub process: ProcessStats,
    /// Connections to a database server, where there is one.
    pub database: Option<DatabaseSnapshot>,
    /// The feed of changes made elsewhere, where there is one.
    pub change_feed: Option<FeedSnapshot>,
}

/// One shard's share.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardTotals {
    /// Which shard.
    pub identity: ShardIdentity,
    /// Its counters beside the requests.
    pub counters: Counters,
    /// All its requests.
    pub total: Tally,
    /// Its messages to other shards and from them.
    pub mesh: MeshCounters,
}

/// What the kernel knows of the process; read by the floor above.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessStats {
    /// Time since the server started, milliseconds.
    pub uptime_ms: u64,
    /// Start of the process, milliseconds since the Unix epoch.
    pub start_time_unix_ms: u64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// CPU time of all threads, microseconds.
    pub cpu_us: u64,
    /// Its part in user mode, microseconds, to the kernel's tick (10 ms).
    pub cpu_user_us: u64,
    /// Its part in the kernel, microseconds, to the kernel's tick (10 ms).
    pub cpu_system_us: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// Soft limit of file descriptors.
    pub fds_max: u64,
    /// Threads, the workers io_uring starts included.
    pub threads: u64,
}

impl ProcessSnapshot {
    /// Adds the shards up.
    pub fn merge(
        shards: Vec<ShardSnapshot>,
        missing_shards: Vec<usize>,
        process: ProcessStats,
    ) -> Self {
        let mut merged = Self::empty(process);
        merged.missing_shards = missing_shards;
        for shard in shards {
            merged.add(shard);
        }
        merged
    }

    /// A process none of whose shards has answered yet.
    pub fn empty(process: ProcessStats) -> Self {
        Self {
            total: Tally::default(),
            counters: Counters::default(),
            routes: Vec::new(),
            shards: Vec::new(),
            caches: Vec::new(),
            limits: LimiterSnapshot::default(),
            second_levels: Vec::new(),
            redis: None,
            compression: None,
            bridge: BridgeCounters::default(),
            missing_shards: Vec::new(),
            process,
            database: None,
            change_feed: None,
        }
    }

    /// Adds one shard. Routes are matched by name, so shards that run
    /// different route tables are still summed rightly.
    ///
    /// Takes about 7 µs for every route that has had a request: with many
    /// shards add each as it arrives instead of all at the end, and the shard
    /// that answers `/metrics` goes on serving in between.
    pub fn add(&mut self, shard: ShardSnapshot) {
        let mut total = Tally::default();
        for (index, route) in shard.routes.into_iter().enumerate() {
            total.add(&route.tally);
            match self.position(index, &route.name) {
                Some(found) => self.routes[found].tally.add(&route.tally),
                None => self.routes.push(route),
            }
        }
        self.total.add(&total);
        self.counters.add(&shard.counters);
        add_caches(&mut self.caches, &shard.caches);
        self.limits.add(&shard.limits);
        add_second_levels(&mut self.second_levels, &shard.second_levels);
        if let Some(redis) = &shard.redis {
            self.redis.get_or_insert_default().add(redis);
        }
        if let Some(compression) = &shard.compression {
            self.compression.get_or_insert_default().add(compression);
        }
        let index = shard.identity.shard;
        let place = self
            .shards
            .partition_point(|other| other.identity.shard <= index);
        let (identity, counters, mesh) = (shard.identity, shard.counters, shard.mesh);
        self.shards.insert(
            place,
            ShardTotals {
                identity,
                counters,
                total,
                mesh,
            },
        );
    }

    /// Where a route is, looking first where the previous shard had it.
    fn position(&self, likely: usize, name: &RouteName) -> Option<usize> {
        match self.routes.get(likely) {
            Some(route) if route.name == *name => Some(likely),
            _ => self.routes.iter().position(|route| route.name == *name),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::metrics::{RouteIndex, ShardMetrics, TimeoutKind};

    #[derive(Debug, Clone)]
    enum Event {
        Request {
            route: u32,
            status: u16,
            duration_ns: u64,
            bytes: u64,
        },
        Opened,
        Closed,
        Refused,
        ParseError(u16),
        Timeout(TimeoutKind),
        Panic,
    }

    const KINDS: [TimeoutKind; 5] = [
        TimeoutKind::Head,
        TimeoutKind::Idle,
        TimeoutKind::Body,
        TimeoutKind::Write,
        TimeoutKind::Handler,
    ];

    fn events() -> impl Strategy<Value = Vec<(bool, Event)>> {
        let event = prop_oneof![
            4 => (0..5_u32, 100..600_u16, 0..70_000_000_000_u64, 0..1_000_000_u64).prop_map(
                |(route, status, duration_ns, bytes)| Event::Request { route, status, duration_ns, bytes }
            ),
            1 => Just(Event::Opened),
            1 => Just(Event::Closed),
            1 => Just(Event::Refused),
            1 => (400..506_u16).prop_map(Event::ParseError),
            1 => prop::sample::select(KINDS.to_vec()).prop_map(Event::Timeout),
            1 => Just(Event::Panic),
        ];
        prop::collection::vec((any::<bool>(), event), 0..200)
    }

    fn identity(shard: usize) -> ShardIdentity {
        ShardIdentity {
            shard,
            is_admin: false,
            incarnation: 0,
            core: None,
            engine: "epoll",
        }
    }

    fn metrics() -> ShardMetrics {
        let names = ["/a", "/b", "/c"].map(|pattern| RouteName::new("GET", pattern));
        ShardMetrics::new(names.to_vec())
    }

    fn apply(metrics: &mut ShardMetrics, event: &Event) {
        match *event {
            Event::Request {
                route,
                status,
                duration_ns,
                bytes,
            } => {
                metrics.record(RouteIndex(route), status, duration_ns, bytes, bytes / 3);
            }
            Event::Opened => metrics.connection_opened(),
            Event::Closed => metrics.connection_closed(),
            Event::Refused => metrics.connection_refused(),
            Event::ParseError(status) => metrics.parse_error(status),
            Event::Timeout(kind) => metrics.timed_out(kind),
            Event::Panic => metrics.panicked(),
        }
    }

    proptest! {
        #[test]
        fn two_shards_merged_equal_one_that_recorded_all(events in events()) {
            let (mut zero, mut one, mut alone) = (metrics(), metrics(), metrics());
            for (second, event) in &events {
                apply(if *second { &mut one } else { &mut zero }, event);
                apply(&mut alone, event);
            }
            let stats = ProcessStats::default();
            // In the wrong order, to see that it does not matter.
            let parts = vec![one.snapshot(&identity(1)), zero.snapshot(&identity(0))];
            let merged = ProcessSnapshot::merge(parts, vec![], stats.clone());
            let whole = ProcessSnapshot::merge(vec![alone.snapshot(&identity(0))], vec![], stats);
            prop_assert_eq!(&merged.total, &whole.total);
            prop_assert_eq!(&merged.counters, &whole.counters);
            prop_assert_eq!(&merged.routes, &whole.routes);
            prop_assert_eq!(merged.shards[0].identity.shard, 0);
            let requests: u64 = merged.shards.iter().map(|s| s.total.requests()).sum();
            prop_assert_eq!(requests, merged.total.requests());
        }
    }

    #[test]
    fn shards_with_other_route_tables_are_matched_by_name() {
        let names = vec![RouteName::new("GET", "/new"), RouteName::new("GET", "/a")];
        let mut other = ShardMetrics::new(names);
        other.record(RouteIndex(0), 200, 1_000, 0, 0);
        other.record(RouteIndex(1), 200, 1_000, 0, 0);
        let mut first = metrics();
        first.record(RouteIndex(0), 200, 1_000, 0, 0);
        let parts = vec![first.snapshot(&identity(0)), other.snapshot(&identity(1))];
        let merged = ProcessSnapshot::merge(parts, vec![2], ProcessStats::default());
        let requests = |pattern: &str| {
            let mut found = merged.routes.iter().filter(|r| &*r.name.pattern == pattern);
            let requests = found.next().map(|route| route.tally.requests());
            assert!(found.next().is_none(), "{pattern} is there twice");
            requests
        };
        assert_eq!((requests("/a"), requests("/new")), (Some(2), Some(1)));
        assert_eq!(requests("unmatched"), Some(0));
        assert_eq!(merged.missing_shards, [2]);
    }
}
