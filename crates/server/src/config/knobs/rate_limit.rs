//! Section `[rate_limit]`.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::DeValue;

use crate::config::knob::{Knob, Refusal, Valid, turns};
use crate::config::rate_limit::RuleTexts;
use crate::config::value::{KnobValue, quote, read_string, refuse, wrong_type};
use corelane::middleware::RateRules;
use corelane::middleware::rate_limit::Key;

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        name: "rate_limit.by",
        valid: Valid::Says("\"ip\", \"session\" or \"header:NAME\""),
        what: "Who counts as one client, for rules that do not say: an address, a session, or the value\n\
               of a header. Without a session or the header it is the address.",
        cost: "none. A header that nothing checks lets a client be as many as it likes.",
        change: "to \"header:X-Api-Key\" where a gateway has checked it. Behind a proxy set\n\
                 server.trusted_proxies, or all clients are one.",
        ..turns!(rate_limit.by)
    },
    Knob {
        name: "rate_limit.ipv6_prefix_bits",
        unit: "bits",
        valid: Valid::Range(1, 128),
        what: "IPv6 addresses with the same first bits are one client: a subscriber has a /64 at least,\n\
               and may use any address in it.",
        cost: "the fewer, the more neighbours count together.",
        change: "to 56 or 48 against clients that use a whole site's addresses.",
        ..turns!(server.rate_limit.ipv6_prefix_bits)
    },
    Knob {
        name: "rate_limit.keys_max",
        unit: "clients per shard",
        valid: Valid::Range(16, 100_000_000),
        what: "Clients remembered. Over it the one seen longest ago is forgotten, and may do everything\n\
               again.",
        cost: "about 150 bytes each, while its limit is not whole again.",
        change: "up while corelane_rate_limit_evictions_total grows.",
        ..turns!(server.rate_limit.keys_max)
    },
    Knob {
        name: "rate_limit.redis",
        valid: Valid::Says("true or false"),
        what: "Count in Redis, if there is one, for all nodes together. While it does not answer each\n\
               process counts for itself.",
        cost: "a round trip to Redis before every limited request.",
        change: "false when each node may allow the whole limit by itself.",
        ..turns!(server.rate_limit.redis)
    },
    Knob {
        name: "rate_limit.rules",
        is_table: true,
        valid: Valid::Says(
            "lines of \"PATH\" or \"METHOD PATH\" = \"LIMIT/WINDOW\", with \" burst N\" and\n\
                            \" by KEY\" after it if need be; the window is such as 500ms, 60s, 5m, 1h; \"\" is off",
        ),
        what: "How often each client may ask, all shards together. In PATH `*` is anything, slashes too.\n\
               \"100/60s\" lets through 100 at once, or the burst, then one every 600 ms; over it 429 with\n\
               Retry-After. A request counts for every rule that fits. The rules left out keep their\n\
               default. /metrics, /health and the admin listener are never limited.",
        cost: "requests of other rules' paths: none. Those that fit: a message to the shard that counts\n\
               the client, mostly another.",
        change: "\"/api/*\" = \"1000/60s\" against clients that ask without end. The default one is against\n\
                 guessing passwords.",
        ..turns!(rate_limit.rules)
    },
];

impl KnobValue for Key {
    const TEXTUAL: bool = true;

    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        Self::parse(read_string(value)?).map_err(|error| refuse(value, format!("is {error}")))
    }

    fn show(&self) -> String {
        quote(&self.to_string())
    }
}

impl KnobValue for RuleTexts {
    fn read(value: &Spanned<DeValue<'_>>, valid: &Valid) -> Result<Self, Refusal> {
        let texts = Vec::<(String, String)>::read(value, valid)?;
        let DeValue::Table(table) = value.get_ref() else {
            return Err(wrong_type(value));
        };
        for (key, value) in table.iter() {
            let key: &Cow<'_, str> = key.get_ref();
            let limit = match read_string(value)? {
                // Off, and the rest of the rule still has to be one.
                "" => "1/1s",
                limit => limit,
            };
            RateRules::parse([(&**key, limit)], &Key::Ip)
                .map_err(|error| refuse(value, format!("has a mistake: {error}")))?;
        }
        Ok(Self(texts))
    }

    fn show(&self) -> String {
        self.0.show()
    }
}
