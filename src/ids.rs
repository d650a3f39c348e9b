//! Request ids: unique per process start, cheap to make, safe to echo.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};

/// Longest request id taken over from a client, in bytes.
pub(crate) const REQUEST_ID_BYTES_MAX: usize = 64;

/// Makes request ids `<boot><shard>-<counter>` in hexadecimal; a shard that has
/// been restarted says how often: `<boot><shard>.<restarts>-<counter>`.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: String,
    next: Cell<u64>,
}

impl RequestIds {
    /// Ids of one shard. `boot` distinguishes process starts, `restarts` the
    /// incarnations of the shard, each of which counts from 1.
    pub(crate) fn new(boot: u32, shard: usize, restarts: u32) -> Self {
        let prefix = match restarts {
            0 => format!("{boot:08x}{shard:02x}-"),
            _ => format!("{boot:08x}{shard:02x}.{restarts:x}-"),
        };
        Self {
            prefix,
            next: Cell::new(1),
        }
    }

    /// Appends the next id to `out`.
    pub(crate) fn write_next(&self, out: &mut String) {
        use std::fmt::Write;
        let n = self.next.get();
        self.next.set(n + 1);
        out.push_str(&self.prefix);
        // Writing to a String cannot fail.
        let _ = write!(out, "{n:x}");
    }
}

/// A number that differs between process starts (not a secret).
pub(crate) fn boot_id() -> u32 {
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish() as u32
}

/// A number nobody outside can guess.
pub fn random_seed() -> u64 {
    let state = std::collections::hash_map::RandomState::new();
    state.build_hasher().finish()
}

/// Whether a client's request id may be echoed and logged as it is: 1 to 64
/// characters of `A-Z a-z 0-9 - _ . : +  / =`.
pub(crate) fn is_acceptable_request_id(id: &[u8]) -> bool {
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
        let boot = boot_id();
        let mut seen = std::collections::HashSet::new();
        for (shard, restarts) in [(3, 0), (3, 1), (3, 0x10), (0x31, 0), (0x310, 0)] {
            let ids = RequestIds::new(boot, shard, restarts);
            for _ in 0..40 {
                let mut id = String::new();
                ids.write_next(&mut id);
                assert!(is_acceptable_request_id(id.as_bytes()), "{id}");
                assert!(seen.insert(id), "{shard} {restarts}");
            }
        }
    }

    #[test]
    fn ids_that_could_forge_a_header_or_a_log_line_are_refused() {
        for bad in [&b""[..], b"a b", b"a\r\nX: y", b"a\"b", &[b'a'; 65]] {
            assert!(!is_acceptable_request_id(bad), "{bad:?}");
        }
    }
}
