//! Request bodies that are read from the socket while the handler runs.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::StatusCode;

use super::connection::Phase;
use super::read_half::ReadHalf;
use super::write_half::WriteHalf;
use crate::app::{BodySource, ChunkFuture};
use crate::engine::LocalEvent;
use crate::error::Blame;
use crate::http1::{BodyDecoder, BodyEvent, CONTINUE, ParseError};
use crate::limits::BODY_READS_PER_TURN_MAX;
use crate::{Error, engine};

/// A body under way. It has the connection's read half until the answer is
/// sent, and lends it to one read at a time. If a read is dropped in the middle
/// bytes may be lost: the body has failed, and the connection ends after the
/// answer.
pub(super) struct BodyReader {
    /// `None` while a read has it, and after [`take_half`](Self::take_half).
    half: Cell<Option<ReadHalf>>,
    decoder: RefCell<BodyDecoder>,
    length: Option<u64>,
    go_ahead: Cell<GoAhead>,
    /// Told when the go-ahead is [`GoAhead::Wanted`].
    go_ahead_wanted: LocalEvent,
    finished: Cell<bool>,
    failed: Cell<bool>,
    /// The answer is out, and nothing is read any more.
    ended: Cell<bool>,
    /// Reads so far; now and then the other tasks get a turn.
    reads: Cell<u32>,
}

/// The `100 Continue` that a client may wait for before it sends its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GoAhead {
    /// Not asked for, sent, or not needed any more.
    Settled,
    /// The client waits for it, and nobody has read the body yet.
    Owed,
    /// A read waits for the client: it is to be sent at once.
    Wanted,
}

impl BodyReader {
    pub(super) fn new(half: ReadHalf, decoder: BodyDecoder, expects_continue: bool) -> Rc<Self> {
        half.state.body_bytes.set(0);
        half.state.body_wait_ticks.set(0);
        Rc::new(Self {
            length: decoder.remaining_known(),
            decoder: RefCell::new(decoder),
            half: Cell::new(Some(half)),
            go_ahead: Cell::new(match expects_continue {
                true => GoAhead::Owed,
                false => GoAhead::Settled,
            }),
            go_ahead_wanted: LocalEvent::default(),
            finished: Cell::new(false),
            failed: Cell::new(false),
            ended: Cell::new(false),
            reads: Cell::new(0),
        })
    }

    /// Ends the reading; `None` if somebody else's task is in the middle of it.
    pub(super) fn take_half(&self) -> Option<ReadHalf> {
        self.ended.set(true);
        self.half.take()
    }

    /// Whether a read is under way, in a task of the handler's.
    pub(super) fn is_lent(&self) -> bool {
        let half = self.half.take();
        let is_lent = half.is_none();
        self.half.set(half);
        is_lent
    }

    /// Waits for `handler`, which may read this body, and writes meanwhile what
    /// is queued and the go-ahead that its client may wait for.
    pub(super) async fn run<F>(&self, handler: &mut F, writing: &mut WriteHalf) -> F::Output
    where
        F: Future + Unpin,
    {
        loop {
            if self.go_ahead.get() == GoAhead::Wanted {
                self.go_ahead.set(GoAhead::Settled);
                writing.output.extend_from_slice(CONTINUE);
            }
            // A failed write shows again when the answer is written.
            let _ = writing.flush().await;
            if let Some(output) = self.run_until_go_ahead(handler).await {
                return output;
            }
        }
    }

    async fn run_until_go_ahead<F>(&self, handler: &mut F) -> Option<F::Output>
    where
        F: Future + Unpin,
    {
        let mut wanted = pin!(self.go_ahead_wanted.wait());
        poll_fn(|cx| match Pin::new(&mut *handler).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => wanted.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// Whether it was refused or did not come to its end.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.get()
    }

    /// Whether what is left can be read and dropped so that the connection
    /// goes on: at most `bytes_max`, of known length or chunked, and not still
    /// held back by a client that waits for its go-ahead.
    pub(super) fn is_drainable(&self, bytes_max: u64) -> bool {
        !self.failed.get()
            && self.go_ahead.get() == GoAhead::Settled
            && self
                .decoder
                .borrow()
                .remaining_known()
                .is_none_or(|left| left <= bytes_max)
    }

    /// Called before the response head is written. A go-ahead that is still
    /// owed goes out now if the response may yet read the body; after the head
    /// it would be bytes in the middle of the answer.
    pub(super) fn response_starts(&self, writing: &mut WriteHalf, may_read: bool) {
        if may_read && !self.finished.get() && self.go_ahead.get() != GoAhead::Settled {
            self.go_ahead.set(GoAhead::Settled);
            writing.output.extend_from_slice(CONTINUE);
        }
    }

    /// Reads and drops the rest, out of the half that was taken back. Returns
    /// whether the end was reached within `bytes_max`.
    pub(super) async fn drain(&self, half: &mut ReadHalf, bytes_max: u64) -> bool {
        let mut dropped = 0;
        while !self.finished.get() {
            match self.read_chunk(half).await {
                Ok(Some(chunk)) => dropped += chunk.len() as u64,
                Ok(None) => return true,
                Err(_) => return false,
            }
            if dropped > bytes_max {
                return false;
            }
        }
        true
    }

    async fn read_chunk(&self, half: &mut ReadHalf) -> Result<Option<Bytes>, Error> {
        if self.finished.get() {
            return Ok(None);
        }
        if self.failed.get() {
            return Err(Error::bad_request(
                "the request body could not be read to its end",
            ));
        }
        let result = self.next_piece(half).await;
        if result.is_err() {
            self.failed.set(true);
        }
        result
    }

    async fn next_piece(&self, half: &mut ReadHalf) -> Result<Option<Bytes>, Error> {
        loop {
            let event = self
                .decoder
                .borrow_mut()
                .decode(half.pending())
                .map_err(refusal)?;
            match event {
                BodyEvent::Data { start, end } => {
                    let chunk = Bytes::copy_from_slice(&half.pending()[start..end]);
                    half.consume(end);
                    let received = &half.state.body_bytes;
                    received.set(received.get() + chunk.len() as u64);
                    if !chunk.is_empty() {
                        return Ok(Some(chunk));
                    }
                }
                BodyEvent::End { consumed } => {
                    half.consume(consumed);
                    self.finished.set(true);
                    return Ok(None);
                }
                BodyEvent::NeedMore { consumed } => {
                    half.consume(consumed);
                    self.receive(half).await?;
                }
            }
        }
    }

    /// Reads once. The connection's task writes meanwhile what the client may
    /// wait for.
    async fn receive(&self, half: &mut ReadHalf) -> Result<(), Error> {
        if self.go_ahead.get() == GoAhead::Owed {
            self.go_ahead.set(GoAhead::Wanted);
            self.go_ahead_wanted.notify();
        }
        // A client as fast as we are always has bytes for the next read, and
        // a read that need not wait does not let anybody else run.
        self.reads.set(self.reads.get().wrapping_add(1));
        if self.reads.get().is_multiple_of(BODY_READS_PER_TURN_MAX) {
            engine::yield_now().await;
        }
        half.state.enter(Phase::Body);
        let result = half.receive().await;
        half.state.enter(Phase::Busy);
        match result {
            Ok(0) if half.state.expired.get() => Err(Error::new(
                StatusCode::REQUEST_TIMEOUT,
                "the request body came too slowly",
            )),
            Ok(0) | Err(_) => Err(gone()),
            Ok(_) => Ok(()),
        }
    }
}

impl BodySource for BodyReader {
    fn next_chunk(self: Rc<Self>) -> ChunkFuture {
        Box::pin(async move {
            let mut lent = Lent::take(&self);
            let result = match &mut lent.half {
                Some(half) => self.read_chunk(half).await,
                None => Err(Error::internal(
                    "a request body was read after its connection had ended, or twice at once",
                )),
            };
            lent.is_read = true;
            result
        })
    }

    fn length(&self) -> Option<u64> {
        self.length
    }
}

/// The read half while a read has it. It comes back however the read ends.
struct Lent<'a> {
    reader: &'a BodyReader,
    half: Option<ReadHalf>,
    is_read: bool,
}

impl<'a> Lent<'a> {
    fn take(reader: &'a BodyReader) -> Self {
        Self {
            reader,
            half: reader.half.take(),
            is_read: false,
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(half) = self.half.take() else {
            return;
        };
        if !self.is_read {
            self.reader.failed.set(true);
            half.state.enter(Phase::Busy);
        }
        // Kept after the connection's end, by a task that has the body, the
        // socket would stay open and be counted nowhere.
        if !self.reader.ended.get() {
            self.reader.half.set(Some(half));
        }
    }
}

/// The error of a request that the codec refused.
pub(super) fn refusal(error: ParseError) -> Error {
    Error::new(error.status(), error.detail()).with_blame(Blame::Client)
}

fn gone() -> Error {
    Error::bad_request("the client went away before its request body was complete")
}
