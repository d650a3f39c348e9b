//! The admin listener as an operator asks for it.

use std::net::SocketAddr;

use toml::Spanned;
use toml::de::DeValue;

use super::knob::{Refusal, Valid};
use super::value::{KnobValue, not_valid, quote, read_string, refuse};
use corelane::server::{AdminOptions, check_token};

/// Where the admin listener is and who may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminListener {
    /// Address and port; `None` is no admin listener.
    pub listen: Option<SocketAddr>,
    /// What requests must carry.
    pub token: AdminToken,
}

impl Default for AdminListener {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 3001))),
            token: AdminToken::default(),
        }
    }
}

impl AdminListener {
    /// What the server is started with.
    pub(super) fn options(&self) -> Option<AdminOptions> {
        let listen = self.listen?;
        Some(AdminOptions {
            listen,
            token: self.token.0.clone(),
        })
    }
}

/// A token, or none. Nothing that is shown of it tells what it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AdminToken(Option<String>);

impl AdminToken {
    /// Whether there is one.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_set() { "set" } else { "none" })
    }
}

impl KnobValue for AdminToken {
    const TEXTUAL: bool = true;

    /// No message repeats the value, whatever is wrong with it.
    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        let text = read_string(value).map_err(|_| refuse(value, "is not text".to_owned()))?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        check_token(text).map_err(|error| Refusal {
            cure: Some(error.cure().to_owned()),
            ..refuse(value, error.what().replacen("admin.token ", "", 1))
        })?;
        Ok(Self(Some(text.to_owned())))
    }

    /// A mask that is refused when it is read again.
    fn show(&self) -> String {
        quote(if self.is_set() { "***" } else { "" })
    }
}

/// An address, or `off`.
impl KnobValue for Option<SocketAddr> {
    const TEXTUAL: bool = true;

    fn read(value: &Spanned<DeValue<'_>>, _: &Valid) -> Result<Self, Refusal> {
        match read_string(value)? {
            "off" => Ok(None),
            address => address.parse().map(Some).map_err(|_| not_valid(value)),
        }
    }

    fn show(&self) -> String {
        self.map_or_else(|| quote("off"), |address| address.show())
    }
}
