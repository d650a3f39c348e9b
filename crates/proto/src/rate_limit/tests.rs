//! The algorithm against a naive model, the store against its bounds, rules as
//! they are written.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND_NS: u64 = 1_000_000_000;

fn quota(limit: u32, window_ms: u64, burst: u32) -> Quota {
    let quota = Quota::new(limit, Duration::from_millis(window_ms)).unwrap();
    quota.with_burst(burst).unwrap()
}

/// A bucket of tokens in fractions: level in requests times window, so that a
/// nanosecond adds `limit`.
struct Bucket {
    quota: Quota,
    level: u128,
    at_ns: u64,
}

impl Bucket {
    fn new(quota: Quota, now_ns: u64) -> Self {
        let level = u128::from(quota.burst()) * quota.window().as_nanos();
        Self {
            quota,
            level,
            at_ns: now_ns,
        }
    }

    fn check(&mut self, now_ns: u64) -> (bool, u32) {
        let one = self.quota.window().as_nanos();
        let passed = u128::from(now_ns - self.at_ns);
        self.at_ns = now_ns;
        let whole = u128::from(self.quota.burst()) * one;
        self.level = (self.level + passed * u128::from(self.quota.limit())).min(whole);
        let is_allowed = self.level >= one;
        if is_allowed {
            self.level -= one;
        }
        (is_allowed, (self.level / one) as u32)
    }
}

#[test]
fn a_burst_then_one_every_interval() {
    let quota = quota(10, 1_000, 3);
    let mut tat = Tat::default();
    let mut now_ns = 5 * SECOND_NS;
    let seen: Vec<_> = (0..4).map(|_| quota.check(&mut tat, now_ns)).collect();
    assert_eq!(
        seen.iter()
            .map(|v| (v.is_allowed, v.remaining))
            .collect::<Vec<_>>(),
        [(true, 2), (true, 1), (true, 0), (false, 0)]
    );
    assert_eq!(seen[3].retry_after_ns, 100_000_000);
    assert_eq!(seen[3].reset_ns, 300_000_000);
    now_ns += seen[3].retry_after_ns;
    assert!(quota.check(&mut tat, now_ns).is_allowed);
    assert!(!quota.check(&mut tat, now_ns + 99_999_999).is_allowed);
    assert!(quota.check(&mut tat, now_ns + 100_000_000).is_allowed);
}

#[test]
fn an_interval_that_is_no_whole_number_does_not_drift() {
    // 3 a second: after a million thirds exactly a third of a million seconds.
    let quota = quota(3, 1_000, 1);
    let mut tat = Tat::default();
    let mut now_ns = 0;
    for _ in 0..3_000 {
        let verdict = quota.check(&mut tat, now_ns);
        assert!(verdict.is_allowed);
        let early = quota.check(&mut tat, now_ns);
        now_ns += early.retry_after_ns;
    }
    // Each wait is rounded up, by less than a nanosecond, and no more than that.
    let exact_ns = 1_000 * SECOND_NS;
    assert!((exact_ns..exact_ns + 3_000).contains(&now_ns), "{now_ns}");
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    assert!(Quota::new(0, Duration::from_secs(1)).is_err());
    assert!(Quota::new(1, Duration::ZERO).is_err());
    assert!(Quota::new(1, Duration::MAX).is_err());
    let quota = Quota::new(1, Duration::from_secs(1)).unwrap();
    assert!(quota.with_burst(0).is_err());
}

proptest! {
    #[test]
    fn it_judges_like_a_bucket_of_tokens(
        limit in 1_u32..50, window_ms in 1_u64..5_000, burst in 1_u32..50,
        steps in proptest::collection::vec(0_u64..2_000_000_000, 1..200),
    ) {
        let quota = quota(limit, window_ms, burst);
        let (mut tat, mut bucket) = (Tat::default(), Bucket::new(quota, 0));
        let mut now_ns = 0;
        for step in steps {
            // Most come at once or nearly so.
            now_ns += if step % 3 == 0 { step } else { step % 5 };
            let verdict = quota.check(&mut tat, now_ns);
            prop_assert_eq!((verdict.is_allowed, verdict.remaining), bucket.check(now_ns));
            if !verdict.is_allowed {
                let (mut early, mut due) = (tat, tat);
                let retry_ns = now_ns + verdict.retry_after_ns;
                prop_assert!(!quota.check(&mut early, retry_ns - 1).is_allowed);
                prop_assert!(quota.check(&mut due, retry_ns).is_allowed);
            }
            let whole_ns = now_ns + verdict.reset_ns;
            prop_assert!(quota.is_whole(tat, whole_ns));
            prop_assert!(verdict.reset_ns == 0 || !quota.is_whole(tat, whole_ns - 1));
        }
    }

    #[test]
    fn no_window_sees_more_than_limit_and_burst(
        limit in 1_u32..20, window_ms in 1_u64..50, burst in 1_u32..20,
        steps in proptest::collection::vec(0_u64..5_000_000, 1..400),
    ) {
        let quota = quota(limit, window_ms, burst);
        let mut tat = Tat::default();
        let (mut now_ns, mut allowed) = (0_u64, Vec::new());
        for step in steps {
            now_ns += step;
            if quota.check(&mut tat, now_ns).is_allowed {
                allowed.push(now_ns);
            }
        }
        let window_ns = window_ms * 1_000_000;
        for (index, from) in allowed.iter().enumerate() {
            let inside = allowed[index..].iter().take_while(|at| **at <= from + window_ns);
            prop_assert!(inside.count() <= (limit + burst) as usize);
        }
    }

    #[test]
    fn no_numbers_overflow(
        limit in 1_u32.., window_ms in 1_u64..31_000_000_000, burst in 1_u32..,
        nows in proptest::collection::vec(any::<u64>(), 1..10),
        ahead_us: u64, remainder: u64, is_allowed: bool,
    ) {
        let quota = quota(limit, window_ms, burst);
        let mut tat = Tat::default();
        for now_ns in nows {
            quota.check(&mut tat, now_ns);
        }
        let verdict = quota.verdict_at_us(is_allowed, ahead_us, remainder);
        prop_assert!(verdict.remaining <= burst);
    }

    /// The same verdicts from a store that counts microseconds and remainders.
    #[test]
    fn a_store_in_microseconds_tells_the_same(limit in 1_u32..2_000, requests in 1_u32..100) {
        let quota = quota(limit, 1_000, 50);
        let mut tat = Tat::default();
        let interval = 1_000_000;
        for request in 1..=requests.min(50) {
            let here = quota.check(&mut tat, 0);
            let ahead = u64::from(request) * interval;
            let (whole, rest) = (ahead / u64::from(limit), ahead % u64::from(limit));
            prop_assert_eq!(quota.verdict_at_us(true, whole, rest), here);
        }
    }

    /// The store is a map of moments, but for what it must forget.
    #[test]
    fn a_store_with_room_is_a_map(
        steps in proptest::collection::vec((0_u128..20, 0_u64..300_000_000, 0_usize..8), 1..300),
    ) {
        let quota = quota(5, 1_000, 5);
        let (mut store, mut model) = (KeyStore::new(20), BTreeMap::new());
        let mut now_ns = 0;
        for (key, step, sweep) in steps {
            now_ns += step;
            store.sweep(sweep, now_ns);
            let expected = quota.check(model.entry(key).or_default(), now_ns);
            prop_assert_eq!(store.check(KeyHash(key), &quota, now_ns), expected);
            prop_assert!(store.len() <= 20);
        }
        prop_assert_eq!(store.evicted(), 0);
        let live = model.values().filter(|tat| !quota.is_whole(**tat, now_ns)).count();
        store.sweep(20, now_ns);
        prop_assert_eq!(store.len(), live);
    }

    /// Full, it forgets the key used longest ago and no other.
    #[test]
    fn a_full_store_forgets_the_key_used_longest_ago(
        keys in proptest::collection::vec(0_u128..12, 1..200),
    ) {
        let quota = quota(1, 3_600_000, 1);
        let mut store = KeyStore::new(4);
        let mut recent: Vec<u128> = Vec::new();
        for key in keys {
            let is_known = recent.iter().rev().take(4).any(|known| *known == key);
            recent.retain(|known| *known != key);
            recent.push(key);
            prop_assert_eq!(store.check(KeyHash(key), &quota, 7).is_allowed, !is_known);
            prop_assert!(store.len() <= 4);
        }
    }
}

#[test]
fn a_swept_place_is_used_again() {
    let quota = quota(1, 1_000, 1);
    let mut store = KeyStore::new(1_000);
    for round in 0..10_u64 {
        for key in 0..100 {
            store.check(KeyHash(key), &quota, round * 2 * SECOND_NS);
        }
        store.sweep(100, round * 2 * SECOND_NS + SECOND_NS);
        assert!(store.is_empty());
    }
    assert_eq!((store.entries_made(), store.evicted()), (100, 0));
}

#[test]
fn windows_and_quotas_are_read_as_written() {
    for (text, ms) in [
        ("60s", 60_000),
        ("500ms", 500),
        ("5m", 300_000),
        ("h", 3_600_000),
        ("1d", 86_400_000),
    ] {
        assert_eq!(
            parse_window(text),
            Some(Duration::from_millis(ms)),
            "{text}"
        );
    }
    for text in [
        "",
        "60",
        "s60",
        "1.5s",
        "-1s",
        "99999999999999999999s",
        "1w",
    ] {
        assert_eq!(parse_window(text), None, "{text}");
    }
    let read = QuotaText::parse("100/60s burst 20 by header:X-Api-Key").unwrap();
    assert_eq!(read.quota, quota(100, 60_000, 20));
    assert_eq!(read.by.as_deref(), Some("header:X-Api-Key"));
    assert_eq!(
        QuotaText::parse("10/m").unwrap().quota,
        quota(10, 60_000, 10)
    );
    for text in [
        "",
        "10",
        "/s",
        "10/",
        "0/s",
        "10/s burst",
        "10/s burst 0",
        "10/s for me",
        "10/0s",
    ] {
        assert!(QuotaText::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_star_is_anything_and_everything_else_itself() {
    let fits = |pattern: &str, path: &str| PathPattern::parse(pattern).unwrap().fits(path);
    for (pattern, path) in [
        ("/api/*", "/api/"),
        ("/api/*", "/api/users/7"),
        ("/*", "/"),
        ("/a", "/a"),
        ("/*/b", "/a/b"),
        ("/*/b", "/a/c/b"),
        ("/a*b*c", "/abbc"),
        ("/a*", "/a"),
    ] {
        assert!(fits(pattern, path), "{pattern} {path}");
    }
    for (pattern, path) in [
        ("/api/*", "/api"),
        ("/a", "/a/"),
        ("/a", "/ab"),
        ("/*/b", "/a/b/c"),
        ("/a*b*c", "/acb"),
        ("/ab*bc", "/abc"),
    ] {
        assert!(!fits(pattern, path), "{pattern} {path}");
    }
    for text in ["", "api", "*", "/a?b", "/a b", "/\u{e9}"] {
        assert!(PathPattern::parse(text).is_err(), "{text}");
    }
}

proptest! {
    /// A route is left out only when no path of it can fit.
    #[test]
    fn a_route_that_a_path_fits_may_fit(rest in "[a-c/]{0,4}", pattern in "/[a-c/]{0,3}\\*?[a-c]{0,2}") {
        let parsed = PathPattern::parse(&pattern).unwrap();
        let path = format!("/{rest}");
        if parsed.fits(&path) {
            prop_assert!(parsed.may_fit_route(&path));
            for (at, _) in path.match_indices('/') {
                let route = format!("{}/{{*rest}}", &path[..at]);
                prop_assert!(parsed.may_fit_route(&route), "{} {}", pattern, route);
            }
        }
    }
}

#[test]
fn the_shares_of_all_together_are_no_more_than_the_whole() {
    let quota = Quota::new(10, Duration::from_secs(60)).unwrap();
    let share = quota.share_of(4);
    assert_eq!((share.limit(), share.burst()), (10, 2));
    assert_eq!(share.window(), Duration::from_secs(240));
    let mut tat = Tat::default();
    let through = (0..20)
        .filter(|_| share.check(&mut tat, 0).is_allowed)
        .count();
    assert_eq!(through, 2);
    // Everybody has at least one, and nobody more than there is.
    assert_eq!(quota.share_of(100).burst(), 1);
    assert_eq!((quota.share_of(1), quota.share_of(0)), (quota, quota));
}
