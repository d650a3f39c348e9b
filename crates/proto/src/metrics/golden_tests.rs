//! Both texts, byte for byte, of processes all of whose numbers differ: what a
//! reader of `/metrics` relies on, the order included.

use super::*;
use crate::error::Blame;

/// Every call gives another number, and sums of two of them differ too.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0 * self.0 * 31 + 1_009
    }
}

fn cache(name: &str, n: &mut Numbers) -> CacheSnapshot {
    let counters = CacheCounters {
        hits_l1: n.next(),
        hits_home: n.next(),
        hits_stale: n.next(),
        misses: n.next(),
        collapsed: n.next(),
        bypasses: n.next(),
        stale_on_error: n.next(),
        load_errors: n.next(),
        writes: n.next(),
        doubts: n.next(),
        invalidations: n.next(),
        loads_revoked: n.next(),
        evictions: n.next(),
        evictions_l1: n.next(),
        refused: n.next(),
        given_up: n.next(),
    };
    let gauges = CacheGauges {
        keys: n.next(),
        bytes: n.next(),
        copies: n.next(),
        copy_bytes: n.next(),
    };
    CacheSnapshot {
        name: name.to_owned(),
        counters,
        gauges,
    }
}

fn second_level(name: &str, n: &mut Numbers) -> SecondLevelSnapshot {
    let counters = SecondLevelCounters {
        hits: n.next(),
        misses: n.next(),
        bypasses: n.next(),
        fills: n.next(),
        fills_older: n.next(),
        fills_late: n.next(),
        writes: n.next(),
        debts: n.next(),
        garbage: n.next(),
        dropped: n.next(),
        failures: n.next(),
    };
    SecondLevelSnapshot {
        name: name.to_owned(),
        counters,
    }
}

fn rule(name: &str, n: &mut Numbers) -> RuleSnapshot {
    let counters = RuleCounters {
        allowed: n.next(),
        denied: n.next(),
        unjudged: n.next(),
        fallbacks: n.next(),
    };
    RuleSnapshot {
        name: name.to_owned(),
        counters,
    }
}

fn redis(n: &mut Numbers) -> RedisCounters {
    RedisCounters {
        connected_shards: n.next(),
        in_flight: n.next(),
        commands: n.next(),
        failed_down: n.next(),
        failed_too_slow: n.next(),
        failed_busy: n.next(),
        refused_loading: n.next(),
        refused_readonly: n.next(),
        refused_auth: n.next(),
        refused_oom: n.next(),
        refused_other: n.next(),
        connects: n.next(),
        connect_failures: n.next(),
        outages: n.next(),
        trips: n.next(),
        exclusives: n.next(),
        exclusive_failures: n.next(),
    }
}

fn mesh(n: &mut Numbers) -> MeshCounters {
    MeshCounters {
        requests_sent: n.next(),
        requests_received: n.next(),
        replies_sent: n.next(),
        replies_received: n.next(),
        doorbells_rung: n.next(),
        requests_refused: n.next(),
        lane_full: n.next(),
    }
}

fn database(n: &mut Numbers) -> DatabaseSnapshot {
    DatabaseSnapshot {
        connections_max: n.next(),
        idle: n.next(),
        exclusive: n.next(),
        open: n.next() * 3,
        borrowed: n.next(),
        in_flight: n.next(),
        waiting: n.next(),
        pools_down: n.next(),
        calls: n.next(),
        connects: n.next(),
        connect_failures: n.next(),
        connections_lost: n.next(),
        outages: n.next(),
        checkout_timeouts: n.next(),
        refused: n.next(),
        deadlines: n.next(),
        cancels: n.next(),
        retries: n.next(),
    }
}

fn process(n: &mut Numbers) -> ProcessStats {
    ProcessStats {
        uptime_ms: n.next(),
        start_time_unix_ms: 1_700_000_000_000 + n.next(),
        resident_bytes: n.next(),
        virtual_bytes: n.next(),
        cpu_us: n.next(),
        cpu_user_us: n.next(),
        cpu_system_us: n.next(),
        open_fds: n.next(),
        fds_max: n.next(),
        threads: n.next(),
    }
}

fn sessions(n: &mut Numbers) -> SessionCounters {
    SessionCounters {
        created: n.next(),
        found: n.next(),
        expired: n.next(),
        ended: n.next(),
        logins_refused: n.next(),
        logins_busy: n.next(),
        origins_refused: n.next(),
    }
}

/// Requests of every class and route, and every counter beside them.
fn recorded(n: &mut Numbers) -> ShardMetrics {
    let names = vec![
        RouteName::new("GET", "/api/users/{id}"),
        RouteName::new("PUT", "/q\"\\\n{x}"),
        RouteName::new("GET", "/never"),
    ];
    let mut metrics = ShardMetrics::new(names);
    for (route, statuses) in [(0, &[200, 200, 304, 404, 503][..]), (1, &[101, 201, 500])] {
        for (index, &status) in (2..).zip(statuses) {
            let duration_ns = n.next() * 7_u64.pow(index);
            metrics.record(RouteIndex(route), status, duration_ns, n.next(), n.next());
        }
    }
    metrics.record(RouteIndex::UNMATCHED, 405, 77, n.next(), n.next());
    for (index, blame) in [Blame::Client, Blame::Upstream, Blame::Host, Blame::Bug]
        .iter()
        .enumerate()
    {
        (0..=index).for_each(|_| metrics.failed(RouteIndex(1), 500, *blame, 0));
        (0..=index + 4).for_each(|_| metrics.failed(RouteIndex::UNMATCHED, 500, *blame, 0));
    }
    let statuses = [400, 408, 413, 414, 417, 431, 501, 505, 418];
    for (index, status) in statuses.into_iter().enumerate() {
        (0..=index + n.0 as usize % 41).for_each(|_| metrics.parse_error(status));
    }
    let kinds = [
        TimeoutKind::Head,
        TimeoutKind::Idle,
        TimeoutKind::Body,
        TimeoutKind::Write,
        TimeoutKind::Handler,
    ];
    for (index, kind) in kinds.into_iter().enumerate() {
        (0..=index + n.0 as usize % 97).for_each(|_| metrics.timed_out(kind));
    }
    let counters = &mut metrics.counters;
    counters.connections.closed = n.next();
    counters.connections.opened = n.next() * 5;
    counters.connections.refused = n.next();
    counters.connections.requests_in_flight = n.next();
    counters.failures.panics = n.next();
    counters.failures.access_log_lines_dropped = n.next();
    counters.failures.responses_cut = counters.failures.panics + 1;
    counters.sessions = sessions(n);
    metrics
}

fn shard(index: usize, core: Option<usize>, n: &mut Numbers) -> ShardSnapshot {
    let identity = ShardIdentity {
        shard: index,
        is_admin: false,
        incarnation: n.next() as u32,
        core,
        engine: "io_uring",
    };
    ShardSnapshot {
        caches: vec![cache("users", n), cache("q\"uoted", n)],
        mesh: mesh(n),
        limits: LimiterSnapshot {
            rules: vec![rule("writes", n), rule("all", n)],
            keys: n.next(),
            evicted: n.next(),
        },
        redis: Some(redis(n)),
        second_levels: vec![second_level("rows", n), second_level("answers", n)],
        compression: Some(CompressionCounters {
            answers: n.next(),
            reused: n.next(),
            busy: n.next(),
            plain_bytes: n.next(),
            coded_bytes: n.next(),
        }),
        ..recorded(n).snapshot(&identity)
    }
}

fn whole(missing_shards: Vec<usize>) -> ProcessSnapshot {
    let mut n = Numbers(0);
    let shards = vec![shard(1, None, &mut n), shard(0, Some(4), &mut n)];
    let mut whole = ProcessSnapshot::merge(shards, missing_shards, process(&mut n));
    whole.bridge = BridgeCounters {
        in_flight: n.next(),
        started: n.next(),
        panics: n.next(),
        cancelled: n.next(),
        refused: n.next(),
    };
    whole.database = Some(database(&mut n));
    whole.change_feed = Some(FeedSnapshot {
        running: true,
        cuts: n.next(),
        changes: n.next(),
    });
    whole
}

fn json(snapshot: &ProcessSnapshot) -> String {
    serde_json::to_string(&MetricsView::from(snapshot)).unwrap() + "\n"
}

/// Says the first line, or piece of a line, that differs.
#[track_caller]
fn assert_same(text: &str, golden: &str) {
    let pieces = |text: &str| text.replace(",\"", ",\n\"");
    for (now, before) in pieces(text).lines().zip(pieces(golden).lines()) {
        assert_eq!(now, before);
    }
    assert!(text == golden, "one of the texts is longer");
}

#[test]
fn every_number_is_in_the_json_where_it_was() {
    assert_same(&json(&whole(vec![])), include_str!("fixtures/whole.json"));
}

#[test]
fn every_number_is_in_the_prometheus_text_where_it_was() {
    let text = prometheus_text(&whole(vec![]));
    assert_same(&text, include_str!("fixtures/whole.prom"));
}

#[test]
fn the_texts_while_a_shard_is_missing_are_as_they_were() {
    let snapshot = whole(vec![2, 3]);
    let text = prometheus_text(&snapshot);
    assert_same(&text, include_str!("fixtures/missing.prom"));
    assert!(json(&snapshot).contains("\"missingShards\":[2,3],"));
}

#[test]
fn the_texts_of_a_process_without_anything_are_as_they_were() {
    let snapshot = ProcessSnapshot::empty(ProcessStats::default());
    assert_same(&json(&snapshot), include_str!("fixtures/empty.json"));
    let text = prometheus_text(&snapshot);
    assert_same(&text, include_str!("fixtures/empty.prom"));
}
