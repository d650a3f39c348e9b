//! Section `[redis]`, and the variable that is not ours.

use super::*;
use corelane::redis::{RedisOptions, RedisUrl};

fn url(case: &Case) -> String {
    case.config().redis.url.to_string()
}

#[test]
fn redis_url_is_taken_only_when_nothing_of_ours_is_given() {
    let given = |toml: &str| Case::new(toml).variable("REDIS_URL", "redis://theirs");
    assert_eq!(url(&Case::new("")), "");
    assert_eq!(url(&given("")), "redis://theirs:6379/0");
    let ours = "[redis]\nurl = \"redis://ours:7/1\"\n";
    assert_eq!(url(&given(ours)), "redis://ours:7/1");
    let none = "[redis]\nurl = \"\"\n";
    assert_eq!(url(&given(none)), "", "none is something given");
    let variable = given(ours).variable("CORELANE_REDIS", "redis://variable");
    assert_eq!(url(&variable), "redis://variable:6379/0");
    assert_eq!(
        url(&variable.flag("redis", "redis://flag")),
        "redis://flag:6379/0"
    );
    let origin = given("").load().origin("redis.url");
    assert_eq!(origin.to_string(), "REDIS_URL");
}

#[test]
fn an_address_that_cannot_be_used_is_refused_without_being_repeated() {
    for (variable, url) in [
        ("CORELANE_REDIS", "rediss://:s3cret@h"),
        ("CORELANE_REDIS", "redis://:s3cret@h:port"),
        ("REDIS_URL", "http://:s3cret@h"),
    ] {
        let errors = Case::new("").variable(variable, url).errors();
        assert!(errors.contains(variable), "{errors}");
        assert!(errors.contains("redis://"), "{errors}");
        assert!(!errors.contains("s3cret"), "{errors}");
    }
    let errors = Case::new("[redis]\nurl = 7\n").errors();
    assert!(errors.contains("is not text"), "{errors}");
}

#[test]
fn a_first_delay_over_the_longest_is_refused() {
    let errors = Case::new("[redis]\nreconnect_delay_ms = 3000\n").errors();
    assert!(errors.contains("at least 3000"), "{errors}");
}

#[test]
fn nothing_that_is_printed_has_the_password() {
    let case = Case::new("").variable("CORELANE_REDIS", "redis://u:s3cret@h:7/1");
    let loaded = case.load();
    let printed = annotate(&loaded.config, Some(&loaded.origins));
    assert!(printed.contains("url = \"redis://h:7/1\""), "{printed}");
    let debug = format!("{loaded:?}");
    assert!(
        !printed.contains("s3cret") && !debug.contains("s3cret"),
        "{debug}"
    );
}

#[test]
fn the_section_reaches_the_options() {
    let toml = "[redis]\ndeadline_ms = 80\nconnect_timeout_ms = 90\ncircuit_failures = 3\n\
                reconnect_delay_ms = 4\nreconnect_delay_max_ms = 5\n\
                exclusive_connections_max = 6\nexclusive_wait_ms = 7\nexclusive_timeout_ms = 8\n";
    let options = Case::new(toml).config().redis;
    let expected = RedisOptions {
        url: RedisUrl::default(),
        deadline_ms: 80,
        connect_timeout_ms: 90,
        circuit_failures: 3,
        reconnect_delay_ms: 4,
        reconnect_delay_max_ms: 5,
        exclusive_connections_max: 6,
        exclusive_wait_ms: 7,
        exclusive_timeout_ms: 8,
    };
    assert_eq!(options, expected);
}
