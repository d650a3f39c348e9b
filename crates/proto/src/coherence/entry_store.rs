//! Where copies are kept: bounded, and forgetting is its own decision.

/// A bounded map that may drop entries to make room. What it drops when
/// something is inserted it hands back, because copies elsewhere may have to be
/// called in first.
pub trait EntryStore<K, T> {
    /// The entry; it was of use.
    fn find(&self, key: &K) -> Option<&T>;

    /// Changes the entry in place, which must not change its weight; whether
    /// there is one.
    fn update(&mut self, key: &K, change: impl FnOnce(&mut T)) -> bool;

    /// Puts an entry in, replacing one with the same key, and adds what had to
    /// go to `evicted`; the new entry itself, if there is no room for it.
    fn insert(&mut self, key: K, entry: T, evicted: &mut Vec<(K, T)>);

    /// Takes an entry out.
    fn remove(&mut self, key: &K) -> Option<T>;

    /// Drops everything.
    fn clear(&mut self);
}
