//! The body of a response from a file too long to keep: literal pieces and
//! stretches of the file, in chunks of `FILE_CHUNK_BYTES`, one at a time, read
//! only as fast as the client takes them.
//!
//! The open descriptor pins the file: one renamed over it does not show. One
//! that grows is sent as far as it was. A file that is written or truncated in
//! place is found out before the last chunk is given, and ends the stream with
//! an error; so a body that arrives whole is the bytes its tag names.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use xxhash_rust::xxh3::Xxh3;

use super::beneath::{self, Fingerprint, Since};
use crate::Error;
use crate::engine::{self, File, LocalPermit};
use crate::error::Blame;
use crate::limits::{FILE_CHUNK_BYTES, FILE_COMPARED_BYTES_MAX};

/// One piece of a body.
#[derive(Debug)]
pub(super) enum Piece {
    Literal(Bytes),
    /// This many bytes of the file from here.
    Content {
        offset: u64,
        length: u64,
    },
}

/// Streams pieces of a file.
pub(super) struct FileStream(State);

enum State {
    Idle(Box<Reader>),
    Reading(ReadFuture),
    Ended,
}

type ReadFuture = Pin<Box<dyn Future<Output = (Box<Reader>, Result<Bytes, Error>)>>>;

struct Reader {
    file: File,
    /// The same open file, to look at from the blocking pool.
    watched: Arc<std::fs::File>,
    fingerprint: Fingerprint,
    pieces: VecDeque<Piece>,
    sent: Sent,
    _permit: LocalPermit,
}

/// What has been read, from the opening on and up to
/// [`FILE_COMPARED_BYTES_MAX`], to be compared with a file that has grown:
/// appending changes nothing of it, writing anew does.
#[derive(Clone)]
pub(super) struct Sent {
    hash: Xxh3,
    /// Offset and length; one per range, since chunks follow each other.
    stretches: Vec<(u64, u64)>,
    bytes: u64,
}

impl Sent {
    /// Of a file that has just been opened: something of both its ends.
    pub(super) fn sampled(file: &std::fs::File, length: u64) -> std::io::Result<Self> {
        let mut sent = Self {
            hash: Xxh3::new(),
            stretches: Vec::new(),
            bytes: 0,
        };
        let sample_bytes = length.min(SAMPLE_BYTES);
        for offset in [0, length - sample_bytes] {
            let mut sample = Vec::with_capacity(sample_bytes as usize);
            let take = |piece: &[u8]| sample.extend_from_slice(piece);
            beneath::read_pieces(file, offset, sample_bytes, take)?;
            sent.note(offset, &sample);
        }
        Ok(sent)
    }

    fn note(&mut self, offset: u64, chunk: &[u8]) {
        if self.bytes >= FILE_COMPARED_BYTES_MAX {
            return;
        }
        self.hash.update(chunk);
        let length = chunk.len() as u64;
        self.bytes += length;
        match self.stretches.last_mut() {
            Some((start, so_far)) if *start + *so_far == offset => *so_far += length,
            _ => self.stretches.push((offset, length)),
        }
    }

    /// Whether the file has the same bytes there.
    fn is_still_in(&self, file: &std::fs::File) -> bool {
        let mut hash = Xxh3::new();
        let mut stretches = self.stretches.iter();
        let are_there = stretches.all(|(offset, length)| {
            beneath::read_pieces(file, *offset, *length, |piece| hash.update(piece))
                .unwrap_or(false)
        });
        are_there && hash.digest() == self.hash.digest()
    }
}

impl FileStream {
    /// A stream of `pieces` of a file that was opened on the blocking pool:
    /// twice the same descriptor, one to read and one to look at.
    ///
    /// # Errors
    /// When the reactor cannot take the file.
    pub(super) fn new(
        opened: OpenedTwice,
        pieces: impl IntoIterator<Item = Piece>,
        permit: LocalPermit,
    ) -> Result<Self, Error> {
        let reader = Reader {
            file: File::from_std(opened.read)?,
            watched: Arc::new(opened.watched),
            fingerprint: opened.fingerprint,
            pieces: pieces.into_iter().collect(),
            sent: opened.sent,
            _permit: permit,
        };
        Ok(Self(State::Idle(Box::new(reader))))
    }
}

/// A file opened to be streamed.
pub(super) struct OpenedTwice {
    pub(super) read: std::fs::File,
    pub(super) watched: std::fs::File,
    pub(super) fingerprint: Fingerprint,
    pub(super) sent: Sent,
}

/// A rewrite that leaves this as it was is not told from appending until some
/// of what it changes has been sent.
const SAMPLE_BYTES: u64 = 4_096;

impl Stream for FileStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::mem::replace(&mut self.0, State::Ended) {
                State::Ended => return Poll::Ready(None),
                State::Idle(mut reader) => match reader.pieces.pop_front() {
                    None => return Poll::Ready(None),
                    Some(Piece::Literal(bytes)) => {
                        self.0 = State::Idle(reader);
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                    Some(Piece::Content { offset, length }) => {
                        self.0 = State::Reading(Box::pin(read_chunk(reader, offset, length)));
                    }
                },
                State::Reading(mut reading) => {
                    let polled = reading.as_mut().poll(context);
                    if polled.is_pending() {
                        self.0 = State::Reading(reading);
                    }
                    let (reader, result) = ready!(polled);
                    if result.is_ok() {
                        self.0 = State::Idle(reader);
                    }
                    return Poll::Ready(Some(result));
                }
            }
        }
    }
}

/// Reads the next chunk of a piece and puts the rest of the piece back.
async fn read_chunk(
    mut reader: Box<Reader>,
    offset: u64,
    length: u64,
) -> (Box<Reader>, Result<Bytes, Error>) {
    let wanted = length.min(FILE_CHUNK_BYTES as u64) as usize;
    let (result, mut buffer) = reader
        .file
        .read_at(Vec::with_capacity(wanted), offset)
        .await;
    match result {
        Ok(0) => return (reader, Err(changed("is shorter than it was"))),
        Err(error) => return (reader, Err(Error::internal(error).with_blame(Blame::Host))),
        Ok(_) => buffer.truncate(wanted),
    }
    let read = buffer.len() as u64;
    reader.sent.note(offset, &buffer);
    if read < length {
        reader.pieces.push_front(Piece::Content {
            offset: offset + read,
            length: length - read,
        });
    }
    let has_more = reader
        .pieces
        .iter()
        .any(|piece| matches!(piece, Piece::Content { .. }));
    if !has_more {
        let (watched, fingerprint) = (reader.watched.clone(), reader.fingerprint);
        let sent = reader.sent.clone();
        let looked = engine::unblock(move || match beneath::look_since(&watched, &fingerprint) {
            Since::Unchanged => true,
            Since::Grown => sent.is_still_in(&watched),
            Since::Changed => false,
        });
        match looked.await {
            Ok(true) => {}
            Ok(false) => return (reader, Err(changed("was written"))),
            Err(error) => return (reader, Err(error.into())),
        }
    }
    (reader, Ok(buffer.into()))
}

fn changed(how: &str) -> Error {
    Error::internal(format!("a static file {how} while it was being sent")).with_blame(Blame::Host)
}
