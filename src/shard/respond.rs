//! From what a handler returned to bytes on the wire.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use corelane_proto::http::ResponseHead;
use http::StatusCode;

use super::Shard;
use super::exchange::{Exchange, RequestFacts, Sent};
use super::read_half::ReadHalf;
use super::write_half::WriteHalf;
use crate::Error;
use crate::app::{Body, BodyKind, ByteStream, HeadParts, Response};
use crate::clock::DATE_BYTES;
use crate::engine::{self, CatchUnwind};
use crate::http1::{
    ConnectionHeader, ResponseFraming, Version, encode_chunk, encode_chunk_end, encode_chunk_start,
    encode_head, encode_last_chunk,
};
use crate::limits::{CHUNKS_PER_TURN_MAX, LINGER_MS, WRITE_BATCH_BYTES, WRITE_COPY_BYTES_MAX};

/// A head in the output, and what has to follow it.
struct QueuedHead {
    framing: ResponseFraming,
    bytes: u64,
    /// Neither for HEAD nor with a status that has none.
    has_body: bool,
}

impl Shard {
    fn queue_head(
        &self,
        output: &mut Vec<u8>,
        facts: &mut RequestFacts,
        head: &HeadParts,
        body: &Body,
        request_id: &str,
    ) -> QueuedHead {
        let framing = framing_of(head.status, body, version_of(*facts));
        if framing == ResponseFraming::UntilClose {
            facts.keep_alive = false;
        }
        let before = output.len();
        let date = self.context.clock.date();
        encode(output, *facts, head, framing, &date, request_id);
        QueuedHead {
            framing,
            bytes: (output.len() - before) as u64,
            has_body: !facts.is_head && framing != ResponseFraming::NoBody,
        }
    }

    /// Queues a response, or writes it if it is long or streamed. Here it is
    /// decided for the last time whether the connection goes on: a drain that
    /// has begun ends it, whatever was meant when the request came.
    pub(super) async fn send_response(
        &self,
        writing: &mut WriteHalf,
        exchange: &mut Exchange,
        response: Response,
    ) -> Sent {
        let facts = &mut exchange.facts;
        if self.context.draining.has_begun() {
            facts.keep_alive = false;
        }
        let (head, body) = response.into_parts();
        let id = &exchange.request_id;
        let queued = self.queue_head(&mut writing.output, facts, &head, &body, id);
        let head_bytes = queued.bytes;
        if !queued.has_body {
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
            BodyKind::Vec(bytes) => send_bytes(writing, head_bytes, bytes.into()).await,
            BodyKind::Bytes(bytes) => send_bytes(writing, head_bytes, bytes).await,
            BodyKind::Prepared(shared) if shared.body().len() <= WRITE_COPY_BYTES_MAX => {
                send_copy(writing, head_bytes, shared.body()).await
            }
            BodyKind::Prepared(shared) => {
                send_bytes(writing, head_bytes, shared.body_bytes()).await
            }
            BodyKind::Sealed(bytes) => {
                let written = writing.write_sealed(&bytes).await;
                Sent {
                    whole: written.outcome.is_ok(),
                    head_bytes,
                    body_bytes: written.bytes,
                }
            }
            BodyKind::Stream { stream, length } => {
                let mut sending = Streaming {
                    framing: queued.framing,
                    length,
                    sent: 0,
                };
                let outcome = Box::pin(sending.run(writing, stream)).await;
                if let Err(error) = &outcome
                    && error.status().is_server_error()
                {
                    self.log_failure(exchange, "a response stream ended early", error);
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
    pub(super) fn queue_answer(
        &self,
        writing: &mut WriteHalf,
        exchange: &mut Exchange,
        response: &Response,
    ) -> u64 {
        // Also brings the Date up to this moment.
        let answered_ns = self.context.clock.now_ns();
        let (head, body) = (response.head(), response.body());
        let output = &mut writing.output;
        let id = &exchange.request_id;
        let queued = self.queue_head(output, &mut exchange.facts, head, body, id);
        let head_end = output.len();
        if queued.has_body {
            output.extend_from_slice(body.as_bytes().unwrap_or_default());
        }
        let sent = Sent {
            whole: true,
            head_bytes: queued.bytes,
            body_bytes: (output.len() - head_end) as u64,
        };
        self.finish_record(exchange, head.status, sent, answered_ns);
        answered_ns
    }

    /// Answers an exchange with an error and ends the connection, whatever
    /// the client still sends.
    pub(super) async fn close_with(
        &self,
        mut reading: ReadHalf,
        writing: &mut WriteHalf,
        mut exchange: Exchange,
        error: Error,
    ) {
        exchange.facts.keep_alive = false;
        let status = error.status();
        if status.is_server_error() {
            self.count_failure(&exchange.record, &error);
        }
        self.note_refusal(&mut exchange.record, &error);
        let sent = self
            .send_response(writing, &mut exchange, error.into())
            .await;
        let ended_ns = self.context.clock.now_ns();
        self.finish_record(&exchange, status, sent, ended_ns);
        close(&mut reading, writing).await;
    }

    /// 503 with Retry-After to a connection over the limit, then close.
    pub(super) async fn answer_overload(
        &self,
        halves: Box<(ReadHalf, WriteHalf)>,
        peer: SocketAddr,
    ) {
        let (mut reading, mut writing) = *halves;
        let error = Error::unavailable("this server has too many connections; try again", 1);
        let mut exchange = self.unread_exchange(peer, b"");
        self.send_response(&mut writing, &mut exchange, error.into())
            .await;
        // No sweep sees this connection: its time is kept here.
        let time = Duration::from_millis(LINGER_MS);
        let _ = engine::timeout(time, close(&mut reading, &mut writing)).await;
    }
}

/// Writes what is queued, ends our side and reads what the client still sends,
/// within bounds, so that a reset does not overtake our last answer (RFC 9112
/// section 9.6).
pub(super) async fn close(reading: &mut ReadHalf, writing: &mut WriteHalf) {
    if writing.flush().await.is_ok() {
        writing.finish();
        reading.linger().await;
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
    let version = version_of(facts);
    let connection = match (facts.keep_alive, version) {
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
    encode_head(out, &head, version, framing, connection);
}

fn version_of(facts: RequestFacts) -> Version {
    match facts.is_http10 {
        true => Version::Http10,
        false => Version::Http11,
    }
}

/// Short bodies join the batch; long ones are written from where they are.
async fn send_bytes(writing: &mut WriteHalf, head_bytes: u64, body: Bytes) -> Sent {
    if body.len() <= WRITE_COPY_BYTES_MAX {
        return send_copy(writing, head_bytes, &body).await;
    }
    let written = writing.write_bytes(body).await;
    Sent {
        whole: written.outcome.is_ok(),
        head_bytes,
        body_bytes: written.bytes,
    }
}

async fn send_copy(writing: &mut WriteHalf, head_bytes: u64, body: &[u8]) -> Sent {
    writing.output.extend_from_slice(body);
    let is_batch_full = writing.output.len() >= WRITE_BATCH_BYTES;
    Sent {
        whole: !is_batch_full || writing.flush().await.is_ok(),
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
    async fn run(&mut self, writing: &mut WriteHalf, stream: ByteStream) -> Result<(), Error> {
        let mut stream = StreamGuard(Some(stream));
        writing.flush().await.map_err(|_| client_gone())?;
        let mut chunks = 0u32;
        loop {
            chunks += 1;
            if chunks.is_multiple_of(CHUNKS_PER_TURN_MAX) {
                engine::yield_now().await;
            }
            match next_chunk(writing, &mut stream).await {
                Some(chunk) => self.send_chunk(writing, chunk?).await?,
                None => return self.finish(writing),
            }
        }
    }

    async fn send_chunk(&mut self, writing: &mut WriteHalf, chunk: Bytes) -> Result<(), Error> {
        let whole = self.sent + chunk.len() as u64;
        if self.length.is_some_and(|length| whole > length) {
            return Err(Error::internal("a body is longer than its declared length"));
        }
        let outcome = match self.framing {
            _ if chunk.is_empty() => Ok(()),
            ResponseFraming::Chunked if chunk.len() <= WRITE_COPY_BYTES_MAX => {
                encode_chunk(&mut writing.output, &chunk);
                let outcome = writing.flush().await;
                self.sent += if outcome.is_ok() {
                    chunk.len() as u64
                } else {
                    0
                };
                outcome
            }
            ResponseFraming::Chunked => {
                encode_chunk_start(&mut writing.output, chunk.len());
                let written = writing.write_bytes(chunk).await;
                self.sent += written.bytes;
                encode_chunk_end(&mut writing.output);
                written.outcome
            }
            _ => {
                let written = writing.write_bytes(chunk).await;
                self.sent += written.bytes;
                written.outcome
            }
        };
        outcome.map_err(|_| client_gone())
    }

    fn finish(&self, writing: &mut WriteHalf) -> Result<(), Error> {
        match self.length {
            Some(length) if length != self.sent => Err(Error::internal(format!(
                "a body ended after {} of {length} bytes",
                self.sent
            ))),
            _ => {
                if self.framing == ResponseFraming::Chunked {
                    encode_last_chunk(&mut writing.output);
                }
                Ok(())
            }
        }
    }
}

/// The stream's next item. What is queued is written when the stream lets us
/// wait for it, so that the end of a chunk does not wait for the next one.
async fn next_chunk(
    writing: &mut WriteHalf,
    stream: &mut StreamGuard,
) -> Option<Result<Bytes, Error>> {
    let mut next = pin!(stream.next());
    if let Poll::Ready(item) = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
        return item;
    }
    if writing.flush().await.is_err() {
        return Some(Err(client_gone()));
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
        let outcome = match CatchUnwind::start(|| poll) {
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
