//! A connection's requests, one after the other: parse, route, run the
//! handler, queue the answer; write when the input is used up.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::Shard;
use super::body::{BodyReader, refusal};
use super::connection::{ConnectionIo, Phase};
use super::entrance::Entrance;
use super::record::Record;
use super::respond::{AnswerIo, RequestFacts, Sent};
use crate::app::{Ctx, RequestBody, RequestParts, Response};
use crate::engine::Guarded;
use crate::http1::{
    BodyDecoder, BodyFraming, HeadParser, HeadStatus, ParseError, RequestHead, Version,
};
use crate::ids::is_acceptable_request_id;
use crate::limits::{BODY_DRAIN_BYTES_MAX, REQUESTS_PER_TURN_MAX};
use crate::{Error, engine};

impl Shard {
    /// Serves a connection until either side ends it.
    pub(super) async fn serve_connection(
        self: Rc<Self>,
        entrance: Rc<Entrance>,
        io: Box<ConnectionIo>,
        peer: SocketAddr,
        key: usize,
    ) {
        let _registered = Registered {
            shard: &self,
            entrance: &entrance,
            key,
        };
        let mut connection = Connection {
            shard: &self,
            entrance: &entrance,
            peer,
            turn: 0,
        };
        // Handlers and streams are guarded where they are polled. This keeps
        // everything else, such as a destructor that panics, from the shard.
        let outcome = match Guarded::start(|| Box::pin(connection.serve_requests(io))) {
            Ok(serving) => serving.await,
            Err(panicked) => Err(panicked),
        };
        if let Err(panicked) = outcome {
            self.context.metrics.borrow_mut().panicked();
            let error = Error::internal(format!("a connection panicked: {}", panicked.0));
            self.log_error("a connection was dropped", &error);
        }
    }
}

/// Takes a connection out of the registry when its task ends, however it ends.
struct Registered<'a> {
    shard: &'a Shard,
    entrance: &'a Entrance,
    key: usize,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shard.connections.borrow_mut().try_remove(self.key);
        let connections = &self.entrance.connections;
        connections.set(connections.get() - 1);
        self.shard.context.metrics.borrow_mut().connection_closed();
        self.shard.connection_ended.notify();
    }
}

struct Connection<'a> {
    shard: &'a Rc<Shard>,
    entrance: &'a Entrance,
    peer: SocketAddr,
    /// Requests since the other tasks last got a turn.
    turn: u32,
}

impl Connection<'_> {
    async fn serve_requests(&mut self, mut io: Box<ConnectionIo>) {
        let mut parser = HeadParser::default();
        let mut parts = self.shard.context.take_parts();
        loop {
            match parser.parse(io.pending(), &self.shard.head_limits, &mut parts.head) {
                Ok(HeadStatus::Complete { head_bytes }) => {
                    io.consume(head_bytes);
                    io.state.enter(Phase::Busy);
                    match self.serve_request(io, parts, head_bytes).await {
                        Some(returned) => io = returned,
                        None => return,
                    }
                    parts = self.shard.context.take_parts();
                    self.give_others_a_turn().await;
                }
                Ok(HeadStatus::Partial) => match self.receive_head(&mut io).await {
                    Received::More => {}
                    Received::End => break,
                    Received::TooLate => {
                        self.refuse(io, &parts.head, head_timeout()).await;
                        break;
                    }
                },
                Err(error) => {
                    self.shard
                        .context
                        .metrics
                        .borrow_mut()
                        .parse_error(error.status().as_u16());
                    self.refuse(io, &parts.head, refusal(error)).await;
                    break;
                }
            }
        }
        self.shard.context.recycle(parts);
    }

    /// Writes what is queued and reads more of the next head.
    async fn receive_head(&mut self, io: &mut ConnectionIo) -> Received {
        let read = match io.pending().is_empty() {
            true => self.receive_next(io).await,
            false => Self::receive_rest(io).await,
        };
        match read {
            Ok(0) if io.state.expired.get() && !io.pending().is_empty() => Received::TooLate,
            Ok(0) | Err(_) => Received::End,
            Ok(_) => Received::More,
        }
    }

    /// Between two requests: answers go out while the next is waited for.
    async fn receive_next(&self, io: &mut ConnectionIo) -> io::Result<usize> {
        let draining = &self.shard.context.draining;
        let state = io.state.clone();
        let wait_for_next = || {
            if state.phase() == Phase::Fresh {
                return;
            }
            if draining.get() {
                // What has already arrived is still served, nothing later.
                state.closer.shutdown_read();
            }
            state.enter(Phase::Idle);
        };
        let read = if io.output.is_empty() {
            wait_for_next();
            io.read_between_requests().await
        } else {
            io.flush_and_read(wait_for_next).await
        };
        if matches!(read, Ok(0)) && draining.get() {
            // What came after the drain closed our reading side is still
            // queued; leaving it would reset a request unanswered.
            return io.read_more().await;
        }
        read
    }

    /// In the middle of a head.
    async fn receive_rest(io: &mut ConnectionIo) -> io::Result<usize> {
        io.flush().await?;
        match io.state.phase() {
            // The time since accept counts.
            Phase::Fresh => io.state.go_on_as(Phase::Head),
            Phase::Head => {}
            _ => io.state.enter(Phase::Head),
        }
        io.read_more().await
    }

    async fn give_others_a_turn(&mut self) {
        self.shard.context.caches.glance();
        self.turn += 1;
        if self.turn >= REQUESTS_PER_TURN_MAX {
            self.turn = 0;
            engine::yield_now().await;
        }
    }

    /// One request with a complete head. Gives the connection back if it goes
    /// on.
    async fn serve_request(
        &mut self,
        mut io: Box<ConnectionIo>,
        mut parts: Box<RequestParts>,
        head_bytes: usize,
    ) -> Option<Box<ConnectionIo>> {
        let shard = self.shard;
        let started_ns = shard.context.clock.now_ns();
        parts.peer = Some(self.peer);
        shard.choose_request_id(&mut parts);
        let door = self.entrance.door;
        let RequestParts { head, params, .. } = &mut *parts;
        let routed = self.entrance.check(head).map(|()| {
            // Only of what is let in, so that nothing else names a route.
            shard.context.app.route(door, head, params)
        });
        parts.route = routed.as_ref().ok().and_then(|r| r.as_ref().ok().copied());
        let mut exchange = Exchange {
            facts: RequestFacts {
                version: parts.head.version(),
                is_head: *parts.head.method() == Method::HEAD,
                keep_alive: parts.head.keep_alive() && !shard.context.draining.get(),
            },
            client_goes_on: parts.head.keep_alive(),
            record: shard.start_record(&parts, head_bytes),
            request_id: parts.request_id.clone(),
            started_ns,
        };
        let admitted = routed.and_then(|routed| {
            let body = shard.plan_body(&mut io, &parts).map_err(refusal)?;
            Ok((routed, body))
        });
        let (routed, body) = match admitted {
            Ok(admitted) => admitted,
            Err(error) => {
                shard.context.recycle(parts);
                self.refuse_as(io, exchange, error).await;
                return None;
            }
        };
        let (mut held, reader, request_body) = match body {
            BodyPlan::Whole(bytes) => (Some(io), None, RequestBody::whole(bytes)),
            BodyPlan::Read {
                decoder,
                expects_continue,
            } => {
                let reader = BodyReader::new(io, decoder, expects_continue);
                (None, Some(reader.clone()), RequestBody::streaming(reader))
            }
        };
        let ctx = Ctx::new(parts, request_body, shard.context.clone());
        let outcome = shard
            .run_handler(door, routed, ctx, &mut held, reader.as_ref())
            .await;
        let response = shard.settle(outcome, &mut exchange.facts);
        let io = held.or_else(|| reader.as_ref()?.lend_io())?;
        shard.answer(io, reader, exchange, response).await
    }

    /// Answers a request whose head cannot be read and ends the connection.
    /// The method counts if it could be read: HEAD is never sent a body.
    async fn refuse(&mut self, io: Box<ConnectionIo>, head: &RequestHead, error: Error) {
        let exchange = Exchange {
            facts: RequestFacts {
                version: Version::Http11,
                is_head: *head.method() == Method::HEAD,
                keep_alive: false,
            },
            client_goes_on: true,
            record: self.shard.start_refused_record(self.peer),
            request_id: String::new(),
            started_ns: self.shard.context.clock.now_ns(),
        };
        self.refuse_as(io, exchange, error).await;
    }

    /// Answers an exchange with an error and ends the connection, whatever
    /// the client still sends.
    async fn refuse_as(&mut self, io: Box<ConnectionIo>, mut exchange: Exchange, error: Error) {
        exchange.facts.keep_alive = false;
        let mut answer = AnswerIo::new(io, None);
        let status = error.status();
        let sent = self
            .shard
            .send_response(
                &mut answer,
                &mut exchange.facts,
                error.into(),
                &exchange.request_id,
            )
            .await;
        let ended_ns = self.shard.context.clock.now_ns();
        self.shard.finish_record(exchange, status, sent, ended_ns);
        if let Some(mut io) = answer.into_io()
            && io.flush().await.is_ok()
        {
            io.linger().await;
        }
    }
}

/// A request and its answer, as far as both ends of it must know.
pub(super) struct Exchange {
    pub(super) facts: RequestFacts,
    /// The client did not ask for the end and may have sent more already.
    pub(super) client_goes_on: bool,
    pub(super) record: Record,
    pub(super) request_id: String,
    pub(super) started_ns: u64,
}

/// What reading a head came to.
enum Received {
    More,
    End,
    TooLate,
}

/// How a request's body is read.
enum BodyPlan {
    /// It is empty or has already arrived.
    Whole(Bytes),
    /// From the socket, as the handler asks.
    Read {
        decoder: BodyDecoder,
        expects_continue: bool,
    },
}

impl Shard {
    fn plan_body(
        &self,
        io: &mut ConnectionIo,
        parts: &RequestParts,
    ) -> Result<BodyPlan, ParseError> {
        let framing = parts.head.framing();
        if framing == BodyFraming::None {
            return Ok(BodyPlan::Whole(Bytes::new()));
        }
        let own = parts
            .route
            .and_then(|route| self.context.app.routes[route].body_bytes_max);
        let decoder = BodyDecoder::new(framing, own.unwrap_or(self.limits.body_bytes_max))?;
        if let BodyFraming::Length(length) = framing
            && length <= io.pending().len() as u64
        {
            let length = length as usize;
            let bytes = Bytes::copy_from_slice(&io.pending()[..length]);
            io.consume(length);
            return Ok(BodyPlan::Whole(bytes));
        }
        Ok(BodyPlan::Read {
            decoder,
            expects_continue: parts.head.expects_continue(),
        })
    }

    fn choose_request_id(&self, parts: &mut RequestParts) {
        parts.request_id.clear();
        if self.request_id_echo
            && let Some(id) = parts.head.header("x-request-id")
            && is_acceptable_request_id(id)
            && let Ok(id) = std::str::from_utf8(id)
        {
            parts.request_id.push_str(id);
        } else if self.request_id_always {
            self.context.request_ids.write_next(&mut parts.request_id);
        }
    }
}

impl Shard {
    /// Sends the answer, counts it, and makes the connection ready for the
    /// next request if it goes on.
    async fn answer(
        &self,
        mut io: Box<ConnectionIo>,
        reader: Option<Rc<BodyReader>>,
        mut exchange: Exchange,
        response: Response,
    ) -> Option<Box<ConnectionIo>> {
        let is_stream = response.body().is_stream();
        if let Some(reader) = &reader {
            reader.response_starts(&mut io, is_stream);
            if !is_stream && !reader.is_finished() && !reader.is_drainable(BODY_DRAIN_BYTES_MAX) {
                exchange.facts.keep_alive = false;
            }
        }
        let status = response.status();
        // Also brings the Date up to this moment.
        let answered_ns = self.context.clock.now_ns();
        let mut answer = AnswerIo::new(io, reader.as_ref());
        let sent = self
            .send_response(
                &mut answer,
                &mut exchange.facts,
                response,
                &exchange.request_id,
            )
            .await;
        let ended_ns = match is_stream {
            true => self.context.clock.now_ns(),
            false => answered_ns,
        };
        let keep_alive = exchange.facts.keep_alive;
        let client_goes_on = exchange.client_goes_on;
        self.finish_record(exchange, status, sent, ended_ns);
        finish_exchange(answer.into_io()?, reader, keep_alive, client_goes_on, sent).await
    }
}

/// After an answer: closes, or makes the connection ready for the next
/// request. A client that did not ask for the end may have sent more already;
/// closed at once, the connection would be reset and the answer lost.
async fn finish_exchange(
    mut io: Box<ConnectionIo>,
    reader: Option<Rc<BodyReader>>,
    keep_alive: bool,
    client_goes_on: bool,
    sent: Sent,
) -> Option<Box<ConnectionIo>> {
    if !sent.whole {
        return None;
    }
    let unread = reader.filter(|reader| !reader.is_finished());
    if keep_alive {
        let Some(reader) = unread else {
            return Some(io);
        };
        io.flush().await.ok()?;
        if reader.is_drainable(BODY_DRAIN_BYTES_MAX)
            && reader.drain(&mut io, BODY_DRAIN_BYTES_MAX).await
        {
            return Some(io);
        }
        io.linger().await;
        return None;
    }
    io.flush().await.ok()?;
    if client_goes_on || unread.is_some() || !io.pending().is_empty() {
        io.linger().await;
    }
    None
}

fn head_timeout() -> Error {
    Error::new(
        StatusCode::REQUEST_TIMEOUT,
        "the request head came too slowly",
    )
}
