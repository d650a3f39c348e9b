//! What an operator may say about sessions.

use std::fmt;

use super::SameSite;
use crate::http::Origin;
use crate::limits::SESSION_COOKIE_NAME_BYTES_MAX;

/// Options of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptions {
    /// Whether there are any. Default true.
    pub enabled: bool,
    /// A session that is not used for this long is over. Default 3,600,000
    /// (an hour).
    pub sliding_ttl_ms: u64,
    /// A session is over this long after it began, however much it is used.
    /// Default 43,200,000 (12 hours).
    pub absolute_ttl_ms: u64,
    /// A use of a session is written down if the last one that was is this
    /// long ago. Default 60,000. Less costs more writes; a session may end this
    /// much sooner than `sliding_ttl_ms` says.
    pub refresh_ms: u64,
    /// Which requests from other sites carry the cookie. Default lax.
    pub same_site: SameSite,
    /// Origins beside the server's own that may use a session to change
    /// something, such as `https://app.example.org`. Default none.
    pub allowed_origins: Vec<String>,
    /// Name of the cookie; over TLS `__Host-` stands before it. Default
    /// `corelane`.
    pub cookie: String,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            sliding_ttl_ms: 3_600_000,
            absolute_ttl_ms: 43_200_000,
            refresh_ms: 60_000,
            same_site: SameSite::Lax,
            allowed_origins: Vec::new(),
            cookie: "corelane".to_owned(),
        }
    }
}

impl SessionOptions {
    /// Checks the options, each and together.
    ///
    /// # Errors
    /// [`SessionOptionsError`] names the field and what would be valid.
    pub fn check(&self) -> Result<(), SessionOptionsError> {
        let refuse = |field, cure: String| Err(SessionOptionsError { field, cure });
        if self.sliding_ttl_ms == 0 || self.absolute_ttl_ms < self.sliding_ttl_ms {
            let cure = format!(
                "give it at least sliding_ttl_ms, {}, and that at least 1",
                self.sliding_ttl_ms
            );
            return refuse("absolute_ttl_ms", cure);
        }
        if self.refresh_ms >= self.sliding_ttl_ms {
            let cure = format!("give it less than sliding_ttl_ms, {}", self.sliding_ttl_ms);
            return refuse("refresh_ms", cure);
        }
        if !is_cookie_name(&self.cookie) {
            let cure = format!(
                "give 1 to {SESSION_COOKIE_NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`, \
                 without a prefix of two underscores"
            );
            return refuse("cookie", cure);
        }
        match self
            .allowed_origins
            .iter()
            .find(|text| Origin::parse(text.as_bytes()).is_none())
        {
            Some(wrong) => refuse(
                "allowed_origins",
                format!("{wrong:?} is no origin; write it as in \"https://app.example.org\""),
            ),
            None => Ok(()),
        }
    }

    /// The allowed origins as such; those that are none are left out.
    pub fn origins(&self) -> Vec<Origin> {
        let texts = self.allowed_origins.iter();
        texts
            .filter_map(|text| Origin::parse(text.as_bytes()))
            .collect()
    }
}

/// A part of what RFC 6265 section 4.1.1 allows. `__Host-` and `__Secure-` mean
/// something to browsers (draft-ietf-httpbis-rfc6265bis section 4.1.3).
fn is_cookie_name(name: &str) -> bool {
    let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=SESSION_COOKIE_NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with("__")
        && name.bytes().all(is_valid)
}

/// Options that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOptionsError {
    /// Which field.
    pub field: &'static str,
    /// What to do about it.
    pub cure: String,
}

impl fmt::Display for SessionOptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}: {}", self.field, self.cure)
    }
}

impl std::error::Error for SessionOptionsError {}
