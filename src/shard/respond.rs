//! From what a handler returned to bytes on the wire.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use corelane_proto::http::ResponseHead;
use http::StatusCode;

use super::Shard;
use super::body::BodyReader;
use super::connection::{ConnectionIo, ConnectionState};
use super::serve::Exchange;
use crate::Error;
use crate::app::{Body, BodyKind, ByteStream, HeadParts, Response};
use crate::clock::DATE_BYTES;
use crate::engine::{self, Guarded, TcpStream};
use crate::http1::{
    ConnectionHeader, ResponseFraming, Version, encode_chunk, encode_head, encode_last_chunk,
};
use crate::limits::{CHUNKS_PER_TURN_MAX, LINGER_MS, WRITE_BATCH_BYTES, WRITE_COPY_BYTES_MAX};

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

/// The connection while an answer is sent: either held here, or lent to the
/// request body that the answer's stream may still be reading.
pub(super) struct AnswerIo<'a> {
    io: Option<Box<ConnectionIo>>,
    body: Option<&'a Rc<BodyReader>>,
}

impl<'a> AnswerIo<'a> {
    pub(super) fn new(io: Box<ConnectionIo>, body: Option<&'a Rc<BodyReader>>) -> Self {
        Self { io: Some(io), body }
    }

    /// The connection; `None` when a dropped read took it away.
    fn hold(&mut self) -> Option<&mut ConnectionIo> {
        if self.io.is_none() {
            self.io = self.body.and_then(|body| body.lend_io());
        }
        self.io.as_deref_mut()
    }

    /// Lets the request body read while the response stream is polled.
    fn lend(&mut self) {
        if let (Some(body), true) = (self.body, self.io.is_some())
            && !body.is_finished()
            && let Some(io) = self.io.take()
        {
            body.return_io(io);
        }
    }

    pub(super) fn into_io(mut self) -> Option<Box<ConnectionIo>> {
        self.hold();
        self.io
    }
}

impl Shard {
    /// Queues a response, or writes it if it is long or streamed.
    pub(super) async fn send_response(
        &self,
        connection: &mut AnswerIo<'_>,
        facts: &mut RequestFacts,
        response: Response,
        request_id: &str,
    ) -> Sent {
        let Some(io) = connection.hold() else {
            return Sent {
                whole: false,
                head_bytes: 0,
                body_bytes: 0,
            };
        };
        let (head, body) = response.into_parts();
        let framing = framing_of(head.status, &body, facts.version);
        if framing == ResponseFraming::UntilClose {
            facts.keep_alive = false;
        }
        let before = io.output.len();
        let date = self.context.clock.date();
        encode(&mut io.output, *facts, &head, framing, &date, request_id);
        let head_bytes = (io.output.len() - before) as u64;
        if facts.is_head || framing == ResponseFraming::NoBody {
            drop_unsent(body);
            return Sent {
                whole: true,
                head_bytes,
                body_bytes: 0,
            };
        }
        match body.into_kind() {
            BodyKind::Empty => Sent {
                whole: true,
                head_bytes,
                body_bytes: 0,
            },
            BodyKind::Vec(bytes) => send_bytes(io, head_bytes, bytes.into()).await,
            BodyKind::Bytes(bytes) => send_bytes(io, head_bytes, bytes).await,
            BodyKind::Prepared(shared) if shared.body().len() <= WRITE_COPY_BYTES_MAX => {
                send_copy(io, head_bytes, shared.body()).await
            }
            BodyKind::Prepared(shared) => send_bytes(io, head_bytes, shared.body_bytes()).await,
            BodyKind::Sealed(bytes) => Sent {
                head_bytes,
                body_bytes: bytes.as_ref().len() as u64,
                whole: io.write_sealed(&bytes).await.is_ok(),
            },
            BodyKind::Stream { stream, length } => {
                let mut sending = Streaming {
                    framing,
                    length,
                    sent: 0,
                };
                let outcome = Box::pin(sending.run(connection, stream)).await;
                if let Err(error) = &outcome
                    && error.status().is_server_error()
                {
                    self.log_error("a response stream ended early", error);
                }
                Sent {
                    whole: outcome.is_ok(),
                    head_bytes,
                    body_bytes: sending.sent,
                }
            }
        }
    }

    /// Queues an answer whose body is short, and counts it. Tells when, on the
    /// shard's clock.
    pub(super) fn answer_at_once(
        &self,
        io: &mut ConnectionIo,
        exchange: Exchange,
        response: &Response,
    ) -> u64 {
        // Also brings the Date up to this moment.
        let answered_ns = self.context.clock.now_ns();
        let (head, body) = (response.head(), response.body());
        let facts = exchange.facts;
        let framing = framing_of(head.status, body, facts.version);
        let before = io.output.len();
        let date = self.context.clock.date();
        let id = &exchange.request_id;
        encode(&mut io.output, facts, head, framing, &date, id);
        let head_end = io.output.len();
        if !facts.is_head && framing != ResponseFraming::NoBody {
            io.output
                .extend_from_slice(body.as_bytes().unwrap_or_default());
        }
        let sent = Sent {
            whole: true,
            head_bytes: (head_end - before) as u64,
            body_bytes: (io.output.len() - head_end) as u64,
        };
        self.finish_record(exchange, head.status, sent, answered_ns);
        answered_ns
    }

    /// 503 with Retry-After to a connection over the limit, then close.
    pub(super) async fn answer_overload(&self, stream: TcpStream) {
        let state = Rc::new(ConnectionState::new(stream.closer()));
        let io = Box::new(ConnectionIo::new(stream, state));
        let error = Error::unavailable("this server has too many connections; try again", 1);
        let mut facts = RequestFacts {
            version: Version::Http11,
            is_head: false,
            keep_alive: false,
        };
        let mut answer = AnswerIo::new(io, None);
        self.send_response(&mut answer, &mut facts, error.into(), "")
            .await;
        if let Some(mut io) = answer.into_io()
            && io.flush().await.is_ok()
        {
            // No sweep sees this connection: its time is kept here.
            let time = Duration::from_millis(LINGER_MS);
            let _ = engine::timeout(time, io.linger()).await;
        }
    }

    /// What only the log is told, and who has to act.
    pub(super) fn log_error(&self, what: &str, error: &Error) {
        let (shard, blame) = (self.context.info.index, error.blame().name());
        self.errors
            .tell(format!("shard {shard}: {what} (blame: {blame}): {error}"));
    }
}

/// Appends status line, fields and blank line.
fn encode(
    out: &mut Vec<u8>,
    facts: RequestFacts,
    head: &HeadParts,
    framing: ResponseFraming,
    date: &[u8; DATE_BYTES],
    request_id: &str,
) {
    let connection = match (facts.keep_alive, facts.version) {
        (false, _) => ConnectionHeader::Close,
        (true, Version::Http10) => ConnectionHeader::KeepAlive,
        (true, Version::Http11) => ConnectionHeader::Omit,
    };
    let id = [("x-request-id", request_id)];
    let head = ResponseHead {
        status: head.status,
        lines: &head.lines(),
        headers: &head.headers,
        date,
        extra: if request_id.is_empty() { &[] } else { &id },
    };
    encode_head(out, &head, facts.version, framing, connection);
}

/// Short bodies join the batch; long ones are written from where they are.
async fn send_bytes(io: &mut ConnectionIo, head_bytes: u64, body: Bytes) -> Sent {
    if body.len() <= WRITE_COPY_BYTES_MAX {
        return send_copy(io, head_bytes, &body).await;
    }
    let body_bytes = body.len() as u64;
    Sent {
        whole: io.write_bytes(body).await.is_ok(),
        head_bytes,
        body_bytes,
    }
}

async fn send_copy(io: &mut ConnectionIo, head_bytes: u64, body: &[u8]) -> Sent {
    io.output.extend_from_slice(body);
    let is_batch_full = io.output.len() >= WRITE_BATCH_BYTES;
    Sent {
        whole: !is_batch_full || io.flush().await.is_ok(),
        head_bytes,
        body_bytes: body.len() as u64,
    }
}

/// A stream is the user's, and so is its destructor.
fn drop_unsent(body: Body) {
    if let BodyKind::Stream { stream, .. } = body.into_kind() {
        drop(StreamGuard(Some(stream)));
    }
}

/// 1xx, 204 and 304 have no body (RFC 9112 section 6.3).
fn framing_of(status: StatusCode, body: &Body, version: Version) -> ResponseFraming {
    if status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
    {
        return ResponseFraming::NoBody;
    }
    match body.length() {
        Some(bytes) => ResponseFraming::Length(bytes),
        None => ResponseFraming::of_stream(version),
    }
}

/// A response body on its way out.
struct Streaming {
    framing: ResponseFraming,
    length: Option<u64>,
    sent: u64,
}

impl Streaming {
    /// Polls the stream only when what it gave before has been taken by the
    /// client: that is the backpressure.
    async fn run(
        &mut self,
        connection: &mut AnswerIo<'_>,
        stream: ByteStream,
    ) -> Result<(), Error> {
        let mut stream = StreamGuard(Some(stream));
        if let Some(io) = connection.hold() {
            io.flush().await.map_err(|_| client_gone())?;
        }
        let mut chunks = 0u32;
        loop {
            chunks += 1;
            if chunks.is_multiple_of(CHUNKS_PER_TURN_MAX) {
                engine::yield_now().await;
            }
            let next = next_chunk(connection, &mut stream).await;
            let Some(io) = connection.hold() else {
                return Err(Error::internal(
                    "the request body took the connection with it",
                ));
            };
            match next {
                Some(chunk) => self.send_chunk(io, chunk?).await?,
                None => return self.finish(io),
            }
        }
    }

    async fn send_chunk(&mut self, io: &mut ConnectionIo, chunk: Bytes) -> Result<(), Error> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.sent += chunk.len() as u64;
        if self.length.is_some_and(|length| self.sent > length) {
            return Err(Error::internal("a body is longer than its declared length"));
        }
        let chunked = self.framing == ResponseFraming::Chunked;
        if chunked && chunk.len() <= WRITE_COPY_BYTES_MAX {
            encode_chunk(&mut io.output, &chunk);
            return io.flush().await.map_err(|_| client_gone());
        }
        if chunked {
            io.output
                .extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            io.write_bytes(chunk).await.map_err(|_| client_gone())?;
            io.output.extend_from_slice(b"\r\n");
            return Ok(());
        }
        io.write_bytes(chunk).await.map_err(|_| client_gone())
    }

    fn finish(&self, io: &mut ConnectionIo) -> Result<(), Error> {
        match self.length {
            Some(length) if length != self.sent => Err(Error::internal(format!(
                "a body ended after {} of {length} bytes",
                self.sent
            ))),
            _ => {
                if self.framing == ResponseFraming::Chunked {
                    encode_last_chunk(&mut io.output);
                }
                Ok(())
            }
        }
    }
}

/// The stream's next item. What is queued is written when the stream lets us
/// wait for it, so that the end of a chunk does not wait for the next one.
async fn next_chunk(
    connection: &mut AnswerIo<'_>,
    stream: &mut StreamGuard,
) -> Option<Result<Bytes, Error>> {
    connection.lend();
    let mut next = pin!(stream.next());
    if let Poll::Ready(item) = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
        return item;
    }
    // A body that is being read holds the connection and writes by itself.
    if let Some(io) = connection.hold() {
        let flushed = io.flush().await;
        connection.lend();
        if flushed.is_err() {
            return Some(Err(client_gone()));
        }
    }
    next.await
}

/// Of a write that failed or was given up: nothing of ours went wrong.
fn client_gone() -> Error {
    Error::bad_request("the client went away before its answer was complete")
}

/// A user's stream, its panics turned into errors.
struct StreamGuard(Option<ByteStream>);

impl StreamGuard {
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let stream = self.0.as_mut()?;
        let poll = poll_fn(|cx| stream.as_mut().poll_next(cx));
        let outcome = match Guarded::start(|| poll) {
            Ok(future) => future.await,
            Err(panicked) => Err(panicked),
        };
        match outcome {
            Ok(item) => item,
            Err(panicked) => {
                self.0 = None;
                Some(Err(Error::internal(format!(
                    "the stream panicked: {}",
                    panicked.0
                ))))
            }
        }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let stream = self.0.take();
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(stream)));
    }
}

#[cfg(test)]
mod tests;
