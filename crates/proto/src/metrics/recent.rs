//! What went wrong on a shard in the last seconds: errors that were answered 5xx,
//! by route, and access log lines that were lost. Only failures are noted, so that
//! what goes well pays nothing for it.

use super::RouteName;
use crate::clock::Millis;
use crate::error::Blame;

/// Errors of this long ago are recent.
pub const RECENT_MS: u64 = 10_000;
/// A route that only fails is told of for this long after it last did: writes may be
/// rare.
const ALWAYS_FAILING_MS: u64 = 60_000;
/// Lost log lines are told of for this long.
const LOG_LOSS_MS: u64 = 60_000;
/// Routes and kinds of error of which the seconds are kept. Over it: those that last
/// failed longest ago are forgotten.
const KINDS_MAX: usize = 64;
const SECONDS: usize = (RECENT_MS / 1_000) as usize;

/// What a shard tells of its faults; all shards' together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecentFaults {
    /// By route and kind.
    pub failures: Vec<RecentFailures>,
    /// Access log lines lost since there were losses, if there were some lately.
    pub log_lines_lost: u64,
}

/// The errors of one kind that one route was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentFailures {
    /// The route.
    pub route: RouteName,
    /// The answer's status.
    pub status: u16,
    /// Who has to act.
    pub blame: Blame,
    /// In the last [`RECENT_MS`].
    pub count: u64,
    /// How many in a row, if nothing else was answered since the first of them.
    pub in_a_row: Option<u64>,
}

impl RecentFaults {
    /// Adds another shard's.
    pub fn add(&mut self, other: Self) {
        self.log_lines_lost += other.log_lines_lost;
        for failures in other.failures {
            let is_same = |known: &&mut RecentFailures| {
                known.route == failures.route
                    && known.status == failures.status
                    && known.blame == failures.blame
            };
            match self.failures.iter_mut().find(is_same) {
                Some(known) => {
                    known.count += failures.count;
                    // Of any shard: clients stay with theirs.
                    known.in_a_row = known.in_a_row.max(failures.in_a_row);
                }
                None => self.failures.push(failures),
            }
        }
    }
}

/// A shard's notes.
#[derive(Debug, Default)]
pub(super) struct Recent {
    kinds: Vec<Kind>,
    lost_lines: u64,
    lost_at_ms: Option<Millis>,
}

#[derive(Debug)]
struct Kind {
    route: u32,
    status: u16,
    blame: Blame,
    /// By second modulo their number: which second, and how many.
    seconds: [(u64, u64); SECONDS],
    last_ms: Millis,
    in_a_row: u64,
    /// Answers of the route that were none of 5xx, when it last failed.
    well_then: u64,
}

impl Recent {
    /// An error was answered 5xx; `well` is how many answers of the route were not.
    pub(super) fn note(
        &mut self,
        (route, status, blame): (u32, u16, Blame),
        well: u64,
        now_ms: Millis,
    ) {
        let is_it = |kind: &Kind| (kind.route, kind.status, kind.blame) == (route, status, blame);
        let index = match self.kinds.iter().position(is_it) {
            Some(index) => index,
            None => self.add(route, status, blame, well),
        };
        let kind = &mut self.kinds[index];
        if kind.well_then != well {
            kind.in_a_row = 0;
        }
        (kind.well_then, kind.last_ms) = (well, now_ms);
        kind.in_a_row += 1;
        let second = now_ms / 1_000;
        let place = &mut kind.seconds[second as usize % SECONDS];
        if place.0 != second {
            *place = (second, 0);
        }
        place.1 += 1;
    }

    fn add(&mut self, route: u32, status: u16, blame: Blame, well: u64) -> usize {
        if self.kinds.len() >= KINDS_MAX {
            let oldest = self
                .kinds
                .iter()
                .enumerate()
                .min_by_key(|(_, kind)| kind.last_ms);
            if let Some((oldest, _)) = oldest {
                self.kinds.swap_remove(oldest);
            }
        }
        self.kinds.push(Kind {
            route,
            status,
            blame,
            seconds: [(u64::MAX, 0); SECONDS],
            last_ms: 0,
            in_a_row: 0,
            well_then: well,
        });
        self.kinds.len() - 1
    }

    /// Lines of the access log were lost.
    pub(super) fn note_lost_lines(&mut self, lines: u64, now_ms: Millis) {
        if !self.has_lost_lines(now_ms) {
            self.lost_lines = 0;
        }
        self.lost_lines += lines;
        self.lost_at_ms = Some(now_ms);
    }

    fn has_lost_lines(&self, now_ms: Millis) -> bool {
        let last = self.lost_at_ms;
        last.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < LOG_LOSS_MS)
    }

    /// What is worth telling. `route_of` gives a route's name and how many of its
    /// answers were none of 5xx.
    pub(super) fn faults(
        &self,
        now_ms: Millis,
        route_of: impl Fn(u32) -> (RouteName, u64),
    ) -> RecentFaults {
        let failures = self.kinds.iter().filter_map(|kind| {
            let (route, well) = route_of(kind.route);
            let since_second = (now_ms / 1_000).saturating_sub(SECONDS as u64 - 1);
            let recent = kind
                .seconds
                .iter()
                .filter(|(second, _)| *second != u64::MAX && *second >= since_second);
            let count = recent.map(|(_, count)| count).sum();
            let is_lasting =
                well == kind.well_then && now_ms.saturating_sub(kind.last_ms) < ALWAYS_FAILING_MS;
            let in_a_row = is_lasting.then_some(kind.in_a_row);
            (count > 0 || in_a_row.is_some()).then_some(RecentFailures {
                route,
                status: kind.status,
                blame: kind.blame,
                count,
                in_a_row,
            })
        });
        RecentFaults {
            failures: failures.collect(),
            log_lines_lost: match self.has_lost_lines(now_ms) {
                true => self.lost_lines,
                false => 0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(recent: &Recent, now_ms: Millis, well: u64) -> Vec<(u64, Option<u64>)> {
        let route = |_| (RouteName::new("POST", "/a"), well);
        let faults = recent.faults(now_ms, route);
        let failures = faults.failures.iter();
        failures
            .map(|failures| (failures.count, failures.in_a_row))
            .collect()
    }

    const FULL: (u32, u16, Blame) = (0, 507, Blame::Host);

    #[test]
    fn failures_are_told_for_ten_seconds_and_longer_where_nothing_goes_well() {
        let mut recent = Recent::default();
        assert_eq!(told(&recent, 0, 0), []);
        for at_ms in [1_000, 1_500, 9_000] {
            recent.note(FULL, 3, at_ms);
        }
        assert_eq!(told(&recent, 9_500, 3), [(3, Some(3))]);
        assert_eq!(told(&recent, 10_999, 3), [(3, Some(3))]);
        assert_eq!(told(&recent, 11_000, 3), [(1, Some(3))]);
        assert_eq!(told(&recent, 11_000, 4), [(1, None)], "one went well");
        assert_eq!(told(&recent, 30_000, 3), [(0, Some(3))]);
        assert_eq!(told(&recent, 30_000, 4), []);
        assert_eq!(told(&recent, 69_000, 3), []);
        recent.note(FULL, 5, 70_000);
        assert_eq!(told(&recent, 70_000, 5), [(1, Some(1))]);
    }

    #[test]
    fn kinds_are_bounded_and_the_latest_stay() {
        let mut recent = Recent::default();
        for route in 0..200_u32 {
            recent.note((route, 500, Blame::Bug), 0, 1_000 + u64::from(route));
        }
        let faults = recent.faults(1_200, |route| {
            (RouteName::new("GET", &format!("/{route}")), 0)
        });
        assert_eq!(faults.failures.len(), KINDS_MAX);
        let mut routes = faults.failures.iter().map(|f| &*f.route.pattern);
        assert!(routes.any(|route| route == "/199"));
    }

    #[test]
    fn lost_lines_are_told_for_a_minute() {
        let mut recent = Recent::default();
        let lost = |recent: &Recent, now_ms| {
            let route = |_| (RouteName::unmatched(), 0);
            recent.faults(now_ms, route).log_lines_lost
        };
        recent.note_lost_lines(5, 1_000);
        recent.note_lost_lines(2, 50_000);
        assert_eq!((lost(&recent, 50_000), lost(&recent, 109_999)), (7, 7));
        assert_eq!(lost(&recent, 110_000), 0);
        recent.note_lost_lines(1, 200_000);
        assert_eq!(lost(&recent, 200_000), 1);
    }

    #[test]
    fn shards_are_added_by_route_and_kind() {
        let of = |count, in_a_row| RecentFaults {
            failures: vec![RecentFailures {
                route: RouteName::new("POST", "/a"),
                status: 503,
                blame: Blame::Upstream,
                count,
                in_a_row,
            }],
            log_lines_lost: 1,
        };
        let mut all = of(2, None);
        all.add(of(3, Some(9)));
        assert_eq!(all.log_lines_lost, 2);
        assert_eq!(all.failures.len(), 1);
        assert_eq!(
            (all.failures[0].count, all.failures[0].in_a_row),
            (5, Some(9))
        );
    }
}
