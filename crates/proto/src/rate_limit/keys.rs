//! The keys of one shard and their moments, bounded by their number.
//!
//! A key whose quota is whole again is as one never seen; such keys are taken
//! out bit by bit by `sweep`. When there are as many as there may be, the one
//! used longest ago makes room for a new one. That lets the evicted client have
//! a whole burst again: to forget somebody fails open, never shut.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::{Quota, QuotaVerdict, Tat};

/// A client and a rule as one number, by a hash nobody outside can steer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub u128);

/// Keys and their moments.
#[derive(Debug)]
pub struct KeyStore {
    keys_max: usize,
    by_key: HashMap<u128, u32, BuildHasherDefault<AsItIs>>,
    entries: Vec<KeyEntry>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    /// Where the sweep goes on.
    hand: usize,
    evicted: u64,
}

#[derive(Debug)]
struct KeyEntry {
    key: u128,
    tat: Tat,
    quota: Quota,
    newer: u32,
    older: u32,
    is_used: bool,
}

/// No entry.
const NONE: u32 = u32::MAX;

impl KeyStore {
    /// For up to `keys_max` keys, at least 1.
    pub fn new(keys_max: usize) -> Self {
        Self {
            keys_max: keys_max.clamp(1, NONE as usize),
            by_key: HashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            hand: 0,
            evicted: 0,
        }
    }

    /// Judges a request of `key` and counts it if it is let through.
    pub fn check(&mut self, key: KeyHash, quota: &Quota, now_ns: u64) -> QuotaVerdict {
        let index = match self.by_key.get(&key.0) {
            Some(index) => *index,
            None => self.admit(key.0, *quota),
        };
        self.touch(index);
        let entry = &mut self.entries[index as usize];
        entry.quota.check(&mut entry.tat, now_ns)
    }

    /// Looks at the next `keys` places and forgets keys whose quota is whole.
    pub fn sweep(&mut self, keys: usize, now_ns: u64) {
        for _ in 0..keys.min(self.entries.len()) {
            self.hand = (self.hand + 1) % self.entries.len();
            let entry = &self.entries[self.hand];
            if entry.is_used && entry.quota.is_whole(entry.tat, now_ns) {
                self.evict(self.hand as u32);
            }
        }
    }

    /// Keys that are remembered.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Keys forgotten for want of room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Places ever made.
    #[cfg(test)]
    pub(super) fn entries_made(&self) -> usize {
        self.entries.len()
    }

    /// A place for a new key, as the newest.
    fn admit(&mut self, key: u128, quota: Quota) -> u32 {
        if self.by_key.len() >= self.keys_max {
            self.evicted += 1;
            self.evict(self.oldest);
        }
        let entry = KeyEntry {
            key,
            tat: Tat::default(),
            quota,
            newer: NONE,
            older: NONE,
            is_used: true,
        };
        let index = match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = entry;
                index
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.by_key.insert(key, index);
        self.link(index);
        index
    }

    fn touch(&mut self, index: u32) {
        if self.newest != index {
            self.unlink(index);
            self.link(index);
        }
    }

    fn evict(&mut self, index: u32) {
        self.unlink(index);
        let entry = &mut self.entries[index as usize];
        entry.is_used = false;
        self.by_key.remove(&entry.key);
        self.free.push(index);
    }

    fn link(&mut self, index: u32) {
        let older = std::mem::replace(&mut self.newest, index);
        let entry = &mut self.entries[index as usize];
        (entry.newer, entry.older) = (NONE, older);
        match older {
            NONE => self.oldest = index,
            older => self.entries[older as usize].newer = index,
        }
    }

    fn unlink(&mut self, index: u32) {
        let KeyEntry { newer, older, .. } = self.entries[index as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.entries[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.entries[older as usize].newer = newer,
        }
    }
}

/// The keys are hashes already.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, number: u128) {
        // The home shard is chosen by the upper half.
        self.0 = number as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
