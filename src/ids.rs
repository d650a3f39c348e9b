//! Request ids: unique per process start, cheap to make, safe to echo.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};

/// Longest request id taken over from a client, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 64;

/// Makes request ids `<boot><shard>-<counter>` in hexadecimal.
#[derive(Debug)]
pub struct RequestIds {
    prefix: String,
    next: Cell<u64>,
}

impl RequestIds {
    /// Ids of one shard. `boot` distinguishes process starts.
    pub fn new(boot: u32, shard: usize) -> Self {
        Self {
            prefix: format!("{boot:08x}{shard:02x}-"),
            next: Cell::new(1),
        }
    }

    /// The next id.
    pub fn next_id(&self) -> String {
        let mut id = String::with_capacity(24);
        self.write_next(&mut id);
        id
    }

    /// Appends the next id to `out`.
    pub fn write_next(&self, out: &mut String) {
        use std::fmt::Write;
        let n = self.next.get();
        self.next.set(n + 1);
        out.push_str(&self.prefix);
        // Writing to a String cannot fail.
        let _ = write!(out, "{n:x}");
    }
}

/// A number that differs between process starts (not a secret).
pub fn boot_id() -> u32 {
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish() as u32
}

/// Whether a client's request id may be echoed and logged as it is: 1 to 64
/// characters of `A-Z a-z 0-9 - _ . : +  / =`.
pub fn is_acceptable_request_id(id: &[u8]) -> bool {
    !id.is_empty()
        && id.len() <= REQUEST_ID_BYTES_MAX
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.:+/=".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_acceptable() {
        let ids = RequestIds::new(boot_id(), 3);
        let (a, b) = (ids.next_id(), ids.next_id());
        assert_ne!(a, b);
        assert!(is_acceptable_request_id(a.as_bytes()), "{a}");
    }

    #[test]
    fn ids_that_could_forge_a_header_or_a_log_line_are_refused() {
        for bad in [&b""[..], b"a b", b"a\r\nX: y", b"a\"b", &[b'a'; 65]] {
            assert!(!is_acceptable_request_id(bad), "{bad:?}");
        }
    }
}
