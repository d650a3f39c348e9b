//! Every knob, section by section, in the order of `tuning/server.toml`.

mod access_log;
mod admin;
mod api;
mod cache;
mod compression;
mod core_map;
mod cors;
mod database;
mod http;
mod rate_limit;
mod redis;
mod server;
mod session;
mod static_files;
mod store;

use super::knob::Knob;

/// Every knob of corelane.
pub fn all() -> impl Iterator<Item = &'static Knob> {
    SECTIONS.iter().flat_map(|section| section.knobs)
}

/// The knob with this name.
pub(super) fn find(name: &str) -> Option<&'static Knob> {
    all().find(|knob| knob.name == name)
}

/// One heading of the file.
pub(super) struct Section {
    pub(super) name: &'static str,
    /// What stands under the heading.
    pub(super) about: &'static str,
    pub(super) knobs: &'static [Knob],
}

/// The section whose keys are those of a core map file.
pub(super) const CORE_MAP_SECTION: &str = "core_map";

pub(super) const SECTIONS: &[Section] = &[
    Section {
        name: "server",
        about: "The process.",
        knobs: server::KNOBS,
    },
    Section {
        name: "admin",
        about: "A second listener, for an operator: metrics, health and what a public port must not have.",
        knobs: admin::KNOBS,
    },
    Section {
        name: "http",
        about: "Limits of connections and requests. Each names what happens over it.",
        knobs: http::KNOBS,
    },
    Section {
        name: CORE_MAP_SECTION,
        about: core_map::ABOUT,
        knobs: core_map::KNOBS,
    },
    Section {
        name: "store",
        about: "The database behind the API.",
        knobs: store::KNOBS,
    },
    Section {
        name: "database",
        about: database::ABOUT,
        knobs: database::KNOBS,
    },
    Section {
        name: "cache",
        about: "The cache of the API's answers, which all shards have together.",
        knobs: cache::KNOBS,
    },
    Section {
        name: "redis",
        about: "Redis, which all nodes of an application have in common.",
        knobs: redis::KNOBS,
    },
    Section {
        name: "session",
        about: "Logins and sessions, kept in Redis or, without one, in the store.",
        knobs: session::KNOBS,
    },
    Section {
        name: "static",
        about: "Files served under /static/.",
        knobs: static_files::KNOBS,
    },
    Section {
        name: "rate_limit",
        about: "How often each client may ask.",
        knobs: rate_limit::KNOBS,
    },
    Section {
        name: "cors",
        about: "Pages of other sites that may use the server (CORS).",
        knobs: cors::KNOBS,
    },
    Section {
        name: "compression",
        about: "Answers compressed with gzip.",
        knobs: compression::KNOBS,
    },
    Section {
        name: "access_log",
        about: "One line per request, written by a thread of its own.",
        knobs: access_log::KNOBS,
    },
    Section {
        name: "health",
        about: "/health, /health/live and /health/ready.",
        knobs: api::HEALTH_KNOBS,
    },
    Section {
        name: "api",
        about: "The users and posts API.",
        knobs: api::API_KNOBS,
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::knob::Valid;

    #[test]
    fn every_knob_is_documented_and_named_once() {
        let mut names = BTreeSet::new();
        for section in SECTIONS {
            for knob in section.knobs {
                assert_eq!(knob.section(), section.name);
                assert!(names.insert(knob.name), "{} twice", knob.name);
                assert!(
                    names.insert(&*knob.variable().leak()),
                    "{} twice",
                    knob.variable()
                );
                for text in [knob.what, knob.cost, knob.change] {
                    assert!(text.ends_with('.'), "{}: {text:?}", knob.name);
                }
                if let Valid::Says(sentence) = knob.valid {
                    assert!(!sentence.is_empty(), "{}", knob.name);
                }
            }
        }
    }

    #[test]
    fn names_that_end_in_a_unit_say_it() {
        for (ending, unit) in [
            ("_ms", "milliseconds"),
            ("_s", "seconds"),
            ("_us", "microseconds"),
            ("_kib", "KiB"),
            ("_mib", "MiB"),
            ("bytes_max", "bytes"),
        ] {
            for knob in all().filter(|knob| knob.name.ends_with(ending)) {
                assert!(
                    knob.unit.ends_with(unit.trim_end_matches('s'))
                        || knob.unit.contains(unit)
                        || knob.unit.ends_with("second"),
                    "{} is in {:?}",
                    knob.name,
                    knob.unit
                );
            }
        }
    }
}
