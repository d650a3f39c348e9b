//! A request and its answer, as far as both ends of it must know; and what is
//! counted and logged of them.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use corelane_proto::http::RequestHead;
use http::StatusCode;

use super::Shard;
use crate::Error;
use crate::access_log::AccessEntry;
use crate::app::RequestParts;
use crate::clock::unix_ms;
use crate::http1::Version;
use crate::metrics::RouteIndex;

/// A request under way.
pub(super) struct Exchange {
    pub(super) facts: RequestFacts,
    /// The client did not ask for the end and may have sent more already.
    pub(super) client_goes_on: bool,
    pub(super) record: Record,
    pub(super) request_id: String,
    pub(super) started_ns: u64,
}

/// What the answer must know of its request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestFacts {
    pub(super) version: Version,
    pub(super) is_head: bool,
    pub(super) keep_alive: bool,
}

/// How an answer went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Queued or written to its end. If not, the client is gone or the stream
    /// failed, and nothing more can be sent.
    pub(super) whole: bool,
    pub(super) head_bytes: u64,
    /// The part of the body that was sent.
    pub(super) body_bytes: u64,
}

/// A request as the numbers and the log will show it.
pub(super) struct Record {
    route: RouteIndex,
    request_bytes: u64,
    /// Copied from the head only when there is an access log.
    logged: Option<Box<LoggedRequest>>,
}

struct LoggedRequest {
    peer: SocketAddr,
    /// Where it is not the peer.
    client: Option<IpAddr>,
    method: Vec<u8>,
    target: Vec<u8>,
    protocol: &'static str,
    referer: Option<Vec<u8>>,
    user_agent: Option<Vec<u8>>,
}

impl Shard {
    /// Notes a request whose head is complete.
    pub(super) fn start_record(
        &self,
        parts: &RequestParts,
        protocol: &'static str,
        request_bytes: usize,
    ) -> Record {
        let logged = self.log.as_ref().zip(parts.peer);
        Record {
            route: parts
                .route
                .map_or(RouteIndex::UNMATCHED, |index| RouteIndex(index as u32)),
            request_bytes: request_bytes as u64,
            logged: logged.map(|(_, peer)| {
                let client = parts.client(&self.context.trusted_proxies);
                let client = client.map(|client| client.ip);
                let client = client.filter(|ip| *ip != peer.ip().to_canonical());
                Box::new(LoggedRequest::of(&parts.head, protocol, peer, client))
            }),
        }
    }

    /// Notes a request that could not be read.
    pub(super) fn start_refused_record(&self, peer: SocketAddr) -> Record {
        let logged = self.log.as_ref().map(|_| {
            Box::new(LoggedRequest {
                peer,
                client: None,
                method: Vec::new(),
                target: Vec::new(),
                protocol: "",
                referer: None,
                user_agent: None,
            })
        });
        Record {
            route: RouteIndex::UNMATCHED,
            request_bytes: 0,
            logged,
        }
    }

    /// Counts an error that is answered 5xx, by who has to act.
    pub(super) fn count_failure(&self, record: &Record, error: &Error) {
        let mut metrics = self.context.metrics.borrow_mut();
        let (status, now_ms) = (error.status().as_u16(), self.context.clock.now_ms());
        metrics.failed(record.route, status, error.blame(), now_ms);
    }

    /// Counts and logs the answer.
    pub(super) fn finish_record(
        &self,
        exchange: Exchange,
        status: StatusCode,
        sent: Sent,
        ended_ns: u64,
    ) {
        let Exchange {
            record, request_id, ..
        } = exchange;
        let duration_ns = ended_ns.saturating_sub(exchange.started_ns);
        self.context.metrics.borrow_mut().record(
            record.route,
            status.as_u16(),
            duration_ns,
            sent.head_bytes + sent.body_bytes,
            record.request_bytes,
        );
        if self.spin.is_on() {
            self.spin.note_busy(Instant::now());
        }
        let (Some(log), Some(logged)) = (&self.log, record.logged) else {
            return;
        };
        let client = logged.client.map(|ip| ip.to_string());
        log.borrow_mut().log(&AccessEntry {
            unix_ms: unix_ms(),
            peer: &logged.peer.ip().to_string(),
            client: client.as_deref(),
            method: &logged.method,
            target: &logged.target,
            version: logged.protocol,
            status: status.as_u16(),
            response_bytes: sent.body_bytes,
            referer: logged.referer.as_deref(),
            user_agent: logged.user_agent.as_deref(),
            duration_us: duration_ns / 1_000,
            request_id: &request_id,
            shard: self.context.info.index,
        });
    }
}

impl LoggedRequest {
    fn of(
        head: &RequestHead,
        protocol: &'static str,
        peer: SocketAddr,
        client: Option<IpAddr>,
    ) -> Self {
        Self {
            peer,
            client,
            method: head.method().as_str().into(),
            target: head.target().into(),
            protocol,
            referer: head.header("referer").map(<[u8]>::to_vec),
            user_agent: head.header("user-agent").map(<[u8]>::to_vec),
        }
    }
}
