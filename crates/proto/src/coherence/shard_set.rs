//! A set of shards as bits.

/// Shards of one process, by index. Up to 64 without allocating.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardSet {
    low: u64,
    /// Words for shards from 64 on; no trailing zero words, so that equal sets
    /// are equal values.
    high: Vec<u64>,
}

const WORD_BITS: usize = u64::BITS as usize;

impl ShardSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self {
            low: 0,
            high: Vec::new(),
        }
    }

    /// Adds a shard; whether it was not there.
    pub fn insert(&mut self, shard: usize) -> bool {
        let word = self.word_mut(shard);
        let before = *word;
        *word |= 1 << (shard % WORD_BITS);
        *word != before
    }

    /// Takes a shard out; whether it was there.
    pub fn remove(&mut self, shard: usize) -> bool {
        if !self.contains(shard) {
            return false;
        }
        *self.word_mut(shard) &= !(1 << (shard % WORD_BITS));
        while self.high.last() == Some(&0) {
            self.high.pop();
        }
        true
    }

    /// Whether a shard is in it.
    pub fn contains(&self, shard: usize) -> bool {
        let word = match (shard / WORD_BITS).checked_sub(1) {
            None => self.low,
            Some(index) => self.high.get(index).copied().unwrap_or(0),
        };
        word & (1 << (shard % WORD_BITS)) != 0
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.low == 0 && self.high.is_empty()
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.words().map(|word| word.count_ones() as usize).sum()
    }

    /// The shards, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words().enumerate().flat_map(|(index, word)| {
            let rest = |word: &u64| Some(word & word.wrapping_sub(1));
            let bits = std::iter::successors(Some(word), rest);
            bits.take_while(|word| *word != 0)
                .map(move |word| index * WORD_BITS + word.trailing_zeros() as usize)
        })
    }

    /// Keeps only those also in `other`.
    pub fn retain(&mut self, other: &Self) {
        self.low &= other.low;
        for (index, word) in self.high.iter_mut().enumerate() {
            *word &= other.high.get(index).copied().unwrap_or(0);
        }
        while self.high.last() == Some(&0) {
            self.high.pop();
        }
    }

    /// Heap memory, bytes.
    pub fn heap_bytes(&self) -> usize {
        self.high.capacity() * size_of::<u64>()
    }

    fn words(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::once(self.low).chain(self.high.iter().copied())
    }

    fn word_mut(&mut self, shard: usize) -> &mut u64 {
        match (shard / WORD_BITS).checked_sub(1) {
            None => &mut self.low,
            Some(index) => {
                if self.high.len() <= index {
                    self.high.resize(index + 1, 0);
                }
                &mut self.high[index]
            }
        }
    }
}

impl FromIterator<usize> for ShardSet {
    fn from_iter<I: IntoIterator<Item = usize>>(shards: I) -> Self {
        let mut set = Self::new();
        for shard in shards {
            set.insert(shard);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0..200_usize), 0..60)) {
            let (mut set, mut model) = (ShardSet::new(), BTreeSet::new());
            for (add, shard) in steps {
                match add {
                    true => prop_assert_eq!(set.insert(shard), model.insert(shard)),
                    false => prop_assert_eq!(set.remove(shard), model.remove(&shard)),
                }
                prop_assert_eq!(set.contains(shard), model.contains(&shard));
            }
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>(), model.clone());
            prop_assert_eq!((set.len(), set.is_empty()), (model.len(), model.is_empty()));
            prop_assert_eq!(set, model.into_iter().collect::<ShardSet>(), "equal sets are equal");
        }

        #[test]
        fn retaining_is_the_intersection(
            a in prop::collection::btree_set(0..200_usize, 0..20),
            b in prop::collection::btree_set(0..200_usize, 0..20),
        ) {
            let mut both: ShardSet = a.iter().copied().collect();
            both.retain(&b.iter().copied().collect());
            prop_assert_eq!(both, a.intersection(&b).copied().collect::<ShardSet>());
        }
    }
}
