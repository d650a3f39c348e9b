//! The half of a connection that reads: requests, and what a client still sends
//! when it has had its last answer.

use std::io;
use std::rc::Rc;

use super::connection::{ConnectionState, Phase};
use crate::engine::{Input, Receiver};
use crate::limits::LINGER_BYTES_MAX;

/// With the connection's task, or with the body of the request under way.
pub(super) struct ReadHalf {
    receiver: Receiver,
    input: Input,
    pub(super) state: Rc<ConnectionState>,
}

impl ReadHalf {
    pub(super) fn new(receiver: Receiver, state: Rc<ConnectionState>) -> Self {
        Self {
            receiver,
            input: Input::new(),
            state,
        }
    }

    /// Bytes received and not consumed.
    pub(super) fn pending(&self) -> &[u8] {
        self.input.pending()
    }

    /// Consumes `bytes` of [`pending`](Self::pending).
    pub(super) fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
    }

    /// Receives once. `Ok(0)` is the end of the stream.
    pub(super) async fn receive(&mut self) -> io::Result<usize> {
        self.receiver.fill(&mut self.input).await
    }

    /// As [`receive`](Self::receive), between two requests: with as little
    /// memory as can be.
    pub(super) async fn wait_and_receive(&mut self) -> io::Result<usize> {
        self.receiver.wait_and_fill(&mut self.input).await
    }

    /// Reads and drops what comes, within bounds, until the client's end.
    pub(super) async fn linger(&mut self) {
        self.state.enter(Phase::Linger);
        let mut left = LINGER_BYTES_MAX;
        loop {
            self.input.consume(self.input.pending().len());
            match self.receive().await {
                Ok(n) if n > 0 && (n as u64) < left => left -= n as u64,
                _ => return,
            }
        }
    }
}
