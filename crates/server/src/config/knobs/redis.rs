//! Section `[redis]`.

use toml::Spanned;
use toml::de::DeValue;

use crate::config::knob::{Knob, Refusal, Valid, turns};
use crate::config::value::{KnobValue, quote, read_string, refuse};
use corelane::redis::RedisUrl;

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "redis.url",
        flag: Some("redis"),
        valid: Valid::Says(
            "an address such as \"redis://[user:password@]host[:port][/db]\" or\n\
             \"redis+unix:///path?db=0\", or \"\" for none",
        ),
        what: "Where Redis is. corelane starts and works without it, and connects when it can. Without\n\
               any setting the variable REDIS_URL is taken. The password is never shown.",
        cost: "one connection per shard, and exclusive ones when they are needed.",
        change: "when several nodes serve one application. An argument is visible in ps: give a password\n\
                 in the variable, or in a file that others cannot read.",
        ..turns!(redis.url)
    },
    Knob {
        name: "redis.deadline_ms",
        unit: "milliseconds",
        valid: Valid::Range(8, 60_000),
        what: "How long a command may take until its answer. Then it fails, and its request goes on\n\
               without Redis; so do all at once while it is away.",
        cost: "requests that need Redis wait so long when it stops answering.",
        change: "down for a Redis in the same rack; up when it is far away or its commands are slow.",
        ..turns!(redis.deadline_ms)
    },
    Knob {
        name: "redis.connect_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(8, 60_000),
        what: "How long a connection may take until it is usable, login included. A start waits at most\n\
               so long for Redis.",
        cost: "none; nothing but the start waits for a connection.",
        change: "up when Redis is far away.",
        ..turns!(redis.connect_timeout_ms)
    },
    Knob {
        name: "redis.circuit_failures",
        valid: Valid::Range(1, 1_000_000),
        what: "So many missed deadlines in a row, on one shard, and its connection is given up: commands\n\
               fail at once until a new one answers.",
        cost: "so many requests of a shard wait redis.deadline_ms when Redis stops answering.",
        change: "up when single commands are slow without anything being wrong.",
        ..turns!(redis.circuit_failures)
    },
    Knob {
        name: "redis.reconnect_delay_ms",
        unit: "milliseconds",
        valid: Valid::Range(1, 600_000),
        what: "First delay before a lost connection is made again; doubles with each failure, with\n\
               jitter, up to redis.reconnect_delay_max_ms.",
        cost: "none.",
        change: "rarely.",
        ..turns!(redis.reconnect_delay_ms)
    },
    Knob {
        name: "redis.reconnect_delay_max_ms",
        unit: "milliseconds",
        valid: Valid::Range(1, 600_000),
        what: "See redis.reconnect_delay_ms.",
        cost: "corelane is without Redis for up to so long after it is back.",
        change: "up when many nodes would overrun a Redis that has just started.",
        ..turns!(redis.reconnect_delay_max_ms)
    },
    Knob {
        name: "redis.exclusive_connections_max",
        valid: Valid::Range(1, 10_000),
        what: "Connections for work that needs one for itself (WATCH and MULTI, blocking commands), for\n\
               the whole process. The shipped application has no such work.",
        cost: "a descriptor here and a client there for each; closed when unused for ten minutes.",
        change: "up when many handlers use blocking commands.",
        ..turns!(redis.exclusive_connections_max)
    },
    Knob {
        name: "redis.exclusive_wait_ms",
        unit: "milliseconds",
        valid: Valid::Range(1, 600_000),
        what: "How long such work waits for a connection; then it is answered 503.",
        cost: "at most 256 pieces of work wait; more are answered 503 at once.",
        change: "rarely; raise redis.exclusive_connections_max first.",
        ..turns!(redis.exclusive_wait_ms)
    },
    Knob {
        name: "redis.exclusive_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(1, 3_600_000),
        what: "How long such work may have its connection. Then both are dropped.",
        cost: "a connection is taken so long by work that hangs.",
        change: "to more than the longest blocking command blocks.",
        ..turns!(redis.exclusive_timeout_ms)
    },
];

impl KnobValue for RedisUrl {
    const TEXTUAL: bool = true;

    /// The address is not repeated: it may hold a password.
    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        let text = read_string(value).map_err(|_| refuse(value, "is not text".to_owned()))?;
        let url = RedisUrl::from(text);
        match url.check() {
            Err(error) if !url.is_empty() => Err(Refusal {
                cure: Some(error.to_string()),
                ..refuse(value, "is not an address corelane can use".to_owned())
            }),
            _ => Ok(url),
        }
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}
