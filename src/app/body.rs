//! Bodies: what a handler sends, and what it reads.

use std::pin::Pin;

use bytes::Bytes;
use futures_core::Stream;

use crate::Error;

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
    Stream { stream: ByteStream, length: Option<u64> },
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
        Self(BodyKind::Stream { stream: Box::pin(stream), length: None })
    }

    /// A streamed body whose length in bytes is known: sent with
    /// `Content-Length`. A stream that ends early, or goes on, is an error and
    /// ends the connection.
    pub fn stream_of_length(
        length: u64,
        stream: impl Stream<Item = Result<Bytes, Error>> + 'static,
    ) -> Self {
        Self(BodyKind::Stream { stream: Box::pin(stream), length: Some(length) })
    }

    /// Length in bytes where known.
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            BodyKind::Empty => Some(0),
            BodyKind::Bytes(bytes) => Some(bytes.len() as u64),
            BodyKind::Vec(bytes) => Some(bytes.len() as u64),
            BodyKind::Stream { length, .. } => *length,
        }
    }

    /// The bytes of a body that is not streamed.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            BodyKind::Empty => Some(b""),
            BodyKind::Bytes(bytes) => Some(bytes),
            BodyKind::Vec(bytes) => Some(bytes),
            BodyKind::Stream { .. } => None,
        }
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
