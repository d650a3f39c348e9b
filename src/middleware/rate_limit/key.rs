//! Who counts as one client.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderName;

use crate::Ctx;

/// What tells clients apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The address, as [`Ctx::client_ip`] finds it; of an IPv6 address the
    /// first bits only, 64 unless
    /// [`LimiterOptions`](crate::limiter::LimiterOptions) say otherwise.
    Ip,
    /// The first header line of this name, as sent; without it the address.
    /// Only for what something else checks: a client may send any.
    Header(HeaderName),
    /// The request's session, where the app has
    /// [`sessions`](crate::App::sessions), or the [`RateLimitKey`] that
    /// middleware before this one has attached; without either the address.
    Session,
}

/// What [`Key::Session`] counts by: whoever knows who a request comes from
/// [attaches](Ctx::attach) it, a session's id for example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitKey(pub Vec<u8>);

/// Where a limit has its keys from.
#[derive(Clone)]
pub(super) enum KeySource {
    Key(Key),
    Function(Arc<KeyFunction>),
}

pub(super) type KeyFunction = dyn Fn(&Ctx) -> Option<Vec<u8>> + Send + Sync;

/// One client, as the limiter knows it. What a client sends never looks like
/// an address.
pub(super) enum ClientKey {
    Address([u8; 17]),
    Named(Vec<u8>),
}

impl KeySource {
    pub(super) fn is_session(&self) -> bool {
        matches!(self, Self::Key(Key::Session))
    }

    pub(super) fn of(&self, ctx: &Ctx, ipv6_prefix_bits: u8) -> ClientKey {
        let name = match self {
            Self::Key(Key::Ip) => None,
            Self::Key(Key::Header(name)) => ctx.header_bytes(name).map(<[u8]>::to_vec),
            Self::Key(Key::Session) => ctx.attached().map(|RateLimitKey(key)| key.clone()),
            Self::Function(key) => key(ctx),
        };
        match name {
            Some(mut name) => {
                name.insert(0, b'n');
                ClientKey::Named(name)
            }
            None => ClientKey::Address(address(ctx.client_ip(), ipv6_prefix_bits)),
        }
    }
}

impl ClientKey {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Address(address) => address,
            Self::Named(name) => name,
        }
    }
}

/// The family, then the address or what counts of it.
fn address(ip: Option<IpAddr>, ipv6_prefix_bits: u8) -> [u8; 17] {
    let mut bytes = [0; 17];
    match ip {
        Some(IpAddr::V4(ip)) => {
            bytes[0] = b'4';
            bytes[1..5].copy_from_slice(&ip.octets());
        }
        Some(IpAddr::V6(ip)) => {
            bytes[0] = b'6';
            let shift = 128 - u32::from(ipv6_prefix_bits.min(128));
            let prefix = u128::MAX.checked_shl(shift).unwrap_or(0);
            bytes[1..].copy_from_slice(&(ip.to_bits() & prefix).to_be_bytes());
        }
        None => {}
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_counts_by_its_prefix() {
        let of = |ip: &str, bits| address(Some(ip.parse().unwrap()), bits);
        assert_eq!(of("2001:db8::1", 64), of("2001:db8::ffff:1", 64));
        assert_ne!(of("2001:db8::1", 64), of("2001:db8:0:1::1", 64));
        assert_ne!(of("2001:db8::1", 128), of("2001:db8::2", 128));
        assert_eq!(of("2001:db8::1", 0), of("fe80::1", 0));
        assert_ne!(of("192.0.2.1", 64), of("192.0.2.2", 64));
        assert_ne!(of("0.0.0.0", 64), of("::", 64));
    }
}
