//! Keys: any bytes, hashed once.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use quick_cache::Equivalent;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A key as it is kept and sent. Shared bytes; cloning counts a reference.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheKey {
    /// First, so that ordering and inequality are mostly decided by it.
    hash: u64,
    /// How many of the bytes are the caller's; tokens of tags follow.
    own_bytes: usize,
    bytes: Arc<[u8]>,
}

/// A key as it is looked up: no allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRef<'a> {
    hash: u64,
    own_bytes: usize,
    bytes: &'a [u8],
}

/// Hashes keys the same way on all shards of a process. The seed is drawn at
/// start, so that clients cannot choose keys that collide.
#[derive(Debug, Clone, Copy)]
pub struct KeyHasher {
    seed: u64,
}

impl KeyHasher {
    /// A hasher of this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Hashes a key of the cache number `cache`.
    pub fn key<'a>(&self, cache: u16, bytes: &'a [u8]) -> KeyRef<'a> {
        self.tagged_key(cache, bytes, bytes.len())
    }

    /// Hashes a key whose first `own_bytes` are the caller's and whose others
    /// are tokens of tags.
    pub fn tagged_key<'a>(&self, cache: u16, bytes: &'a [u8], own_bytes: usize) -> KeyRef<'a> {
        let seed = self.seed.wrapping_add(u64::from(cache));
        KeyRef {
            hash: xxh3_64_with_seed(bytes, seed),
            own_bytes,
            bytes,
        }
    }

    /// A number that nobody outside can guess, another one for every `number`.
    pub fn token(&self, number: u64) -> u64 {
        xxh3_64_with_seed(&number.to_le_bytes(), !self.seed)
    }
}

impl KeyRef<'_> {
    /// The key, to keep.
    pub fn to_key(self) -> CacheKey {
        CacheKey {
            hash: self.hash,
            own_bytes: self.own_bytes,
            bytes: self.bytes.into(),
        }
    }

    /// Which of `shards` shards is the key's home.
    pub fn home(&self, shards: usize) -> usize {
        home_of(self.hash, shards)
    }
}

impl CacheKey {
    /// All its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The caller's bytes, and the tokens behind them.
    pub fn split(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.own_bytes)
    }

    /// The same key, to look up.
    pub fn as_ref(&self) -> KeyRef<'_> {
        KeyRef {
            hash: self.hash,
            own_bytes: self.own_bytes,
            bytes: &self.bytes,
        }
    }
}

/// By the high half of the hash (Lemire 2016, a multiplication instead of a
/// division); tables go by the low bits.
fn home_of(hash: u64, shards: usize) -> usize {
    (((hash >> 32) * shards as u64) >> 32) as usize
}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<CacheKey> for KeyRef<'_> {
    fn equivalent(&self, key: &CacheKey) -> bool {
        self.hash == key.hash && self.own_bytes == key.own_bytes && self.bytes == &*key.bytes
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes.escape_ascii())
    }
}

/// The hash is in the key already.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hashed;

/// See [`Hashed`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HashedState(u64);

impl BuildHasher for Hashed {
    type Hasher = HashedState;
    fn build_hasher(&self) -> HashedState {
        HashedState(0)
    }
}

impl Hasher for HashedState {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_spread_evenly() {
        let hasher = KeyHasher::new(7);
        for shards in [1, 2, 3, 64, 1_000] {
            let mut counts = vec![0_u32; shards];
            for id in 0..100 * shards {
                counts[hasher.key(1, id.to_string().as_bytes()).home(shards)] += 1;
            }
            assert!(
                counts.iter().all(|count| (40..200).contains(count)),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn tokens_are_no_part_of_the_callers_key() {
        let hasher = KeyHasher::new(7);
        let tagged = hasher.tagged_key(1, b"ab12345678", 2);
        let plain = hasher.key(1, b"ab12345678");
        assert!(!plain.equivalent(&tagged.to_key()));
        assert_eq!(tagged.to_key().split(), (&b"ab"[..], &b"12345678"[..]));
        assert_ne!(hasher.token(1), hasher.token(2));
        assert_ne!(hasher.token(1), KeyHasher::new(8).token(1));
    }

    #[test]
    fn the_same_bytes_are_another_key_in_another_cache() {
        let hasher = KeyHasher::new(7);
        let (one, two) = (hasher.key(1, b"42"), hasher.key(2, b"42"));
        assert_ne!(one.to_key(), two.to_key());
        assert_eq!(one.to_key(), hasher.key(1, b"42").to_key());
        assert!(one.equivalent(&one.to_key()));
        assert!(!two.equivalent(&one.to_key()));
    }
}
