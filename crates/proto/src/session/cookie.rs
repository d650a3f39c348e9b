//! The session's cookie: found in requests (RFC 6265 section 5.4), written into
//! answers (section 4.1).
//!
//! Over TLS its name has the prefix `__Host-`: a browser takes such a cookie
//! only with `Secure`, `Path=/` and without `Domain`, so no other host, not
//! even a subdomain, can plant one. Over plain HTTP browsers refuse it, so
//! there the name is bare and nothing keeps a neighbour from planting one.

use super::SessionId;
use crate::limits::SESSION_COOKIES_MAX;

/// Which requests from other sites carry the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Links to this site do, nothing else.
    Lax,
    /// None.
    Strict,
}

/// What the cookies of a request say.
#[derive(Debug)]
pub enum SessionCookie {
    /// There is no cookie of the name.
    Absent,
    /// There is one, but no session can come of it: it is no id, or there are
    /// two different ones. Which of two is the browser's own cannot be told
    /// (RFC 6265 section 4.2.2), and a guess would let a neighbour choose.
    Unusable,
    /// One id, perhaps said more than once, perhaps beside what is none: who
    /// plants that locks nobody out.
    Id(SessionId),
}

/// Every cookie of the name that a request carries.
#[derive(Debug, Default)]
pub struct SessionCookies {
    /// The ids, each once, in order.
    pub ids: Vec<SessionId>,
    /// Whether one is no id.
    pub has_unreadable: bool,
    /// Whether there are more ids than [`SESSION_COOKIES_MAX`], which are not
    /// looked at.
    pub is_overfull: bool,
}

impl SessionCookies {
    /// Looks through the `Cookie` lines of a request. `is_secure` is whether the
    /// client came over TLS: a cookie counts only under the name that fits.
    pub fn find<'a>(
        lines: impl IntoIterator<Item = &'a [u8]>,
        base_name: &str,
        is_secure: bool,
    ) -> Self {
        let mut found = Self::default();
        let pairs = lines
            .into_iter()
            .flat_map(|line| line.split(|byte| *byte == b';'));
        for pair in pairs {
            let Some(at) = pair.iter().position(|byte| *byte == b'=') else {
                continue;
            };
            if !is_name(pair[..at].trim_ascii(), base_name, is_secure) {
                continue;
            }
            match SessionId::parse(unquoted(pair[at + 1..].trim_ascii())) {
                Some(id) => found.add(id),
                None => found.has_unreadable = true,
            }
        }
        found
    }

    fn add(&mut self, id: SessionId) {
        // Nearly always the first, which is compared with nothing.
        if !self.ids.is_empty() {
            let hash = id.hash();
            if self.ids.iter().any(|known| known.hash() == hash) {
                return;
            }
        }
        match self.ids.len() < SESSION_COOKIES_MAX {
            true => self.ids.push(id),
            false => self.is_overfull = true,
        }
    }

    /// The one that a session may come of.
    pub fn single(mut self) -> SessionCookie {
        match (self.ids.len(), self.has_unreadable) {
            (0, false) => SessionCookie::Absent,
            (1, _) => self
                .ids
                .pop()
                .map_or(SessionCookie::Absent, SessionCookie::Id),
            _ => SessionCookie::Unusable,
        }
    }
}

/// The line that gives a browser the session, for as long as it can last.
pub fn set_cookie(
    base_name: &str,
    is_secure: bool,
    same_site: SameSite,
    id: &SessionId,
    max_age_s: u64,
) -> String {
    line(base_name, is_secure, same_site, &id.encode(), max_age_s)
}

/// The line that takes it away.
pub fn expired_cookie(base_name: &str, is_secure: bool, same_site: SameSite) -> String {
    line(base_name, is_secure, same_site, "", 0)
}

fn line(
    base_name: &str,
    is_secure: bool,
    same_site: SameSite,
    value: &str,
    max_age_s: u64,
) -> String {
    let (prefix, secure) = match is_secure {
        true => (HOST_PREFIX, "; Secure"),
        false => ("", ""),
    };
    let same_site = match same_site {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
    };
    format!(
        "{prefix}{base_name}={value}; Path=/; Max-Age={max_age_s}{secure}; HttpOnly; \
         SameSite={same_site}"
    )
}

/// Names of cookies are compared as they are.
fn is_name(name: &[u8], base_name: &str, is_secure: bool) -> bool {
    match is_secure {
        true => name.strip_prefix(HOST_PREFIX.as_bytes()) == Some(base_name.as_bytes()),
        false => name == base_name.as_bytes(),
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"");
    inner
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(value)
}

const HOST_PREFIX: &str = "__Host-";
