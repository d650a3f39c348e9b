//! Section `[cors]`.

use crate::config::knob::{Knob, Valid, turns};

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "cors.origins",
        valid: Valid::Says("a list of origins such as [\"https://app.example.org\"], or [\"*\"]"),
        what: "Other sites whose pages may read answers: scheme, host, and the port where it is not the\n\
               scheme's; compared exactly. \"*\" alone lets in every page, without cookies. Empty is off.",
        cost: "answers say `Vary: Origin`, so that caches in between keep one for each origin.",
        change: "when a page that this server did not send uses the API.",
        ..turns!(cors.origins)
    },
    Knob {
        name: "cors.credentials",
        valid: Valid::Says("true or false"),
        what: "Whether those pages' requests may carry cookies. To log in and change something with a\n\
               session an origin must also stand in session.allowed_origins, and session.same_site let\n\
               the cookie be sent.",
        cost: "each listed site can do whatever whoever is logged in here can do.",
        change: "true for your own pages at another origin; never for somebody else's.",
        ..turns!(cors.credentials)
    },
    Knob {
        name: "cors.methods",
        valid: Valid::Says("a list of methods in capitals, such as [\"GET\", \"PATCH\"]"),
        what: "Methods that pages may use.",
        cost: "nothing.",
        change: "to let other sites only read: [\"GET\", \"HEAD\"].",
        ..turns!(cors.methods)
    },
    Knob {
        name: "cors.headers",
        valid: Valid::Says(
            "a list of header names such as [\"content-type\", \"x-api-key\"], or [\"*\"]",
        ),
        what: "Headers that pages may send; \"*\" alone is whatever they ask for.",
        cost: "nothing.",
        change: "when a page sends one that is not here, an API key for example.",
        ..turns!(cors.headers)
    },
    Knob {
        name: "cors.expose_headers",
        valid: Valid::Says("a list of header names such as [\"etag\", \"x-total-count\"]"),
        what: "Headers of answers that pages may read, beside those that every page may.",
        cost: "some bytes of each answer to a page.",
        change: "when a page reads one that is not here.",
        ..turns!(cors.expose_headers)
    },
    Knob {
        name: "cors.max_age_s",
        unit: "seconds",
        valid: Valid::Range(0, 86_400),
        what: "How long a browser need not ask again whether a page may. Chromium keeps it two hours at most.",
        cost: "more: a change of this section is seen later by browsers that have asked.",
        change: "down while trying, up once it stands.",
        ..turns!(cors.max_age_s)
    },
];
