//! Page cursors as text: the `after=` of keyset pagination.
//!
//! A cursor is a place in one order of one list, handed out as `next` and
//! given back as it is. The text is hexadecimal, so it needs no escaping, and
//! there is exactly one text for a cursor. Its checksum tells a cursor that
//! was cut or changed from one that was handed out; it is no secret, because
//! a cursor grants nothing that the same list without it would not show.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::handlers::limits::CURSOR_TEXT_BYTES_MAX;
use crate::store::limits::{USER_AGE_YEARS_MAX, USER_NAME_CHARS_MAX};
use crate::store::{Cursor, UserSort};

/// The list and order a cursor is a place in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CursorOrder {
    /// Users in this order.
    Users(UserSort),
    /// Posts by id.
    Posts,
}

impl CursorOrder {
    fn tag(self) -> char {
        match self {
            Self::Users(UserSort::Id) => 'i',
            Self::Users(UserSort::IdDescending) => 'd',
            Self::Users(UserSort::NameThenAge) => 'n',
            Self::Posts => 'p',
        }
    }

    fn sorts_by_name(self) -> bool {
        self == Self::Users(UserSort::NameThenAge)
    }
}

/// The text of a cursor in this order.
pub fn encode(order: CursorOrder, cursor: &Cursor) -> String {
    let mut payload = format!("{}{}", order.tag(), cursor.id);
    if let Some((name, age)) = &cursor.name_age {
        payload.push_str(&format!(":{age}:{name}"));
    }
    let mut text = String::with_capacity(2 * (CHECKSUM_BYTES + payload.len()));
    let checksum = checksum(payload.as_bytes());
    for byte in checksum.iter().chain(payload.as_bytes()) {
        text.push(HEX[usize::from(byte >> 4)] as char);
        text.push(HEX[usize::from(byte & 15)] as char);
    }
    text
}

/// The cursor in `text`; `None` when it is not one that [`encode`] made for
/// this order.
pub fn decode(order: CursorOrder, text: &str) -> Option<Cursor> {
    if text.len() > CURSOR_TEXT_BYTES_MAX || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = text.as_bytes().chunks_exact(2);
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| Some(hex_value(pair[0])? << 4 | hex_value(pair[1])?))
        .collect();
    let bytes = bytes?;
    let (sum, payload) = bytes.split_at_checked(CHECKSUM_BYTES)?;
    if sum != checksum(payload) {
        return None;
    }
    let payload = std::str::from_utf8(payload).ok()?;
    let cursor = parse_payload(order, payload.strip_prefix(order.tag())?)?;
    // The one text of this cursor, not another spelling of it.
    (encode(order, &cursor) == text).then_some(cursor)
}

fn parse_payload(order: CursorOrder, payload: &str) -> Option<Cursor> {
    let (id, name_age) = if order.sorts_by_name() {
        let mut parts = payload.splitn(3, ':');
        let (id, age, name) = (parts.next()?, parts.next()?, parts.next()?);
        let age = age.parse().ok()?;
        let possible = (0..=USER_AGE_YEARS_MAX).contains(&age)
            && (1..=USER_NAME_CHARS_MAX).contains(&name.chars().count());
        if !possible {
            return None;
        }
        (id, Some((name.to_owned(), age)))
    } else {
        (payload, None)
    };
    let id = id.parse().ok().filter(|id| *id >= 1)?;
    Some(Cursor { id, name_age })
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    (xxh3_64_with_seed(payload, CHECKSUM_SEED) as u32).to_le_bytes()
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
const CHECKSUM_BYTES: usize = 4;
/// Changed when the payload's form changes, so that old cursors are refused.
const CHECKSUM_SEED: u64 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORDERS: [CursorOrder; 4] = [
        CursorOrder::Users(UserSort::Id),
        CursorOrder::Users(UserSort::IdDescending),
        CursorOrder::Users(UserSort::NameThenAge),
        CursorOrder::Posts,
    ];

    fn cursors() -> impl Strategy<Value = (CursorOrder, Cursor)> {
        (0..4_usize, 1..=i64::MAX, "\\PC{1,100}", 0..=150_i64).prop_map(|(order, id, name, age)| {
            let order = ORDERS[order];
            let name_age = order.sorts_by_name().then_some((name, age));
            (order, Cursor { id, name_age })
        })
    }

    #[test]
    fn the_longest_cursor_fits_its_limit() {
        let cursor = Cursor {
            id: i64::MAX,
            name_age: Some(("𝕏".repeat(USER_NAME_CHARS_MAX), USER_AGE_YEARS_MAX)),
        };
        let order = CursorOrder::Users(UserSort::NameThenAge);
        let text = encode(order, &cursor);
        assert!(text.len() <= CURSOR_TEXT_BYTES_MAX);
        assert_eq!(decode(order, &text), Some(cursor));
    }

    #[test]
    fn other_spellings_are_refused_even_with_a_right_checksum() {
        let order = CursorOrder::Users(UserSort::Id);
        for payload in ["i042", "i+42", "i0", "i-1", "i", "", "i42:1:x", "x42"] {
            let mut text = String::new();
            let sum = checksum(payload.as_bytes());
            for byte in sum.iter().chain(payload.as_bytes()) {
                text.push_str(&format!("{byte:02x}"));
            }
            assert_eq!(decode(order, &text), None, "{payload}");
        }
        let order = CursorOrder::Users(UserSort::NameThenAge);
        let cursor = Cursor {
            id: 42,
            name_age: Some(("Jo".into(), 36)),
        };
        let text = encode(order, &cursor);
        assert!(text.contains(|c: char| c.is_ascii_lowercase()));
        assert_eq!(decode(order, &text), Some(cursor));
        assert_eq!(decode(order, &text.to_uppercase()), None);
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back_in_its_own_order_only((order, cursor) in cursors()) {
            let text = encode(order, &cursor);
            for other in ORDERS {
                let expected = (other == order).then(|| cursor.clone());
                prop_assert_eq!(decode(other, &text), expected);
            }
        }

        #[test]
        fn a_changed_character_is_noticed(
            (order, cursor) in cursors(),
            at in any::<prop::sample::Index>(),
            digit in "[0-9a-f]",
        ) {
            let text = encode(order, &cursor);
            let at = at.index(text.len());
            let mut changed = text.clone();
            changed.replace_range(at..=at, &digit);
            prop_assume!(changed != text);
            prop_assert_eq!(decode(order, &changed), None);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,60}", hex in "[0-9a-f]{0,60}") {
            for order in ORDERS {
                prop_assert_eq!(decode(order, &text).is_some(), false);
                decode(order, &hex);
            }
        }
    }
}
