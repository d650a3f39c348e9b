//! A connection's requests, one after the other: parse, and what `at_once`
//! cannot do without waiting; write when the input is used up.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::{Method, StatusCode};

use super::Shard;
use super::at_once::{Rest, Unfinished};
use super::body::{BodyReader, refusal};
use super::connection::{ConnectionIo, Phase};
use super::entrance::Entrance;
use super::record::Record;
use super::respond::{AnswerIo, RequestFacts, Sent};
use crate::app::{Ctx, RequestBody, RequestParts, Response};
use crate::engine::Guarded;
use crate::http1::{HeadParser, HeadStatus, ParseError, Version};
use crate::limits::{BODY_DRAIN_BYTES_MAX, REQUESTS_PER_TURN_MAX, WRITE_BATCH_BYTES};
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
            parser: HeadParser::default(),
            parts: None,
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

/// What the requests of a connection have in common.
pub(super) struct Connection<'a> {
    pub(super) shard: &'a Rc<Shard>,
    pub(super) entrance: &'a Entrance,
    pub(super) peer: SocketAddr,
    parser: HeadParser,
    /// Of the head being read; none while none has begun, so that a connection
    /// that waits holds no storage.
    pub(super) parts: Option<Box<RequestParts>>,
    /// Requests since the other tasks last got a turn.
    turn: u32,
}

/// What keeps [`Connection::serve_received`] from going on by itself.
enum Step {
    /// The input is used up.
    Receive,
    /// Enough answers are queued for a write.
    Flush,
    /// The other tasks of the shard have waited long enough.
    Yield,
    /// The head cannot be read.
    Refuse(ParseError),
    /// A request whose answer takes some waiting.
    GoOn(Box<Unfinished>),
}

impl Connection<'_> {
    /// Only what waits is a future here, and what is rare is boxed: the task
    /// of a connection stays small, and a request that is answered at once
    /// moves nothing from one future to the next.
    async fn serve_requests(&mut self, mut io: Box<ConnectionIo>) {
        loop {
            match poll_fn(|cx| Poll::Ready(self.serve_received(cx, &mut io))).await {
                Step::Receive => match self.receive_head(&mut io).await {
                    Received::More => {}
                    Received::End => break,
                    Received::TooLate => {
                        Box::pin(self.refuse(io, head_timeout())).await;
                        break;
                    }
                },
                Step::Flush => {
                    if io.flush().await.is_err() {
                        break;
                    }
                }
                Step::Yield => {
                    self.turn = 0;
                    engine::yield_to_all().await;
                }
                Step::Refuse(error) => {
                    let status = error.status().as_u16();
                    self.shard.context.metrics.borrow_mut().parse_error(status);
                    Box::pin(self.refuse(io, refusal(error))).await;
                    break;
                }
                Step::GoOn(unfinished) => {
                    match Box::pin(self.finish_request(io, unfinished)).await {
                        Some(returned) => io = returned,
                        None => return,
                    }
                    self.end_request();
                }
            }
        }
        if let Some(parts) = self.parts.take() {
            self.shard.context.recycle(parts);
        }
    }

    /// Answers what has been received as far as that needs no waiting.
    fn serve_received(&mut self, cx: &mut Context<'_>, io: &mut ConnectionIo) -> Step {
        // A request starts when the one before it is answered: it was there.
        let mut now_ns = None;
        loop {
            if self.turn >= REQUESTS_PER_TURN_MAX {
                return Step::Yield;
            }
            if io.pending().is_empty() {
                return Step::Receive;
            }
            let parts = self
                .parts
                .get_or_insert_with(|| self.shard.context.take_parts());
            let limits = &self.shard.head_limits;
            match self.parser.parse(io.pending(), limits, &mut parts.head) {
                Ok(HeadStatus::Complete {
                    head_bytes,
                    framing,
                }) => {
                    io.consume(head_bytes);
                    io.state.enter(Phase::Busy);
                    let started_ns = now_ns.unwrap_or_else(|| self.shard.context.clock.now_ns());
                    match self.serve_request(cx, io, head_bytes, framing, started_ns) {
                        Ok(answered_ns) => now_ns = Some(answered_ns),
                        Err(unfinished) => return Step::GoOn(unfinished),
                    }
                    self.end_request();
                    if io.output.len() >= WRITE_BATCH_BYTES {
                        return Step::Flush;
                    }
                }
                Ok(HeadStatus::Partial) => return Step::Receive,
                Err(error) => return Step::Refuse(error),
            }
        }
    }

    fn end_request(&mut self) {
        self.shard.context.peers.poll_arrivals();
        self.turn += 1;
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
            if draining.has_begun() {
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
        if matches!(read, Ok(0)) && draining.has_begun() {
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

    /// Does what `serve_request` could not do at once. Gives the connection
    /// back if it goes on.
    async fn finish_request(
        &self,
        mut io: Box<ConnectionIo>,
        unfinished: Box<Unfinished>,
    ) -> Option<Box<ConnectionIo>> {
        let Unfinished { mut exchange, rest } = *unfinished;
        let shard = self.shard;
        match rest {
            Rest::Refused(error) => {
                self.refuse_as(io, exchange, error).await;
                None
            }
            Rest::Response(response) => shard.answer(io, None, exchange, response).await,
            Rest::Handler(handler) => {
                let outcome = shard.wait_for_handler(handler, &mut io).await;
                let response = shard.settle(outcome, &mut exchange);
                shard.answer(io, None, exchange, response).await
            }
            Rest::Body {
                parts,
                routed,
                decoder,
                expects_continue,
            } => {
                let reader = BodyReader::new(io, decoder, expects_continue);
                let body = RequestBody::streaming(reader.clone());
                let ctx = Ctx::new(parts, body, shard.context.clone());
                let door = self.entrance.door;
                let outcome = shard.run_reading_handler(door, routed, ctx, &reader).await;
                let response = shard.settle(outcome, &mut exchange);
                let io = reader.lend_io()?;
                shard.answer(io, Some(reader), exchange, response).await
            }
        }
    }

    /// Answers a request whose head cannot be read and ends the connection.
    /// The method counts if it could be read: HEAD is never sent a body.
    async fn refuse(&self, io: Box<ConnectionIo>, error: Error) {
        let method = self.parts.as_ref().map(|parts| parts.head.method());
        let exchange = Exchange {
            facts: RequestFacts {
                version: Version::Http11,
                is_head: method == Some(&Method::HEAD),
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
    async fn refuse_as(&self, io: Box<ConnectionIo>, mut exchange: Exchange, error: Error) {
        exchange.facts.keep_alive = false;
        let mut answer = AnswerIo::new(io, None);
        let status = error.status();
        if status.is_server_error() {
            self.shard.count_failure(&exchange.record, &error);
        }
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
