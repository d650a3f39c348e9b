//! Section `[database]`: connections to PostgreSQL.

use crate::config::knob::{Knob, Valid, turns};

pub(super) const ABOUT: &str =
    "Connections to PostgreSQL; nothing here matters to the embedded database.";

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "database.connections_max",
        valid: Valid::Range(0, CONNECTIONS_MAX),
        what: "Connections of the whole process: all shards, the one that listens for changes, and\n\
               one with which each shard tells of its own. Never exceeded, also not while\n\
               connections are replaced. Each shard has an equal share and borrows what others do\n\
               not use. 0 takes what the server has: its max_connections less what is reserved for\n\
               superusers and a few for others.",
        cost: "a process of the server for each, 5 to 10 MB there.",
        change: "with several nodes on one server: to each node's part of its max_connections.",
        ..turns!(store.database.connections_max)
    },
    Knob {
        name: "database.pool_min",
        unit: "connections per shard",
        valid: Valid::Range(0, CONNECTIONS_MAX),
        what: "Connections a shard keeps open while it has nothing to do.",
        cost: "that many times shards at the server, always.",
        change: "up when the first requests after a quiet time must not wait for a login.",
        ..turns!(store.database.pool_min)
    },
    Knob {
        name: "database.pool_max",
        unit: "connections per shard",
        valid: Valid::Range(0, CONNECTIONS_MAX),
        what: "Connections a shard may have. Each has one write at a time, and a write keeps its\n\
               connection until its commit is on disk, so this is also how many writes of a shard\n\
               are under way at once; one is left for reads, and one for short requests while exports\n\
               and transactions have the others. 0 takes the shard's share of connections_max, but\n\
               at least 8, borrowed from shards that leave them, and at most 16.",
        cost: "more statements compete at the server.",
        change: "up when many writes wait for a slow disk or statements are slow, and the server has\n\
               idle cores; down when several nodes share one server's connections.",
        ..turns!(store.database.pool_max)
    },
    Knob {
        name: "database.in_flight_per_connection_max",
        unit: "statements",
        valid: Valid::Range(1, 1_024),
        what: "Statements sent over one connection before the first is answered: reads, and one write.\n\
               When all connections of a shard have that many or a write, another is opened, or reads\n\
               go behind a write, or requests wait in line.",
        cost: "a slow statement holds up those behind it on the same connection.",
        change: "down to 1 or 2 when some statements are slow; up when all are quick and many.",
        ..turns!(store.database.in_flight_per_connection_max)
    },
    Knob {
        name: "database.idle_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(1_000, DAY_MS),
        what: "A connection over pool_min that had nothing to do for this long is closed.",
        cost: "connections that are kept for nothing; when short, logins at each burst.",
        change: "rarely.",
        ..turns!(store.database.idle_timeout_ms)
    },
    Knob {
        name: "database.connect_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(10, 600_000),
        what: "How long making a connection may take, login included. connect_timeout= in the store's\n\
               address overrides it.",
        cost: "how late it is noticed that nobody answers there.",
        change: "up when the server is far away.",
        ..turns!(store.database.connect_timeout_ms)
    },
    Knob {
        name: "database.checkout_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(10, 600_000),
        what: "How long a request waits in line for a connection. Over it: 503 with Retry-After.",
        cost: "requests that wait for nothing while the server is overloaded.",
        change: "down to shed load early. It must not be over deadline_ms.",
        ..turns!(store.database.checkout_timeout_ms)
    },
    Knob {
        name: "database.max_lifetime_ms",
        unit: "milliseconds",
        valid: Valid::Range(1_000, DAY_MS),
        what: "A connection is replaced when it is this old, or up to a tenth earlier, so that memory\n\
               it has gathered at the server is freed and a changed address of the server is seen.",
        cost: "a login for each.",
        change: "down behind a balancer whose servers come and go.",
        ..turns!(store.database.max_lifetime_ms)
    },
    Knob {
        name: "database.health_check_ms",
        unit: "milliseconds",
        valid: Valid::Range(100, DAY_MS),
        what: "A connection that had nothing to do for this long is asked whether it still answers.",
        cost: "an empty statement that often, per idle connection.",
        change: "below the time after which a firewall forgets idle connections.",
        ..turns!(store.database.health_check_ms)
    },
    Knob {
        name: "database.deadline_ms",
        unit: "milliseconds",
        valid: Valid::Range(10, 600_000),
        what: "When a request to the database is given up, the wait for a connection included. The\n\
               statement is cancelled; a write is then answered as of unknown outcome.",
        cost: "how long clients wait while the server hangs.",
        change: "with statement_timeout_ms, which must be below it.",
        ..turns!(store.database.deadline_ms)
    },
    Knob {
        name: "database.statement_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(1, 600_000),
        what: "When the server gives up a statement. It is below deadline_ms, so that the server\n\
               itself says that nothing was done.",
        cost: "as deadline_ms.",
        change: "with deadline_ms. An export reads in batches, each of which counts anew.",
        ..turns!(store.database.statement_timeout_ms)
    },
    Knob {
        name: "database.idle_in_transaction_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(1, DAY_MS),
        what: "When the server ends a transaction in which nothing happens, with its locks.",
        cost: "an export whose client does not read for so long is cut.",
        change: "up for slow clients of exports.",
        ..turns!(store.database.idle_in_transaction_timeout_ms)
    },
];

/// PostgreSQL's own bound of `max_connections`.
const CONNECTIONS_MAX: u64 = 262_143;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
