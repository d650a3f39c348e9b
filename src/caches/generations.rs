//! Generations of what every shard looks at for itself, such as files on disk.
//!
//! A shard may trust for a while what it has seen, unless another has seen
//! something newer meanwhile: whoever asked both would be taken back in time.
//! So a shard that finds a change begins a new generation of the thing before
//! it answers with what it found, and trusts what it knows only while the
//! generation is the one from before its own look. Checking costs one load of a
//! cache line that is written only when something changes. Things share their
//! counters by hash, and those of one counter are then looked at once more; a
//! counter says which state it was advanced for, so that the other shards that
//! find the same do not advance it again.
//!
//! Unlike messages, that needs nobody to be awake and no answer to be waited
//! for; it reaches the shards of this process.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::GENERATIONS;

/// A number that is another one in each generation: 24 bits of counter, 16 of
/// what tells the thing from others of the counter, 24 of its state.
pub(crate) type Generation = u64;

/// The generation of the thing with this hash. To be asked before one looks.
pub(crate) fn generation_of(hash: u64) -> Generation {
    slot(hash).load(Ordering::Acquire)
}

/// Tells that a look begun in generation `before` found the thing in `state`, a
/// hash, which is news to this shard or not; the generation that what was seen
/// is of. That is `before` itself, and so over, when others have found something
/// in between.
pub(crate) fn note_state(hash: u64, before: Generation, state: u64, is_news: bool) -> Generation {
    let mark = (hash >> 48) << STATE_BITS | state & ((1 << STATE_BITS) - 1);
    let is_of_this = (before ^ mark) & MARK & !((1 << STATE_BITS) - 1) == 0;
    let is_told = before & MARK == mark;
    if is_told || !is_of_this && !is_news {
        return before;
    }
    let next = |now: Generation| (now & !MARK).wrapping_add(MARK + 1) | mark;
    let begun = slot(hash).fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| Some(next(now)));
    match begun == Ok(before) {
        true => next(before),
        false => before,
    }
}

const STATE_BITS: u32 = 24;
/// What of a generation is thing and state.
const MARK: u64 = (1 << 40) - 1;

fn slot(hash: u64) -> &'static AtomicU64 {
    &SLOTS[(hash % GENERATIONS as u64) as usize]
}

static SLOTS: [AtomicU64; GENERATIONS] = [const { AtomicU64::new(0) }; GENERATIONS];

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one counter, and not the same thing.
    const ONE: u64 = 1 << 60 | 77;
    const OTHER: u64 = 2 << 60 | 77;

    #[test]
    fn what_was_seen_before_another_found_something_is_over_at_once() {
        let before = generation_of(ONE);
        // Both look at once, and find different things.
        let first = note_state(ONE, before, 1, true);
        assert_eq!(generation_of(ONE), first);
        let second = note_state(ONE, before, 2, true);
        assert_eq!(second, before);
        let now = generation_of(ONE);
        assert!(now != first && now != second);
        // Who finds what has been told is not told again, whatever was known.
        assert_eq!(note_state(ONE, now, 2, true), now);
        assert_eq!(generation_of(ONE), now);
        // It is as it was before: this is news, though not to this shard.
        let back = note_state(ONE, now, 1, false);
        assert!(back != now && back != first && generation_of(ONE) == back);
        // Another thing of the counter, where nothing has changed.
        assert_eq!(note_state(OTHER, back, 1, false), back);
        let of_other = note_state(OTHER, back, 1, true);
        assert!(of_other != back && generation_of(ONE) == of_other);
        assert_eq!(note_state(ONE, of_other, 1, false), of_other);
    }
}
