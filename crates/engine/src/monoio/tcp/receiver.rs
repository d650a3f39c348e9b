//! The half of a connection that receives.

use std::io;
use std::rc::Rc;

use monoio::buf::IoBufMut;

use super::Socket;
use crate::Input;

/// Receives from a connection; it is closed when both halves are gone.
pub struct Receiver {
    socket: Rc<Socket>,
}

impl Receiver {
    pub(super) fn new(socket: Rc<Socket>) -> Self {
        Self { socket }
    }

    /// Receives once, to the end of `input`, which has room or makes it.
    /// `Ok(0)` is the end of the stream. Dropped while pending it may lose
    /// bytes, what was pending in `input` among them: only where the connection
    /// then closes.
    ///
    /// # Errors
    /// As recv(2).
    pub async fn fill(&mut self, input: &mut Input) -> io::Result<usize> {
        loop {
            let buffer = input.lend();
            let filled = buffer.len();
            let (result, buffer) = match filled {
                0 => self.socket.receive(buffer).await,
                _ => {
                    let capacity = buffer.capacity();
                    let received = self.socket.receive(buffer.slice_mut(filled..capacity));
                    let (result, room) = received.await;
                    (result, room.into_inner())
                }
            };
            let received = buffer.len() - filled;
            input.take_back(buffer, received);
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// As [`fill`](Self::fill), for who may wait long: it holds little memory
    /// meanwhile. A small buffer just waits in its receive. A large one is freed
    /// first and the socket polled: one operation more, but for connections
    /// that fill large buffers that is one per batch of requests.
    ///
    /// # Errors
    /// As recv(2).
    pub async fn wait_and_fill(&mut self, input: &mut Input) -> io::Result<usize> {
        if input.free_large() {
            self.socket.readable().await?;
            input.make_large();
        }
        self.fill(input).await
    }

    /// Waits until there is something to receive, or the end. May be dropped.
    ///
    /// # Errors
    /// As poll(2).
    pub async fn readable(&mut self) -> io::Result<()> {
        self.socket.readable().await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.socket.leave();
    }
}
