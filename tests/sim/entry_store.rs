//! A store with room for a few entries, or none: what goes is taken in turn.

use corelane_proto::coherence::EntryStore;

use crate::world::Key;

/// Few entries, so looking at each is quickest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SmallStore<T> {
    entries: Vec<(Key, T)>,
    capacity: usize,
    turn: usize,
}

impl<T> SmallStore<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            entries: Vec::with_capacity(capacity),
            capacity,
            turn: 0,
        }
    }

    fn index(&self, key: &Key) -> Option<usize> {
        self.entries.iter().position(|(kept, _)| kept == key)
    }
}

impl<T> EntryStore<Key, T> for SmallStore<T> {
    fn find(&self, key: &Key) -> Option<&T> {
        self.index(key).map(|index| &self.entries[index].1)
    }

    fn update(&mut self, key: &Key, change: impl FnOnce(&mut T)) -> bool {
        let Some(index) = self.index(key) else {
            return false;
        };
        change(&mut self.entries[index].1);
        true
    }

    fn insert(&mut self, key: Key, entry: T, evicted: &mut Vec<(Key, T)>) {
        if let Some(index) = self.index(&key) {
            self.entries[index].1 = entry;
            return;
        }
        if self.capacity == 0 {
            evicted.push((key, entry));
            return;
        }
        if self.entries.len() == self.capacity {
            self.turn = (self.turn + 1) % self.capacity;
            evicted.push(self.entries.swap_remove(self.turn));
        }
        self.entries.push((key, entry));
    }

    fn remove(&mut self, key: &Key) -> Option<T> {
        let index = self.index(key)?;
        Some(self.entries.swap_remove(index).1)
    }

    fn clear(&mut self) {
        self.entries.clear();
    }
}
