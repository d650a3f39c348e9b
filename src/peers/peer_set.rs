//! A set of shards as a bitmap: one word holds 64 of them.

/// Indexes of shards, in ascending order.
#[derive(Debug)]
pub(super) struct PeerSet {
    words: Vec<u64>,
}

impl PeerSet {
    /// An empty set with room for `shards` shards.
    pub(super) fn new(shards: usize) -> Self {
        Self {
            words: vec![0; words_for(shards)],
        }
    }

    pub(super) fn insert(&mut self, peer: usize) {
        self.words[peer / 64] |= bit(peer);
    }

    pub(super) fn remove(&mut self, peer: usize) {
        self.words[peer / 64] &= !bit(peer);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Adds the shards of word `index`.
    pub(super) fn insert_word(&mut self, index: usize, bits: u64) {
        self.words[index] |= bits;
    }

    /// The first shard that is not before `start`.
    pub(super) fn first_from(&self, start: usize) -> Option<usize> {
        let mut index = start / 64;
        let mut bits = self.words.get(index)? & (u64::MAX << (start % 64));
        while bits == 0 {
            index += 1;
            bits = *self.words.get(index)?;
        }
        Some(index * 64 + bits.trailing_zeros() as usize)
    }

    /// The first shard that is not before `start`, going on at 0.
    pub(super) fn next_round(&self, start: usize) -> Option<usize> {
        self.first_from(start).or_else(|| self.first_from(0))
    }

    /// Removes the first shard.
    pub(super) fn take_first(&mut self) -> Option<usize> {
        let peer = self.first_from(0)?;
        self.remove(peer);
        Some(peer)
    }

    /// Removes the shards that are not to be kept.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut start = 0;
        while let Some(peer) = self.first_from(start) {
            if !keep(peer) {
                self.remove(peer);
            }
            start = peer + 1;
        }
    }
}

/// Words that hold `shards` bits.
pub(super) fn words_for(shards: usize) -> usize {
    shards.div_ceil(64)
}

/// A shard's bit in its word.
pub(super) fn bit(peer: usize) -> u64 {
    1 << (peer % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_round_over_several_words() {
        let mut set = PeerSet::new(130);
        for peer in [0, 63, 64, 129] {
            set.insert(peer);
        }
        assert_eq!(set.next_round(1), Some(63));
        assert_eq!(set.next_round(65), Some(129));
        assert_eq!(set.next_round(130), Some(0));
        assert_eq!(set.first_from(192), None);
        set.retain(|peer| peer % 2 == 0);
        assert_eq!(set.take_first(), Some(0));
        assert_eq!(set.take_first(), Some(64));
        assert!(set.is_empty());
    }
}
