//! The recording side: one per shard, owned by it alone.

use super::recent::{Recent, RecentFaults};
use super::{
    Counters, LimiterSnapshot, MeshCounters, RouteName, RouteSnapshot, ShardIdentity,
    ShardSnapshot, Tally, TimeoutKind,
};
use crate::clock::Millis;
use crate::error::Blame;

/// What one shard has counted. Lives on its shard's thread; leaves it only as
/// a [`ShardSnapshot`].
#[derive(Debug)]
pub struct ShardMetrics {
    /// Counters beside the requests; the methods below keep them.
    pub counters: Counters,
    names: Vec<RouteName>,
    /// One for each name, then one for [`RouteIndex::UNMATCHED`].
    tallies: Vec<Tally>,
    recent: Recent,
}

impl ShardMetrics {
    /// Counters at zero. `route_names` in the order of the router's indexes.
    pub fn new(route_names: Vec<RouteName>) -> Self {
        let tallies = vec![Tally::default(); route_names.len() + 1];
        Self {
            counters: Counters::default(),
            names: route_names,
            tallies,
            recent: Recent::default(),
        }
    }

    /// Counters of a restarted shard, going on from the last snapshot of the
    /// one that died, so that no process total ever goes down.
    pub fn resume(route_names: Vec<RouteName>, died: &ShardSnapshot) -> Self {
        let mut metrics = Self::new(route_names);
        metrics.counters = died.counters.inherited();
        for route in &died.routes {
            let found = metrics.names.iter().position(|name| *name == route.name);
            let index = found.unwrap_or(metrics.names.len());
            metrics.tallies[index].add(&route.tally);
        }
        metrics
    }

    /// Counts one finished request. `duration_ns` is the time from its last
    /// head byte to its response being queued; bytes include the heads.
    ///
    /// This is the hot path: no allocation but for a route's first request.
    /// An index out of range counts as unmatched.
    #[inline]
    pub fn record(
        &mut self,
        route: RouteIndex,
        status: u16,
        duration_ns: u64,
        response_bytes: u64,
        request_bytes: u64,
    ) {
        let tally = self.tally_of(route);
        tally.record(status, duration_ns, response_bytes, request_bytes);
    }

    /// A request is answered 5xx because of an error; the answer itself is
    /// recorded too.
    pub fn failed(&mut self, route: RouteIndex, status: u16, blame: Blame, now_ms: Millis) {
        let tally = self.tally_of(route);
        tally.blame.count(blame);
        // What a client asked wrongly is no fault of the server's.
        if blame != Blame::Client {
            let well = tally.well();
            self.recent.note((route.0, status, blame), well, now_ms);
        }
    }

    /// Lines of the access log were lost.
    pub fn lost_log_lines(&mut self, lines: u64, now_ms: Millis) {
        self.counters.failures.access_log_lines_dropped += lines;
        self.recent.note_lost_lines(lines, now_ms);
    }

    /// What went wrong lately.
    pub fn recent_faults(&self, now_ms: Millis) -> RecentFaults {
        self.recent.faults(now_ms, |route| {
            let unmatched = self.tallies.len() - 1;
            let index = (route as usize).min(unmatched);
            let name = self.names.get(index).cloned();
            let name = name.unwrap_or_else(RouteName::unmatched);
            (name, self.tallies[index].well())
        })
    }

    #[inline]
    fn tally_of(&mut self, route: RouteIndex) -> &mut Tally {
        let unmatched = self.tallies.len() - 1;
        &mut self.tallies[(route.0 as usize).min(unmatched)]
    }

    /// A connection was accepted and will be served.
    pub fn connection_opened(&mut self) {
        self.counters.connections.opened += 1;
    }

    /// A connection that was opened has ended.
    pub fn connection_closed(&mut self) {
        self.counters.connections.closed += 1;
    }

    /// A connection was turned away because the shard is full.
    pub fn connection_refused(&mut self) {
        self.counters.connections.refused += 1;
    }

    /// A handler has started.
    pub fn request_started(&mut self) {
        self.counters.connections.requests_in_flight += 1;
    }

    /// The response of a started request is queued, or its connection is gone.
    pub fn request_finished(&mut self) {
        let in_flight = &mut self.counters.connections.requests_in_flight;
        *in_flight = in_flight.saturating_sub(1);
    }

    /// The codec refused a request with this status. The answer itself is
    /// recorded too, as [`RouteIndex::UNMATCHED`].
    pub fn parse_error(&mut self, status: u16) {
        self.counters.parse_errors.count(status);
    }

    /// A response that was not sent to its end.
    pub fn response_cut(&mut self) {
        self.counters.failures.responses_cut += 1;
    }

    /// A handler or a connection panicked.
    pub fn panicked(&mut self) {
        self.counters.failures.panics += 1;
    }

    /// A deadline has passed.
    pub fn timed_out(&mut self, kind: TimeoutKind) {
        self.counters.timeouts.count(kind);
    }

    /// A copy to send to another shard, without the caches' and the mesh's,
    /// which count for themselves. Costs one histogram copy (27 KiB) for every
    /// route that has had a request.
    pub fn snapshot(&self, identity: &ShardIdentity) -> ShardSnapshot {
        let unmatched = RouteName::unmatched();
        let names = self.names.iter().cloned().chain([unmatched]);
        let routes = names.zip(&self.tallies);
        ShardSnapshot {
            identity: identity.clone(),
            counters: self.counters,
            routes: routes
                .map(|(name, tally)| RouteSnapshot {
                    name,
                    tally: tally.clone(),
                })
                .collect(),
            caches: Vec::new(),
            second_levels: Vec::new(),
            compression: None,
            mesh: MeshCounters::default(),
            limits: LimiterSnapshot::default(),
            redis: None,
        }
    }
}

/// Where a request is counted: the router's index of its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteIndex(pub u32);

impl RouteIndex {
    /// Requests that reached no route: 404, 405, refused by the codec.
    pub const UNMATCHED: RouteIndex = RouteIndex(u32::MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(incarnation: u32) -> ShardIdentity {
        ShardIdentity {
            shard: 3,
            is_admin: false,
            incarnation,
            core: Some(5),
            engine: "io_uring",
        }
    }

    fn names() -> Vec<RouteName> {
        vec![RouteName::new("GET", "/a"), RouteName::new("POST", "/a")]
    }

    #[test]
    fn requests_count_at_their_route_and_strays_as_unmatched() {
        let mut metrics = ShardMetrics::new(names());
        metrics.record(RouteIndex(1), 201, 5_000, 100, 50);
        metrics.record(RouteIndex::UNMATCHED, 404, 1_000, 10, 5);
        metrics.record(RouteIndex(2), 404, 1_000, 10, 5);
        metrics.record(RouteIndex(77), 404, 1_000, 10, 5);
        let counts: Vec<_> = metrics
            .snapshot(&identity(0))
            .routes
            .iter()
            .map(|route| (route.name.to_string(), route.tally.requests()))
            .collect();
        let expected = [("GET /a", 0), ("POST /a", 1), ("* unmatched", 3)];
        assert_eq!(
            counts,
            expected.map(|(name, count)| (name.to_owned(), count))
        );
    }

    #[test]
    fn a_restarted_shard_goes_on_from_what_died() {
        let mut first = ShardMetrics::new(names());
        first.connection_opened();
        first.request_started();
        first.record(RouteIndex(0), 200, 9_000, 1, 1);
        first.panicked();
        let second =
            ShardMetrics::resume(names(), &first.snapshot(&identity(0))).snapshot(&identity(1));
        assert_eq!(second.identity.incarnation, 1);
        assert_eq!(second.routes, first.snapshot(&identity(0)).routes);
        assert_eq!(second.counters.failures.panics, 1);
        assert_eq!(
            (
                second.counters.connections.open(),
                second.counters.connections.requests_in_flight
            ),
            (0, 0)
        );
    }

    #[test]
    fn a_snapshot_can_be_sent_to_another_shard() {
        fn sendable<T: Send + 'static>() {}
        sendable::<ShardSnapshot>();
    }

    #[test]
    fn finishing_more_than_started_does_not_wrap() {
        let mut metrics = ShardMetrics::new(names());
        metrics.request_finished();
        assert_eq!(metrics.counters.connections.requests_in_flight, 0);
    }
}
