//! Request bodies that are read from the socket while the handler runs.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use http::StatusCode;

use super::connection::{ConnectionIo, Phase};
use crate::app::{BodySource, ChunkFuture};
use crate::error::Blame;
use crate::http1::{BodyDecoder, BodyEvent, CONTINUE, ParseError};
use crate::limits::BODY_READS_PER_TURN_MAX;
use crate::{Error, engine};

/// A body under way. It borrows the connection's socket while it reads and
/// puts it back after each chunk; if a read is dropped in the middle, bytes
/// may be lost, the socket goes with it, and the connection ends.
pub(super) struct BodyReader {
    io: Cell<Option<Box<ConnectionIo>>>,
    decoder: RefCell<BodyDecoder>,
    length: Option<u64>,
    /// The client waits for `100 Continue` and has not been told yet.
    continue_owed: Cell<bool>,
    finished: Cell<bool>,
    failed: Cell<bool>,
    /// Reads so far; now and then the other tasks get a turn.
    reads: Cell<u32>,
}

impl BodyReader {
    pub(super) fn new(
        io: Box<ConnectionIo>,
        decoder: BodyDecoder,
        expects_continue: bool,
    ) -> Rc<Self> {
        io.state.body_bytes.set(0);
        io.state.body_wait_ticks.set(0);
        Rc::new(Self {
            length: decoder.remaining_known(),
            decoder: RefCell::new(decoder),
            io: Cell::new(Some(io)),
            continue_owed: Cell::new(expects_continue),
            finished: Cell::new(false),
            failed: Cell::new(false),
            reads: Cell::new(0),
        })
    }

    /// The socket, if no read has it.
    pub(super) fn lend_io(&self) -> Option<Box<ConnectionIo>> {
        self.io.take()
    }

    /// Gives the socket back to the body, while a response that reads it is
    /// being streamed.
    pub(super) fn return_io(&self, io: Box<ConnectionIo>) {
        self.io.set(Some(io));
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.get()
    }

    /// Whether what is left can be read and dropped so that the connection
    /// goes on: at most `bytes_max`, of known length or chunked, and not still
    /// held back by a client that waits for `100 Continue`.
    pub(super) fn is_drainable(&self, bytes_max: u64) -> bool {
        !self.failed.get()
            && !self.continue_owed.get()
            && self
                .decoder
                .borrow()
                .remaining_known()
                .is_none_or(|left| left <= bytes_max)
    }

    /// Called before the response head is written. A `100 Continue` that is
    /// still owed goes out now if the response may yet read the body; after
    /// the head it would be bytes in the middle of the answer.
    pub(super) fn response_starts(&self, io: &mut ConnectionIo, may_read: bool) {
        if may_read && !self.finished.get() && self.continue_owed.replace(false) {
            io.output.extend_from_slice(CONTINUE);
        }
    }

    /// Reads and drops the rest. Returns whether the end was reached within
    /// `bytes_max`.
    pub(super) async fn drain(&self, io: &mut ConnectionIo, bytes_max: u64) -> bool {
        let mut dropped = 0;
        while !self.finished.get() {
            match self.read_chunk(io).await {
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

    async fn read_chunk(&self, io: &mut ConnectionIo) -> Result<Option<Bytes>, Error> {
        if self.finished.get() {
            return Ok(None);
        }
        if self.failed.get() {
            return Err(Error::bad_request(
                "the request body could not be read to its end",
            ));
        }
        let result = self.next_piece(io).await;
        if result.is_err() {
            self.failed.set(true);
        }
        result
    }

    async fn next_piece(&self, io: &mut ConnectionIo) -> Result<Option<Bytes>, Error> {
        loop {
            let event = self
                .decoder
                .borrow_mut()
                .decode(io.pending())
                .map_err(refusal)?;
            match event {
                BodyEvent::Data { start, end } => {
                    let chunk = Bytes::copy_from_slice(&io.pending()[start..end]);
                    io.consume(end);
                    io.state
                        .body_bytes
                        .set(io.state.body_bytes.get() + chunk.len() as u64);
                    if !chunk.is_empty() {
                        return Ok(Some(chunk));
                    }
                }
                BodyEvent::End { consumed } => {
                    io.consume(consumed);
                    self.finished.set(true);
                    return Ok(None);
                }
                BodyEvent::NeedMore { consumed } => {
                    io.consume(consumed);
                    self.receive(io).await?;
                }
            }
        }
    }

    /// Reads once, telling the client to go on first if it waits for that.
    async fn receive(&self, io: &mut ConnectionIo) -> Result<(), Error> {
        if self.continue_owed.replace(false) {
            io.output.extend_from_slice(CONTINUE);
        }
        io.flush().await.map_err(|_| gone())?;
        // A client as fast as we are always has bytes for the next read, and
        // a read that need not wait does not let anybody else run.
        self.reads.set(self.reads.get().wrapping_add(1));
        if self.reads.get().is_multiple_of(BODY_READS_PER_TURN_MAX) {
            engine::yield_now().await;
        }
        io.state.enter(Phase::Body);
        let result = io.read_more().await;
        io.state.enter(Phase::Busy);
        match result {
            Ok(0) if io.state.expired.get() => Err(Error::new(
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
            let Some(mut io) = self.io.take() else {
                return Err(Error::internal(
                    "a request body was read after its connection had ended, or twice at once",
                ));
            };
            let result = self.read_chunk(&mut io).await;
            self.io.set(Some(io));
            result
        })
    }

    fn length(&self) -> Option<u64> {
        self.length
    }
}

/// The error of a request that the codec refused.
pub(super) fn refusal(error: ParseError) -> Error {
    Error::new(error.status(), error.detail()).with_blame(Blame::Client)
}

fn gone() -> Error {
    Error::bad_request("the client went away before its request body was complete")
}
