//! Section `[session]`.

use toml::Spanned;
use toml::de::DeValue;

use crate::config::knob::{Knob, Refusal, Valid, turns};
use crate::config::value::{KnobValue, quote, read_string, words, wrong_type};
use corelane::session::SameSite;

words!(SameSite {
    "lax" => SameSite::Lax,
    "strict" => SameSite::Strict,
});

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "session.enabled",
        valid: Valid::Says("true or false"),
        what: "Whether users can log in, at /api/session. A user has a password once `corelane password`\n\
               has set one; demo users all have \"corelane-demo\".",
        cost: "a login costs some tens of milliseconds of a core, off the shards; 16 at most at once.",
        change: "false where something else authenticates.",
        ..turns!(api.session.enabled)
    },
    Knob {
        name: "session.sliding_ttl_ms",
        unit: "milliseconds",
        valid: Valid::Range(1_000, YEAR_MS),
        what: "A session that is not used for this long is over.",
        cost: "the longer, the longer a browser that was left open can be used by whoever comes along.",
        change: "to what the data behind it calls for.",
        ..turns!(api.session.sliding_ttl_ms)
    },
    Knob {
        name: "session.absolute_ttl_ms",
        unit: "milliseconds",
        valid: Valid::Range(1_000, YEAR_MS),
        what: "A session is over this long after the login, however much it is used. A change holds for\n\
               sessions that begin after it.",
        cost: "as sliding_ttl_ms, for a cookie that was stolen.",
        change: "as sliding_ttl_ms; it must not be less.",
        ..turns!(api.session.absolute_ttl_ms)
    },
    Knob {
        name: "session.refresh_ms",
        unit: "milliseconds",
        valid: Valid::Range(0, YEAR_MS),
        what: "How long a session's use is not written down again. A session may end that much sooner\n\
               than sliding_ttl_ms says.",
        cost: "0: a write for every request that asks for its session.",
        change: "down with a short sliding_ttl_ms; it must be less.",
        ..turns!(api.session.refresh_ms)
    },
    Knob {
        name: "session.same_site",
        valid: Valid::Words(&["lax", "strict"]),
        what: "Which requests that other sites cause carry the cookie. \"lax\": links to this site;\n\
               \"strict\": none, so who follows a link is not logged in on the first page.",
        cost: "none.",
        change: "\"strict\" where nobody comes by links.",
        ..turns!(api.session.same_site)
    },
    Knob {
        name: "session.allowed_origins",
        valid: Valid::Says("a list of origins such as [\"https://app.example.org\"]"),
        what: "Origins beside this server's own whose pages may use a session to change something (CSRF).\n\
               The server's own is the request's Host, https where a trusted proxy says so.",
        cost: "each can act for every user who visits it.",
        change: "when a page of another origin of the same site calls this API, or when a proxy in front\n\
                 changes Host.",
        ..turns!(api.session.allowed_origins)
    },
    Knob {
        name: "session.cookie",
        valid: Valid::Says(
            "1 to 64 letters, digits, \"-\", \"_\" and \".\", not beginning with \"__\"",
        ),
        what: "Name of the cookie. For clients that came over TLS, as a trusted proxy says, it has the\n\
               prefix __Host- and is Secure.",
        cost: "a change logs everybody out.",
        change: "when two servers share a host name.",
        ..turns!(api.session.cookie)
    },
];

/// A list of texts.
impl KnobValue for Vec<String> {
    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        let DeValue::Array(items) = value.get_ref() else {
            return Err(wrong_type(value));
        };
        let texts = items
            .iter()
            .map(|item| read_string(item).map(str::to_owned));
        texts.collect()
    }

    fn show(&self) -> String {
        let quoted: Vec<_> = self.iter().map(|text| quote(text)).collect();
        format!("[{}]", quoted.join(", "))
    }
}

/// No session lasts longer than a year.
const YEAR_MS: u64 = 31_536_000_000;
