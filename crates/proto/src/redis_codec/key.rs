//! The key of an answer: one for all spellings of a URL that mean the same.

use sha2::{Digest, Sha256};

use crate::limits::ANSWER_KEY_BYTES_MAX;

/// Host, path and query in one spelling.
///
/// Percent-encoding is normalised as RFC 3986 section 6.2.2 has it: unreserved
/// characters are written out, hexadecimal digits are capitals. Pairs of the
/// query are sorted by name; pairs of one name keep their order, because
/// `id=2&id=1` may ask for another list than `id=1&id=2`. What is reserved
/// stays as it was sent: `+`, `%2B` and `%20` are three things.
pub fn canonical_target(host: &str, path: &str, query: Option<&str>) -> Vec<u8> {
    let length = host.len() + path.len() + query.map_or(0, str::len);
    let mut out = Vec::with_capacity(length + 1);
    out.extend(host.bytes().map(|byte| byte.to_ascii_lowercase()));
    push_normal(&mut out, path.as_bytes());
    if let Some(query) = query {
        out.push(b'?');
        let mut pairs: Vec<Pair> = query.split('&').map(Pair::of).collect();
        // Stable.
        pairs.sort_by(|one, other| one.name().cmp(other.name()));
        for (index, pair) in pairs.iter().enumerate() {
            if index > 0 {
                out.push(b'&');
            }
            out.extend_from_slice(&pair.text);
        }
    }
    out
}

/// A target short enough for a key: a long one is hashed.
pub fn hashed_key(target: Vec<u8>) -> Vec<u8> {
    if target.len() <= ANSWER_KEY_BYTES_MAX {
        return target;
    }
    // No target begins with it.
    let mut key = vec![b'#'];
    push_digest(&mut key, Sha256::new_with_prefix(&target));
    key
}

struct Pair {
    text: Vec<u8>,
    name_bytes: usize,
}

impl Pair {
    fn of(pair: &str) -> Self {
        let (name, rest) = pair.split_at(pair.find('=').unwrap_or(pair.len()));
        let mut text = Vec::with_capacity(pair.len());
        push_normal(&mut text, name.as_bytes());
        let name_bytes = text.len();
        push_normal(&mut text, rest.as_bytes());
        Self { text, name_bytes }
    }

    fn name(&self) -> &[u8] {
        &self.text[..self.name_bytes]
    }
}

fn push_normal(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    // Where the last percent sign is that begins no escape.
    let mut bare = None;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let Some((byte, after)) = escaped(*byte, tail) else {
            if *byte == b'%' {
                bare = Some(out.len());
            }
            out.push(*byte);
            continue;
        };
        rest = after;
        // Written out it would make an escape: `%%32B` is not `%2B`.
        let makes_one = byte.is_ascii_hexdigit() && bare.is_some_and(|at| out.len() - at <= 2);
        if is_unreserved(byte) && !makes_one {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend([byte >> 4, byte & 15].map(|n| HEX[usize::from(n)]));
        }
    }
}

/// The byte that an escape stands for, and what comes after it.
fn escaped(first: u8, tail: &[u8]) -> Option<(u8, &[u8])> {
    match (first, tail) {
        (b'%', [high, low, after @ ..]) => {
            let (high, low) = hex(*high).zip(hex(*low))?;
            Some((high << 4 | low, after))
        }
        _ => None,
    }
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The key of the answer to a request with these values of the fields that
/// `Vary` names; `None` stands for a field that is not there.
pub fn varied_key<'a>(
    base: &[u8],
    fields: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> Vec<u8> {
    let mut hash = Sha256::new();
    for (name, value) in fields {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        // A value that is not there has no length.
        if let Some(value) = value {
            hash.update((value.len() as u64).to_le_bytes());
            hash.update(value);
        } else {
            hash.update(u64::MAX.to_le_bytes());
        }
    }
    let mut key = base.to_vec();
    // No target has one.
    key.push(b'#');
    push_digest(&mut key, hash);
    key
}

fn push_digest(out: &mut Vec<u8>, hash: Sha256) {
    for byte in hash.finalize() {
        out.extend([byte >> 4, byte & 15].map(|n| HEX[usize::from(n)]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(target: &str) -> String {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        String::from_utf8(canonical_target("H", path, query)).unwrap()
    }

    #[test]
    fn spellings_of_one_url_have_one_key() {
        for (one, other) in [
            ("/a?b=1&a=2", "/a?a=2&b=1"),
            ("/a?a=%31", "/a?a=1"),
            ("/a?%61=1", "/a?a=1"),
            ("/a?x=%2f", "/a?x=%2F"),
            ("/%7Euser", "/~user"),
            ("/a?b=1&%61=2&c", "/a?c&a=2&b=1"),
        ] {
            assert_eq!(key(one), key(other), "{one} {other}");
        }
        assert_eq!(key("/a?b=1&a=%31"), "h/a?a=1&b=1");
    }

    #[test]
    fn what_may_mean_something_else_has_another_key() {
        let all = [
            "/a",
            "/a?",
            "/A",
            "/a/",
            "/a?a",
            "/a?a=",
            "/a?a=1",
            "/a?a=1&a=1",
            "/a?a=1&a=2",
            "/a?a=2&a=1",
            "/a?a=1%26b=2",
            "/a?a=1&b=2",
            "/a?a%3D1",
            "/a?a=1%3D",
            "/a?a=1=",
            "/a?a=+",
            "/a?a=%20",
            "/a?a=%2B",
            "/a?a=%",
            "/a?a=%25",
            "/a?a=%2",
            "/a?a=%zz",
            "/a%2Fb",
            "/a/b",
            "/a?a=1&&b=2",
            "/a%3Fa",
            "/a?a=%00",
            "/a?a=1;b=2",
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[..index] {
                assert_ne!(key(one), key(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn values_of_vary_are_told_apart_from_their_absence_and_each_other() {
        let key = |fields: &[(&'static str, Option<&'static str>)]| {
            let fields = fields.iter();
            varied_key(
                b"k",
                fields.map(|(name, value)| (*name, value.map(str::as_bytes))),
            )
        };
        let all = [
            key(&[("a", None), ("b", None)]),
            key(&[("a", Some("")), ("b", None)]),
            key(&[("a", None), ("b", Some(""))]),
            key(&[("a", Some("b")), ("b", None)]),
            key(&[("a", Some("x")), ("b", Some("y"))]),
            key(&[("a", Some("xy")), ("b", Some(""))]),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|key| key.starts_with(b"k#")));
    }

    #[test]
    fn a_percent_sign_that_begins_no_escape_makes_none_with_what_follows() {
        assert_eq!(key("/p?%%32B"), "h/p?%%32B");
        assert_ne!(key("/p?%%32B"), key("/p?%2B"));
        assert_ne!(key("/p?%2%42"), key("/p?%2B"));
        assert_ne!(key("/%%32Fa"), key("/%2Fa"));
        assert_eq!(key("/p?100%&b=%61"), "h/p?100%&b=a");
    }

    #[test]
    fn a_long_target_is_hashed() {
        let long = vec![b'a'; ANSWER_KEY_BYTES_MAX + 1];
        let key = hashed_key(long.clone());
        assert_eq!((key.len(), key[0]), (65, b'#'));
        assert_ne!(key, hashed_key([long, vec![b'a']].concat()));
        assert_eq!(hashed_key(b"h/a".to_vec()), b"h/a");
    }

    proptest! {
        #[test]
        fn a_key_is_its_own_key(query in "[a-c%0-9=&+]{0,12}") {
            let once = key(&format!("/p?{query}"));
            let again = key(once.strip_prefix('h').unwrap());
            prop_assert_eq!(once, again);
        }
    }
}
