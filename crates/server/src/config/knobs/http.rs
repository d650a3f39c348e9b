//! Section `[http]`: limits of connections and requests.

use crate::config::knob::{Knob, Valid, turns};

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "http.head_bytes_max",
        unit: "bytes",
        valid: Valid::Range(1_024, 1_048_576),
        what: "Request line and header section together. Over it: 431, or 414 when the request line\n\
               alone is over it.",
        cost: "memory of a connection whose head is on the way, up to this much.",
        change: "up for large cookies or tokens.",
        ..turns!(server.http.head_bytes_max)
    },
    Knob {
        name: "http.headers_max",
        unit: "header lines",
        valid: Valid::Range(8, 1_000),
        what: "Header lines of one request. Over it: 431.",
        cost: "memory of a request in flight, a few words a line.",
        change: "rarely.",
        ..turns!(server.http.headers_max)
    },
    Knob {
        name: "http.body_bytes_max",
        unit: "bytes",
        valid: Valid::Range(0, 1 << 40),
        what: "Request body after decoding, for routes that set no limit of their own. Over it: 413.",
        cost: "handlers that read the whole body hold it in memory.",
        change: "up for uploads; a route's own limit is the better place.",
        ..turns!(server.http.body_bytes_max)
    },
    Knob {
        name: "http.idle_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(1_000, 86_400_000),
        what: "A keep-alive connection without a request is closed after this long.",
        cost: "an idle connection holds a descriptor and a few KiB.",
        change: "keep it above that of a proxy in front (nginx: keepalive_timeout 60s), or it meets\n\
                 closed connections.",
        ..turns!(server.http.idle_timeout_ms)
    },
    Knob {
        name: "http.head_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(1_000, 600_000),
        what: "The whole head must have arrived this long after its first byte, or after accept.\n\
               Over it: 408 and close.",
        cost: "slow clients (and slowloris) hold a connection this long.",
        change: "down under attack, up for very slow links.",
        ..turns!(server.http.head_timeout_ms)
    },
    Knob {
        name: "http.body_rate_min_bytes_per_s",
        unit: "bytes per second",
        valid: Valid::Range(0, 1 << 30),
        what: "Floor rate of a request body; slower ones are cut. 0 is no floor.",
        cost: "none.",
        change: "0 when clients trickle bodies on purpose.",
        ..turns!(server.http.body_rate_min_bytes_per_s)
    },
    Knob {
        name: "http.body_rate_grace_ms",
        unit: "milliseconds",
        valid: Valid::Range(1_000, 600_000),
        what: "Time a body has before its rate is judged.",
        cost: "as head_timeout_ms.",
        change: "up for clients with long pauses.",
        ..turns!(server.http.body_rate_grace_ms)
    },
    Knob {
        name: "http.write_stall_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(1_000, 3_600_000),
        what: "A response the client does not take a byte of for this long ends its connection.",
        cost: "the response's memory is held until then.",
        change: "up when readers of long exports pause.",
        ..turns!(server.http.write_stall_timeout_ms)
    },
    Knob {
        name: "http.connections_per_shard_max",
        unit: "connections",
        valid: Valid::Range(1, 1_000_000),
        what: "Connections of one shard. Over it: 503 with Retry-After, then close.",
        cost: "a few KiB each when idle; shards times this must fit under LimitNOFILE.",
        change: "up with memory and descriptors; down to shed load earlier.",
        ..turns!(server.http.connections_per_shard_max)
    },
    Knob {
        name: "http.backlog",
        unit: "connections",
        valid: Valid::Range(1, 65_535),
        what: "Connections of one listening socket that wait to be accepted.",
        cost: "kernel memory only while they wait.",
        change: "up against bursts, together with net.core.somaxconn, which caps it.",
        ..turns!(server.http.backlog)
    },
];
