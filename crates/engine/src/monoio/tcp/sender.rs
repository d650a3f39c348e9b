//! The half of a connection that sends.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use monoio::buf::IoBuf;
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::{Socket, StreamCloser};

/// Sends to a connection; it is closed when both halves are gone.
pub struct Sender {
    pub(super) socket: Rc<Socket>,
}

impl Sender {
    pub(super) fn new(socket: Rc<Socket>) -> Self {
        Self { socket }
    }

    /// Sends what the socket has room for, without waiting; often all of it,
    /// sometimes nothing. One send(2) costs less than an operation of the ring,
    /// its completion and the wake-up that follows, and the client has its
    /// answer before the turn is over.
    ///
    /// # Errors
    /// As send(2).
    pub fn send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.send_now(bytes, SendFlags::empty())
    }

    /// Sends `buffer` from `sent` on, as [`send_now`](Self::send_now) left it, and
    /// gives it back. `on_progress` is told the bytes of every part.
    pub async fn write_rest(
        &mut self,
        buffer: Vec<u8>,
        sent: usize,
        on_progress: impl Fn(usize),
    ) -> (io::Result<()>, Vec<u8>) {
        self.socket.send_rest(buffer, sent, on_progress).await
    }

    /// Sends all of `bytes`, without copying them.
    ///
    /// # Errors
    /// As send(2).
    pub async fn write_all_bytes(
        &mut self,
        bytes: Bytes,
        on_progress: impl Fn(usize),
    ) -> io::Result<()> {
        self.socket.send_all(bytes, on_progress).await.0
    }

    /// Says that nothing more will be sent (FIN); receiving goes on.
    pub fn finish_writing(&mut self) {
        self.socket.shut(rustix::net::Shutdown::Write);
    }

    /// As [`TcpStream::closer`](super::TcpStream::closer).
    pub fn closer(&self) -> StreamCloser {
        StreamCloser {
            socket: self.socket.clone(),
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.socket.leave();
    }
}

impl Socket {
    pub(super) fn send_now(&self, bytes: &[u8], flags: SendFlags) -> io::Result<usize> {
        let fd = self.fd().expect("a half that sends");
        let flags = flags | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::send(fd, bytes, flags) {
            Ok(sent) => Ok(sent),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what there is room for at once, then the rest.
    pub(in crate::monoio) async fn send_all<B: IoBuf>(
        &self,
        buffer: B,
        on_progress: impl Fn(usize),
    ) -> (io::Result<()>, B) {
        let total = buffer.bytes_init();
        // SAFETY: `buffer` promises that so many bytes from there on are
        // initialised, and it is not touched while the slice lives.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.read_ptr(), total) };
        let sent = match self.send_now(bytes, SendFlags::empty()) {
            Ok(sent) => sent,
            Err(error) => return (Err(error), buffer),
        };
        if sent > 0 {
            on_progress(sent);
        }
        self.send_rest(buffer, sent, on_progress).await
    }

    /// See [`Sender::write_rest`].
    async fn send_rest<B: IoBuf>(
        &self,
        mut buffer: B,
        mut sent: usize,
        on_progress: impl Fn(usize),
    ) -> (io::Result<()>, B) {
        let total = buffer.bytes_init();
        while sent < total {
            let (result, slice) = self.send(buffer.slice(sent..)).await;
            buffer = slice.into_inner();
            match check_sent(result) {
                Ok(count) => {
                    sent += count;
                    on_progress(count);
                }
                Err(error) => return (Err(error), buffer),
            }
        }
        (Ok(()), buffer)
    }
}

/// Zero bytes sent is an error, an interrupted send is no progress.
fn check_sent(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}
