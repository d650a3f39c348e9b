//! What `promtool check metrics` looks at, and the numbers themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{
    CacheCounters, CacheGauges, CacheSnapshot, MeshCounters, ProcessStats, RouteIndex, RouteName,
    ShardIdentity, ShardMetrics, ShardSnapshot, TimeoutKind,
};
use super::*;

fn snapshot(missing: Vec<usize>) -> ProcessSnapshot {
    let shards = [0_usize, 1].map(|index| {
        let identity = ShardIdentity {
            shard: index,
            is_admin: false,
            incarnation: 3,
            core: Some(index + 4),
            engine: "io_uring",
        };
        // A pattern with everything that must be escaped.
        let names = vec![
            RouteName::new("GET", "/a"),
            RouteName::new("PUT", "/q\"\\\n{x}"),
        ];
        let mut shard = ShardMetrics::new(names);
        shard.record(RouteIndex(0), 200, 40_000, 100, 10);
        shard.record(RouteIndex(0), 503, 3_000_000, 100, 10);
        shard.record(RouteIndex(1), 101, 1_500_000_000, 100, 10);
        shard.connection_opened();
        shard.parse_error(431);
        shard.timed_out(TimeoutKind::Idle);
        let mut counters = CacheCounters::default();
        (counters.hits_l1, counters.hits_home, counters.misses) = (40, 5, 6);
        (counters.load_errors, counters.evictions_l1) = (1, 2);
        let gauges = CacheGauges {
            keys: 6,
            bytes: 600,
            copies: 9,
            copy_bytes: 900,
        };
        ShardSnapshot {
            caches: vec![CacheSnapshot {
                name: "users".to_owned(),
                counters,
                gauges,
            }],
            mesh: MeshCounters {
                requests_sent: 10 + index as u64,
                replies_received: 9,
                doorbells_rung: 3,
                ..MeshCounters::default()
            },
            ..shard.snapshot(&identity)
        }
    });
    let stats = ProcessStats {
        resident_bytes: 4096,
        cpu_us: 1_500_000,
        ..Default::default()
    };
    ProcessSnapshot::merge(shards.to_vec(), missing, stats)
}

/// A sample as Prometheus reads it: name, labels as written, value.
struct Sample {
    name: String,
    labels: String,
    value: f64,
}

struct Exposition {
    types: BTreeMap<String, String>,
    samples: Vec<Sample>,
}

/// A strict reader of the text format; panics where promtool would complain.
fn lint(text: &str) -> Exposition {
    assert!(text.ends_with('\n'), "the last line must end");
    let (mut types, mut helped) = (BTreeMap::new(), BTreeSet::new());
    let (mut samples, mut series) = (Vec::<Sample>::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(helped.insert(name.to_owned()), "second HELP of {name}");
            assert!(!help.trim().is_empty());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(helped.contains(name), "{name} without HELP before TYPE");
            assert!(
                types.insert(name.to_owned(), kind.to_owned()).is_none(),
                "second TYPE {name}"
            );
            assert_eq!(
                kind == "counter",
                name.ends_with("_total"),
                "{name} is a {kind}"
            );
        } else {
            let sample = read_sample(line);
            assert!(
                series.insert((sample.name.clone(), sample.labels.clone())),
                "twice: {line}"
            );
            let family = family_of(&sample.name, &types);
            assert!(types.contains_key(&family), "no TYPE before {line}");
            assert_eq!(
                types.keys().len(),
                helped.len(),
                "samples must follow their own TYPE"
            );
            samples.push(sample);
        }
    }
    Exposition { types, samples }
}

fn family_of(name: &str, types: &BTreeMap<String, String>) -> String {
    for suffix in ["_bucket", "_sum", "_count"] {
        if let Some(base) = name.strip_suffix(suffix)
            && types.get(base).is_some_and(|kind| kind == "histogram")
        {
            return base.to_owned();
        }
    }
    name.to_owned()
}

fn read_sample(line: &str) -> Sample {
    let name_end = line.find(['{', ' ']).unwrap();
    let name = &line[..name_end];
    assert!(
        name.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    );
    let (labels, value) = match line[name_end..].strip_prefix('{') {
        None => ("", &line[name_end..]),
        Some(rest) => rest.split_at(labels_length(rest)),
    };
    let value = value.trim_start_matches('}').trim_start();
    assert!(!value.contains(' '), "no timestamps expected: {line}");
    Sample {
        name: name.to_owned(),
        labels: labels.to_owned(),
        value: value.parse().unwrap(),
    }
}

/// Walks `name="value",...` up to the closing brace, undoing escapes.
fn labels_length(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (index, c) in text.char_indices() {
        match (quoted, escaped, c) {
            (true, true, _) => {
                assert!(matches!(c, '\\' | '"' | 'n'), "bad escape in {text}");
                escaped = false;
            }
            (true, false, '\\') => escaped = true,
            (_, _, '"') => quoted = !quoted,
            (false, _, '}') => return index,
            _ => {}
        }
    }
    panic!("labels never end: {text}");
}

impl Exposition {
    fn value(&self, name: &str, labels: &str) -> f64 {
        let mut found = self
            .samples
            .iter()
            .filter(|s| s.name == name && s.labels == labels);
        found
            .next()
            .unwrap_or_else(|| panic!("no {name}{{{labels}}}"))
            .value
    }
}

#[test]
fn the_text_is_what_promtool_accepts_and_holds_the_counts() {
    let exposition = lint(&prometheus_text(&snapshot(vec![])));
    let value = |name: &str, labels: &str| exposition.value(name, labels);
    let requests = "corelane_http_requests_total";
    assert_eq!(
        value(requests, r#"method="GET",route="/a",code_class="2xx""#),
        2.0
    );
    assert_eq!(
        value(requests, r#"method="GET",route="/a",code_class="5xx""#),
        2.0
    );
    assert_eq!(
        value(requests, r#"method="GET",route="/a",code_class="4xx""#),
        0.0
    );
    assert_eq!(
        value(
            requests,
            r#"method="PUT",route="/q\"\\\n{x}",code_class="1xx""#
        ),
        2.0
    );
    assert_eq!(
        value(requests, r#"method="*",route="unmatched",code_class="4xx""#),
        0.0
    );
    assert_eq!(
        value(
            "corelane_shard_info",
            r#"shard="1",core="5",engine="io_uring""#
        ),
        1.0
    );
    assert_eq!(value("corelane_shard_restarts_total", r#"shard="0""#), 3.0);
    assert_eq!(value("corelane_connections", r#"shard="0""#), 1.0);
    assert_eq!(
        value(
            "corelane_http_parse_errors_total",
            r#"shard="0",code="431""#
        ),
        1.0
    );
    assert_eq!(
        value("corelane_timeouts_total", r#"shard="1",kind="idle""#),
        1.0
    );
    assert_eq!(value("process_resident_memory_bytes", ""), 4096.0);
    assert_eq!(value("process_cpu_seconds_total", ""), 1.5);
    assert_eq!(value("corelane_shards_missing", ""), 0.0);
}

#[test]
fn caches_are_sums_and_lanes_are_told_by_shard() {
    let exposition = lint(&prometheus_text(&snapshot(vec![])));
    let of_users = |name: &str, more: &str| {
        exposition.value(
            &format!("corelane_cache_{name}"),
            &format!("cache=\"users\"{more}"),
        )
    };
    for (result, count) in [
        ("l1", 80),
        ("home", 10),
        ("miss", 12),
        ("error", 2),
        ("bypass", 0),
    ] {
        let told = of_users("requests_total", &format!(",result=\"{result}\""));
        assert_eq!(told, f64::from(count), "{result}");
    }
    assert_eq!(of_users("evictions_total", ",level=\"l1\""), 4.0);
    assert_eq!(of_users("evictions_total", ",level=\"directory\""), 0.0);
    for (name, count) in [
        ("writes_total", 0.0),
        ("invalidations_total", 0.0),
        ("loads_revoked_total", 0.0),
        ("doubts_total", 0.0),
        ("refused_total", 0.0),
        ("given_up_total", 0.0),
        ("keys", 12.0),
        ("bytes", 1_200.0),
        ("copies", 18.0),
        ("copy_bytes", 1_800.0),
    ] {
        assert_eq!(of_users(name, ""), count, "{name}");
    }
    let messages = |labels: &str| exposition.value("corelane_mesh_messages_total", labels);
    assert_eq!(
        messages(r#"shard="1",class="request",direction="sent""#),
        11.0
    );
    assert_eq!(
        messages(r#"shard="0",class="reply",direction="received""#),
        9.0
    );
    let doorbells = exposition.value("corelane_mesh_doorbells_total", r#"shard="0""#);
    assert_eq!(doorbells, 3.0);
    for name in ["requests_refused_total", "lane_full_total"] {
        let name = format!("corelane_mesh_{name}");
        assert_eq!(exposition.value(&name, r#"shard="1""#), 0.0, "{name}");
    }
}

#[test]
fn histogram_buckets_are_cumulative_and_end_in_the_count() {
    let exposition = lint(&prometheus_text(&snapshot(vec![])));
    let name = "corelane_http_request_duration_seconds";
    assert_eq!(exposition.types[name], "histogram");
    let labels = r#"method="GET",route="/a""#;
    let bucket =
        |le: &str| exposition.value(&format!("{name}_bucket"), &format!(r#"{labels},le="{le}""#));
    let told = ["0.000025", "0.00005", "0.0025", "0.005", "5", "+Inf"].map(bucket);
    assert_eq!(told, [0.0, 2.0, 2.0, 4.0, 4.0, 4.0]);
    assert_eq!(exposition.value(&format!("{name}_count"), labels), 4.0);
    let sum = exposition.value(&format!("{name}_sum"), labels);
    assert!((sum - 0.006_08).abs() < 1e-9, "{sum}");
}

#[test]
fn sums_over_shards_are_left_out_while_a_shard_is_missing() {
    let text = prometheus_text(&snapshot(vec![2, 3]));
    let exposition = lint(&text);
    assert_eq!(exposition.value("corelane_shards_missing", ""), 2.0);
    assert!(!text.contains("corelane_http_requests_total"));
    assert!(!text.contains("corelane_cache_"));
    assert!(text.contains("corelane_mesh_doorbells_total"));
    let labels = r#"shard="0",code_class="5xx""#;
    assert_eq!(
        exposition.value("corelane_shard_requests_total", labels),
        1.0
    );
}

#[test]
fn a_process_without_any_shard_still_says_how_it_is() {
    let snapshot = ProcessSnapshot::merge(vec![], vec![0], ProcessStats::default());
    let exposition = lint(&prometheus_text(&snapshot));
    assert_eq!(exposition.value("corelane_shards_missing", ""), 1.0);
}

#[test]
#[should_panic(expected = "no TYPE")]
fn the_lint_itself_refuses_a_sample_without_type() {
    lint("# HELP a_total x\n# TYPE a_total counter\na_total 1\nb 2\n");
}

#[test]
#[should_panic(expected = "twice")]
fn the_lint_itself_refuses_a_series_given_twice() {
    lint("# HELP a x\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"1\"} 2\n");
}
