//! Section `[core_map]`: read by `config::core_map`; here for the annotated
//! file, the flags and the variables.

use toml::Spanned;
use toml::de::DeValue;

use crate::config::knob::{Knob, Refusal, Valid, turns};
use crate::config::value::{KnobValue, not_valid, quote, read_string, refuse, wrong_type};
use corelane::internals::limits::{RING_ENTRIES_MAX, RING_ENTRIES_MIN, SPIN_US_MAX};
use corelane::internals::topology::{CoreSelection, EngineKind, format_core_list, parse_core_list};

pub(super) const ABOUT: &str = "\
Which cores get a shard, and what each shard is given: the keys of a core map file, of which
tuning/core-map.toml says more; tuning/core-maps has examples. Instead of this section, the first
line of this file may name such a file: core_map = \"/etc/corelane/core-map.toml\".
--core-map FILE and CORELANE_CORE_MAP take the place of the whole section.
Shards can also be written one by one, as [[core_map.shards]] with a `core` each.";

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "core_map.cores",
        flag: Some("shards"),
        valid: Valid::Says("\"all\", a count such as 4, or a list of cores such as \"2-8,10\""),
        what: "Which cores get a shard: \"all\" is one per physical core, a count that many of them,\n\
               close together.",
        cost: "each shard has its own caches, store connection and ring.",
        change: "when something else on this machine needs cores, a database for example.",
        ..turns!(core_map.cores)
    },
    Knob {
        name: "core_map.oversubscribe",
        flag: Some("oversubscribe"),
        valid: Valid::Says("true or false"),
        what: "Allow a count of shards over that of the cores. None is pinned then, and they take turns.",
        cost: "they wait for each other: slower than a shard for each core.",
        change: "to try on a small machine what many shards do.",
        ..turns!(core_map.oversubscribe)
    },
    Knob {
        name: "core_map.housekeeping",
        valid: Valid::Says("\"auto\" or a list of cores such as \"0-1\""),
        what: "Cores left for signals, the store's writer, the thread pool and logs. \"auto\": what the\n\
               shards leave over.",
        cost: "a core less for shards.",
        change: "on machines of 8 cores and more, for steadier latency: the core that takes the interrupts.",
        ..turns!(core_map.housekeeping)
    },
    Knob {
        name: "core_map.engine",
        flag: Some("engine"),
        valid: Valid::Words(&["auto", "io_uring", "epoll"]),
        what: "The reactor. \"auto\": io_uring, and epoll with a warning where the kernel refuses it;\n\
               \"io_uring\": that or no start.",
        cost: "none.",
        change: "to \"io_uring\" where a silent loss of speed is worse than no start; to \"epoll\" to compare.",
        ..turns!(core_map.engine)
    },
    Knob {
        name: "core_map.ring_entries",
        unit: "entries",
        valid: Valid::Range(RING_ENTRIES_MIN as u64, RING_ENTRIES_MAX as u64),
        what: "Submission entries of each shard's ring, a power of two. Unused by epoll.",
        cost: "locked memory: 8 MiB of RLIMIT_MEMLOCK is enough for 78 rings of 1,024 or 292 of 256.",
        change: "to 256 on machines of more than 64 cores, or raise LimitMEMLOCK.",
        ..turns!(core_map.ring_entries)
    },
    Knob {
        name: "core_map.spin_us",
        unit: "microseconds",
        valid: Valid::Range(0, SPIN_US_MAX as u64),
        what: "How long a shard with nothing to do spins before it parks. 0 parks at once.",
        cost: "an idle core at full power, and on SMT the speed of its sibling.",
        change: "to 20 to 100 on cores of their own, when wake-ups show in the tail of the latency.",
        ..turns!(core_map.spin_us)
    },
];

impl KnobValue for CoreSelection {
    fn read(value: &Spanned<DeValue<'_>>, valid: &Valid) -> Result<Self, Refusal> {
        match value.get_ref() {
            DeValue::Integer(_) => usize::read(value, valid).map(Self::Count),
            DeValue::String(text) => text
                .parse()
                .map_err(|error| refuse(value, format!("is {}: {error}", quote(text)))),
            _ => Err(wrong_type(value)),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Count(count) => count.to_string(),
            other => quote(&other.to_string()),
        }
    }
}

impl KnobValue for Option<Vec<usize>> {
    const TEXTUAL: bool = true;

    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        match read_string(value)? {
            AUTO => Ok(None),
            list => parse_core_list(list)
                .map(Some)
                .map_err(|error| refuse(value, format!("is {}: {error}", quote(list)))),
        }
    }

    fn show(&self) -> String {
        quote(&self.as_deref().map_or(AUTO.to_owned(), format_core_list))
    }
}

impl KnobValue for Option<EngineKind> {
    const TEXTUAL: bool = true;

    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        match read_string(value)? {
            AUTO => Ok(None),
            name => EngineKind::from_name(name)
                .map(Some)
                .ok_or_else(|| not_valid(value)),
        }
    }

    fn show(&self) -> String {
        quote(self.map_or(AUTO, EngineKind::name))
    }
}

const AUTO: &str = "auto";
