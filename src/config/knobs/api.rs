//! Section `[api]`.

use crate::config::knob::{Knob, Valid, turns};

pub(super) const KNOBS: &[Knob] = &[Knob {
    name: "api.cache_control",
    is_table: true,
    valid: Valid::Says("lines of \"ROUTE\" = \"VALUE\", a route as `corelane config` lists it; \"\" sends none"),
    what: "Cache-Control by route. Routes left out keep their default.",
    cost: "the longer others may keep an answer, the longer they may show an old one.",
    change: "to let browsers and proxies keep answers: \"public, max-age=60\".",
    ..turns!(api.cache_control)
}];
