//! Section `[server]`: the process.

use toml::Spanned;
use toml::de::DeValue;

use crate::config::knob::{Knob, Refusal, Valid, turns};
use crate::config::value::{KnobValue, not_valid, quote, read_string, refuse, words, wrong_type};
use corelane::internals::semantics::TrustedProxies;
use corelane::server::RequestIdMode;

words!(RequestIdMode {
    "auto" => RequestIdMode::Auto,
    "always" => RequestIdMode::Always,
    "off" => RequestIdMode::Off,
});

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "server.listen",
        flag: Some("listen"),
        unit: "",
        valid: Valid::Says("an address and a port such as \"0.0.0.0:3000\" or \"[::]:3000\""),
        what: "Address and port to listen on; port 0 lets the kernel choose one, which is printed.",
        cost: "none; every shard has its own listening socket on it (SO_REUSEPORT).",
        change: "to serve other machines (\"0.0.0.0:3000\"); the default is this machine only.",
        ..turns!(server.listen)
    },
    Knob {
        name: "server.data",
        flag: Some("data"),
        unit: "",
        valid: Valid::Says("the path of a folder; it is made if it is not there"),
        what: "Folder of everything corelane keeps; {data} in other keys stands for it.",
        cost: "disk: the data, and its write-ahead log beside it.",
        change: "in production: a folder on a local disk, /var/lib/corelane for example.",
        ..turns!(data_dir)
    },
    Knob {
        name: "server.no_demo",
        flag: Some("no-demo"),
        unit: "",
        valid: Valid::Says("true or false"),
        what: "Leave an empty store empty, instead of filling it with 1,000 demo users, 5,000 posts\n\
               and a demo page at the first start. A store with anything in it is never touched.",
        cost: "the demo: a moment at the first start, a few MiB of disk.",
        change: "in production: true.",
        ..turns!(no_demo)
    },
    Knob {
        name: "server.request_id",
        unit: "",
        valid: Valid::Words(&["auto", "always", "off"]),
        what: "When responses carry X-Request-Id. \"auto\": when the client sent one, and always while\n\
               the access log is on. \"off\" also ignores the client's.",
        cost: "one header line a response, and an id made for each request.",
        change: "\"always\" when clients report errors by id; \"off\" when nobody reads them.",
        ..turns!(server.request_id)
    },
    Knob {
        name: "server.trusted_proxies",
        unit: "",
        valid: Valid::Says(
            "a list of addresses, networks, \"loopback\" and \"private\", such as\n\
                            [\"10.0.0.0/8\", \"2001:db8::1\"]",
        ),
        what: "Proxies whose Forwarded (RFC 7239) or X-Forwarded-For and X-Forwarded-Proto say who the\n\
               client is. From anybody else these fields are ignored.",
        cost: "a proxy named here that passes on what its clients send lets them choose their address.",
        change: "behind nginx or a load balancer: its addresses. It must set one of the fields itself, and\n\
                 nobody else may reach this server from there.",
        ..turns!(server.trusted_proxies)
    },
    Knob {
        name: "server.drain_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(0, 3_600_000),
        what: "How long SIGTERM and SIGINT wait for requests in flight before their connections are cut.",
        cost: "a stop or restart takes up to this long.",
        change: "to the longest answer that must survive a restart; keep TimeoutStopSec= of the unit above it.",
        ..turns!(server.drain_timeout_ms)
    },
    Knob {
        name: "server.keep_alive_grace_ms",
        unit: "milliseconds",
        valid: Valid::Range(0, 60_000),
        what: "How long a stop leaves connections that wait for their next request: one that was on its way\n\
               is answered with Connection: close. Half of drain_timeout_ms at most. They end over a quarter\n\
               of it more, not all at once.",
        cost: "a stop or restart takes this long when such a connection is open.",
        change: "up behind a proxy that keeps its connections and is far away; 0 to stop at once.",
        ..turns!(server.keep_alive_grace_ms)
    },
    Knob {
        name: "server.blocking_threads",
        unit: "threads",
        valid: Valid::Range(1, 256),
        what: "Threads for work that would block a shard (opening files, name lookups), for the process.",
        cost: "a stack each; they run on the housekeeping cores.",
        change: "up when static files come from slow or network disks.",
        ..turns!(server.blocking_threads)
    },
    Knob {
        name: "server.restart_delay_ms",
        unit: "milliseconds",
        valid: Valid::Range(1, 60_000),
        what: "Wait before a shard whose loop died is started again; doubles with each death.",
        cost: "its core serves nothing meanwhile; the other shards go on.",
        change: "rarely: restarts are counted in /metrics and point to a bug.",
        ..turns!(server.restart_delay_ms)
    },
    Knob {
        name: "server.restart_delay_max_ms",
        unit: "milliseconds",
        valid: Valid::Range(1, 600_000),
        what: "Where the doubling of restart_delay_ms ends.",
        cost: "as restart_delay_ms.",
        change: "rarely.",
        ..turns!(server.restart_delay_max_ms)
    },
];

/// A list of texts.
impl KnobValue for TrustedProxies {
    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        let DeValue::Array(items) = value.get_ref() else {
            return Err(wrong_type(value));
        };
        let mut texts = Vec::new();
        for item in items {
            let text = read_string(item)?;
            Self::parse([text]).map_err(|error| refuse(item, format!("has {error}")))?;
            texts.push(text);
        }
        Self::parse(texts).map_err(|_| not_valid(value))
    }

    fn show(&self) -> String {
        let quoted: Vec<_> = self.texts().map(quote).collect();
        format!("[{}]", quoted.join(", "))
    }
}
