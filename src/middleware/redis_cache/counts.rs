//! What one shard counts of its caches of answers in Redis, by name.

use std::cell::RefCell;
use std::rc::Rc;

use crate::app::ShardPart;
use crate::limits::L2_PUTS_IN_FLIGHT_MAX;
use crate::metrics::{MetricsSource, SecondLevelCounters, SecondLevelSnapshot, ShardSnapshot};

/// A handful of names: a scan beats hashing.
#[derive(Debug, Default)]
pub(crate) struct AnswerCounts(RefCell<Vec<NamedCounters>>);

#[derive(Debug)]
struct NamedCounters {
    level: SecondLevelSnapshot,
    puts_in_flight: usize,
}

impl AnswerCounts {
    /// Goes on from what a predecessor counted.
    fn resume(before: Vec<SecondLevelSnapshot>) -> Self {
        let counts = before.into_iter().map(|level| NamedCounters {
            level,
            puts_in_flight: 0,
        });
        Self(RefCell::new(counts.collect()))
    }

    /// Of a shard with these sources, which go on from what is theirs.
    pub(crate) fn beside(
        sources: &[Rc<dyn MetricsSource>],
        died: Option<&ShardSnapshot>,
    ) -> Rc<Self> {
        let mut before = died.map_or_else(Vec::new, |died| died.second_levels.clone());
        for source in sources {
            source.resume(&mut before);
        }
        Rc::new(Self::resume(before))
    }

    fn snapshot(&self) -> Vec<SecondLevelSnapshot> {
        self.0.borrow().iter().map(|c| c.level.clone()).collect()
    }

    pub(super) fn count(&self, name: &str, count: impl FnOnce(&mut SecondLevelCounters)) {
        self.change(name, |counts| count(&mut counts.level.counters));
    }

    /// Whether another answer may be put now; if so, [`end_put`](Self::end_put)
    /// must follow.
    pub(super) fn start_put(&self, name: &str) -> bool {
        self.change(name, |counts| {
            let has_room = counts.puts_in_flight < L2_PUTS_IN_FLIGHT_MAX;
            counts.puts_in_flight += usize::from(has_room);
            has_room
        })
    }

    pub(super) fn end_put(&self, name: &str) {
        self.change(name, |counts| counts.puts_in_flight -= 1);
    }

    fn change<T>(&self, name: &str, change: impl FnOnce(&mut NamedCounters) -> T) -> T {
        let mut all = self.0.borrow_mut();
        let known = all.iter().position(|counts| counts.level.name == name);
        let index = known.unwrap_or_else(|| {
            all.push(NamedCounters {
                level: SecondLevelSnapshot {
                    name: name.to_owned(),
                    ..Default::default()
                },
                puts_in_flight: 0,
            });
            all.len() - 1
        });
        change(&mut all[index])
    }
}

impl ShardPart for AnswerCounts {
    fn count(&self, snapshot: &mut ShardSnapshot) {
        snapshot.second_levels.extend(self.snapshot());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_puts_as_there_is_room_for() {
        let counts = AnswerCounts::default();
        for _ in 0..L2_PUTS_IN_FLIGHT_MAX {
            assert!(counts.start_put("a"));
        }
        assert!(!counts.start_put("a") && counts.start_put("b"));
        counts.end_put("a");
        assert!(counts.start_put("a"));
        counts.count("a", |counters| counters.hits += 1);
        let again = AnswerCounts::resume(counts.snapshot());
        assert_eq!(again.snapshot()[0].counters.hits, 1);
        assert!(again.start_put("a"));
    }
}
