//! Sending sealed bytes: the kernel sends their pages and nothing is copied.

use std::io;

use rustix::io::Errno;
use rustix::net::SendFlags;

use super::Sender;
use crate::{SealedBytes, yield_now};
use corelane_proto::limits::SENDFILE_BYTES_MAX;

impl Sender {
    /// Sends all of `head` and then `body`, of which nothing is copied: the
    /// kernel sends its pages. Gives `head` back.
    pub async fn write_all_sealed(
        &mut self,
        head: Vec<u8>,
        body: &SealedBytes,
        on_progress: impl Fn(usize),
    ) -> (io::Result<()>, Vec<u8>) {
        let result = self.write_sealed(&head, body, on_progress).await;
        (result, head)
    }

    /// The calls do not wait: what the socket has no room for is tried again
    /// when it has. Through the ring it would be two calls of the kernel too,
    /// and there is no sendfile for it.
    async fn write_sealed(
        &mut self,
        head: &[u8],
        body: &SealedBytes,
        on_progress: impl Fn(usize),
    ) -> io::Result<()> {
        let mut sent = 0;
        while sent < head.len() {
            // The end of the head is not the end of the message.
            match self.socket.send_now(&head[sent..], SendFlags::MORE)? {
                0 => self.socket.writable().await?,
                count => {
                    sent += count;
                    on_progress(count);
                }
            }
        }
        let mut rest = body.range();
        while !rest.is_empty() {
            let wanted = rest.len().min(SENDFILE_BYTES_MAX);
            match self.send_file_now(body, rest.start, wanted) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    rest.start += n;
                    on_progress(n);
                    if n < wanted {
                        self.socket.writable().await?;
                    } else if !rest.is_empty() {
                        yield_now().await;
                    }
                }
                Err(Errno::AGAIN) => self.socket.writable().await?,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// sendfile(2) has no flag not to wait, so the socket must be nonblocking.
    /// Under io_uring it is for this call only: the ring would answer EAGAIN
    /// instead of waiting. What the ring already waits for goes by its own
    /// flag, of when it was submitted.
    fn send_file_now(
        &mut self,
        body: &SealedBytes,
        start: usize,
        bytes: usize,
    ) -> rustix::io::Result<usize> {
        let fd = self.socket.fd().expect("a half that sends");
        let mut offset = start as u64;
        if monoio::utils::is_legacy() {
            return rustix::fs::sendfile(fd, body.file(), Some(&mut offset), bytes);
        }
        rustix::io::ioctl_fionbio(fd, true)?;
        let sent = rustix::fs::sendfile(fd, body.file(), Some(&mut offset), bytes);
        rustix::io::ioctl_fionbio(fd, false)?;
        sent
    }
}
