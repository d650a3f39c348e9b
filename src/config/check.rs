//! What must hold between knobs; each knob alone is already in its range.

use super::error::Origin;
use super::load::Loading;

/// Refuses combinations that cannot be meant.
pub(super) fn check(loading: &mut Loading) {
    restart_delays(loading);
    reconnect_delays(loading);
    admin_listener(loading);
}

fn admin_listener(loading: &mut Loading) {
    let config = &loading.config;
    let Some(admin) = config.admin.options() else {
        return;
    };
    if let Err(error) = admin.check(config.server.listen) {
        let origin = later_of(loading, "admin.listen", "server.listen");
        loading.refuse(origin, error.what(), error.cure().to_owned());
    }
}

fn restart_delays(loading: &mut Loading) {
    let server = &loading.config.server;
    let (first, most) = (server.restart_delay_ms, server.restart_delay_max_ms);
    if first > most {
        loading.refuse(
            later_of(
                loading,
                "server.restart_delay_ms",
                "server.restart_delay_max_ms",
            ),
            format!("server.restart_delay_ms is {first}, over server.restart_delay_max_ms, {most}"),
            format!("give server.restart_delay_max_ms at least {first}"),
        );
    }
}

fn reconnect_delays(loading: &mut Loading) {
    let redis = &loading.config.redis;
    let (first, most) = (redis.reconnect_delay_ms, redis.reconnect_delay_max_ms);
    if first > most {
        loading.refuse(
            later_of(
                loading,
                "redis.reconnect_delay_ms",
                "redis.reconnect_delay_max_ms",
            ),
            format!(
                "redis.reconnect_delay_ms is {first}, over redis.reconnect_delay_max_ms, {most}"
            ),
            format!("give redis.reconnect_delay_max_ms at least {first}"),
        );
    }
}

/// Of two knobs the one somebody gave, so that the message points to a line.
fn later_of(loading: &Loading, one: &str, other: &str) -> Origin {
    match loading.origin(one) {
        Origin::Default => loading.origin(other),
        origin => origin,
    }
}
