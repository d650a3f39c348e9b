//! A request and its answer, as far as both ends of it must know; and what is
//! counted and logged of them.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use http::{Method, StatusCode};

use super::Shard;
use super::request_line::RequestLine;
use crate::Error;
use crate::access_log::{AccessEntry, rfc3339_utc};
use crate::app::RequestParts;
use crate::clock::unix_ms;
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
    /// It is told in words that its connection goes on, and is sent no chunks.
    pub(super) is_http10: bool,
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

/// A request as the numbers and the logs will show it.
pub(super) struct Record {
    route: RouteIndex,
    request_bytes: u64,
    line: RequestLine,
    peer: Option<SocketAddr>,
    /// Where it is not the peer.
    client: Option<IpAddr>,
    /// Copied from the head only when there is an access log.
    fields: Option<Box<LoggedFields>>,
    /// Why it was refused, when there is an access log.
    cause: Option<String>,
}

struct LoggedFields {
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
        let head = &parts.head;
        let fields = self.log.as_ref().map(|_| {
            Box::new(LoggedFields {
                referer: head.header("referer").map(<[u8]>::to_vec),
                user_agent: head.header("user-agent").map(<[u8]>::to_vec),
            })
        });
        let trusted = &self.context.trusted_proxies;
        let client = match trusted.is_empty() {
            true => None,
            false => {
                let peer_ip = parts.peer.map(|peer| peer.ip().to_canonical());
                let client = parts.client(trusted).map(|client| client.ip);
                client.filter(|ip| Some(*ip) != peer_ip)
            }
        };
        Record {
            route: parts
                .route
                .map_or(RouteIndex::UNMATCHED, |index| RouteIndex(index as u32)),
            request_bytes: request_bytes as u64,
            line: RequestLine::of(head, protocol),
            peer: parts.peer,
            client,
            fields,
            cause: None,
        }
    }

    /// An exchange of a request whose head could not be read; `received` is as
    /// much of it as came.
    pub(super) fn unread_exchange(&self, peer: SocketAddr, received: &[u8]) -> Exchange {
        let line = RequestLine::of_unread(received);
        Exchange {
            facts: RequestFacts {
                is_http10: false,
                // HEAD is never sent a body.
                is_head: line.method.as_ref() == Some(&Method::HEAD),
                keep_alive: false,
            },
            client_goes_on: true,
            record: Record {
                route: RouteIndex::UNMATCHED,
                request_bytes: 0,
                line,
                peer: Some(peer),
                client: None,
                fields: None,
                cause: None,
            },
            request_id: String::new(),
            started_ns: self.context.clock.now_ns(),
        }
    }

    /// Notes for the access log that a request is refused, and why.
    pub(super) fn note_refusal(&self, record: &mut Record, error: &Error) {
        if self.log.is_some() {
            record.cause = Some(error.detail().to_owned());
        }
    }

    /// What only the error log is told of a request, and who has to act.
    pub(super) fn log_failure(&self, exchange: &Exchange, what: &str, error: &Error) {
        let record = &exchange.record;
        let routes = &self.context.app.routes;
        let route = match routes.get(record.route.0 as usize) {
            Some(route) => &*route.pattern,
            None => "none",
        };
        let client = record.client.or(record.peer.map(|peer| peer.ip()));
        let client = client.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
        let id = match exchange.request_id.as_str() {
            "" => "none",
            id => id,
        };
        self.log_error(
            &format!(
                "{} (route {route}, request id {id}, client {client}): {what}",
                record.line
            ),
            error,
        );
    }

    /// What only the error log is told, when, and who has to act.
    pub(super) fn log_error(&self, what: &str, error: &Error) {
        let (shard, blame) = (self.context.info.index, error.blame().name());
        let time = rfc3339_utc(unix_ms());
        self.errors.log(format!(
            "{time} shard {shard}: {what} (blame: {blame}): {error}"
        ));
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
        exchange: &Exchange,
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
        if !sent.whole {
            self.context.metrics.borrow_mut().response_cut();
        }
        let Some(log) = &self.log else {
            return;
        };
        let peer = record.peer.map(|peer| peer.ip().to_string());
        let client = record.client.map(|ip| ip.to_string());
        let fields = record.fields.as_deref();
        log.borrow_mut().log(&AccessEntry {
            unix_ms: unix_ms(),
            peer: peer.as_deref().unwrap_or_default(),
            client: client.as_deref(),
            method: record.line.method_bytes(),
            target: record.line.target.bytes(),
            version: record.line.protocol,
            status: status.as_u16(),
            response_bytes: sent.body_bytes,
            is_complete: sent.whole,
            cause: record.cause.as_deref(),
            referer: fields.and_then(|fields| fields.referer.as_deref()),
            user_agent: fields.and_then(|fields| fields.user_agent.as_deref()),
            duration_us: duration_ns / 1_000,
            request_id,
            shard: self.context.info.index,
        });
    }
}
