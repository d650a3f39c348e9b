//! Could one register have answered like this? Gibbons and Korach, "Testing
//! shared memories" (1997), section 4: when every value is written once, a
//! history is linearizable exactly if the **zones** of its values fit.
//!
//! A value's zone lies between the first response and the last invocation of
//! the operations that wrote or read it. If the response comes first the zone
//! is *forward*: the register surely had the value all that time. Else it is
//! *backward*: all its operations overlap, and some moment inside will do. No
//! two forward zones may overlap, and no backward zone may lie inside a forward
//! one. A write without an answer has no response; unread, it says nothing.

use std::collections::BTreeMap;
use std::fmt;

/// One operation on one key; times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Op {
    pub(super) key: usize,
    pub(super) kind: Kind,
    /// Written or read. 0 is what was there before; no other is written twice.
    pub(super) value: u64,
    pub(super) invoked: u64,
    /// [`NEVER`] for a write whose outcome is not known.
    pub(super) responded: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

pub(super) const NEVER: u64 = u64::MAX;

/// Why no register could have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Violation {
    /// A value was read that nobody wrote, or before it was written.
    OutOfNowhere(Op),
    /// The register would have had both values at one time.
    Both(Zone, Zone),
}

/// See the head of this file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    key: usize,
    value: u64,
    first_response: u64,
    last_invocation: u64,
    ops: Vec<Op>,
}

impl Zone {
    fn is_forward(&self) -> bool {
        self.first_response < self.last_invocation
    }

    fn start(&self) -> u64 {
        self.first_response.min(self.last_invocation)
    }

    fn end(&self) -> u64 {
        self.first_response.max(self.last_invocation)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfNowhere(op) => write!(f, "read before or without its write: {op:?}"),
            Self::Both(one, other) => {
                writeln!(f, "key {} had two values at one time:", one.key)?;
                let mut ops: Vec<&Op> = one.ops.iter().chain(&other.ops).collect();
                ops.sort_by_key(|op| op.invoked);
                for op in ops {
                    let Op { kind, value, .. } = op;
                    let (from, to) = (op.invoked / 1_000, op.responded / 1_000);
                    writeln!(f, "  {from:>10} .. {to:>10} us  {kind:?} {value}")?;
                }
                Ok(())
            }
        }
    }
}

/// Checks every key's history for itself, which is enough (linearizability is
/// local).
pub(super) fn check(history: &[Op]) -> Result<(), Violation> {
    let mut by_key: BTreeMap<usize, Vec<Op>> = BTreeMap::new();
    for op in history {
        by_key.entry(op.key).or_default().push(*op);
    }
    by_key
        .into_iter()
        .try_for_each(|(key, ops)| check_key(key, &ops))
}

fn check_key(key: usize, ops: &[Op]) -> Result<(), Violation> {
    let zones = zones_of(key, ops)?;
    let (mut forward, backward): (Vec<Zone>, Vec<Zone>) =
        zones.into_iter().partition(Zone::is_forward);
    forward.sort_by_key(Zone::start);
    for pair in forward.windows(2) {
        if pair[1].start() < pair[0].end() {
            return Err(Violation::Both(pair[0].clone(), pair[1].clone()));
        }
    }
    // They do not overlap, so only the last that starts before can contain.
    for zone in backward {
        let index = forward.partition_point(|f| f.start() < zone.start());
        if index > 0 && zone.end() < forward[index - 1].end() {
            return Err(Violation::Both(forward[index - 1].clone(), zone));
        }
    }
    Ok(())
}

fn zones_of(key: usize, ops: &[Op]) -> Result<Vec<Zone>, Violation> {
    let mut zones = BTreeMap::new();
    let before = Op {
        key,
        kind: Kind::Write,
        value: 0,
        invoked: 0,
        responded: 0,
    };
    let writes = ops.iter().filter(|op| op.kind == Kind::Write);
    for write in writes.chain([&before]) {
        let zone = Zone {
            key,
            value: write.value,
            first_response: write.responded,
            last_invocation: write.invoked,
            ops: vec![*write],
        };
        let twice = zones.insert(write.value, zone);
        assert!(twice.is_none(), "a value is written once: {write:?}");
    }
    for read in ops.iter().filter(|op| op.kind == Kind::Read) {
        let zone = zones.get_mut(&read.value);
        let zone = zone.ok_or(Violation::OutOfNowhere(*read))?;
        if read.responded < zone.ops[0].invoked {
            return Err(Violation::OutOfNowhere(*read));
        }
        zone.first_response = zone.first_response.min(read.responded);
        zone.last_invocation = zone.last_invocation.max(read.invoked);
        zone.ops.push(*read);
    }
    let says_something = |zone: &Zone| zone.first_response != NEVER;
    Ok(zones.into_values().filter(says_something).collect())
}

fn op(kind: Kind, value: u64, invoked: u64, responded: u64) -> Op {
    Op {
        key: 0,
        kind,
        value,
        invoked,
        responded,
    }
}

fn read(value: u64, invoked: u64, responded: u64) -> Op {
    op(Kind::Read, value, invoked, responded)
}

fn write(value: u64, invoked: u64, responded: u64) -> Op {
    op(Kind::Write, value, invoked, responded)
}

#[test]
fn what_a_register_does_is_allowed() {
    for good in [
        vec![],
        vec![read(0, 1, 2), write(1, 3, 4), read(1, 5, 6)],
        // During a write either value is right, in whichever order threads see
        // it, but for one that has seen the new.
        vec![
            write(1, 1, 10),
            read(0, 2, 3),
            read(1, 4, 5),
            read(1, 11, 12),
        ],
        vec![write(1, 1, 10), read(1, 2, 5), read(0, 3, 6)],
        // Two writes at once may end either way.
        vec![write(1, 1, 10), write(2, 2, 9), read(1, 11, 12)],
        vec![write(1, 1, 10), write(2, 2, 9), read(2, 11, 12)],
        // A write without an answer may have happened, at any time, or not.
        vec![write(1, 1, NEVER), read(0, 2, 3)],
        vec![write(1, 1, NEVER), read(0, 2, 3), read(1, 90, 91)],
        vec![
            write(1, 1, NEVER),
            write(2, 5, 6),
            read(2, 7, 8),
            read(1, 9, 10),
        ],
    ] {
        assert_eq!(check(&good), Ok(()), "{good:?}");
    }
}

#[test]
fn what_no_register_does_is_found() {
    for bad in [
        // Old after the write was acknowledged; also of what was there before.
        vec![write(1, 1, 2), read(0, 3, 4)],
        vec![write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)],
        // New, then old, while the write has no answer yet.
        vec![write(1, 1, 10), read(1, 2, 3), read(0, 4, 5)],
        vec![write(1, 1, NEVER), read(1, 2, 3), read(0, 4, 5)],
        // Back and forth between two writes at once.
        vec![
            write(1, 1, 10),
            write(2, 1, 10),
            read(1, 11, 12),
            read(2, 13, 14),
            read(1, 15, 16),
        ],
        // Lost: the other value came first, and was read again.
        vec![
            write(1, 1, 2),
            write(2, 3, NEVER),
            read(2, 4, 5),
            read(1, 6, 7),
        ],
        // Out of nowhere: never written, or not yet.
        vec![read(7, 1, 2)],
        vec![read(1, 1, 2), write(1, 3, 4)],
    ] {
        assert!(check(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn keys_have_histories_of_their_own() {
    let mut other = read(0, 3, 4);
    other.key = 1;
    assert_eq!(check(&[write(1, 1, 2), other]), Ok(()));
    other.key = 0;
    let violation = check(&[write(1, 1, 2), other]).expect_err("a stale read");
    assert!(violation.to_string().contains("two values"), "{violation}");
}

/// Against the definition itself: some order of the operations that respects
/// time, in which every read gives what was written last.
#[test]
fn it_agrees_with_trying_every_order() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..20_000 {
        let writes = random.u64(1..=3);
        let mut ops: Vec<Op> = Vec::new();
        for value in 1..=writes {
            let invoked = random.u64(1..12);
            let responded = invoked + random.u64(1..6);
            let lost = random.u8(..4) == 0;
            ops.push(write(value, invoked, if lost { NEVER } else { responded }));
        }
        for _ in 0..random.u64(1..=3) {
            let invoked = random.u64(1..16);
            let read = read(random.u64(0..=writes), invoked, invoked + random.u64(1..5));
            ops.push(read);
        }
        let possible = some_order(&ops, 0);
        assert_eq!(check(&ops).is_ok(), possible, "{ops:?}");
        *(if possible { &mut good } else { &mut bad }) += 1;
    }
    assert!(good > 1_000 && bad > 1_000, "{good} good, {bad} bad");
}

fn some_order(left: &[Op], value: u64) -> bool {
    if left.iter().all(|op| op.responded == NEVER) {
        return true;
    }
    let first_response = left.iter().map(|op| op.responded).min().unwrap_or(NEVER);
    let may_come = |op: &Op| op.invoked <= first_response;
    left.iter().enumerate().any(|(index, op)| {
        let fits = may_come(op) && (op.kind == Kind::Write || op.value == value);
        let next = if op.kind == Kind::Write {
            op.value
        } else {
            value
        };
        let mut rest = left.to_vec();
        rest.remove(index);
        fits && some_order(&rest, next)
    })
}
