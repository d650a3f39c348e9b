//! `Last-Modified`: a date in whole seconds, and when it may stand for a state
//! (RFC 9110 section 8.8.2.2).
//!
//! Two changes within one second have the same date, so a date tells states
//! apart only when nobody can have been given the same one for another state.
//! That is kept here for files, rows and prepared answers alike: while the
//! second of the last change is not over, the state is dated one second
//! earlier and that date stands for nothing; the date of the second itself is
//! first given out when nothing can change within it any more. It needs no
//! memory, and so holds over shards, nodes and restarts.

use http::HeaderValue;

use super::date::format_http_date;
use crate::limits::DATE_SETTLES_MS;

/// The date of one state of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastModified {
    second: i64,
    looked_s: i64,
    stands: bool,
    may_go_back: bool,
}

impl LastModified {
    /// Of what was last changed at `changed_ms`, by the clock that also said
    /// `looked_ms` right before it was read; milliseconds since the Unix epoch.
    ///
    /// ```
    /// use corelane_proto::semantics::LastModified;
    ///
    /// let later = LastModified::of(784_111_777_500, 784_111_790_000);
    /// assert_eq!(later.header_value().unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
    /// assert!(later.stands());
    /// // It may change once more within its second.
    /// let at_once = LastModified::of(784_111_777_500, 784_111_777_600);
    /// assert_eq!(at_once.header_value().unwrap(), "Sun, 06 Nov 1994 08:49:36 GMT");
    /// assert!(!at_once.stands());
    /// ```
    pub fn of(changed_ms: i64, looked_ms: i64) -> Self {
        let (changed_s, looked_s) = (changed_ms.div_euclid(1_000), looked_ms.div_euclid(1_000));
        let stands = settled_ms(changed_s) <= looked_ms;
        let second = match stands {
            true => changed_s,
            // Never after the Date either.
            false => changed_s.min(looked_s) - 1,
        };
        Self {
            second,
            looked_s,
            stands,
            may_go_back: false,
        }
    }

    /// Of what has not been changed since it was made at `made_ms`: whoever names
    /// its date can have it from no other state, so it stands at once. A change
    /// within the same second must then get a date after it.
    pub fn of_first(made_ms: i64, looked_ms: i64) -> Self {
        let (made_s, looked_s) = (made_ms.div_euclid(1_000), looked_ms.div_euclid(1_000));
        Self {
            second: made_s.min(looked_s),
            looked_s,
            stands: true,
            may_go_back: false,
        }
    }

    /// Of an answer that came with the date `second` at `looked_ms`. Nobody
    /// says whether that is the second itself or the one before it, so it
    /// stands only when both are over.
    pub fn of_header(second: i64, looked_ms: i64) -> Self {
        Self {
            second,
            looked_s: looked_ms.div_euclid(1_000),
            stands: settled_ms(second.saturating_add(1)) <= looked_ms,
            may_go_back: false,
        }
    }

    /// The same of a resource whose dates come from outside, as those of files
    /// do: one with a later date may be replaced by one with an earlier. Then
    /// only the very same date is of the same state.
    #[must_use]
    pub fn may_go_back(self) -> Self {
        Self {
            may_go_back: true,
            ..self
        }
    }

    /// The date, seconds since the Unix epoch.
    pub fn second(self) -> i64 {
        self.second
    }

    /// The value of `Last-Modified`, unless it is a time that has no date.
    pub fn header_value(self) -> Option<HeaderValue> {
        format_http_date(self.second)
    }

    /// Whether it is a strong validator.
    pub fn stands(self) -> bool {
        self.stands
    }

    /// Whether a date of `If-Range` is of this state.
    pub(super) fn is_same(self, date: i64) -> bool {
        self.stands && date == self.second
    }

    /// Whether this is no newer than what a client has that names `since` in
    /// `If-Modified-Since`. What does not stand is always sent.
    pub(super) fn is_fresh(self, since: i64) -> bool {
        self.stands
            && match self.may_go_back {
                true => since == self.second,
                false => since >= self.second,
            }
    }

    /// Whether nothing was changed since the date of `If-Unmodified-Since`. A
    /// date from after the look is nobody's; of any other it must be known.
    pub(super) fn is_unmodified(self, since: i64) -> bool {
        since > self.looked_s || self.stands && since >= self.second
    }
}

/// When nothing can change within that second any more, milliseconds.
fn settled_ms(second: i64) -> i64 {
    second
        .saturating_add(1)
        .saturating_mul(1_000)
        .saturating_add(DATE_SETTLES_MS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: i64 = 784_111_777;

    #[test]
    fn a_date_stands_once_its_second_is_over() {
        let changed_ms = SECOND * 1_000 + 100;
        for (looked_ms, date, stands) in [
            (changed_ms, SECOND - 1, false),
            (SECOND * 1_000 + 999, SECOND - 1, false),
            // Clocks that tick rarely may still stamp something into it.
            (SECOND * 1_000 + 1_000, SECOND - 1, false),
            (SECOND * 1_000 + 1_000 + DATE_SETTLES_MS, SECOND, true),
            (SECOND * 1_000 + 9_000, SECOND, true),
            // The clock was set back.
            (SECOND * 1_000 - 5_000, SECOND - 6, false),
        ] {
            let modified = LastModified::of(changed_ms, looked_ms);
            assert_eq!((modified.second(), modified.stands()), (date, stands));
            assert_eq!(modified.is_same(date), stands);
            assert_eq!(modified.is_fresh(date), stands);
            assert_eq!(modified.is_unmodified(date), stands);
            assert!(modified.is_unmodified(looked_ms / 1_000 + 1));
            assert!(!modified.is_unmodified(date - 1) && !modified.is_fresh(date - 1));
        }
    }

    #[test]
    fn what_may_go_back_is_known_by_the_very_date() {
        let row = LastModified::of(SECOND * 1_000, SECOND * 1_000 + 9_000);
        let file = row.may_go_back();
        assert!(row.is_fresh(SECOND + 1) && row.is_unmodified(SECOND + 1));
        assert!(!file.is_fresh(SECOND + 1));
        // Written no later than that (RFC 9110 section 13.1.4), whoever has it.
        assert!(file.is_unmodified(SECOND + 1) && !file.is_unmodified(SECOND - 1));
        assert!(file.is_fresh(SECOND) && file.is_unmodified(SECOND));
        // Nobody was given a date of the future.
        assert!(file.is_unmodified(SECOND + 10));
    }

    #[test]
    fn the_first_state_has_its_date_alone() {
        for after_ms in [0, 500, 5_000] {
            let first = LastModified::of_first(SECOND * 1_000, SECOND * 1_000 + after_ms);
            assert_eq!((first.second(), first.stands()), (SECOND, true));
            assert!(first.is_fresh(SECOND) && first.is_unmodified(SECOND));
            assert!(!first.is_fresh(SECOND - 1) && !first.is_unmodified(SECOND - 1));
        }
        let ahead = LastModified::of_first(SECOND * 1_000, SECOND * 1_000 - 1);
        assert_eq!(ahead.second(), SECOND - 1, "never after the Date");
    }

    #[test]
    fn a_date_of_unknown_making_stands_a_second_later() {
        let looked = |ms| LastModified::of_header(SECOND, SECOND * 1_000 + ms);
        assert!(!looked(0).stands() && !looked(1_999).stands());
        assert!(looked(2_000 + DATE_SETTLES_MS).stands());
    }

    proptest! {
        /// A client that was shown a state and names its date later is told
        /// that it is current only if it is.
        #[test]
        fn no_date_is_taken_for_that_of_another_state(
            changes in proptest::collection::vec(0_i64..1_500, 1..6),
            looks in proptest::collection::vec(0_i64..5_000, 1..8),
        ) {
            let mut at_ms = SECOND * 1_000;
            let mut states = Vec::new();
            for step in changes {
                at_ms += step;
                states.push(at_ms);
            }
            let current = |now_ms: i64| states.iter().rposition(|changed| *changed <= now_ms);
            let shown: Vec<_> = looks.iter().filter_map(|after| {
                let now_ms = SECOND * 1_000 + after;
                let state = current(now_ms)?;
                Some((now_ms, state, LastModified::of(states[state], now_ms)))
            }).collect();
            for (then_ms, then, date) in &shown {
                for (now_ms, now, modified) in &shown {
                    if now_ms >= then_ms && modified.is_same(date.second()) {
                        prop_assert_eq!(states[*then], states[*now]);
                    }
                }
            }
        }

        #[test]
        fn no_number_panics(changed: i64, looked: i64, since: i64) {
            for modified in [LastModified::of(changed, looked), LastModified::of_header(changed, looked)] {
                let _ = (modified.header_value(), modified.is_fresh(since), modified.is_unmodified(since));
            }
            let _ = LastModified::of_first(changed, looked).is_fresh(since);
        }
    }
}
