//! Bodies: what a handler sends, and what it reads.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use super::prepared::SharedResponse;
use crate::Error;
use crate::engine::SealedBytes;

/// A response body.
#[derive(Default)]
pub struct Body(BodyKind);

pub(crate) type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>>>>;

#[derive(Default)]
pub(crate) enum BodyKind {
    #[default]
    Empty,
    Bytes(Bytes),
    Vec(Vec<u8>),
    Prepared(SharedResponse),
    /// Not empty.
    Sealed(SealedBytes),
    Stream {
        stream: ByteStream,
        length: Option<u64>,
    },
}

impl Body {
    /// No body.
    pub const fn empty() -> Self {
        Self(BodyKind::Empty)
    }

    /// A body of unknown length: chunked to HTTP/1.1, until close to HTTP/1.0.
    /// An error in the stream ends the connection without the last chunk, so
    /// that the client sees the body is not whole.
    pub fn stream(stream: impl Stream<Item = Result<Bytes, Error>> + 'static) -> Self {
        Self(BodyKind::Stream {
            stream: Box::pin(stream),
            length: None,
        })
    }

    /// A streamed body whose length in bytes is known: sent with
    /// `Content-Length`. A stream that ends early, or goes on, is an error and
    /// ends the connection.
    pub fn stream_of_length(
        length: u64,
        stream: impl Stream<Item = Result<Bytes, Error>> + 'static,
    ) -> Self {
        Self(BodyKind::Stream {
            stream: Box::pin(stream),
            length: Some(length),
        })
    }

    /// Length in bytes where known.
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            BodyKind::Empty => Some(0),
            BodyKind::Bytes(bytes) => Some(bytes.len() as u64),
            BodyKind::Vec(bytes) => Some(bytes.len() as u64),
            BodyKind::Prepared(response) => Some(response.body().len() as u64),
            BodyKind::Sealed(bytes) => Some(bytes.as_ref().len() as u64),
            BodyKind::Stream { length, .. } => *length,
        }
    }

    /// The bytes of a body that is not streamed.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            BodyKind::Empty => Some(b""),
            BodyKind::Bytes(bytes) => Some(bytes),
            BodyKind::Vec(bytes) => Some(bytes),
            BodyKind::Prepared(response) => Some(response.body()),
            BodyKind::Sealed(bytes) => Some(bytes.as_ref()),
            BodyKind::Stream { .. } => None,
        }
    }

    /// Bytes that are sent from where they are.
    pub(crate) fn sealed(bytes: SealedBytes) -> Self {
        Self(BodyKind::Sealed(bytes))
    }

    pub(crate) fn of_kind(kind: BodyKind) -> Self {
        Self(kind)
    }

    pub(super) fn is_prepared(&self) -> bool {
        matches!(self.0, BodyKind::Prepared(_))
    }

    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.0, BodyKind::Stream { .. })
    }

    pub(crate) fn into_kind(self) -> BodyKind {
        self.0
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.length() {
            Some(length) => write!(f, "Body({length} bytes)"),
            None => write!(f, "Body(stream)"),
        }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self(BodyKind::Bytes(Bytes::from_static(text.as_bytes())))
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self(BodyKind::Bytes(Bytes::from_static(bytes)))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(BodyKind::Vec(text.into_bytes()))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(BodyKind::Vec(bytes))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(BodyKind::Bytes(bytes))
    }
}

/// A request body. Reads from the socket only as fast as it is asked to.
#[derive(Default)]
pub struct RequestBody(RequestBodyKind);

#[derive(Default)]
enum RequestBodyKind {
    #[default]
    Empty,
    Whole(Bytes),
    Streaming(Rc<dyn BodySource>),
}

pub(crate) type ChunkFuture = Pin<Box<dyn Future<Output = Result<Option<Bytes>, Error>>>>;

/// Where a streaming request body comes from: the connection, in `shard`.
pub(crate) trait BodySource {
    /// The next chunk, not empty; `None` at the end.
    fn next_chunk(self: Rc<Self>) -> ChunkFuture;
    /// The whole length in bytes where the client declared it.
    fn length(&self) -> Option<u64>;
}

impl RequestBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(RequestBodyKind::Whole(bytes))
    }

    pub(crate) fn streaming(source: Rc<dyn BodySource>) -> Self {
        Self(RequestBodyKind::Streaming(source))
    }

    /// The next piece of the body, as it arrived; `None` at its end.
    ///
    /// # Errors
    /// 413 when the body is longer than the route allows, 400 when its framing
    /// is wrong or the client went away in the middle of it.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match &self.0 {
            RequestBodyKind::Empty => Ok(None),
            RequestBodyKind::Whole(_) => {
                let RequestBodyKind::Whole(bytes) = std::mem::take(&mut self.0) else {
                    return Ok(None);
                };
                Ok((!bytes.is_empty()).then_some(bytes))
            }
            RequestBodyKind::Streaming(source) => {
                let chunk = source.clone().next_chunk().await?;
                if chunk.is_none() {
                    self.0 = RequestBodyKind::Empty;
                }
                Ok(chunk)
            }
        }
    }

    /// The rest of the body in one piece.
    ///
    /// # Errors
    /// As [`chunk`](Self::chunk).
    pub async fn bytes(&mut self) -> Result<Bytes, Error> {
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(next) = self.chunk().await? {
            whole.extend_from_slice(&next);
        }
        Ok(whole.freeze())
    }

    /// Length in bytes, where known before reading.
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            RequestBodyKind::Empty => Some(0),
            RequestBodyKind::Whole(bytes) => Some(bytes.len() as u64),
            RequestBodyKind::Streaming(source) => source.length(),
        }
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.length() {
            Some(length) => write!(f, "RequestBody({length} bytes)"),
            None => write!(f, "RequestBody(chunked)"),
        }
    }
}
