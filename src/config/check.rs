//! What must hold between knobs; each knob alone is already in its range.

use super::load::Loading;
use crate::topology::EngineKind;

/// Refuses combinations that cannot be meant.
pub(super) fn check(loading: &mut Loading) {
    restart_delays(loading);
    body_rate(loading);
    insisting_on_what_is_not_asked(loading);
}

fn restart_delays(loading: &mut Loading) {
    let server = &loading.config.server;
    let (first, most) = (server.restart_delay_ms, server.restart_delay_max_ms);
    if first > most {
        loading.refuse(
            later_of(loading, "server.restart_delay_ms", "server.restart_delay_max_ms"),
            format!("server.restart_delay_ms is {first}, over server.restart_delay_max_ms, {most}"),
            format!("give server.restart_delay_max_ms at least {first}"),
        );
    }
}

fn body_rate(loading: &mut Loading) {
    let http = &loading.config.server.http;
    if http.body_rate_min_bytes_per_s > http.body_bytes_max && http.body_bytes_max > 0 {
        let (rate, most) = (http.body_rate_min_bytes_per_s, http.body_bytes_max);
        loading.refuse(
            later_of(loading, "http.body_bytes_max", "http.body_rate_min_bytes_per_s"),
            format!("http.body_rate_min_bytes_per_s is {rate}, over http.body_bytes_max, {most}"),
            "a body cannot be slower than one second then; lower the rate".to_owned(),
        );
    }
}

fn insisting_on_what_is_not_asked(loading: &mut Loading) {
    let epoll = loading.config.core_map.engine == Some(EngineKind::Epoll);
    if epoll && loading.config.server.require_io_uring {
        loading.refuse(
            later_of(loading, "core_map.engine", "server.require_io_uring"),
            "core_map.engine is \"epoll\" and server.require_io_uring is true".to_owned(),
            "drop one of the two: --engine io_uring, or require_io_uring = false".to_owned(),
        );
    }
}

/// Of two knobs the one somebody gave, so that the message points to a line.
fn later_of(loading: &Loading, one: &str, other: &str) -> super::error::Origin {
    match loading.origin(one) {
        super::error::Origin::Default => loading.origin(other),
        origin => origin,
    }
}
