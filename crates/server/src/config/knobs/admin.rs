//! Section `[admin]`: the listener for an operator.

use crate::config::knob::{Knob, Valid, turns};

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "admin.listen",
        flag: Some("admin"),
        variable_by_key: true,
        valid: Valid::Says("an address and a port such as \"127.0.0.1:3001\", or \"off\""),
        what: "Address and port of the admin listener, which answers an operator and has routes of its\n\
               own; the public listener never answers them. \"off\": there is none.",
        cost: "one socket and a thread of its own; at most 64 connections, apart from the public ones.",
        change: "when the port is taken, or with a token to reach it from other machines.",
        ..turns!(admin.listen)
    },
    Knob {
        name: "admin.token",
        valid: Valid::Says("16 to 512 visible ASCII characters, or \"\" for none"),
        what: "What admin requests must carry: Authorization: Bearer TOKEN. Without one only this machine\n\
               comes in, and no web page of another site. There is no flag: arguments are visible in ps.",
        cost: "none. It is not encrypted on its way: use a private network, or a proxy with TLS.",
        change: "always when admin.listen is not a loopback address, or when others have accounts on\n\
                 this machine. Keep the file from being read by others, or set the variable.",
        ..turns!(admin.token)
    },
];
