//! A store small enough for every eviction to be explored.

use std::collections::BTreeMap;

use corelane_proto::coherence::EntryStore;

/// A key; homes are given by the configuration.
pub(crate) type Key = u8;

/// Room for so many entries. The lowest other key goes first, the new entry
/// itself if there is no room at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Room<T> {
    room: usize,
    entries: BTreeMap<Key, T>,
}

impl<T> Room<T> {
    pub(crate) fn for_entries(room: usize) -> Self {
        Self {
            room,
            entries: BTreeMap::new(),
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.entries.keys().copied()
    }
}

impl<T> EntryStore<Key, T> for Room<T> {
    fn find(&self, key: &Key) -> Option<&T> {
        self.entries.get(key)
    }

    fn update(&mut self, key: &Key, change: impl FnOnce(&mut T)) -> bool {
        self.entries.get_mut(key).map(change).is_some()
    }

    fn insert(&mut self, key: Key, entry: T, evicted: &mut Vec<(Key, T)>) {
        self.entries.insert(key, entry);
        while self.entries.len() > self.room {
            let other = self.keys().find(|there| *there != key).unwrap_or(key);
            evicted.extend(self.entries.remove_entry(&other));
        }
    }

    fn remove(&mut self, key: &Key) -> Option<T> {
        self.entries.remove(key)
    }

    fn clear(&mut self) {
        self.entries.clear();
    }
}
