//! A response stream, compressed chunk by chunk: each chunk is flushed, so that
//! the client can read all of it, and memory does not grow with the stream.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;

use super::shard::StreamPlace;
use crate::app::ByteStream;
use crate::compression::GzipError;
use crate::limits::COMPRESS_INLINE_BYTES_MAX;
use crate::{Error, engine};

/// See the head.
pub(super) struct GzipStream {
    /// Until its end.
    plain: Option<ByteStream>,
    /// Of a chunk that was longer than is compressed in one go.
    rest: Bytes,
    place: StreamPlace,
    /// Compressed since the other tasks of the shard last had a turn, bytes.
    turn_bytes: usize,
    turn: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

impl GzipStream {
    pub(super) fn new(plain: ByteStream, place: StreamPlace) -> Self {
        Self {
            plain: Some(plain),
            rest: Bytes::new(),
            place,
            turn_bytes: 0,
            turn: None,
        }
    }

    fn encode(&mut self, plain: &Bytes) -> Result<Bytes, Error> {
        let mut coded = Vec::with_capacity(plain.len() / 4 + 64);
        let encoder = self.place.encoder();
        encoder.push(plain, &mut coded).map_err(refused)?;
        self.turn_bytes += plain.len();
        Ok(self.counted(plain.len(), coded))
    }

    fn finish(&mut self) -> Result<Bytes, Error> {
        let mut coded = Vec::new();
        let encoder = self.place.encoder();
        encoder.finish(&mut coded).map_err(refused)?;
        Ok(self.counted(0, coded))
    }

    fn counted(&self, plain_bytes: usize, coded: Vec<u8>) -> Bytes {
        self.place.shard().count(|counters| {
            counters.plain_bytes += plain_bytes as u64;
            counters.coded_bytes += coded.len() as u64;
        });
        coded.into()
    }

    /// Nothing comes after an error.
    fn pass(&mut self, coded: Result<Bytes, Error>) -> Option<Result<Bytes, Error>> {
        if coded.is_err() {
            self.plain = None;
            self.rest.clear();
        }
        Some(coded)
    }
}

impl Stream for GzipStream {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(turn) = &mut this.turn {
                ready!(turn.as_mut().poll(cx));
                this.turn = None;
            }
            if this.turn_bytes >= COMPRESS_INLINE_BYTES_MAX {
                this.turn_bytes = 0;
                this.turn = Some(Box::pin(engine::yield_now()));
                continue;
            }
            if !this.rest.is_empty() {
                let length = this.rest.len().min(COMPRESS_INLINE_BYTES_MAX);
                let piece = this.rest.split_to(length);
                let coded = this.encode(&piece);
                return Poll::Ready(this.pass(coded));
            }
            let Some(plain) = &mut this.plain else {
                return Poll::Ready(None);
            };
            match ready!(plain.as_mut().poll_next(cx)) {
                Some(Ok(chunk)) => this.rest = chunk,
                Some(Err(error)) => return Poll::Ready(this.pass(Err(error))),
                None => {
                    this.plain = None;
                    return Poll::Ready(Some(this.finish()));
                }
            }
        }
    }
}

fn refused(error: GzipError) -> Error {
    Error::internal(error)
}
