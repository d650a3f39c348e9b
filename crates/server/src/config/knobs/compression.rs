//! Section `[compression]`.

use crate::config::knob::{Knob, Valid, turns};

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "compression.enabled",
        valid: Valid::Says("true or false"),
        what: "Whether answers are compressed for clients that accept gzip. Files under /static/ that\n\
               have a .gz, .zst or .br beside them are sent as that, whatever this says. With gzip a\n\
               strong ETag \"v7\" is \"v7--gzip\", and is taken back as such by If-Match too.",
        cost: "about 20 microseconds of a shard for each 5 KiB that was not compressed before; what a\n\
               cache holds is compressed once. Do not show a secret beside what strangers choose (BREACH).",
        change: "true when clients are reached directly over slow or paid networks; leave it to a proxy\n\
                 in front that compresses.",
        ..turns!(compression.enabled)
    },
    Knob {
        name: "compression.level",
        valid: Valid::Range(1, 9),
        what: "How hard gzip tries: 1 is fastest, 9 makes the smallest.",
        cost: "a shard's time: for 5 KiB of JSON 13 microseconds at 1, 22 at 2, 31 at 6 (35, 26, 24 % left).",
        change: "to 1 where cores are scarce; to 6 where the network costs more than the cores.",
        ..turns!(compression.level)
    },
    Knob {
        name: "compression.min_bytes",
        unit: "bytes",
        valid: Valid::Range(0, 1 << 30),
        what: "Shortest body that is compressed; streams always are.",
        cost: "less: time for answers that fit one packet anyway.",
        change: "up to compress only what is long.",
        ..turns!(compression.min_bytes)
    },
    Knob {
        name: "compression.types",
        valid: Valid::Says(
            "a list of media types such as [\"application/json\", \"text/*\", \"*+json\"]",
        ),
        what: "Media types that are compressed.",
        cost: "types that are compressed already (images, films, archives) take time and get no smaller.",
        change: "when the server sends text under a type that is not here.",
        ..turns!(compression.types)
    },
];
