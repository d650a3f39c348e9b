//! What must hold between knobs; each knob alone is already in its range.

mod unused;

use super::error::Origin;
use super::loading::Loading;

/// Refuses combinations that cannot be meant.
pub(super) fn check(loading: &mut Loading) {
    restart_delays(loading);
    reconnect_delays(loading);
    admin_listener(loading);
    database_times(loading);
    pool_sizes(loading);
    unused::warn(loading);
}

/// Each of these is meant to end before the next.
fn database_times(loading: &mut Loading) {
    let options = &loading.config.store.database;
    let (deadline, checkout) = (options.deadline_ms, options.checkout_timeout_ms);
    let statement = options.statement_timeout_ms;
    if statement >= deadline {
        loading.refuse(
            later_of(
                loading,
                "database.statement_timeout_ms",
                "database.deadline_ms",
            ),
            format!(
                "database.statement_timeout_ms is {statement}, not below database.deadline_ms, \
                 {deadline}"
            ),
            format!("give database.deadline_ms more than {statement}"),
        );
    }
    if checkout > deadline {
        loading.refuse(
            later_of(
                loading,
                "database.checkout_timeout_ms",
                "database.deadline_ms",
            ),
            format!(
                "database.checkout_timeout_ms is {checkout}, over database.deadline_ms, {deadline}"
            ),
            format!("give database.deadline_ms at least {checkout}"),
        );
    }
}

fn pool_sizes(loading: &mut Loading) {
    let options = &loading.config.store.database;
    let (min, max) = (options.pool_min, options.pool_max);
    if max > 0 && min > max {
        loading.refuse(
            later_of(loading, "database.pool_min", "database.pool_max"),
            format!("database.pool_min is {min}, over database.pool_max, {max}"),
            format!("give database.pool_max at least {min}, or 0"),
        );
    }
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
