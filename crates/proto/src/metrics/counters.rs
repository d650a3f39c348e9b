//! What a shard counts beside its requests: connections, refusals, panics.

use super::counted::counters;

/// Plain counters of one shard, or of the process after a merge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections and what is under way on them.
    pub connections: ConnectionCounters,
    /// Heads and bodies the codec refused.
    pub parse_errors: ParseErrorCounters,
    /// Deadlines that passed.
    pub timeouts: TimeoutCounters,
    /// What went wrong inside.
    pub failures: FailureCounters,
    /// Sessions and logins.
    pub sessions: SessionCounters,
}

impl Counters {
    /// Adds another shard's counters.
    pub fn add(&mut self, other: &Self) {
        self.connections.add(&other.connections);
        self.parse_errors.add(&other.parse_errors);
        self.timeouts.add(&other.timeouts);
        self.failures.add(&other.failures);
        self.sessions.add(&other.sessions);
    }

    /// What a shard's successor starts from: everything counted stays, what
    /// was open or in flight died with the shard.
    pub(super) fn inherited(&self) -> Self {
        let mut inherited = *self;
        inherited.connections.closed = self.connections.opened;
        inherited.connections.requests_in_flight = 0;
        inherited
    }
}

counters! {
    /// All only grow, except `requests_in_flight`, which is a level.
    pub struct ConnectionCounters {
        gauge "corelane_connections" "Connections open now." by {
            /// Connections that have ended. `opened - closed` are open now.
            closed = ConnectionCounters::open,
        };
        gauge "corelane_http_requests_in_flight" "Requests being answered now." by {
            /// Requests whose handler has started and whose response is not yet
            /// queued. A level, not a counter.
            requests_in_flight,
        };
        counter "corelane_connections_opened_total" "Connections accepted and served." => opened;
        counter "corelane_connections_refused_total"
        "Connections answered 503 because the shard was full."
        by {
            /// Connections answered 503 and closed because the shard was full; not
            /// part of `opened`.
            refused,
        };
    }
}

impl ConnectionCounters {
    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed)
    }
}

counters! {
    /// Refused requests by the statuses that the codec and the body reader answer
    /// (RFC 9110, RFC 9112, RFC 6585); others count together.
    pub struct ParseErrorCounters {
        counter "corelane_http_parse_errors_total"
        "Requests the codec refused, by the status they were answered."
        by code {
            /// Not HTTP, or contradicting itself.
            bad_request: "400",
            /// It came too slowly.
            request_timeout: "408",
            /// Its body is too long.
            content_too_large: "413",
            /// Its target is too long.
            uri_too_long: "414",
            /// It expects something else than `100-continue`.
            expectation_failed: "417",
            /// Its fields are too many or too long.
            fields_too_large: "431",
            /// Its transfer coding is not known.
            not_implemented: "501",
            /// It is of another version of HTTP.
            version_not_supported: "505",
            /// All others.
            other: "other",
        };
    }
}

impl ParseErrorCounters {
    pub(super) fn count(&mut self, status: u16) {
        let counter = match status {
            400 => &mut self.bad_request,
            408 => &mut self.request_timeout,
            413 => &mut self.content_too_large,
            414 => &mut self.uri_too_long,
            417 => &mut self.expectation_failed,
            431 => &mut self.fields_too_large,
            501 => &mut self.not_implemented,
            505 => &mut self.version_not_supported,
            _ => &mut self.other,
        };
        *counter += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.fields().into_iter().map(|(_, count)| count).sum()
    }
}

counters! {
    /// Deadlines that passed.
    pub struct TimeoutCounters, json by_name {
        counter "corelane_timeouts_total" "Deadlines that passed, by kind." by kind {
            /// The request head did not arrive in time.
            head: "head",
            /// A keep-alive connection was idle too long.
            idle: "idle",
            /// The request body came slower than the floor rate.
            body: "body",
            /// The client did not read its response.
            write: "write",
            /// A handler ran longer than it may.
            handler: "handler",
        };
    }
}

impl TimeoutCounters {
    pub(super) fn count(&mut self, kind: TimeoutKind) {
        let counter = match kind {
            TimeoutKind::Head => &mut self.head,
            TimeoutKind::Idle => &mut self.idle,
            TimeoutKind::Body => &mut self.body,
            TimeoutKind::Write => &mut self.write,
            TimeoutKind::Handler => &mut self.handler,
        };
        *counter += 1;
    }
}

/// Which deadline passed: the fields of [`TimeoutCounters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TimeoutKind {
    Head,
    Idle,
    Body,
    Write,
    Handler,
}

counters! {
    /// What went wrong inside.
    pub struct FailureCounters {
        counter "corelane_panics_total"
        "Panics of handlers and connections that were caught."
        => panics;
        counter "corelane_access_log_lines_dropped_total"
        "Access log lines lost: the log writer could not keep up, or could not write them."
        => access_log_lines_dropped;
        counter "corelane_responses_cut_total"
        "Responses that were not sent to their end: the client went away, or what made them failed."
        => responses_cut;
    }
}

counters! {
    /// What happened to sessions.
    pub struct SessionCounters {
        counter "corelane_sessions_total"
        "What happened to sessions: created, found or expired (the cookie led to none), ended; \
         login_refused is a wrong email or password, login_busy one too many at once, \
         origin_refused what another site's page sent."
        by event {
            /// Sessions begun.
            created: "created",
            /// Requests whose cookie led to a session.
            found: "found",
            /// Requests whose cookie led to none: it has expired, was ended, or never
            /// was.
            expired: "expired",
            /// Requests that ended their session.
            ended: "ended",
            /// Logins with a wrong email or password.
            logins_refused: "login_refused",
            /// Logins turned away because too many were under way.
            logins_busy: "login_busy",
            /// Requests refused because another site's page sent them.
            origins_refused: "origin_refused",
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonzero(fields: Vec<(&'static str, u64)>) -> Vec<(&'static str, u64)> {
        let counted = fields.into_iter().filter(|(_, count)| *count > 0);
        counted.collect()
    }

    #[test]
    fn parse_errors_count_by_status_and_unknown_ones_together() {
        let mut counts = ParseErrorCounters::default();
        for status in [400, 400, 505, 418, 7] {
            counts.count(status);
        }
        let expected = [
            ("bad_request", 2),
            ("version_not_supported", 1),
            ("other", 2),
        ];
        assert_eq!(nonzero(counts.fields()), expected);
        assert_eq!(counts.total(), 5);
    }

    #[test]
    fn timeout_kinds_count_at_their_own_counter() {
        for (kind, name) in [
            (TimeoutKind::Head, "head"),
            (TimeoutKind::Idle, "idle"),
            (TimeoutKind::Body, "body"),
            (TimeoutKind::Write, "write"),
            (TimeoutKind::Handler, "handler"),
        ] {
            let mut counts = TimeoutCounters::default();
            counts.count(kind);
            assert_eq!(nonzero(counts.fields()), [(name, 1)]);
        }
    }

    #[test]
    fn a_successor_inherits_counts_but_no_open_connection() {
        let mut died = Counters::default();
        (died.connections.opened, died.connections.closed) = (10, 4);
        died.connections.requests_in_flight = 2;
        died.failures.panics = 1;
        let inherited = died.inherited();
        assert_eq!(inherited.connections.open(), 0);
        assert_eq!(inherited.connections.opened, 10);
        assert_eq!(inherited.connections.requests_in_flight, 0);
        assert_eq!(inherited.failures.panics, 1);
    }
}
