//! Settings of something that is off: they do nothing, and whoever gave them thinks
//! that they do. Each is a warning with the cure; a file that has every key at its
//! default is none.

use crate::config::error::Origin;
use crate::config::loading::Loading;
use crate::config::{Config, knobs};
use crate::store::StoreUrl;

/// Knobs that need something, and what to do to have it.
struct Needs {
    /// Names, or their beginning where they end in a dot.
    knobs: &'static [&'static str],
    /// Knobs that are no part of it for all that.
    but: &'static [&'static str],
    is_there: fn(&Config) -> bool,
    /// What is missing.
    without: &'static str,
    cure: &'static str,
}

const ALL: &[Needs] = &[
    Needs {
        knobs: &[
            "redis.",
            "api.redis_cache",
            "cache.redis",
            "cache.redis_ttl_ms",
            "cache.redis_tombstone_ms",
            "cache.redis_prefix",
            "rate_limit.redis",
        ],
        but: &["redis.url"],
        is_there: |config| !config.redis.url.is_empty(),
        without: "there is no Redis",
        cure: "give redis.url, or --redis",
    },
    Needs {
        knobs: &["session."],
        but: &["session.enabled"],
        is_there: |config| config.api.session.enabled,
        without: "sessions are off",
        cure: "give session.enabled = true",
    },
    Needs {
        knobs: &["cors."],
        but: &["cors.origins"],
        is_there: |config| !config.cors.origins.is_empty(),
        without: "no origin is listed",
        cure: "give cors.origins",
    },
    Needs {
        knobs: &["compression."],
        but: &["compression.enabled"],
        is_there: |config| config.compression.enabled,
        without: "compression is off",
        cure: "give compression.enabled = true",
    },
    Needs {
        knobs: &["access_log."],
        but: &["access_log.format"],
        is_there: |config| config.access_log.format.is_some(),
        without: "the access log is off",
        cure: "give access_log.format, or --access-log",
    },
    Needs {
        knobs: &["admin.token"],
        but: &[],
        is_there: |config| config.admin.listen.is_some(),
        without: "there is no admin listener",
        cure: "give admin.listen, or --admin",
    },
    Needs {
        knobs: &["database.", "store.wait_ms"],
        but: &[],
        is_there: |config| matches!(config.store.url, StoreUrl::Postgres(_)),
        without: "the store is SQLite",
        cure: "give store.url = \"postgres://...\", or --store",
    },
    Needs {
        knobs: &[
            "store.busy_timeout_ms",
            "store.cache_kib",
            "store.mmap_mib",
            "store.durable",
        ],
        but: &[],
        is_there: |config| matches!(config.store.url, StoreUrl::Sqlite { .. }),
        without: "the store is PostgreSQL",
        cure: "leave it out, or use the keys of [database]",
    },
    Needs {
        knobs: &[
            "cache.negative_ttl_ms",
            "cache.stale_while_revalidate_ms",
            "cache.stale_if_error_ms",
            "cache.users_bytes_max",
            "cache.lists_bytes_max",
            "cache.coherence",
        ],
        but: &[],
        is_there: |config| config.api.cache.ttl_ms > 0,
        without: "cache.ttl_ms is 0, which keeps nothing",
        cure: "give cache.ttl_ms more than 0",
    },
];

/// Warns of what was given, is not its default, and does nothing.
pub(super) fn warn(loading: &mut Loading) {
    let defaults = Config::default();
    let mut warnings = Vec::new();
    for knob in knobs() {
        let origin = loading.origin(knob.name);
        let is_given =
            origin != Origin::Default && (knob.show)(&loading.config) != (knob.show)(&defaults);
        let needs = ALL.iter().filter(|needs| is_given && needs.has(knob.name));
        for needs in needs.filter(|needs| !(needs.is_there)(&loading.config)) {
            let Needs { without, cure, .. } = needs;
            warnings.push(format!(
                "{origin}: {} does nothing: {without}; {cure}",
                knob.name
            ));
        }
    }
    loading.warnings.extend(warnings);
}

impl Needs {
    fn has(&self, knob: &str) -> bool {
        let is_named = |name: &&str| match name.ends_with('.') {
            true => knob.starts_with(*name),
            false => knob == *name,
        };
        self.knobs.iter().any(is_named) && !self.but.contains(&knob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_a_knob() {
        for needs in ALL {
            for name in needs.knobs.iter().chain(needs.but) {
                let is_known = |knob: &str| match name.ends_with('.') {
                    true => knob.starts_with(name),
                    false => knob == *name,
                };
                assert!(knobs().any(|knob| is_known(knob.name)), "{name}");
            }
        }
    }
}
