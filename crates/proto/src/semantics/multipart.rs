//! The `multipart/byteranges` envelope (RFC 9110 section 14.6).
//!
//! Every head and the tail are made up front, so the length of the whole is
//! known before the first byte of content is read and can be sent as
//! `Content-Length`.

use bytes::Bytes;
use http::HeaderValue;

use super::range::ByteRange;

/// Everything of a `multipart/byteranges` body but the content itself.
#[derive(Debug, Clone)]
pub struct ByterangesBody {
    parts: Vec<(Bytes, ByteRange)>,
    tail: Bytes,
    content_type: HeaderValue,
}

impl ByterangesBody {
    /// The envelope of `ranges` of a representation of `length` bytes.
    /// `boundary` must not occur in the content: the caller makes it long and
    /// random, of 1 to 70 letters and digits.
    ///
    /// # Panics
    /// When `boundary` is something else.
    pub fn new(
        boundary: &str,
        ranges: &[ByteRange],
        content_type: &HeaderValue,
        length: u64,
    ) -> Self {
        let is_token = boundary.bytes().all(|b| b.is_ascii_alphanumeric());
        assert!(
            is_token && (1..=70).contains(&boundary.len()),
            "a boundary: {boundary:?}"
        );
        let parts = ranges.iter().enumerate().map(|(index, range)| {
            let head = part_head(index, boundary, *range, content_type, length);
            (head, *range)
        });
        let value = format!("multipart/byteranges; boundary={boundary}");
        Self {
            parts: parts.collect(),
            tail: format!("\r\n--{boundary}--\r\n").into(),
            content_type: HeaderValue::try_from(value).expect("letters and digits"),
        }
    }

    /// `Content-Type` of the whole.
    pub fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }

    /// Each part: the bytes before its content, and the content's range.
    pub fn parts(&self) -> &[(Bytes, ByteRange)] {
        &self.parts
    }

    /// The bytes after the last part's content.
    pub fn tail(&self) -> &Bytes {
        &self.tail
    }

    /// Bytes of the whole body: heads, content and tail. Saturates.
    pub fn total_bytes(&self) -> u64 {
        let parts = self
            .parts
            .iter()
            .map(|(head, range)| head.len() as u64 + range.len());
        parts
            .chain([self.tail.len() as u64])
            .fold(0, u64::saturating_add)
    }
}

fn part_head(
    index: usize,
    boundary: &str,
    range: ByteRange,
    content_type: &HeaderValue,
    length: u64,
) -> Bytes {
    let mut head = Vec::with_capacity(160);
    // The line end before a delimiter belongs to the delimiter; the first one
    // begins the body.
    if index > 0 {
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(format!("--{boundary}\r\nContent-Type: ").as_bytes());
    head.extend_from_slice(content_type.as_bytes());
    head.extend_from_slice(b"\r\nContent-Range: ");
    head.extend_from_slice(range.content_range(length).as_bytes());
    head.extend_from_slice(b"\r\n\r\n");
    head.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The whole body over `content`, as a handler would send it.
    fn assemble(envelope: &ByterangesBody, content: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for (head, range) in envelope.parts() {
            body.extend_from_slice(head);
            body.extend_from_slice(&content[range.start as usize..=range.end_inclusive as usize]);
        }
        body.extend_from_slice(envelope.tail());
        body
    }

    #[test]
    fn the_shape_of_the_rfc_example() {
        let pdf = HeaderValue::from_static("application/pdf");
        let range = |start, end_inclusive| ByteRange {
            start,
            end_inclusive,
        };
        let content = b"0123456789";
        let envelope = ByterangesBody::new("SEP", &[range(0, 2), range(7, 9)], &pdf, 10);
        assert_eq!(
            envelope.content_type(),
            "multipart/byteranges; boundary=SEP"
        );
        let expected = "--SEP\r\nContent-Type: application/pdf\r\nContent-Range: bytes 0-2/10\r\n\r\n012\
                        \r\n--SEP\r\nContent-Type: application/pdf\r\nContent-Range: bytes 7-9/10\r\n\r\n789\
                        \r\n--SEP--\r\n";
        assert_eq!(
            String::from_utf8(assemble(&envelope, content)).unwrap(),
            expected
        );
    }

    #[test]
    #[should_panic(expected = "a boundary")]
    fn a_boundary_that_would_need_quotes_is_a_bug() {
        ByterangesBody::new("a b", &[], &HeaderValue::from_static("a/b"), 0);
    }

    proptest! {
        #[test]
        fn the_announced_length_is_exact(
            content in proptest::collection::vec(any::<u8>(), 1..200),
            cuts in proptest::collection::vec((any::<u16>(), any::<u16>()), 1..6),
        ) {
            let length = content.len() as u64;
            let ranges: Vec<_> = cuts
                .iter()
                .map(|(a, b)| (u64::from(*a) % length, u64::from(*b) % length))
                .map(|(a, b)| ByteRange { start: a.min(b), end_inclusive: a.max(b) })
                .collect();
            let octets = HeaderValue::from_static("application/octet-stream");
            let envelope = ByterangesBody::new("b0undary", &ranges, &octets, length);
            prop_assert_eq!(assemble(&envelope, &content).len() as u64, envelope.total_bytes());
        }
    }
}
