//! Who a request comes from behind proxies: `Forwarded` (RFC 7239) and, where
//! it is not sent, `X-Forwarded-For` and `X-Forwarded-Proto`.
//!
//! A proxy appends what it saw, so the fields are read from their right end.
//! The walk goes on only as long as whoever wrote a member is trusted: what an
//! untrusted peer sends is never looked at, and the first untrusted address is
//! the client. What hides an address (`unknown`, `_name`) or cannot be read ends
//! the walk at the proxy that wrote it.

mod parse;
#[cfg(test)]
mod tests;
mod trusted;

use std::net::IpAddr;

use parse::{parse_forwarded, parse_protocols, parse_x_forwarded_for};
pub use trusted::{InvalidProxy, TrustedProxies};

/// Where a request comes from, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its address; an IPv4 address is never written as IPv6.
    pub ip: IpAddr,
    /// Whether it spoke TLS to the proxy that it reached.
    pub is_secure: bool,
}

/// The lines of the three fields, each in the order sent.
#[derive(Debug, Clone, Copy)]
pub struct ForwardingFields<F, X, P> {
    /// `Forwarded`.
    pub forwarded: F,
    /// `X-Forwarded-For`.
    pub x_forwarded_for: X,
    /// `X-Forwarded-Proto`.
    pub x_forwarded_proto: P,
}

/// The client of a request that came from `peer`.
///
/// Most proxies write one of the two families and hand the other on as the
/// client sent it. So where both are sent and do not lead to the same address,
/// neither is believed: the client is the proxy.
pub fn trace_client<'a>(
    peer: IpAddr,
    trusted: &TrustedProxies,
    fields: ForwardingFields<
        impl Iterator<Item = &'a [u8]>,
        impl Iterator<Item = &'a [u8]>,
        impl Iterator<Item = &'a [u8]>,
    >,
) -> Client {
    let here = Client {
        ip: peer.to_canonical(),
        is_secure: false,
    };
    if !trusted.contains(here.ip) {
        return here;
    }
    let standard = hops_of(fields.forwarded, parse_forwarded);
    let addresses = hops_of(fields.x_forwarded_for, parse_x_forwarded_for);
    let protocols = parse_protocols(fields.x_forwarded_proto);
    if standard.is_empty() {
        return walk(here, trusted, &addresses, &protocols);
    }
    let client = walk(here, trusted, &standard, &[]);
    if addresses.is_empty() {
        return client;
    }
    let other = walk(here, trusted, &addresses, &protocols);
    if client.ip != other.ip {
        return here;
    }
    let contradicted = !protocols.is_empty() && !other.is_secure;
    Client {
        is_secure: client.is_secure && !contradicted,
        ..client
    }
}

/// What one proxy wrote of where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hop {
    node: Node,
    is_https: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Address(IpAddr),
    /// Hidden on purpose, or not readable.
    Hidden,
}

impl Hop {
    const UNREADABLE: Self = Self {
        node: Node::Hidden,
        is_https: false,
    };
}

/// The hops of all lines, in order. A line that cannot be read is one hop that
/// nobody gets past: where its members begin is not known.
fn hops_of<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    parse: fn(&'a [u8], &mut Vec<Hop>) -> Option<()>,
) -> Vec<Hop> {
    let mut hops = Vec::new();
    for line in lines {
        let before = hops.len();
        if parse(line, &mut hops).is_none() {
            hops.truncate(before);
            hops.push(Hop::UNREADABLE);
        }
    }
    hops
}

/// From the right end to the first address that is not trusted. `protocols`
/// stand beside the hops; where they are fewer, the first counts for the rest,
/// and without hops the last one does.
fn walk(here: Client, trusted: &TrustedProxies, hops: &[Hop], protocols: &[bool]) -> Client {
    let mut client = here;
    let protocol_at = |depth: usize| {
        let index = protocols.len().saturating_sub(depth + 1);
        protocols.get(index).copied()
    };
    if hops.is_empty() {
        client.is_secure = protocol_at(0).unwrap_or(false);
    }
    for (depth, hop) in hops.iter().rev().enumerate() {
        client.is_secure = protocol_at(depth).unwrap_or(hop.is_https);
        let Node::Address(ip) = hop.node else {
            break;
        };
        client.ip = ip;
        if !trusted.contains(ip) {
            break;
        }
    }
    client
}
