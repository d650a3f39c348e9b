//! The half of a connection that writes: answers are queued, and written together
//! when nothing more can be queued without waiting.

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
        if self.output.is_empty() || self.flush_now()? {
            return Ok(());
        }
        self.state.write_starts();
        let output = std::mem::take(&mut self.output);
        let on_progress = |_| self.state.write_goes_on();
        let (result, output) = self.sender.write_all(output, on_progress).await;
        self.put_back(output);
        result
    }

    /// Whether there was room for all of it.
    fn flush_now(&mut self) -> io::Result<bool> {
        let sent = self.sender.send_now(&self.output)?;
        if sent == self.output.len() {
            self.output.clear();
            return Ok(true);
        }
        self.output.drain(..sent);
        Ok(false)
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
    pub(super) async fn write_bytes(&mut self, bytes: Bytes) -> io::Result<()> {
        self.flush().await?;
        self.state.write_starts();
        let on_progress = |_| self.state.write_goes_on();
        let result = self.sender.write_all_bytes(bytes, on_progress).await;
        self.state.write_ends();
        result
    }

    /// Writes what is queued and then `bytes`, without copying them.
    pub(super) async fn write_sealed(&mut self, bytes: &SealedBytes) -> io::Result<()> {
        self.state.write_starts();
        let output = std::mem::take(&mut self.output);
        let on_progress = |_| self.state.write_goes_on();
        let written = self.sender.write_all_sealed(output, bytes, on_progress);
        let (result, output) = written.await;
        self.put_back(output);
        result
    }

    /// Says that nothing more will be written (FIN).
    pub(super) fn finish(&mut self) {
        self.sender.finish_writing();
    }
}
