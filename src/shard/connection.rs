//! A connection's socket, buffers and place in the shard's registry.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use crate::engine::{SealedBytes, StreamCloser, TcpStream};
use crate::limits::{
    LINGER_BYTES_MAX, READ_BUFFER_LARGE_BYTES, READ_BUFFER_MEDIUM_BYTES, READ_BUFFER_SMALL_BYTES,
    WRITE_BUFFER_FIRST_BYTES, WRITE_BUFFER_KEEP_BYTES,
};

/// What a connection is waiting for; the sweep has a limit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The first byte on a new connection.
    Fresh,
    /// The next request's first byte.
    Idle,
    /// The rest of a head.
    Head,
    /// More of a request body.
    Body,
    /// Its handler: no limit of ours.
    Busy,
    /// The client, to take what is written.
    Write,
    /// The client's end, after our last answer.
    Linger,
}

/// What the sweep sees of a connection. Written by the connection's task and
/// by the sweep, both on the shard's thread.
pub(super) struct ConnectionState {
    phase: Cell<Phase>,
    /// Sweeps seen in this phase without progress; about seconds.
    pub(super) ticks: Cell<u32>,
    /// Body bytes of the current request, and sweeps spent waiting for them.
    pub(super) body_bytes: Cell<u64>,
    pub(super) body_wait_ticks: Cell<u32>,
    /// Bytes the kernel still held when the client was last seen to take some.
    pub(super) unsent_bytes: Cell<u64>,
    /// Set by the sweep when it has ended a read or write.
    pub(super) expired: Cell<bool>,
    pub(super) closer: StreamCloser,
}

impl ConnectionState {
    pub(super) fn new(closer: StreamCloser) -> Self {
        Self {
            phase: Cell::new(Phase::Fresh),
            ticks: Cell::new(0),
            body_bytes: Cell::new(0),
            body_wait_ticks: Cell::new(0),
            unsent_bytes: Cell::new(0),
            expired: Cell::new(false),
            closer,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Enters a phase in which the time of the last one counts too.
    pub(super) fn go_on_as(&self, phase: Phase) {
        self.phase.set(phase);
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.ticks.set(0);
    }
}

/// Socket and buffers. Boxed once per connection, so that lending it to a
/// streaming body moves a pointer.
pub(super) struct ConnectionIo {
    stream: TcpStream,
    /// Received bytes; those before `start` have been consumed.
    input: Vec<u8>,
    start: usize,
    /// Answers not yet written.
    pub(super) output: Vec<u8>,
    pub(super) state: Rc<ConnectionState>,
}

impl ConnectionIo {
    pub(super) fn new(stream: TcpStream, state: Rc<ConnectionState>) -> Self {
        Self {
            stream,
            input: Vec::new(),
            start: 0,
            output: Vec::with_capacity(WRITE_BUFFER_FIRST_BYTES),
            state,
        }
    }

    /// Bytes received and not consumed.
    pub(super) fn pending(&self) -> &[u8] {
        &self.input[self.start..]
    }

    /// Consumes `bytes` of [`pending`](Self::pending).
    pub(super) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.input.len());
        if self.start == self.input.len() {
            self.input.clear();
            self.start = 0;
        }
    }

    /// Waits for the next request with as little memory as can be, then reads.
    ///
    /// A small buffer just waits in its read. A large one is freed first and
    /// the socket polled: one operation more, but for connections that fill
    /// large buffers that is one per batch of requests.
    pub(super) async fn read_between_requests(&mut self) -> io::Result<usize> {
        if self.input.capacity() > READ_BUFFER_MEDIUM_BYTES {
            self.input = Vec::new();
            if self.output.capacity() > WRITE_BUFFER_KEEP_BYTES {
                self.output = Vec::new();
            }
            self.stream.readable().await?;
            self.input = Vec::with_capacity(READ_BUFFER_LARGE_BYTES);
        }
        self.read_more().await
    }

    /// Writes what is queued and meanwhile reads the next request's beginning;
    /// `on_written` is called in between. Nothing must be pending.
    pub(super) async fn flush_and_read(&mut self, on_written: impl FnOnce()) -> io::Result<usize> {
        if self.input.capacity() > READ_BUFFER_MEDIUM_BYTES {
            self.flush().await?;
            on_written();
            return self.read_between_requests().await;
        }
        self.make_room();
        self.state.enter(Phase::Write);
        let state = &self.state;
        let output = std::mem::take(&mut self.output);
        let input = std::mem::take(&mut self.input);
        let done = self
            .stream
            .write_and_read(output, input, |_| state.ticks.set(0), on_written)
            .await;
        self.input = done.input;
        self.output = done.output;
        self.output.clear();
        done.written?;
        match done.read {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.read_more().await,
            Ok(n) => {
                self.shrink_if_quiet(n);
                Ok(n)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads once, making room first. `Ok(0)` is the end of the stream.
    pub(super) async fn read_more(&mut self) -> io::Result<usize> {
        self.make_room();
        let was_empty = self.input.is_empty();
        loop {
            let (result, buffer) = self.stream.read(std::mem::take(&mut self.input)).await;
            self.input = buffer;
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(n) => {
                    if was_empty {
                        self.shrink_if_quiet(n);
                    }
                    return Ok(n);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A quiet connection goes back to the small buffer.
    fn shrink_if_quiet(&mut self, received: usize) {
        if self.input.capacity() > READ_BUFFER_SMALL_BYTES && received < READ_BUFFER_SMALL_BYTES / 2
        {
            let mut small = Vec::with_capacity(READ_BUFFER_SMALL_BYTES);
            small.extend_from_slice(&self.input);
            self.input = small;
        }
    }

    fn make_room(&mut self) {
        if self.start > 0 {
            self.input.drain(..self.start);
            self.start = 0;
        }
        let (length, capacity) = (self.input.len(), self.input.capacity());
        if length == capacity {
            let wanted = match capacity {
                0 => READ_BUFFER_SMALL_BYTES,
                1..READ_BUFFER_MEDIUM_BYTES => READ_BUFFER_MEDIUM_BYTES,
                _ => READ_BUFFER_LARGE_BYTES.max(capacity * 2),
            };
            self.input.reserve_exact(wanted - length);
        }
    }

    /// Writes all answers collected so far.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        self.state.enter(Phase::Write);
        let state = &self.state;
        let output = std::mem::take(&mut self.output);
        let (result, mut output) = self.stream.write_all(output, |_| state.ticks.set(0)).await;
        output.clear();
        self.output = output;
        self.state.enter(Phase::Busy);
        result
    }

    /// Writes `bytes` after what has been collected, without copying them.
    pub(super) async fn write_bytes(&mut self, bytes: bytes::Bytes) -> io::Result<()> {
        self.flush().await?;
        self.state.enter(Phase::Write);
        let state = &self.state;
        let result = self
            .stream
            .write_all_bytes(bytes, |_| state.ticks.set(0))
            .await;
        self.state.enter(Phase::Busy);
        result
    }

    /// Writes what has been collected and then `bytes`, without copying them.
    pub(super) async fn write_sealed(&mut self, bytes: &SealedBytes) -> io::Result<()> {
        self.state.enter(Phase::Write);
        let state = &self.state;
        let output = std::mem::take(&mut self.output);
        let written = self
            .stream
            .write_all_sealed(output, bytes, |_| state.ticks.set(0));
        let (result, mut output) = written.await;
        output.clear();
        self.output = output;
        self.state.enter(Phase::Busy);
        result
    }

    /// Ends our side and reads what the client still sends, within bounds, so
    /// that a reset does not overtake our last answer (RFC 9112 section 9.6).
    pub(super) async fn linger(&mut self) {
        self.stream.finish_writing();
        self.state.enter(Phase::Linger);
        let mut left = LINGER_BYTES_MAX;
        loop {
            self.input.clear();
            self.start = 0;
            match self.read_more().await {
                Ok(n) if n > 0 && (n as u64) < left => left -= n as u64,
                _ => return,
            }
        }
    }
}
