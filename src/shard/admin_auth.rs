//! Who may come in through the admin listener, judged by a request's head
//! before it is routed, so that a stranger cannot even tell what is there.
//!
//! With a token: who sends it. Without one the listener is on a loopback
//! address, and what threatens it is a browser on the same machine that runs a
//! stranger's page. The page may point its own name to 127.0.0.1 (DNS
//! rebinding): then `Host` is that name. Or it sends a request here without
//! being able to read the answer: then `Origin` is its own, or a browser says
//! `Sec-Fetch-Site: cross-site`. Caddy guards its admin API alike ("origins" in
//! its documentation); by `Host` alone it could still be reconfigured from a
//! page (GHSA-879p-475x-rqh2). Another site on this very machine is trusted.

use std::net::{Ipv4Addr, Ipv6Addr};

use corelane_proto::http::RequestHead;
use http::{HeaderValue, StatusCode, header};

use crate::Error;

/// The rule of one admin listener.
pub(super) enum AdminAuthorization {
    /// `Authorization: Bearer` and this.
    Token(String),
    /// Loopback names and addresses only.
    SameMachine,
}

impl AdminAuthorization {
    pub(super) fn new(token: Option<String>) -> Self {
        token.map_or(Self::SameMachine, Self::Token)
    }

    /// # Errors
    /// 401 or 403.
    pub(super) fn check(&self, head: &RequestHead) -> Result<(), Error> {
        match self {
            Self::Token(token) => check_token(head, token.as_bytes()),
            Self::SameMachine => check_same_machine(head),
        }
    }
}

fn check_token(head: &RequestHead, token: &[u8]) -> Result<(), Error> {
    let mut lines = head.header_all("authorization");
    // Of two lines one could be meant for somebody else.
    if let (Some(line), None) = (lines.next(), lines.next())
        && let Some(given) = bearer_token(line)
        && is_same(given, token)
    {
        return Ok(());
    }
    let error = Error::new(
        StatusCode::UNAUTHORIZED,
        "send the admin token: `Authorization: Bearer TOKEN`",
    );
    let challenge = HeaderValue::from_static("Bearer realm=\"corelane admin\"");
    Err(error.with_header(header::WWW_AUTHENTICATE, challenge))
}

/// The scheme is in any case, one space or more before the token (RFC 9110
/// section 11.4, RFC 6750 section 2.1).
fn bearer_token(line: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = line.split_at_checked(b"Bearer".len())?;
    if !scheme.eq_ignore_ascii_case(b"Bearer") || rest.first() != Some(&b' ') {
        return None;
    }
    Some(rest.trim_ascii_start())
}

/// Looks at all of `given` whatever it holds: the time it takes follows from
/// the length of `given` alone and tells nothing about the token.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let mut difference = usize::from(given.len() != token.len());
    for (given, token) in given.iter().zip(token.iter().cycle()) {
        difference |= usize::from(given ^ token);
    }
    // The optimiser does not see what is compared, so it cannot stop early.
    std::hint::black_box(difference) == 0
}

fn check_same_machine(head: &RequestHead) -> Result<(), Error> {
    if !is_loopback_authority(head.host()) {
        return Err(refused(
            "without a token the admin listener answers only `Host: localhost` or a loopback \
             address",
        ));
    }
    let from_elsewhere = head.header_all("origin").any(|o| !is_loopback_origin(o))
        || head
            .header_all("sec-fetch-site")
            .any(|site| site.eq_ignore_ascii_case(b"cross-site"));
    if from_elsewhere {
        return Err(refused(
            "without a token the admin listener answers no request of another site's page",
        ));
    }
    Ok(())
}

fn refused(detail: &'static str) -> Error {
    Error::new(StatusCode::FORBIDDEN, detail)
}

/// Whether an `Origin` is a site of this machine; `null` is not.
fn is_loopback_origin(origin: &[u8]) -> bool {
    let Ok(origin) = std::str::from_utf8(origin) else {
        return false;
    };
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(is_loopback_authority)
}

/// Whether `host[:port]` is `localhost` or a loopback address, exactly: no
/// trailing dot, no name below it, no short or octal form of an address. Those
/// are of no use to an operator, and resolvers do not agree on them.
fn is_loopback_authority(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let address = address.parse::<Ipv6Addr>();
                let is_loopback = |a: Ipv6Addr| a.to_canonical().is_loopback();
                return address.is_ok_and(is_loopback) && is_port_or_nothing(port);
            }
            None => return false,
        },
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || host.parse().is_ok_and(|a: Ipv4Addr| a.is_loopback());
    is_loopback && is_port_or_nothing(port)
}

fn is_port_or_nothing(rest: &str) -> bool {
    match rest.strip_prefix(':') {
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()) && port.len() <= 5,
        None => rest.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_this_machine() {
        for host in [
            "localhost",
            "LocalHost:3001",
            "localhost:",
            "127.0.0.1",
            "127.0.0.1:3001",
            "127.255.1.2:80",
            "[::1]",
            "[::1]:3001",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_loopback_authority(host), "{host}");
        }
    }

    #[test]
    fn hosts_that_are_elsewhere_or_odd() {
        for host in [
            "",
            ":3001",
            "localhost.",
            "localhost.:3001",
            ".localhost",
            "a.localhost",
            "localhost.evil.com",
            "localhost.localdomain",
            "xlocalhost",
            "%6cocalhost",
            "127.0.0.1.evil.com",
            "127.0.0.1.",
            "127.1",
            "127.0.0.01",
            "0177.0.0.1",
            "0x7f000001",
            "2130706433",
            "0.0.0.0",
            "128.0.0.1",
            "10.0.0.1",
            "::1",
            "[::1",
            "[::1]x",
            "[::1].evil.com",
            "[::]",
            "[::2]",
            "[::ffff:10.0.0.1]",
            "[::1%25lo]",
            "[127.0.0.1]",
            "localhost:x",
            "localhost:80:80",
            "localhost:3001.evil.com",
            "user@localhost",
            "evil.com",
            " localhost",
            "localhost ",
        ] {
            assert!(!is_loopback_authority(host), "{host}");
        }
    }

    #[test]
    fn origins_of_this_machine_and_others() {
        for origin in ["http://localhost:3001", "https://127.0.0.1", "http://[::1]"] {
            assert!(is_loopback_origin(origin.as_bytes()), "{origin}");
        }
        for origin in [
            "",
            "null",
            "localhost",
            "http://",
            "http://evil.com",
            "http://localhost.evil.com",
            "http://evil.com/http://localhost",
            "http://localhost/",
            "http://localhost@evil.com",
            "http://localhost http://evil.com",
            "chrome-extension://localhost",
            "file://",
            "h\u{e4}",
        ] {
            assert!(!is_loopback_origin(origin.as_bytes()), "{origin}");
        }
        assert!(!is_loopback_origin(b"http://\xff"));
    }

    #[test]
    fn tokens_are_taken_out_of_their_header() {
        for (line, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("BEARER a b", Some("a b")),
            ("Bearer", None),
            ("Bearerabc", None),
            ("Bearer\tabc", None),
            ("Basic abc", None),
            ("", None),
        ] {
            assert_eq!(
                bearer_token(line.as_bytes()),
                token.map(str::as_bytes),
                "{line}"
            );
        }
    }

    #[test]
    fn a_token_is_all_of_it_and_no_more() {
        let token = b"0123456789abcdef";
        assert!(is_same(token, token));
        for wrong in [
            &b""[..],
            b"0123456789abcde",
            b"0123456789abcdeF",
            b"0123456789abcdef0",
            b"0123456789abcdef0123456789abcdef",
            b"x123456789abcdef",
        ] {
            assert!(!is_same(wrong, token), "{wrong:?}");
        }
    }
}
