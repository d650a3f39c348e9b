//! The half of a connection that writes: answers are queued, and written together
//! when nothing more can be queued without waiting.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;

use super::connection::ConnectionState;
use crate::engine::{SealedBytes, Sender};
use crate::limits::{WRITE_BUFFER_FIRST_BYTES, WRITE_BUFFER_KEEP_BYTES};

/// Stays with the connection's task.
pub(super) struct WriteHalf {
    sender: Sender,
    /// Answers not yet written.
    pub(super) output: Vec<u8>,
    pub(super) state: Rc<ConnectionState>,
}

impl WriteHalf {
    pub(super) fn new(sender: Sender, state: Rc<ConnectionState>) -> Self {
        Self {
            sender,
            output: Vec::with_capacity(WRITE_BUFFER_FIRST_BYTES),
            state,
        }
    }

    /// Writes all that is queued. As a rule there is room for it, and nothing
    /// waits.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        let sent = self.sender.send_now(&self.output)?;
        if sent == self.output.len() {
            self.output.clear();
            return Ok(());
        }
        // Boxed, so that a connection that waits for a request is not as large
        // as one that waits for its client to read.
        Box::pin(self.flush_rest(sent)).await
    }

    async fn flush_rest(&mut self, sent: usize) -> io::Result<()> {
        self.state.write_starts();
        let output = std::mem::take(&mut self.output);
        let on_progress = |_| self.state.write_goes_on();
        let (result, output) = self.sender.write_rest(output, sent, on_progress).await;
        self.put_back(output);
        result
    }

    /// A write that waited has ended.
    fn put_back(&mut self, mut output: Vec<u8>) {
        output.clear();
        self.output = output;
        self.state.write_ends();
    }

    /// Who waits long need not keep what a long answer took.
    pub(super) fn free_large(&mut self) {
        if self.output.capacity() > WRITE_BUFFER_KEEP_BYTES {
            debug_assert!(self.output.is_empty());
            self.output = Vec::new();
        }
    }

    /// Writes `bytes` after what is queued, without copying them.
    pub(super) async fn write_bytes(&mut self, bytes: Bytes) -> Written {
        if let Err(error) = self.flush().await {
            return Written {
                bytes: 0,
                outcome: Err(error),
            };
        }
        self.state.write_starts();
        let taken = Cell::new(0);
        let on_progress = |bytes| note_taken(&self.state, &taken, bytes);
        let outcome = self.sender.write_all_bytes(bytes, on_progress).await;
        self.state.write_ends();
        Written {
            bytes: taken.get(),
            outcome,
        }
    }

    /// Writes what is queued and then `bytes`, without copying them.
    pub(super) async fn write_sealed(&mut self, bytes: &SealedBytes) -> Written {
        self.state.write_starts();
        let output = std::mem::take(&mut self.output);
        let queued = output.len() as u64;
        let taken = Cell::new(0);
        let on_progress = |bytes| note_taken(&self.state, &taken, bytes);
        let written = self.sender.write_all_sealed(output, bytes, on_progress);
        let (outcome, output) = written.await;
        self.put_back(output);
        Written {
            bytes: taken.get().saturating_sub(queued),
            outcome,
        }
    }

    /// Says that nothing more will be written (FIN).
    pub(super) fn finish(&mut self) {
        self.sender.finish_writing();
    }
}

/// How a long write went.
pub(super) struct Written {
    /// Of what was given, without what was queued before it.
    pub(super) bytes: u64,
    pub(super) outcome: io::Result<()>,
}

fn note_taken(state: &ConnectionState, taken: &Cell<u64>, bytes: usize) {
    state.write_goes_on();
    taken.set(taken.get() + bytes as u64);
}
