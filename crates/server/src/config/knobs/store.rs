//! Section `[store]`.

use toml::Spanned;
use toml::de::DeValue;

use crate::config::knob::{Knob, Refusal, Valid, turns};
use crate::config::value::{KnobValue, quote, read_string, refuse};
use crate::store::{OpenError, StoreUrl};

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "store.url",
        flag: Some("store"),
        valid: Valid::Says(
            "an address such as \"sqlite:/var/lib/corelane/corelane.db\" or \"postgres://user@host/database\"",
        ),
        what: "Where the data is. \"sqlite:PATH\" is a database file in this process, made if it is not\n\
               there; {data} stands for server.data. \"postgres://USER:PASSWORD@HOST:PORT/DATABASE\" is a\n\
               PostgreSQL server, ?host=/run/postgresql its Unix socket; of several HOST:PORT, by commas,\n\
               the first that answers is taken, or with ?target_session_attrs=read-write the first\n\
               that takes writes. For TLS add ?sslmode=verify-full\n\
               and, if it is not one of the system's, &sslrootcert=FILE. DATABASE_URL in the environment\n\
               is used where nothing else names a store; it keeps a password out of files.",
        cost: "-wal and -shm files stand beside a database file. Over PostgreSQL every read that no cache\n\
               answers is a round trip. sslmode=require and prefer, the default, encrypt without asking\n\
               who answers, as with libpq.",
        change: "to keep the database on another disk, a local one, not NFS; to PostgreSQL when several\n\
               nodes or programs share the data.",
        ..turns!(store.url)
    },
    Knob {
        name: "store.busy_timeout_ms",
        unit: "milliseconds",
        valid: Valid::Range(0, 600_000),
        what: "How long a write waits for another process that holds the database file (a backup, a\n\
               shell). Not for PostgreSQL.",
        cost: "writes queue meanwhile; reads go on.",
        change: "up when such processes hold it for long.",
        ..turns!(store.busy_timeout_ms)
    },
    Knob {
        name: "store.wait_ms",
        unit: "milliseconds",
        valid: Valid::Range(0, 86_400_000),
        what: "How long a start waits for a PostgreSQL that is not up yet, takes no more connections, or\n\
               of whose servers none takes writes. It is said once; then the start fails with the\n\
               cause. 0, or --no-wait, does not wait.",
        cost: "how late a wrong address is noticed.",
        change: "down where something else starts corelane again and again.",
        ..turns!(store.wait_ms)
    },
    Knob {
        name: "store.cache_kib",
        unit: "KiB",
        valid: Valid::Range(64, 16_777_216),
        what: "Page cache of each connection: one per shard, one for the writer. Not for PostgreSQL.",
        cost: "that much memory times shards plus one, once warm.",
        change: "up when the busy part of the data is larger and mmap_mib is 0.",
        ..turns!(store.cache_kib)
    },
    Knob {
        name: "store.mmap_mib",
        unit: "MiB",
        valid: Valid::Range(0, 16_777_216),
        what: "How much of the file each connection may map into memory. 0 turns mapping off.\n\
               Not for PostgreSQL.",
        cost: "address space; the pages are the kernel's and shared by all shards. A read error of\n\
               the disk in a mapped page ends the process.",
        change: "up to the size of the database; 0 on a disk that reports errors.",
        ..turns!(store.mmap_mib)
    },
    Knob {
        name: "store.durable",
        valid: Valid::Says("true or false"),
        what: "Whether a write is on stable storage before it is answered.",
        cost: "true: an fsync per group of writes. false: a power cut can lose the last answered\n\
               writes; a crash of corelane cannot. With PostgreSQL false is synchronous_commit=off, and\n\
               a crash of the server can lose them too.",
        change: "false for data that can be made again.",
        ..turns!(store.durable)
    },
];

impl KnobValue for StoreUrl {
    const TEXTUAL: bool = true;

    /// The address is not repeated: it may hold a password.
    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        read_string(value)?.parse().map_err(|error: OpenError| {
            let cure = match error {
                OpenError::Url(why) => why,
                other => other.to_string(),
            };
            Refusal {
                cure: Some(cure),
                ..refuse(value, "is not an address corelane can use".to_owned())
            }
        })
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}
