//! Request targets and hosts: RFC 9112 section 3.2, RFC 3986 section 3.2.
//!
//! The bytes were checked to be visible ASCII before they come here.

use std::net::Ipv6Addr;

use http::Method;

use super::error::ParseError;
use super::octets::reg_name_run;

/// A request target taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RequestTarget<'a> {
    /// `host[:port]` of an absolute-form target.
    pub(super) authority: Option<&'a [u8]>,
    /// Path and query; without its leading `/` when the authority is followed
    /// by nothing or by `?`.
    pub(super) resource: &'a [u8],
}

/// Takes a target apart; its form must be one that the method allows.
pub(super) fn split<'a>(method: &Method, raw: &'a [u8]) -> Result<RequestTarget<'a>, ParseError> {
    match raw {
        [b'/', ..] => Ok(RequestTarget {
            authority: None,
            resource: raw,
        }),
        b"*" if *method == Method::OPTIONS => Ok(RequestTarget {
            authority: None,
            resource: raw,
        }),
        _ => absolute(method, raw),
    }
}

/// Checks `host[:port]`. User information is refused as RFC 9110 section 4.2.4
/// advises, an empty host as section 4.2.1 demands.
pub(super) fn check_authority(authority: &[u8]) -> Result<(), ParseError> {
    let host_bytes = match authority {
        [b'[', rest @ ..] => 1 + ipv6_literal_bytes(rest)?,
        _ => reg_name_bytes(authority)?,
    };
    match &authority[host_bytes..] {
        [] => Ok(()),
        [b':', port @ ..] if is_port(port) => Ok(()),
        _ => Err(ParseError::HostInvalid),
    }
}

fn absolute<'a>(method: &Method, raw: &'a [u8]) -> Result<RequestTarget<'a>, ParseError> {
    let rest = strip_scheme(raw, b"http://")
        .or_else(|| strip_scheme(raw, b"https://"))
        .ok_or(ParseError::TargetForm)?;
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?'))
        .unwrap_or(rest.len());
    let (authority, resource) = rest.split_at(end);
    check_authority(authority)?;
    // The server-wide OPTIONS as a client writes it to a proxy
    // (RFC 9112 section 3.2.4).
    let resource = match resource {
        b"" if *method == Method::OPTIONS => b"*",
        _ => resource,
    };
    Ok(RequestTarget {
        authority: Some(authority),
        resource,
    })
}

fn strip_scheme<'a>(raw: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = raw.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Length of the registered name or IPv4 address at the start.
fn reg_name_bytes(authority: &[u8]) -> Result<usize, ParseError> {
    let mut at = reg_name_run(authority);
    while let Some(&byte) = authority.get(at) {
        match byte {
            b':' => break,
            b'%' => match authority.get(at + 1..at + 3) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => at += 3,
                _ => return Err(ParseError::HostInvalid),
            },
            _ => return Err(ParseError::HostInvalid),
        }
        at += reg_name_run(&authority[at..]);
    }
    if at == 0 {
        Err(ParseError::HostInvalid)
    } else {
        Ok(at)
    }
}

/// Length of `address]`.
fn ipv6_literal_bytes(rest: &[u8]) -> Result<usize, ParseError> {
    let end = rest
        .iter()
        .position(|&b| b == b']')
        .ok_or(ParseError::HostInvalid)?;
    std::str::from_utf8(&rest[..end])
        .ok()
        .and_then(|address| address.parse::<Ipv6Addr>().ok())
        .map(|_| end + 1)
        .ok_or(ParseError::HostInvalid)
}

/// A port may be empty (RFC 3986 section 3.2.3).
fn is_port(port: &[u8]) -> bool {
    let mut number = 0;
    for byte in port {
        if !byte.is_ascii_digit() || number > u32::from(u16::MAX) {
            return false;
        }
        number = number * 10 + u32::from(byte - b'0');
    }
    number <= u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_accepted() {
        for host in [
            "a",
            "example.com",
            "127.0.0.1:3000",
            "a:",
            "a:0",
            "a:65535",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]",
            "xn--e1afmkfd.example",
            "a%20b",
            "under_score",
            "a,b",
            "A.B:080",
        ] {
            assert_eq!(check_authority(host.as_bytes()), Ok(()), "{host}");
        }
    }

    #[test]
    fn hosts_that_are_refused() {
        for host in [
            "",
            ":80",
            "a:b",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:99999999999999999999",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "u@a",
            "a\\b",
            "a%2",
            "a%zz",
            "[::1",
            "::1",
            "[::1]x",
            "[]",
            "[1.2.3.4]",
            "[::1%25eth0]",
            "a\"b",
            "<a>",
            "a:80:80",
            "[v1.a]",
            "a, b",
            "h\u{e4}st",
        ] {
            let answer = check_authority(host.as_bytes());
            assert_eq!(answer, Err(ParseError::HostInvalid), "{host}");
        }
    }

    #[test]
    fn forms_that_a_method_allows() {
        let table: &[(Method, &str, Option<&str>, &str)] = &[
            (Method::GET, "/", None, "/"),
            (Method::GET, "//a/../b?c?d", None, "//a/../b?c?d"),
            (Method::OPTIONS, "*", None, "*"),
            (Method::OPTIONS, "http://h:1", Some("h:1"), "*"),
            (Method::GET, "http://h", Some("h"), ""),
            (Method::GET, "HTTP://h?x", Some("h"), "?x"),
            (Method::GET, "https://h/x?y", Some("h"), "/x?y"),
        ];
        for (method, raw, authority, resource) in table {
            let expected = RequestTarget {
                authority: authority.map(str::as_bytes),
                resource: resource.as_bytes(),
            };
            assert_eq!(
                split(method, raw.as_bytes()),
                Ok(expected),
                "{method} {raw}"
            );
        }
    }

    #[test]
    fn forms_that_are_refused() {
        for raw in [
            "*", "**", "a", "a/b", "h:80", "ftp://h/", "http:/h", "http:h", "?x", "/",
        ] {
            let answer = split(&Method::GET, raw.as_bytes());
            assert_eq!(answer.is_err(), raw != "/", "{raw}");
        }
        for raw in [
            "http://",
            "http:///x",
            "http://u@h/",
            "http://h:x/",
            "http://?x",
        ] {
            let answer = split(&Method::GET, raw.as_bytes());
            assert_eq!(answer, Err(ParseError::HostInvalid), "{raw}");
        }
    }
}
