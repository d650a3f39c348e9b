//! Linearizability by trying every order (Wing and Gong): for tiny histories,
//! to show that `zones` says the same.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::zones::{Moment, NEVER, Zones};

/// An operation of a tiny history.
#[derive(Debug, Clone, Copy)]
struct Operation {
    start: Moment,
    end: Moment,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Read(u32),
    Write(u32),
    /// It may have happened before its end, or never.
    PerhapsWrite(u32),
}

/// Whether some order of the operations explains them, by search.
fn is_linearizable(history: &[Operation]) -> bool {
    fn search(
        history: &[Operation],
        done: u32,
        value: u32,
        seen: &mut HashSet<(u32, u32)>,
    ) -> bool {
        let is_left = |index: usize| done & (1 << index) == 0;
        let is_required = |index: usize| !matches!(history[index].what, What::PerhapsWrite(_));
        if (0..history.len()).all(|index| !is_left(index) || !is_required(index)) {
            return true;
        }
        if !seen.insert((done, value)) {
            return false;
        }
        (0..history.len())
            .filter(|index| is_left(*index))
            .any(|next| {
                let (mut after, mut possible) = (done | 1 << next, true);
                for other in (0..history.len()).filter(|other| *other != next && is_left(*other)) {
                    if history[other].end < history[next].start {
                        possible &= !is_required(other);
                        // Too late for a write that was only possible.
                        after |= 1 << other;
                    }
                }
                let value = match history[next].what {
                    What::Read(read) if read != value => return false,
                    What::Read(_) => value,
                    What::Write(new) | What::PerhapsWrite(new) => new,
                };
                possible && search(history, after, value, seen)
            })
    }
    search(history, 0, 0, &mut HashSet::new())
}

fn is_linearizable_by_zones(history: &[Operation]) -> bool {
    let mut zones = Zones::new();
    let mut writes: Vec<_> = history.to_vec();
    writes.retain(|operation| !matches!(operation.what, What::Read(_)));
    writes.sort_by_key(|operation| match operation.what {
        What::Read(number) | What::Write(number) | What::PerhapsWrite(number) => number,
    });
    for write in writes {
        let number = zones.write_starts(write.start);
        match write.what {
            What::Write(_) => zones.write_ends(number, write.end),
            _ => zones.write_expires(number, write.end),
        }
    }
    let mut reads = history.iter().filter_map(|operation| match operation.what {
        What::Read(number) => Some((number, operation.start, operation.end)),
        _ => None,
    });
    reads.all(|(number, start, end)| zones.read(number, start, end).is_ok())
        && zones.check().is_ok()
}

/// Up to six operations with moments that all differ; writes are numbered from
/// 1 and reads may name any of them.
fn histories() -> impl Strategy<Value = Vec<Operation>> {
    let operation = (any::<u8>(), any::<u8>(), any::<u8>());
    let shuffled = |count: usize| Just((1..=2 * count as u64).collect::<Vec<_>>()).prop_shuffle();
    (1..=6_usize)
        .prop_flat_map(move |count| (prop::collection::vec(operation, count), shuffled(count)))
        .prop_map(|(kinds, moments)| {
            let mut writes = 0;
            let mut history: Vec<Operation> = Vec::new();
            for (index, (kind, _, forever)) in kinds.iter().enumerate() {
                let (a, b) = (moments[2 * index], moments[2 * index + 1]);
                let (start, mut end) = (a.min(b), a.max(b));
                let what = match kind % 4 {
                    0 | 1 => What::Read(0),
                    other => {
                        writes += 1;
                        match other {
                            2 => What::Write(writes),
                            _ => What::PerhapsWrite(writes),
                        }
                    }
                };
                if matches!(what, What::PerhapsWrite(_)) && forever % 2 == 0 {
                    end = NEVER;
                }
                history.push(Operation { start, end, what });
            }
            for (operation, (_, number, _)) in history.iter_mut().zip(&kinds) {
                if let What::Read(read) = &mut operation.what {
                    *read = u32::from(*number) % (writes + 1);
                }
            }
            history
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn both_checkers_agree(history in histories()) {
        prop_assert_eq!(is_linearizable(&history), is_linearizable_by_zones(&history));
    }
}

#[test]
fn known_histories_are_judged_right() {
    use What::{PerhapsWrite, Read, Write};
    let operation = |start, end, what| Operation { start, end, what };
    let stale = [operation(1, 2, Write(1)), operation(3, 4, Read(0))];
    let new_then_old = [
        operation(1, 10, Write(1)),
        operation(2, 3, Read(1)),
        operation(4, 5, Read(0)),
    ];
    let late_effect = [
        operation(1, NEVER, PerhapsWrite(1)),
        operation(2, 3, Read(0)),
        operation(4, 5, Read(1)),
    ];
    let too_late = [
        operation(1, 4, PerhapsWrite(1)),
        operation(5, 6, Read(0)),
        operation(7, 8, Read(1)),
    ];
    for (history, expected) in [
        (&stale[..], false),
        (&new_then_old[..], false),
        (&late_effect[..], true),
        (&too_late[..], false),
    ] {
        assert_eq!(is_linearizable(history), expected, "{history:?}");
        assert_eq!(is_linearizable_by_zones(history), expected, "{history:?}");
    }
}
