//! Immutable bytes in pages that the kernel sends without copying them.
//!
//! They live in a memory file that is sealed against every change, so that a
//! page on its way out holds the bytes it was sent with however late the
//! client takes it. A file on disk has no such promise, and reading it may
//! block.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use corelane_proto::limits::{SEALED_FILES_MAX, SEALED_FILES_SHARE};

/// Bytes that are shared and sent in place. A clone or a slice costs a count.
///
/// All clones and slices of one have one descriptor, and their memory is
/// shared memory, in whole pages.
#[derive(Clone)]
pub struct SealedBytes {
    pages: Arc<Pages>,
    range: Range<usize>,
}

struct Pages {
    file: OwnedFd,
    /// Where all of `file` is mapped to be read.
    start: NonNull<u8>,
    length: usize,
    _permit: SealedPermit,
}

/// One of the descriptors and mappings that a process may use for this; the
/// others are for connections.
struct SealedPermit;

static PERMITS_TAKEN: AtomicUsize = AtomicUsize::new(0);

impl SealedPermit {
    fn take() -> Option<Self> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let share = limit.current.map_or(SEALED_FILES_MAX, |files| {
            usize::try_from(files / SEALED_FILES_SHARE).unwrap_or(SEALED_FILES_MAX)
        });
        let most = share.min(SEALED_FILES_MAX);
        let taken = PERMITS_TAKEN.fetch_add(1, Ordering::Relaxed);
        // Given back when this is dropped.
        let permit = Self;
        (taken < most).then_some(permit)
    }
}

impl Drop for SealedPermit {
    fn drop(&mut self) {
        PERMITS_TAKEN.fetch_sub(1, Ordering::Relaxed);
    }
}

// SAFETY: the mapping is read-only, of a file that nobody can write, and ends
// with its owner; any thread may read it and any may end it.
unsafe impl Send for Pages {}
// SAFETY: as for `Send`; there is no interior mutability.
unsafe impl Sync for Pages {}

impl SealedBytes {
    /// Copies `bytes`, which must not be empty, into pages of their own. May
    /// take long: not for a shard.
    ///
    /// # Errors
    /// When descriptors or memory have run out, or the kernel knows no sealed
    /// memory files; the caller then keeps its bytes as they are.
    pub fn copy_of(bytes: &[u8]) -> io::Result<Self> {
        let permit = SealedPermit::take().ok_or(Errno::MFILE)?;
        let mut file = File::from(memory_file()?);
        file.write_all(bytes)?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        let length = bytes.len();
        // SAFETY: a new mapping at a place that the kernel chooses. What it
        // shows can neither change nor shrink: the file is sealed.
        let start = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ,
                MapFlags::PRIVATE,
                &file,
                0,
            )?
        };
        let start = NonNull::new(start.cast()).ok_or(Errno::NOMEM)?;
        let pages = Pages {
            file: file.into(),
            start,
            length,
            _permit: permit,
        };
        Ok(Self {
            pages: Arc::new(pages),
            range: 0..length,
        })
    }

    /// A part of these bytes; `None` when it is not within them.
    pub fn slice(&self, part: Range<usize>) -> Option<Self> {
        let range =
            self.range.start.checked_add(part.start)?..self.range.start.checked_add(part.end)?;
        (range.start <= range.end && range.end <= self.range.end).then(|| Self {
            pages: self.pages.clone(),
            range,
        })
    }

    /// Where they are in [`file`](Self::file).
    pub(super) fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The memory file.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.pages.file.as_fd()
    }
}

impl AsRef<[u8]> for SealedBytes {
    fn as_ref(&self) -> &[u8] {
        let Pages { start, length, .. } = &*self.pages;
        // SAFETY: the mapping has `length` bytes, never changes, and lives as
        // long as `self.pages`, which the result borrows.
        let all = unsafe { std::slice::from_raw_parts(start.as_ptr(), *length) };
        &all[self.range.clone()]
    }
}

impl std::fmt::Debug for SealedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedBytes({} bytes)", self.range.len())
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `copy_of`, and nothing refers to it
        // any more. What is still being sent keeps its pages by itself.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

fn memory_file() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(NAME, flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(NAME, flags)?),
        made => Ok(made?),
    }
}

/// Shown in /proc.
const NAME: &str = "corelane";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_given_and_cannot_change() {
        let bytes: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let sealed = SealedBytes::copy_of(&bytes).unwrap();
        assert_eq!(sealed.as_ref(), bytes);
        assert_eq!(rustix::io::pwrite(sealed.file(), b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(sealed.file(), 5), Err(Errno::PERM));
        let part = sealed.slice(4_095..8_193).unwrap();
        drop(sealed);
        assert_eq!(part.as_ref(), &bytes[4_095..8_193]);
        let inner = part.slice(1..2).unwrap();
        assert_eq!(inner.as_ref(), &bytes[4_096..4_097]);
    }

    #[test]
    fn a_part_must_be_within() {
        let sealed = SealedBytes::copy_of(b"0123456789").unwrap();
        let part = sealed.slice(2..8).unwrap();
        assert!(part.slice(0..6).is_some());
        assert!(part.slice(0..7).is_none());
        assert!(part.slice(usize::MAX - 1..usize::MAX).is_none());
        #[allow(clippy::reversed_empty_ranges)]
        let reversed = part.slice(4..3);
        assert!(reversed.is_none());
    }
}
