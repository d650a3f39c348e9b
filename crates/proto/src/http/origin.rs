//! Where a page is from: what a browser says in `Origin` and the rules of other
//! sites' pages and of sessions compare.

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
