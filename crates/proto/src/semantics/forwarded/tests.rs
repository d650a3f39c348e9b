//! The walk over forwarding fields: what it finds, and what cannot fool it.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1";

struct Sent<'a> {
    peer: &'a str,
    forwarded: &'a [&'a str],
    x_for: &'a [&'a str],
    x_proto: &'a [&'a str],
}

const NOTHING: Sent<'static> = Sent {
    peer: PROXY,
    forwarded: &[],
    x_for: &[],
    x_proto: &[],
};

fn trace(sent: &Sent<'_>) -> (String, bool) {
    let trusted = TrustedProxies::parse(["10.0.0.0/8", "2001:db8:1::/48"]).unwrap();
    let fields = ForwardingFields {
        forwarded: sent.forwarded.iter().map(|line| line.as_bytes()),
        x_forwarded_for: sent.x_for.iter().map(|line| line.as_bytes()),
        x_forwarded_proto: sent.x_proto.iter().map(|line| line.as_bytes()),
    };
    let client = trace_client(sent.peer.parse().unwrap(), &trusted, fields);
    (client.ip.to_string(), client.is_secure)
}

fn forwarded(lines: &[&str]) -> (String, bool) {
    let forwarded = lines;
    trace(&Sent {
        forwarded,
        ..NOTHING
    })
}

fn x_for(lines: &[&str]) -> String {
    trace(&Sent {
        x_for: lines,
        ..NOTHING
    })
    .0
}

#[test]
fn an_untrusted_peer_is_the_client_whatever_it_sends() {
    let sent = Sent {
        peer: "192.0.2.9",
        forwarded: &["for=1.2.3.4;proto=https"],
        x_for: &["1.2.3.4"],
        x_proto: &["https"],
    };
    assert_eq!(trace(&sent), ("192.0.2.9".into(), false));
}

#[test]
fn every_syntax_of_rfc_7239_is_read() {
    for (line, ip, is_secure) in [
        ("for=192.0.2.43", "192.0.2.43", false),
        ("FOR=\"192.0.2.43:47011\"", "192.0.2.43", false),
        (
            "For=\"[2001:db8:cafe::17]:4711\"",
            "2001:db8:cafe::17",
            false,
        ),
        ("for=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17", false),
        ("for=\"192.0.2.43:_secret\"", "192.0.2.43", false),
        (
            "for=192.0.2.60;proto=http;by=203.0.113.43",
            "192.0.2.60",
            false,
        ),
        ("for=192.0.2.60; proto=HTTPS", "192.0.2.60", true),
        ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17", false),
        (
            "proto=https;host=\"a,b;c=\\\"d\";for=192.0.2.1",
            "192.0.2.1",
            true,
        ),
        ("for=\"\\1\\92.0.2.1\"", "192.0.2.1", false),
        ("for=\"[::ffff:192.0.2.1]\"", "192.0.2.1", false),
        (", ,for=192.0.2.1,;,", "192.0.2.1", false),
    ] {
        assert_eq!(forwarded(&[line]), (ip.into(), is_secure), "{line}");
    }
}

#[test]
fn the_walk_goes_through_trusted_proxies_and_ends_at_the_first_other() {
    let chain = [
        "for=6.6.6.6;proto=https, for=192.0.2.1;proto=https",
        "for=10.9.9.9;proto=http",
    ];
    assert_eq!(forwarded(&chain), ("192.0.2.1".into(), true));
    // All of them trusted: the farthest.
    assert_eq!(forwarded(&["for=10.0.0.3, for=10.0.0.2"]).0, "10.0.0.3");
    assert_eq!(x_for(&["6.6.6.6, 192.0.2.1", "10.0.0.2"]), "192.0.2.1");
    assert_eq!(
        x_for(&["6.6.6.6, 2001:db8::1 ,2001:db8:1::9"]),
        "2001:db8::1"
    );
    assert_eq!(x_for(&["192.0.2.1:80"]), "192.0.2.1");
    assert_eq!(x_for(&["[2001:db8::1]:80"]), "2001:db8::1");
}

#[test]
fn what_hides_or_cannot_be_read_ends_the_walk_at_who_wrote_it() {
    for line in [
        "for=6.6.6.6, for=unknown",
        "for=6.6.6.6, for=_hidden",
        "for=6.6.6.6, for=\"_hidden:_port\"",
        "for=6.6.6.6, proto=http",
        "for=6.6.6.6, for=",
        "for=6.6.6.6, for",
        "for=6.6.6.6, for=\"10.0.0.2",
        "for=6.6.6.6, for=1.2.3",
        "for=6.6.6.6, for=01.2.3.4",
        "for=6.6.6.6, for=\"[::1\"",
        "for=6.6.6.6, for=1.2.3.4;for=1.2.3.4",
        "for=6.6.6.6, for=\"1.2.3.4:999999\"",
        "for=6.6.6.6 for=1.2.3.4",
    ] {
        assert_eq!(forwarded(&[line]), (PROXY.into(), false), "{line}");
        assert_eq!(forwarded(&[line, "for=10.0.0.2"]).0, "10.0.0.2", "{line}");
    }
    for line in ["6.6.6.6, unknown", "6.6.6.6, x", "6.6.6.6, 1.2.3.4.5"] {
        assert_eq!(x_for(&[line]), PROXY, "{line}");
    }
    // A hidden client is a client all the same: how it came is known.
    assert_eq!(forwarded(&["for=_x;proto=https"]), (PROXY.into(), true));
}

#[test]
fn a_quote_a_client_left_open_does_not_swallow_what_its_proxy_wrote() {
    for opened in ["for=\"6.6.6.6", "for=6.6.6.6;x=\"", "x=\"\\"] {
        for appended in [
            "for=192.0.2.1",
            "for=\"[2001:db8::1]\"",
            "for=\"_a\";by=\"_b\"",
        ] {
            let line = format!("{opened}, {appended}");
            assert_eq!(forwarded(&[&line]).0, PROXY, "{line}");
        }
    }
}

#[test]
fn the_fields_of_a_proxy_are_not_overruled_by_those_its_client_sent() {
    let both = |forwarded, x_for, x_proto| {
        trace(&Sent {
            forwarded,
            x_for,
            x_proto,
            ..NOTHING
        })
    };
    let spoofed = both(&["for=6.6.6.6;proto=https"], &["192.0.2.1"], &[]);
    assert_eq!(spoofed, (PROXY.into(), false));
    let spoofed = both(&["for=192.0.2.1"], &["6.6.6.6"], &[]);
    assert_eq!(spoofed.0, PROXY);
    let agree = both(&["for=192.0.2.1;proto=https"], &["192.0.2.1"], &["https"]);
    assert_eq!(agree, ("192.0.2.1".into(), true));
    let agree = both(&["for=192.0.2.1;proto=https"], &["192.0.2.1"], &["http"]);
    assert_eq!(agree, ("192.0.2.1".into(), false));
}

#[test]
fn the_protocol_is_that_of_the_clients_own_hop() {
    let proto = |x_for, x_proto| {
        trace(&Sent {
            x_for,
            x_proto,
            ..NOTHING
        })
        .1
    };
    assert!(proto(&[], &["https"]));
    assert!(proto(&["192.0.2.1"], &["HTTPS"]));
    assert!(
        !proto(&["192.0.2.1"], &["https, http"]),
        "the last is the proxy's"
    );
    assert!(proto(&["192.0.2.1, 10.0.0.2"], &["https"]));
    assert!(proto(&["192.0.2.1, 10.0.0.2"], &["https", "http"]));
    assert!(!proto(&["192.0.2.1"], &[]));
    assert!(!proto(&["192.0.2.1"], &["httpss"]));
}

#[test]
fn networks_addresses_and_words_name_proxies() {
    let trusted = TrustedProxies::parse(["loopback", "private", "192.0.2.1", "::ffff:1.2.3.4"]);
    let trusted = trusted.unwrap();
    let is_trusted = |ip: &str| trusted.contains(ip.parse::<IpAddr>().unwrap());
    for ip in [
        "127.0.0.2",
        "::1",
        "172.31.0.1",
        "fd00::1",
        "192.0.2.1",
        "1.2.3.4",
    ] {
        assert!(is_trusted(ip), "{ip}");
    }
    assert!(
        is_trusted("::ffff:10.1.2.3"),
        "as a dual-stack socket says it"
    );
    for ip in ["128.0.0.1", "172.32.0.1", "192.0.2.2", "fe80::1"] {
        assert!(!is_trusted(ip), "{ip}");
    }
    for text in ["", "localhost", "10.0.0.0/33", "10.0.0", "10.0.0.1:80"] {
        let error = TrustedProxies::parse([text]).unwrap_err();
        assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
    }
}

proptest! {
    /// Whatever the client sent, in the same line or in lines of its own, what
    /// the trusted proxy appended leads to the client or to the proxy.
    #[test]
    fn nothing_a_client_sends_moves_it(
        sent in proptest::collection::vec("[ -~]{0,40}", 0..4),
        is_https: bool,
        same_line: bool,
    ) {
        let proto = if is_https { "https" } else { "http" };
        let (mut standard, mut other) = (sent.clone(), sent);
        let append = |lines: &mut Vec<String>, member: String| match lines.last_mut() {
            Some(last) if same_line => *last = format!("{last}, {member}"),
            _ => lines.push(member),
        };
        append(&mut standard, format!("for=192.0.2.1;proto={proto}"));
        append(&mut other, "192.0.2.1".to_owned());
        let lines: Vec<_> = standard.iter().map(String::as_str).collect();
        let client = forwarded(&lines);
        prop_assert!(
            client == ("192.0.2.1".to_owned(), is_https) || client == (PROXY.to_owned(), false),
            "{client:?}"
        );
        let lines: Vec<_> = other.iter().map(String::as_str).collect();
        prop_assert_eq!(x_for(&lines), "192.0.2.1");
    }

    #[test]
    fn no_bytes_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
        let trusted = TrustedProxies::parse(["0.0.0.0/0", "::/0"]).unwrap();
        let fields = ForwardingFields {
            forwarded: std::iter::once(&line[..]),
            x_forwarded_for: std::iter::once(&line[..]),
            x_forwarded_proto: std::iter::once(&line[..]),
        };
        trace_client(PROXY.parse().unwrap(), &trusted, fields);
    }
}
