//! Sections `[health]` and `[api]`.

use crate::config::knob::{Knob, Valid, turns};

pub(super) const API_KNOBS: &[Knob] = &[
    Knob {
        name: "api.cache_control",
        is_table: true,
        valid: Valid::Says("lines of \"ROUTE\" = \"VALUE\", the routes as below; \"\" sends none"),
        what: "Cache-Control by route. Routes left out keep their default.",
        cost: "the longer others may keep an answer, the longer they may show an old one.",
        change: "to let browsers and proxies keep answers: \"public, max-age=60\".",
        ..turns!(api.cache_control)
    },
    Knob {
        name: "api.redis_cache",
        is_table: true,
        valid: Valid::Says(
            "lines of \"ROUTE\" = \"TIME\", the routes as above; a TIME such as \"60s\" or 1500, milliseconds",
        ),
        what: "Routes whose answers are kept in Redis for that long, by URL with its query sorted. Nothing\n\
               but the time ends an answer there. Not for routes whose Cache-Control says private, no-cache\n\
               or no-store. Without redis.url it does nothing.",
        cost: "answers that old, for everybody.",
        change: "for answers that are dear to make and may be old.",
        ..turns!(api.redis_cache)
    },
];

pub(super) const HEALTH_KNOBS: &[Knob] = &[Knob {
    name: "health.store_timeout_ms",
    unit: "milliseconds",
    valid: Valid::Range(1, 600_000),
    what: "How long the database may take to answer before /health and /health/ready say 503.",
    cost: "a prober waits up to this long.",
    change: "to less than the prober's own timeout.",
    ..turns!(api.health.store_timeout_ms)
}];
