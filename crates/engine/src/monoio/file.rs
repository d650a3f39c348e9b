//! Files on the monoio reactor.

use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use crate::unblock;

/// A file that is read by offset without blocking the shard: through the ring
/// under io_uring, on the blocking pool under epoll.
#[derive(Clone)]
pub struct File {
    inner: FileKind,
}

#[derive(Clone)]
enum FileKind {
    Ring(Rc<monoio::fs::File>),
    Blocking(Arc<std::fs::File>),
}

impl File {
    /// Takes over an open file. Call it on a shard.
    ///
    /// # Errors
    /// When the reactor cannot register it.
    pub fn from_std(file: std::fs::File) -> io::Result<Self> {
        let inner = if monoio::utils::is_legacy() {
            FileKind::Blocking(Arc::new(file))
        } else {
            FileKind::Ring(Rc::new(monoio::fs::File::from_std(file)?))
        };
        Ok(Self { inner })
    }

    /// Reads at `offset` up to the capacity of `buffer`; its length becomes
    /// the number of bytes read, 0 at the end of the file. What `buffer` held
    /// is overwritten.
    pub async fn read_at(&self, mut buffer: Vec<u8>, offset: u64) -> (io::Result<usize>, Vec<u8>) {
        buffer.clear();
        match &self.inner {
            FileKind::Ring(file) => {
                let (result, buffer) = file.read_at(buffer, offset).await;
                (result, buffer)
            }
            FileKind::Blocking(file) => {
                let file = file.clone();
                let read = unblock(move || {
                    buffer.resize(buffer.capacity(), 0);
                    let result = file.read_at(&mut buffer, offset);
                    buffer.truncate(*result.as_ref().unwrap_or(&0));
                    (result, buffer)
                });
                match read.await {
                    Ok(done) => done,
                    Err(_) => (
                        Err(io::Error::other("the blocking pool is full")),
                        Vec::new(),
                    ),
                }
            }
        }
    }
}
