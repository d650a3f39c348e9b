//! A connection in two halves, for whoever moves bytes in both directions at
//! once: neither waits for the other.

use std::io;
use std::rc::Rc;

use bytes::Bytes;

use super::{StreamCloser, TcpStream};

/// Reads from a connection; it is closed when both halves are gone.
pub struct ReadHalf {
    stream: Rc<TcpStream>,
}

/// Writes to a connection; it is closed when both halves are gone.
pub struct WriteHalf {
    stream: Rc<TcpStream>,
}

impl TcpStream {
    /// Takes it apart.
    pub fn into_halves(self) -> (ReadHalf, WriteHalf) {
        let stream = Rc::new(self);
        let reading = ReadHalf {
            stream: stream.clone(),
        };
        (reading, WriteHalf { stream })
    }
}

impl ReadHalf {
    /// As [`TcpStream::read`].
    pub async fn read(&mut self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        self.stream.receive_after(buffer).await
    }

    /// As [`TcpStream::closer`].
    pub fn closer(&self) -> StreamCloser {
        self.stream.closer()
    }
}

impl WriteHalf {
    /// As [`TcpStream::write_all`].
    pub async fn write_all(
        &mut self,
        buffer: Vec<u8>,
        on_progress: impl Fn(usize),
    ) -> (io::Result<()>, Vec<u8>) {
        self.stream.write_buffer(buffer, on_progress).await
    }

    /// As [`TcpStream::write_all_bytes`].
    ///
    /// # Errors
    /// As send(2).
    pub async fn write_all_bytes(
        &mut self,
        bytes: Bytes,
        on_progress: impl Fn(usize),
    ) -> io::Result<()> {
        self.stream.write_buffer(bytes, on_progress).await.0
    }

    /// As [`TcpStream::finish_writing`].
    pub fn finish_writing(&mut self) {
        self.stream.shut_writing();
    }
}
