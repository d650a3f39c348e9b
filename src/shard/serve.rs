//! A connection's requests, one after the other: parse, and what `fast_path`
//! cannot do without waiting; write when the input is used up.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::StatusCode;

use super::Shard;
use super::body::{BodyReader, refusal};
use super::connection::Phase;
use super::exchange::Exchange;
use super::fast_path::{Arrived, Continuation, Deferred};
use super::handle::HandlerFailure;
use super::listener::ShardListener;
use super::read_half::ReadHalf;
use super::respond::close;
use super::write_half::WriteHalf;
use crate::app::{Ctx, RequestBody, RequestParts, Response};
use crate::engine::CatchUnwind;
use crate::http1::{HeadParser, HeadStatus, ParseError};
use crate::limits::{BODY_DRAIN_BYTES_MAX, REQUESTS_PER_TURN_MAX, WRITE_BATCH_BYTES};
use crate::{Error, engine};

impl Shard {
    /// Serves a connection until either side ends it.
    pub(super) async fn serve_connection(
        self: Rc<Self>,
        listener: Rc<ShardListener>,
        halves: Box<(ReadHalf, WriteHalf)>,
        peer: SocketAddr,
        key: usize,
    ) {
        let _registered = Registered {
            shard: &self,
            listener: &listener,
            key,
        };
        let mut connection = Connection {
            shard: &self,
            listener: &listener,
            peer,
            parser: HeadParser::default(),
            parts: None,
            requests_since_yield: 0,
        };
        // Handlers and streams are guarded where they are polled. This keeps
        // everything else, such as a destructor that panics, from the shard.
        let serving = || Box::pin(connection.serve_requests(halves));
        let outcome = match CatchUnwind::start(serving) {
            Ok(serving) => serving.await,
            Err(panicked) => Err(panicked),
        };
        if let Err(panicked) = outcome {
            self.context.metrics.borrow_mut().panicked();
            let error = Error::internal(format!("a connection panicked: {}", panicked.0));
            self.log_error(&format!("a connection of {peer} was dropped"), &error);
        }
    }
}

/// Takes a connection out of the registry when its task ends, however it ends.
struct Registered<'a> {
    shard: &'a Shard,
    listener: &'a ShardListener,
    key: usize,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.shard.connections.borrow_mut().try_remove(self.key);
        let connections = &self.listener.connections;
        connections.set(connections.get() - 1);
        self.shard.context.metrics.borrow_mut().connection_closed();
        self.shard.connection_ended.notify();
    }
}

/// What the requests of a connection have in common.
pub(super) struct Connection<'a> {
    pub(super) shard: &'a Rc<Shard>,
    pub(super) listener: &'a ShardListener,
    pub(super) peer: SocketAddr,
    parser: HeadParser,
    /// Of the head being read; none while none has begun, so that a connection
    /// that waits holds no storage.
    pub(super) parts: Option<Box<RequestParts>>,
    /// Requests since the other tasks last got a turn.
    requests_since_yield: u32,
}

/// What keeps [`Connection::process_buffered`] from going on by itself.
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
    GoOn(Box<Deferred>),
}

impl Connection<'_> {
    /// Only what waits is a future here, and what is rare is boxed: the task
    /// of a connection stays small, and a request that is answered at once
    /// moves nothing from one future to the next.
    async fn serve_requests(&mut self, mut halves: Box<(ReadHalf, WriteHalf)>) {
        loop {
            let process = |cx: &mut Context<'_>| {
                Poll::Ready(self.process_buffered(cx, (&mut halves.0, &mut halves.1)))
            };
            match poll_fn(process).await {
                Step::Receive => match receive_head(&mut halves.0, &mut halves.1).await {
                    Received::More => {}
                    Received::End => break,
                    Received::TooLate => {
                        Box::pin(self.refuse(halves.0, &mut halves.1, head_timeout())).await;
                        break;
                    }
                },
                Step::Flush => {
                    if halves.1.flush().await.is_err() {
                        break;
                    }
                }
                Step::Yield => {
                    self.requests_since_yield = 0;
                    engine::yield_to_all().await;
                }
                Step::Refuse(error) => {
                    let status = error.status().as_u16();
                    self.shard.context.metrics.borrow_mut().parse_error(status);
                    Box::pin(self.refuse(halves.0, &mut halves.1, refusal(error))).await;
                    break;
                }
                Step::GoOn(deferred) => {
                    let finish = self.complete(halves.0, &mut halves.1, deferred);
                    match Box::pin(finish).await {
                        Some(returned) => halves.0 = returned,
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
    fn process_buffered(
        &mut self,
        cx: &mut Context<'_>,
        (reading, writing): (&mut ReadHalf, &mut WriteHalf),
    ) -> Step {
        // A request starts when the one before it is answered: it was there.
        let mut now_ns = None;
        loop {
            if self.requests_since_yield >= REQUESTS_PER_TURN_MAX {
                return Step::Yield;
            }
            if reading.pending().is_empty() {
                return Step::Receive;
            }
            let parts = self
                .parts
                .get_or_insert_with(|| self.shard.context.take_parts());
            let limits = &self.shard.head_limits;
            match self
                .parser
                .parse(reading.pending(), limits, &mut parts.head)
            {
                Ok(HeadStatus::Complete {
                    head_bytes,
                    framing,
                }) => {
                    reading.consume(head_bytes);
                    reading.state.enter(Phase::Busy);
                    let mut parts = self.parts.take().unwrap_or_default();
                    parts.peer = Some(self.peer);
                    let arrived = Arrived {
                        listener: self.listener,
                        parts,
                        framing,
                        head_bytes,
                        started_ns: now_ns.unwrap_or_else(|| self.shard.context.clock.now_ns()),
                    };
                    let halves = (&mut *reading, &mut *writing);
                    match self.shard.dispatch(cx, halves, arrived) {
                        Ok(answered_ns) => now_ns = Some(answered_ns),
                        Err(deferred) => return Step::GoOn(deferred),
                    }
                    self.end_request();
                    if writing.output.len() >= WRITE_BATCH_BYTES {
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
        self.requests_since_yield += 1;
    }

    /// Does what `dispatch` could not do at once. Gives the read half
    /// back if the connection goes on.
    async fn complete(
        &self,
        reading: ReadHalf,
        writing: &mut WriteHalf,
        deferred: Box<Deferred>,
    ) -> Option<ReadHalf> {
        let Deferred {
            mut exchange,
            continuation,
        } = *deferred;
        let shard = self.shard;
        let response = match continuation {
            Continuation::Refused(error) => {
                shard.close_with(reading, writing, exchange, error).await;
                return None;
            }
            Continuation::Response(response) => response,
            Continuation::Handler(handler) => {
                let outcome = shard.wait_for_handler(handler, writing).await;
                shard.response_of(outcome, &mut exchange)
            }
            Continuation::Body {
                parts,
                routed,
                decoder,
                expects_continue,
            } => {
                let reader = BodyReader::new(reading, decoder, expects_continue);
                let body = RequestBody::streaming(reader.clone());
                let ctx = Ctx::new(parts, body, shard.context.clone());
                let kind = self.listener.kind;
                let running = shard.run_reading_handler(kind, routed, ctx, &reader, writing);
                let outcome = running.await;
                if reader.has_failed()
                    && let Err(HandlerFailure::Error(error)) = &outcome
                {
                    shard.note_refusal(&mut exchange.record, error);
                }
                let response = shard.response_of(outcome, &mut exchange);
                return shard
                    .answer_reading(reader, writing, exchange, response)
                    .await;
            }
        };
        let ended = shard.answer(writing, exchange, response).await;
        go_on(reading, writing, ended, None).await
    }

    /// Answers a request whose head cannot be read and ends the connection.
    async fn refuse(&self, reading: ReadHalf, writing: &mut WriteHalf, error: Error) {
        let shard = self.shard;
        let exchange = shard.unread_exchange(self.peer, reading.pending());
        shard.close_with(reading, writing, exchange, error).await;
    }
}

/// Writes what is queued and reads more of the next head.
async fn receive_head(reading: &mut ReadHalf, writing: &mut WriteHalf) -> Received {
    if writing.flush().await.is_err() {
        return Received::End;
    }
    let read = match reading.pending().is_empty() {
        true => {
            writing.free_large();
            receive_next(reading).await
        }
        false => receive_rest(reading).await,
    };
    match read {
        Ok(0) if reading.state.expired.get() && !reading.pending().is_empty() => Received::TooLate,
        Ok(0) | Err(_) => Received::End,
        Ok(_) => Received::More,
    }
}

/// Between two requests.
async fn receive_next(reading: &mut ReadHalf) -> io::Result<usize> {
    if reading.state.phase() != Phase::Fresh {
        reading.state.enter(Phase::Idle);
    }
    let read = reading.wait_and_receive().await?;
    if reading.state.phase() == Phase::Parting && read > 0 {
        // It crossed our end on its way: nobody would read an answer.
        reading.linger().await;
        return Ok(0);
    }
    Ok(read)
}

/// In the middle of a head.
async fn receive_rest(reading: &mut ReadHalf) -> io::Result<usize> {
    let state = &reading.state;
    match state.phase() {
        // The time since accept counts.
        Phase::Fresh => state.go_on_as(Phase::Head),
        Phase::Head => {}
        _ => state.enter(Phase::Head),
    }
    reading.receive().await
}

/// What reading a head came to.
enum Received {
    More,
    End,
    TooLate,
}

/// How an answer leaves its connection.
struct Ended {
    /// The answer was sent to its end.
    whole: bool,
    keep_alive: bool,
    client_goes_on: bool,
}

impl Shard {
    /// Sends the answer and counts it.
    async fn answer(
        &self,
        writing: &mut WriteHalf,
        mut exchange: Exchange,
        response: Response,
    ) -> Ended {
        let is_stream = response.body().is_stream();
        let status = response.status();
        // Also brings the Date up to this moment.
        let answered_ns = self.context.clock.now_ns();
        let sent = self.send_response(writing, &mut exchange, response).await;
        let ended_ns = match is_stream {
            true => self.context.clock.now_ns(),
            false => answered_ns,
        };
        let ended = Ended {
            whole: sent.whole,
            keep_alive: exchange.facts.keep_alive,
            client_goes_on: exchange.client_goes_on,
        };
        self.finish_record(&exchange, status, sent, ended_ns);
        ended
    }

    /// As [`answer`](Self::answer), to a request whose body may not have been
    /// read to its end: the answer's stream may go on with it. Then as
    /// [`go_on`].
    async fn answer_reading(
        &self,
        reader: Rc<BodyReader>,
        writing: &mut WriteHalf,
        mut exchange: Exchange,
        response: Response,
    ) -> Option<ReadHalf> {
        let is_stream = response.body().is_stream();
        reader.response_starts(writing, is_stream);
        let can_go_on = reader.is_finished() || reader.is_drainable(BODY_DRAIN_BYTES_MAX);
        if reader.is_lent() || (!is_stream && !can_go_on) {
            exchange.facts.keep_alive = false;
        }
        let ended = self.answer(writing, exchange, response).await;
        let Some(reading) = reader.take_half() else {
            // Another task is in the middle of the body, and nobody will wait
            // for its end.
            let _ = writing.flush().await;
            writing.state.closer.shutdown();
            return None;
        };
        let unread = (!reader.is_finished()).then_some(&*reader);
        go_on(reading, writing, ended, unread).await
    }
}

/// After an answer: closes, or makes the connection ready for the next
/// request. A client that did not ask for the end may have sent more already;
/// closed at once, the connection would be reset and the answer lost.
async fn go_on(
    mut reading: ReadHalf,
    writing: &mut WriteHalf,
    ended: Ended,
    unread: Option<&BodyReader>,
) -> Option<ReadHalf> {
    if !ended.whole {
        return None;
    }
    if ended.keep_alive {
        let Some(body) = unread else {
            return Some(reading);
        };
        writing.flush().await.ok()?;
        if body.is_drainable(BODY_DRAIN_BYTES_MAX)
            && body.drain(&mut reading, BODY_DRAIN_BYTES_MAX).await
        {
            return Some(reading);
        }
        close(&mut reading, writing).await;
    } else if ended.client_goes_on || unread.is_some() || !reading.pending().is_empty() {
        close(&mut reading, writing).await;
    } else {
        writing.flush().await.ok()?;
    }
    None
}

fn head_timeout() -> Error {
    Error::new(
        StatusCode::REQUEST_TIMEOUT,
        "the request head came too slowly",
    )
}
