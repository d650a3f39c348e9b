//! Section `[cache]`: the cache of answers that all shards have together.

use crate::config::knob::{Knob, Valid, turns};
use crate::config::value::words;
use crate::handlers::cached::RedisUse;
use corelane::internals::cache::{CACHE_BYTES_MIN, Coherence};

words!(Coherence {
    "strict" => Coherence::Strict,
    "lazy" => Coherence::Lazy,
    "off" => Coherence::Off,
});

words!(RedisUse {
    "auto" => RedisUse::Auto,
    "off" => RedisUse::Off,
});

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "cache.ttl_ms",
        unit: "milliseconds",
        valid: Valid::Range(0, YEAR_MS),
        what: "How long an answer is kept. With strict coherence every write through this server is seen\n\
               at once, and this bounds only how long changes made outside of this process stay unseen:\n\
               another process on the same database file, the sqlite3 shell, `corelane seed`. 0 turns\n\
               this cache off, but not the users in Redis (redis).",
        cost: "answers that old after such changes; the shorter, the more often the database is asked.",
        change: "up when nothing else writes to the database; down to what others' changes may take.",
        ..turns!(api.cache.ttl_ms)
    },
    Knob {
        name: "cache.negative_ttl_ms",
        unit: "milliseconds",
        valid: Valid::Range(0, YEAR_MS),
        what: "How long it is kept that there is no such user (404). 0 keeps that never.",
        cost: "as ttl_ms.",
        change: "up against clients that ask for what is not there.",
        ..turns!(api.cache.negative_ttl_ms)
    },
    Knob {
        name: "cache.stale_while_revalidate_ms",
        unit: "milliseconds",
        valid: Valid::Range(0, YEAR_MS),
        what: "How much longer an expired answer is served while one request loads it anew.",
        cost: "answers older than ttl_ms by up to this much.",
        change: "up when no reader may wait for the database.",
        ..turns!(api.cache.stale_while_revalidate_ms)
    },
    Knob {
        name: "cache.stale_if_error_ms",
        unit: "milliseconds",
        valid: Valid::Range(0, YEAR_MS),
        what: "How much longer an expired answer is served when the database fails.",
        cost: "as stale_while_revalidate_ms, and it is not seen from outside that the database fails.",
        change: "up when an old answer is better than none.",
        ..turns!(api.cache.stale_if_error_ms)
    },
    Knob {
        name: "cache.users_bytes_max",
        unit: "bytes",
        valid: Valid::Range(CACHE_BYTES_MIN, 1 << 40),
        what: "Memory for single users, all shards together. Over it the least useful are dropped.",
        cost: "that much, once warm. Copies on other shards share it; each has only its bookkeeping.",
        change: "up while corelane_cache_evictions_total grows and the users asked for most do not fit.",
        ..turns!(api.cache.users_bytes_max)
    },
    Knob {
        name: "cache.lists_bytes_max",
        unit: "bytes",
        valid: Valid::Range(CACHE_BYTES_MIN, 1 << 40),
        what: "Memory for posts and for whatever shows several rows, all shards together. Over it the\n\
               least useful are dropped.",
        cost: "as users_bytes_max.",
        change: "as users_bytes_max.",
        ..turns!(api.cache.lists_bytes_max)
    },
    Knob {
        name: "cache.coherence",
        valid: Valid::Words(&["strict", "lazy", "off"]),
        what: "What other shards serve after a write. \"strict\": never an older value once it is answered;\n\
               \"lazy\": the older one for as long as a message takes; \"off\": the older one until it\n\
               expires, each shard for itself.",
        cost: "strict: a write waits for a message to its key's home shard and back, and for one to each\n\
               shard with a copy. off: a value is loaded once a shard and kept once a shard.",
        change: "rarely; \"off\" shows what the others cost.",
        ..turns!(api.cache.coherence)
    },
    Knob {
        name: "cache.redis",
        valid: Valid::Words(&["auto", "off"]),
        what: "Whether single users are kept in Redis too, between this cache and the database: \"auto\" if\n\
               redis.url is given. Writes through any server with this Redis and the same database are\n\
               seen at once by those who read there. It goes on when ttl_ms is 0.",
        cost: "a read that is not in this cache waits for Redis first, and a write before it is answered.",
        change: "\"off\" when Redis is there for sessions and limits, and the database is as near as it.",
        ..turns!(api.cache.redis)
    },
    Knob {
        name: "cache.redis_ttl_ms",
        unit: "milliseconds",
        valid: Valid::Range(1, YEAR_MS),
        what: "How long a user is kept in Redis. Bounds, with ttl_ms, how long changes stay unseen that\n\
               nobody tells of: made in the database by hand, or while Redis could not be told.",
        cost: "as ttl_ms, and memory in Redis.",
        change: "as ttl_ms. At least redis_tombstone_ms.",
        ..turns!(api.cache.redis_ttl_ms)
    },
    Knob {
        name: "cache.redis_tombstone_ms",
        unit: "milliseconds",
        valid: Valid::Range(100, YEAR_MS),
        what: "How long Redis remembers that a user was written or deleted, so that no slow reader puts an\n\
               older one there. What took longer than half of it to read is not put there. The same on\n\
               all nodes.",
        cost: "about 100 bytes in Redis for each user deleted in that time.",
        change: "up when reads of the database may take seconds.",
        ..turns!(api.cache.redis_tombstone_ms)
    },
    Knob {
        name: "cache.redis_prefix",
        valid: Valid::Says("a text without spaces"),
        what: "What keys in Redis start with; a name for the database follows.",
        cost: "its length, in every key.",
        change: "when others use the same Redis and their keys may look alike.",
        ..turns!(api.cache.redis_prefix)
    },
];

/// Nothing is kept for longer than a year.
const YEAR_MS: u64 = 31_536_000_000;
