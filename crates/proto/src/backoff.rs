//! Capped exponential back-off with jitter, for whatever is tried again:
//! a shard whose loop died, a connection that was lost.
//!
//! Sans-IO: the caller gives `now` and does the waiting. The delays of one
//! seed are always the same, so a failure can be replayed.

use std::time::{Duration, Instant};

use crate::clock::Millis;

/// Delays that double from `first_ms` to `max_ms` while failures follow each
/// other, and start over after a calm period.
///
/// ```
/// use corelane_proto::backoff::Backoff;
///
/// let mut backoff = Backoff::new(100, 10_000, 60_000);
/// let now = 5_000;
/// let delay_ms = backoff.next_delay_ms(now);
/// assert!((50..=100).contains(&delay_ms));
/// assert!((100..=200).contains(&backoff.next_delay_ms(now + delay_ms)));
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    first_ms: u64,
    max_ms: u64,
    reset_after_ms: u64,
    /// Failures since the last calm period.
    failures: u32,
    /// When the last delay is over. `None` before the first failure.
    retry_at: Option<Millis>,
    random: u64,
}

impl Backoff {
    /// The n-th delay in a row is between half of and all of
    /// `first_ms * 2^(n-1)`, at most `max_ms`; a `max_ms` below `first_ms`
    /// counts as `first_ms`. A failure that comes `reset_after_ms` or more
    /// after the last delay ended is the first again.
    pub fn new(first_ms: u64, max_ms: u64, reset_after_ms: u64) -> Self {
        Self {
            first_ms,
            max_ms: max_ms.max(first_ms),
            reset_after_ms,
            failures: 0,
            retry_at: None,
            random: 0,
        }
    }

    /// Gives the jitter a seed, so that many of them do not march in step: the
    /// index of the shard, say.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.random = seed;
        self
    }

    /// It failed at `now`: how long to wait before the next try, milliseconds.
    pub fn next_delay_ms(&mut self, now: Millis) -> u64 {
        let calm_ms = self
            .retry_at
            .map_or(0, |retry_at| now.saturating_sub(retry_at));
        if self.retry_at.is_some() && calm_ms >= self.reset_after_ms {
            self.failures = 0;
        }
        let ceiling_ms = self.ceiling_ms();
        self.failures = self.failures.saturating_add(1);
        let floor_ms = ceiling_ms.div_ceil(2);
        let delay_ms = floor_ms + self.next_random() % (ceiling_ms - floor_ms + 1);
        self.retry_at = Some(now.saturating_add(delay_ms));
        delay_ms
    }

    /// It worked and is known to be well: the next failure is the first.
    pub fn reset(&mut self) {
        self.failures = 0;
        self.retry_at = None;
    }

    /// Failures since the last calm period or [`Backoff::reset`].
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When the last delay is over; `None` when nothing failed yet.
    pub fn retry_at(&self) -> Option<Millis> {
        self.retry_at
    }

    fn ceiling_ms(&self) -> u64 {
        let factor = 1u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        self.first_ms.saturating_mul(factor).min(self.max_ms)
    }

    /// SplitMix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A [`Backoff`] for who takes the time as an [`Instant`]: when what failed may
/// be tried again.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use corelane_proto::backoff::{Backoff, RetrySchedule};
///
/// let now = Instant::now();
/// let mut retry = RetrySchedule::new(Backoff::new(100, 10_000, 60_000), now);
/// assert!(retry.is_due(now));
/// let pause = retry.failed(now);
/// assert!(!retry.is_due(now) && retry.is_due(now + pause));
/// ```
#[derive(Debug, Clone)]
pub struct RetrySchedule {
    backoff: Backoff,
    /// Where the scale of its milliseconds starts.
    began_at: Instant,
}

impl RetrySchedule {
    /// Nothing has failed yet. `now` is not after any that is given later.
    pub fn new(backoff: Backoff, now: Instant) -> Self {
        Self {
            backoff,
            began_at: now,
        }
    }

    /// It failed at `now`: how long to wait before the next try.
    pub fn failed(&mut self, now: Instant) -> Duration {
        let now_ms = self.millis(now);
        Duration::from_millis(self.backoff.next_delay_ms(now_ms))
    }

    /// See [`Backoff::reset`].
    pub fn worked(&mut self) {
        self.backoff.reset();
    }

    /// Whether the pause after the last failure is over, to the millisecond.
    pub fn is_due(&self, now: Instant) -> bool {
        let retry_at = self.backoff.retry_at();
        retry_at.is_none_or(|retry_at| retry_at <= self.millis(now))
    }

    fn millis(&self, now: Instant) -> Millis {
        now.saturating_duration_since(self.began_at).as_millis() as Millis
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let mut backoff = Backoff::new(100, 1_000, 60_000);
        let mut now = 0;
        for ceiling_ms in [100, 200, 400, 800, 1_000, 1_000] {
            let delay_ms = backoff.next_delay_ms(now);
            assert!(
                (ceiling_ms / 2..=ceiling_ms).contains(&delay_ms),
                "{delay_ms} {ceiling_ms}"
            );
            now += delay_ms;
        }
        assert_eq!(backoff.failures(), 6);
    }

    #[test]
    fn a_calm_period_starts_over_and_a_shorter_one_does_not() {
        let mut backoff = Backoff::new(100, 10_000, 1_000);
        let mut now = 7;
        for _ in 0..5 {
            now += backoff.next_delay_ms(now);
        }
        let delay_ms = backoff.next_delay_ms(now + 999);
        assert!(delay_ms >= 1_600, "{delay_ms}");
        let calm = backoff.retry_at().unwrap() + 1_000;
        assert!(backoff.next_delay_ms(calm) <= 100);
        assert_eq!(backoff.failures(), 1);
    }

    #[test]
    fn reset_starts_over() {
        let mut backoff = Backoff::new(100, 10_000, 1_000);
        for _ in 0..4 {
            backoff.next_delay_ms(0);
        }
        backoff.reset();
        assert_eq!(backoff.retry_at(), None);
        assert!(backoff.next_delay_ms(0) <= 100);
    }

    #[test]
    fn what_failed_is_due_again_after_its_pause_and_at_once_when_it_worked() {
        let began_at = Instant::now();
        let mut retry = RetrySchedule::new(Backoff::new(100, 1_000, 60_000), began_at);
        let later = began_at + Duration::from_secs(9);
        assert!(retry.is_due(later));
        let pause = retry.failed(later);
        assert!(pause <= Duration::from_millis(100), "{pause:?}");
        assert!(!retry.is_due(later + pause / 2));
        assert!(retry.is_due(later + pause));
        let longer = retry.failed(later + pause);
        assert!(longer >= Duration::from_millis(100), "{longer:?}");
        retry.worked();
        assert!(retry.is_due(later + pause));
        let first = retry.failed(later + pause);
        assert!(first <= Duration::from_millis(100), "{first:?}");
    }

    #[test]
    fn one_seed_gives_one_sequence_and_two_seeds_two() {
        let sequence = |seed| {
            let mut backoff = Backoff::new(1_000, 100_000, 1).with_seed(seed);
            (0..8).map(|_| backoff.next_delay_ms(0)).collect::<Vec<_>>()
        };
        assert_eq!(sequence(3), sequence(3));
        assert_ne!(sequence(3), sequence(4));
    }

    proptest! {
        #[test]
        fn never_over_the_cap_nor_under_half_the_first(
            first_ms in any::<u64>(), max_ms in any::<u64>(), reset_after_ms in any::<u64>(),
            seed in any::<u64>(), times in proptest::collection::vec(any::<u64>(), 1..80),
        ) {
            let mut backoff = Backoff::new(first_ms, max_ms, reset_after_ms).with_seed(seed);
            for now in times {
                let delay_ms = backoff.next_delay_ms(now);
                prop_assert!(delay_ms <= max_ms.max(first_ms));
                prop_assert!(delay_ms >= first_ms / 2);
            }
        }
    }
}
