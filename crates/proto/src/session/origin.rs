//! Which requests may use a session to change something: those that a page of
//! this server sent, or no page at all.
//!
//! A browser says where a request comes from in `Sec-Fetch-Site` and `Origin`,
//! and no page can change what it says. `SameSite` alone would let through
//! what another host of the same site sends, and what old browsers do.

use http::Method;

/// Scheme, host and port of a web page (RFC 6454).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_secure: bool,
    /// In lower case.
    host: Box<[u8]>,
    port: u16,
}

impl Origin {
    /// Reads `http://host` or `https://host`, with or without a port, and
    /// nothing behind it. `null` is no origin.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (scheme, authority) = match text.iter().position(|byte| *byte == b':') {
            Some(at) => (&text[..at], text[at..].strip_prefix(b"://")?),
            None => return None,
        };
        if scheme.eq_ignore_ascii_case(b"https") {
            Self::of_authority(authority, true)
        } else if scheme.eq_ignore_ascii_case(b"http") {
            Self::of_authority(authority, false)
        } else {
            None
        }
    }

    /// The origin of a server's own pages, by what a request calls it.
    pub fn of_authority(authority: &[u8], is_secure: bool) -> Option<Self> {
        let is_odd = |byte: &u8| !byte.is_ascii_graphic() || b"/?#@\\\"<>,;".contains(byte);
        if authority.iter().any(is_odd) {
            return None;
        }
        // The colons of an IPv6 address are within brackets.
        let host_end = authority
            .iter()
            .rposition(|byte| *byte == b']')
            .map_or(0, |at| at + 1);
        let colon = authority[host_end..].iter().position(|byte| *byte == b':');
        let (host, port) = match colon {
            Some(at) => (&authority[..host_end + at], &authority[host_end + at + 1..]),
            None => (authority, &b""[..]),
        };
        let port = match port {
            b"" if is_secure => 443,
            b"" => 80,
            digits if digits.iter().all(u8::is_ascii_digit) => {
                std::str::from_utf8(digits).ok()?.parse().ok()?
            }
            _ => return None,
        };
        (!host.is_empty()).then(|| Self {
            is_secure,
            host: host.to_ascii_lowercase().into(),
            port,
        })
    }
}

/// What a request says of where it comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestOrigin<'a> {
    /// `Sec-Fetch-Site`.
    pub site: Option<&'a [u8]>,
    /// `Origin`. Several of them are as one that is wrong.
    pub origin: Option<&'a [u8]>,
    /// Whether there is a `Referer`.
    pub has_referer: bool,
    /// What it calls this server: `Host`, or the target's authority.
    pub authority: &'a [u8],
    /// Whether the client came over TLS.
    pub is_secure: bool,
}

/// Whether a request may use a session to change something.
///
/// In this order: an `Origin` that is `allowed` may. With `Sec-Fetch-Site`,
/// `same-origin` and `none` (the user's own doing) may, everything else not.
/// With `Origin`, the server's own may. With neither, it is no browser's and
/// may, unless it has a `Referer`, which only browsers send.
pub fn may_use_session(request: &RequestOrigin<'_>, allowed: &[Origin]) -> bool {
    let origin = request.origin.map(Origin::parse);
    if let Some(Some(origin)) = &origin
        && allowed.contains(origin)
    {
        return true;
    }
    if let Some(site) = request.site {
        return site == b"same-origin" || site == b"none";
    }
    match origin {
        Some(origin) => {
            let own = Origin::of_authority(request.authority, request.is_secure);
            origin.is_some() && origin == own
        }
        None => !request.has_referer,
    }
}

/// Whether a method changes nothing (RFC 9110 section 9.2.1).
pub fn is_safe_method(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}
