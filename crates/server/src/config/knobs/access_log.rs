//! Section `[access_log]`.

use crate::config::knob::{Knob, Valid, turns};

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "access_log.format",
        flag: Some("access-log"),
        valid: Valid::Words(&["off", "text", "json"]),
        what: "\"text\" is the Combined Log Format with duration, request id and shard; \"json\" an object\n\
               a line; \"off\" none.",
        cost: "a line encoded per request on its shard, written by another thread; when that cannot\n\
               keep up lines are dropped and counted in /metrics, requests never wait.",
        change: "\"json\" for log collectors.",
        ..turns!(access_log.format)
    },
    Knob {
        name: "access_log.target",
        valid: Valid::Says("\"stdout\", \"stderr\" or the path of a file, which is appended to"),
        what: "Where the lines go. A file is opened anew on SIGHUP or SIGUSR1, after logrotate renamed it.",
        cost: "as the disk or pipe behind it.",
        change: "a file where systemd's journal is too slow.",
        ..turns!(access_log.target)
    },
];
