//! The proxies whose word is taken.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// Addresses of proxies that are trusted to say where a request comes from.
/// None by default.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    entries: Vec<TrustedNetwork>,
}

/// As it was written, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TrustedNetwork {
    text: String,
    networks: Vec<IpNet>,
}

/// A text that names no proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidProxy {
    text: String,
}

impl TrustedProxies {
    /// Nobody is trusted.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those named by `texts`: an address, a network such as `10.0.0.0/8`,
    /// `loopback` (127.0.0.0/8 and `::1`) or `private` (RFC 1918 and the unique
    /// local addresses of RFC 4193).
    ///
    /// # Errors
    /// The first text that is none of these.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, InvalidProxy> {
        let entries = texts.into_iter().map(|text| parse_entry(text.as_ref()));
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
        })
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the word of `ip` is taken.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let networks = self.entries.iter().flat_map(|entry| &entry.networks);
        networks.into_iter().any(|network| network.contains(&ip))
    }

    /// As they were written.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.text.as_str())
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.texts()).finish()
    }
}

fn parse_entry(text: &str) -> Result<TrustedNetwork, InvalidProxy> {
    let named = |texts: &[&str]| {
        let networks = texts.iter().map(|text| IpNet::from_str(text));
        networks.collect::<Result<Vec<_>, _>>().ok()
    };
    let networks = match text {
        "loopback" => named(LOOPBACK),
        "private" => named(PRIVATE),
        _ => match (text.parse::<IpAddr>(), text.parse::<IpNet>()) {
            (Ok(ip), _) => Some(vec![IpNet::from(ip.to_canonical())]),
            (_, Ok(network)) => Some(vec![network]),
            _ => None,
        },
    };
    match networks {
        Some(networks) => Ok(TrustedNetwork {
            text: text.to_owned(),
            networks,
        }),
        None => Err(InvalidProxy {
            text: text.to_owned(),
        }),
    }
}

const LOOPBACK: &[&str] = &["127.0.0.0/8", "::1/128"];
const PRIVATE: &[&str] = &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither an address nor a network", self.text)
    }
}

impl std::error::Error for InvalidProxy {}
