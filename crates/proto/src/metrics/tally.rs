//! The sums of a set of requests: of a route on a shard, of a shard, of all.

use super::Latency;
use super::counted::counters;
use crate::error::Blame;

/// First digit of a response status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
#[allow(missing_docs)]
pub enum StatusClass {
    Informational,
    Success,
    Redirection,
    ClientError,
    ServerError,
}

impl StatusClass {
    /// All of them, from 1xx to 5xx.
    pub const ALL: [StatusClass; 5] = [
        Self::Informational,
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
    ];

    /// The class of a status; anything that is no HTTP status is a server
    /// error, because this server made it.
    #[inline]
    pub fn of(status: u16) -> Self {
        match status {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// `1xx` to `5xx`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}

/// How many requests, how they ended, how long they took, how many bytes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Requests by status class; indexed by [`StatusClass`].
    pub by_class: [u64; StatusClass::ALL.len()],
    /// Sum of all response times, nanoseconds.
    pub duration_total_ns: u64,
    /// Bytes of requests, heads included.
    pub request_bytes: u64,
    /// Bytes of responses, heads included.
    pub response_bytes: u64,
    /// Distribution of the response times.
    pub latency: Latency,
    /// Of those answered 5xx the ones that an error explains.
    pub blame: BlameCounters,
}

counters! {
    /// Requests that an error answered 5xx, by who has to act.
    pub struct BlameCounters {
        counter "corelane_http_server_errors_total"
        "Requests that an error answered 5xx, by route and by who has to act: the client asked for what \
         is not served, an upstream failed, the host ran out of something, or it is a bug."
        by blame {
            /// Asked for what this server does not do.
            client: "client",
            /// Something this server depends on failed.
            upstream: "upstream",
            /// The host ran out of something: memory, disk, descriptors.
            host: "host",
            /// corelane or a handler is wrong.
            bug: "bug",
        };
    }
}

impl BlameCounters {
    pub(super) fn count(&mut self, blame: Blame) {
        let counter = match blame {
            Blame::Client => &mut self.client,
            Blame::Upstream => &mut self.upstream,
            Blame::Host => &mut self.host,
            Blame::Bug => &mut self.bug,
        };
        *counter += 1;
    }
}

impl Tally {
    #[inline]
    pub(super) fn record(
        &mut self,
        status: u16,
        duration_ns: u64,
        response_bytes: u64,
        request_bytes: u64,
    ) {
        self.by_class[StatusClass::of(status) as usize] += 1;
        self.duration_total_ns = self.duration_total_ns.saturating_add(duration_ns);
        self.request_bytes = self.request_bytes.saturating_add(request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(response_bytes);
        self.latency.record(duration_ns);
    }

    /// Adds all requests of another.
    pub fn add(&mut self, other: &Self) {
        for (sum, add) in self.by_class.iter_mut().zip(other.by_class) {
            *sum += add;
        }
        self.duration_total_ns = self
            .duration_total_ns
            .saturating_add(other.duration_total_ns);
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.latency.add(&other.latency);
        self.blame.add(&other.blame);
    }

    /// All requests.
    pub fn requests(&self) -> u64 {
        self.by_class.iter().sum()
    }

    /// Requests answered otherwise than 5xx.
    pub(super) fn well(&self) -> u64 {
        self.requests() - self.errors()
    }

    /// Requests answered 5xx: what the chapter's `errors` and `errorRate`
    /// count. A 4xx is the client's and counted beside.
    pub fn errors(&self) -> u64 {
        self.by_class[StatusClass::ServerError as usize]
    }

    /// Requests answered 4xx.
    pub fn client_errors(&self) -> u64 {
        self.by_class[StatusClass::ClientError as usize]
    }

    /// Fraction of requests answered 5xx, 0 to 1; 0 without requests.
    pub fn error_ratio(&self) -> f64 {
        match self.requests() {
            0 => 0.0,
            requests => self.errors() as f64 / requests as f64,
        }
    }

    /// Mean response time in milliseconds; 0 without requests.
    pub fn average_ms(&self) -> f64 {
        match self.requests() {
            0 => 0.0,
            requests => self.duration_total_ns as f64 / requests as f64 / 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_5xx_and_rates_are_fractions() {
        let mut tally = Tally::default();
        for status in [200, 204, 304, 404, 500, 503, 101, 9] {
            tally.record(status, 2_000_000, 10, 1);
        }
        assert_eq!(tally.by_class, [1, 2, 1, 1, 3]);
        assert_eq!(
            (tally.requests(), tally.errors(), tally.client_errors()),
            (8, 3, 1)
        );
        assert_eq!(tally.error_ratio(), 0.375);
        assert_eq!(tally.average_ms(), 2.0);
        assert_eq!((tally.response_bytes, tally.request_bytes), (80, 8));
    }

    #[test]
    fn every_blame_counts_at_its_own_counter() {
        for blame in [Blame::Client, Blame::Upstream, Blame::Host, Blame::Bug] {
            let mut counts = BlameCounters::default();
            counts.count(blame);
            let fields = counts.fields().into_iter().filter(|(_, count)| *count > 0);
            assert_eq!(fields.collect::<Vec<_>>(), [(blame.name(), 1)]);
        }
    }

    #[test]
    fn no_requests_divide_by_nothing() {
        let tally = Tally::default();
        assert_eq!((tally.error_ratio(), tally.average_ms()), (0.0, 0.0));
    }
}
