//! A map bounded by the weight of what is in it, in bytes.
//!
//! quick_cache's unsynchronised cache (S3-FIFO like: one-hit wonders do not
//! push out what is used), handing back what it evicts.

use std::marker::PhantomData;

use quick_cache::unsync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::key::{CacheKey, Hashed, KeyRef};

/// What an entry weighs without its key.
pub trait ByBytes {
    /// Heap and inline bytes. Must not change while it is kept.
    fn weight_bytes(&self) -> usize;
}

/// A bounded map.
pub struct Bounded<T> {
    map: Cache<CacheKey, T, EntryWeight, Hashed, HandBack<T>>,
}

/// Entries that had to go.
struct HandBack<T>(PhantomData<T>);

#[derive(Clone)]
struct EntryWeight {
    /// So that there are never more than so many entries.
    entry_bytes_min: u64,
}

/// Table slots, links and the counted key of an entry: measured, rounded up.
const ENTRY_OVERHEAD_BYTES: usize = 96;

/// Typical entry, for the first size of the tables; they grow.
const ENTRY_BYTES_TYPICAL: u64 = 512;

impl<T: ByBytes> Bounded<T> {
    /// At most `bytes_max` bytes, and at most `keys_max` entries.
    pub fn new(bytes_max: u64, keys_max: Option<u64>) -> Self {
        let bytes_max = bytes_max.max(1);
        let entry_bytes_min = keys_max.map_or(1, |keys| bytes_max.div_ceil(keys.max(1)));
        let entries = keys_max
            .unwrap_or(u64::MAX)
            .min(bytes_max / ENTRY_BYTES_TYPICAL);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(entries.clamp(16, 1 << 16) as usize)
            .weight_capacity(bytes_max)
            .build()
            .expect("both capacities are given");
        let weigh = EntryWeight { entry_bytes_min };
        Self {
            map: Cache::with_options(options, weigh, Hashed, HandBack(PhantomData)),
        }
    }

    /// The entry; it was of use.
    pub fn find(&self, key: KeyRef<'_>) -> Option<&T> {
        self.map.get(&key)
    }

    /// Changes an entry in place, not its weight; whether there is one.
    pub fn update(&mut self, key: KeyRef<'_>, change: impl FnOnce(&mut T)) -> bool {
        let Some(mut entry) = self.map.get_mut(&key) else {
            return false;
        };
        change(&mut entry);
        true
    }

    /// Puts an entry in; what had to go is added to `evicted`, the new entry
    /// itself if it alone is too large.
    pub fn insert(&mut self, key: CacheKey, entry: T, evicted: &mut Vec<(CacheKey, T)>) {
        let mut gone = EvictedPairs::default();
        let inserted = key.clone();
        self.map.insert_with_lifecycle(key, entry, &mut gone);
        if gone.0.is_empty() {
            return;
        }
        // One that was replaced is handed back too, but has not gone.
        let is_in = self.map.contains_key(&inserted.as_ref());
        let gone = gone.0.into_iter();
        evicted.extend(gone.filter(|(key, _)| !is_in || *key != inserted));
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: KeyRef<'_>) -> Option<T> {
        self.map.remove(&key).map(|(_, entry)| entry)
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.map.clear();
    }

    /// Every entry, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&CacheKey, &T)> {
        self.map.iter()
    }

    /// Entries.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.len() == 0
    }

    /// Weight of all entries, bytes.
    pub fn weight_bytes(&self) -> u64 {
        self.map.weight()
    }
}

impl<T: ByBytes> Weighter<CacheKey, T> for EntryWeight {
    fn weight(&self, key: &CacheKey, entry: &T) -> u64 {
        let bytes = ENTRY_OVERHEAD_BYTES + key.bytes().len() + entry.weight_bytes();
        (bytes as u64).max(self.entry_bytes_min)
    }
}

struct EvictedPairs<T>(Vec<(CacheKey, T)>);

impl<T> Default for EvictedPairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Lifecycle<CacheKey, T> for HandBack<T> {
    type RequestState = EvictedPairs<T>;

    fn on_evict(&self, gone: &mut EvictedPairs<T>, key: CacheKey, entry: T) {
        gone.0.push((key, entry));
    }
}

impl<T> std::fmt::Debug for Bounded<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bounded")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cache::KeyHasher;

    impl ByBytes for usize {
        fn weight_bytes(&self) -> usize {
            *self
        }
    }

    fn key(id: usize) -> CacheKey {
        KeyHasher::new(1).key(1, id.to_string().as_bytes()).to_key()
    }

    #[test]
    fn what_goes_in_stays_or_is_handed_back() {
        let mut map = Bounded::new(10_000, None);
        let mut evicted = Vec::new();
        for id in 0..1_000 {
            map.insert(key(id), 100, &mut evicted);
        }
        assert!(map.weight_bytes() <= 10_000);
        assert!(map.len() > 20, "{}", map.len());
        let mut all: BTreeSet<_> = evicted.into_iter().map(|(key, _)| key).collect();
        let gone = all.len();
        all.extend(map.iter().map(|(key, _)| key.clone()));
        assert_eq!((all.len(), gone + map.len()), (1_000, 1_000));
    }

    #[test]
    fn an_entry_too_large_is_handed_back_itself() {
        let mut map = Bounded::new(10_000, None);
        let mut evicted = Vec::new();
        map.insert(key(1), 20_000, &mut evicted);
        assert_eq!(evicted.len(), 1);
        assert!(map.is_empty());
    }

    #[test]
    fn keys_are_bounded_too() {
        let mut map = Bounded::new(1 << 20, Some(10));
        let mut evicted = Vec::new();
        for id in 0..100 {
            map.insert(key(id), 1, &mut evicted);
        }
        assert!((5..=10).contains(&map.len()), "{}", map.len());
        assert_eq!(evicted.len() + map.len(), 100);
    }

    #[test]
    fn replacing_and_changing_evict_nothing() {
        let mut map = Bounded::new(10_000, None);
        let mut evicted = Vec::new();
        map.insert(key(1), 10, &mut evicted);
        map.insert(key(1), 10, &mut evicted);
        assert!(map.update(key(1).as_ref(), |entry| *entry = 10));
        assert!(!map.update(key(2).as_ref(), |_| {}));
        assert!(evicted.is_empty());
        assert_eq!(map.remove(key(1).as_ref()), Some(10));
        assert_eq!(map.remove(key(1).as_ref()), None);
    }
}
