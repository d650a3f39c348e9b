//! What stands in Redis under the key of a row: in which generation and version
//! of the row, then the row itself or nothing.
//!
//! The scripts in `l2` read and write the same head, byte by byte: the format,
//! the kind, the generation, the version in decimal digits.

/// An entry as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisEntry<'a> {
    /// Row or tombstone.
    pub kind: EntryKind,
    /// The generation it was put in.
    pub generation: &'a [u8],
    /// The version of the row.
    pub version: i64,
    /// The row; empty for a tombstone.
    pub row: &'a [u8],
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// The row in that version.
    Row,
    /// A row of that version or older must be read from the database.
    Tombstone,
}

/// Bytes of a generation's name.
pub const GENERATION_BYTES: usize = 16;
/// The version of a row that is gone, or whose version nobody knows.
pub const VERSION_ABOVE_ALL: i64 = i64::MAX;

const FORMAT: u8 = b'1';
const VERSION_DIGITS: usize = 20;
/// Format, kind, generation, version.
const HEAD_BYTES: usize = 2 + GENERATION_BYTES + VERSION_DIGITS;

/// A version as the scripts compare it: texts of one length that are in order
/// when the numbers are. Versions below zero count as zero.
pub fn version_digits(version: i64) -> String {
    format!("{:020}", version.max(0))
}

impl<'a> RedisEntry<'a> {
    /// Reads an entry; `None` when it is not one.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (head, row) = bytes.split_at_checked(HEAD_BYTES)?;
        let [FORMAT, kind, rest @ ..] = head else {
            return None;
        };
        let (generation, digits) = rest.split_at(GENERATION_BYTES);
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let version = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let kind = match (kind, row.is_empty()) {
            (b'v', _) => EntryKind::Row,
            (b't', true) => EntryKind::Tombstone,
            _ => return None,
        };
        Some(Self {
            kind,
            generation,
            version,
            row,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_is_read_as_the_scripts_write_it() {
        let text = b"1v0123456789abcdef00000000000000000042row";
        let entry = RedisEntry::parse(text).unwrap();
        assert_eq!((entry.kind, entry.version), (EntryKind::Row, 42));
        assert_eq!(
            (entry.generation, entry.row),
            (&b"0123456789abcdef"[..], &b"row"[..])
        );
        let tombstone = format!("1t0123456789abcdef{}", version_digits(VERSION_ABOVE_ALL));
        let entry = RedisEntry::parse(tombstone.as_bytes()).unwrap();
        assert_eq!(entry.kind, EntryKind::Tombstone);
        assert_eq!(entry.version, VERSION_ABOVE_ALL);
        for bad in [
            "",
            "1v",
            "2v0123456789abcdef00000000000000000042",
            &tombstone[1..],
        ] {
            assert_eq!(RedisEntry::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(RedisEntry::parse(format!("{tombstone}x").as_bytes()), None);
        let signed = "1v0123456789abcdef+0000000000000000042";
        assert_eq!(RedisEntry::parse(signed.as_bytes()), None);
    }

    proptest! {
        #[test]
        fn digits_are_in_the_order_of_versions(one in 0..=i64::MAX, other in 0..=i64::MAX) {
            prop_assert_eq!(version_digits(one).cmp(&version_digits(other)), one.cmp(&other));
        }

        #[test]
        fn any_bytes_are_an_entry_or_not(bytes in any::<Vec<u8>>()) {
            let _ = RedisEntry::parse(&bytes);
        }
    }
}
