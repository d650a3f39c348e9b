//! Field lines into hops. `None` is a line that is not well-formed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Hop, Node};

/// One line of `Forwarded` (RFC 7239 section 4). Spaces around `;` and colons
/// and brackets outside of quotes, which some proxies send, are let pass.
pub(super) fn parse_forwarded(line: &[u8], into: &mut Vec<Hop>) -> Option<()> {
    let mut rest = Unparsed(line);
    loop {
        let mut element = Element::default();
        let mut is_empty = true;
        loop {
            rest.skip_spaces();
            if !matches!(rest.peek(), None | Some(b',' | b';')) {
                is_empty = false;
                element.take_pair(&mut rest)?;
                rest.skip_spaces();
            }
            if !rest.skip(b';') {
                break;
            }
        }
        if !is_empty {
            into.push(element.hop());
        }
        match rest.peek() {
            None => return Some(()),
            Some(b',') => rest.skip(b','),
            Some(_) => return None,
        };
    }
}

/// One line of `X-Forwarded-For`: addresses, with or without a port.
pub(super) fn parse_x_forwarded_for(line: &[u8], into: &mut Vec<Hop>) -> Option<()> {
    let members = line.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    for member in members.filter(|member| !member.is_empty()) {
        let bare = std::str::from_utf8(member)
            .ok()
            .and_then(|text| text.parse::<Ipv6Addr>().ok());
        let node = match bare {
            Some(ip) => Node::Address(IpAddr::V6(ip).to_canonical()),
            // What is not an address ends the walk there and not before.
            None => parse_node(member).unwrap_or(Node::Hidden),
        };
        into.push(Hop {
            node,
            is_https: false,
        });
    }
    Some(())
}

/// `X-Forwarded-Proto`, whether each is `https`.
pub(super) fn parse_protocols<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Vec<bool> {
    let members = lines.flat_map(|line| line.split(|b| *b == b','));
    let members = members.map(<[u8]>::trim_ascii).filter(|m| !m.is_empty());
    members.map(|m| m.eq_ignore_ascii_case(b"https")).collect()
}

/// The pairs of one element that matter.
#[derive(Default)]
struct Element {
    node: Option<Node>,
    is_https: Option<bool>,
}

impl Element {
    /// Takes `name=value`; a name that stands twice is malformed.
    fn take_pair(&mut self, rest: &mut Unparsed<'_>) -> Option<()> {
        let name = rest.take_while(is_token_byte);
        if name.is_empty() || !rest.skip(b'=') {
            return None;
        }
        let value = rest.take_value()?;
        if name.eq_ignore_ascii_case(b"for") {
            let node = parse_node(&value)?;
            self.node.replace(node).is_none().then_some(())
        } else if name.eq_ignore_ascii_case(b"proto") {
            let is_https = value.eq_ignore_ascii_case(b"https");
            self.is_https.replace(is_https).is_none().then_some(())
        } else {
            Some(())
        }
    }

    fn hop(self) -> Hop {
        Hop {
            node: self.node.unwrap_or(Node::Hidden),
            is_https: self.is_https.unwrap_or(false),
        }
    }
}

/// What is left of a line.
struct Unparsed<'a>(&'a [u8]);

impl<'a> Unparsed<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn skip(&mut self, wanted: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == wanted => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn skip_spaces(&mut self) {
        self.take_while(|b| matches!(b, b' ' | b'\t'));
    }

    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|b| !fits(*b));
        let (taken, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A token or a quoted string, without its quotes.
    fn take_value(&mut self) -> Option<Vec<u8>> {
        if !self.skip(b'"') {
            let value = self.take_while(|b| is_token_byte(b) || b":[]".contains(&b));
            return (!value.is_empty()).then(|| value.to_vec());
        }
        let mut value = Vec::new();
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            match first {
                b'"' => return Some(value),
                b'\\' => {
                    let (escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    value.push(*escaped);
                }
                byte => value.push(*byte),
            }
        }
    }
}

/// A node (RFC 7239 section 6): address or name, with or without a port.
fn parse_node(node: &[u8]) -> Option<Node> {
    let text = std::str::from_utf8(node).ok()?;
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let ip: Ipv6Addr = address.parse().ok()?;
        let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return is_port.then(|| Node::Address(IpAddr::V6(ip).to_canonical()));
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    if !port.is_none_or(is_port) {
        return None;
    }
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Some(Node::Hidden);
    }
    let ip: Ipv4Addr = name.parse().ok()?;
    Some(Node::Address(IpAddr::V4(ip)))
}

fn is_port(port: &str) -> bool {
    let is_number = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    is_number || is_obfuscated(port)
}

fn is_obfuscated(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    name.strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(fits))
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}
