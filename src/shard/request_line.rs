//! The line of a request, kept while it is answered, for what may have to be
//! logged of it. Copied for every request, so without an allocation for most.

use std::fmt;

use corelane_proto::http::RequestHead;
use http::Method;

use crate::limits::REFUSED_LINE_BYTES_MAX;

/// Method, target and protocol.
pub(super) struct RequestLine {
    /// `None` when it could not be read.
    pub(super) method: Option<Method>,
    /// Without a method what there was of a line.
    pub(super) target: LineText,
    /// Empty when it could not be read.
    pub(super) protocol: &'static str,
}

impl RequestLine {
    pub(super) fn of(head: &RequestHead, protocol: &'static str) -> Self {
        Self {
            method: Some(head.method().clone()),
            target: LineText::of(head.target().as_bytes()),
            protocol,
        }
    }

    /// As much of a line as can be found in what was refused or did not come to
    /// its end.
    pub(super) fn of_unread(received: &[u8]) -> Self {
        let start = received.iter().position(|byte| !b"\r\n".contains(byte));
        let line = &received[start.unwrap_or(received.len())..];
        let line = &line[..line.len().min(REFUSED_LINE_BYTES_MAX)];
        let mut lines = line.split(|byte| b"\r\n".contains(byte));
        let line = lines.next().unwrap_or_default();
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next());
        match (Method::from_bytes(method), target) {
            (Ok(method), Some(target)) => Self {
                method: Some(method),
                target: LineText::of(target),
                protocol: match words.next() {
                    Some(b"HTTP/1.1") => "HTTP/1.1",
                    Some(b"HTTP/1.0") => "HTTP/1.0",
                    _ => "",
                },
            },
            _ => Self {
                method: None,
                target: LineText::of(line),
                protocol: "",
            },
        }
    }

    /// Empty when it could not be read.
    pub(super) fn method_bytes(&self) -> &[u8] {
        match &self.method {
            Some(method) => method.as_str().as_bytes(),
            None => b"",
        }
    }
}

impl fmt::Display for RequestLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method} ")?;
        }
        f.write_str(&String::from_utf8_lossy(self.target.bytes()))
    }
}

/// A short text in place, a long one by itself.
pub(super) enum LineText {
    Short {
        bytes: [u8; SHORT_BYTES],
        length: u8,
    },
    Long(Box<[u8]>),
}

/// As long as most targets.
const SHORT_BYTES: usize = 46;

impl LineText {
    fn of(text: &[u8]) -> Self {
        let mut bytes = [0; SHORT_BYTES];
        match bytes.get_mut(..text.len()) {
            Some(short) => {
                short.copy_from_slice(text);
                Self::Short {
                    bytes,
                    length: text.len() as u8,
                }
            }
            None => Self::Long(text.into()),
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { bytes, length } => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_line_is_shown_as_far_as_it_was_read() {
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(100_000));
        for (received, method, target, protocol) in [
            ("GET /a HTTP/1.1\r\nHost", "GET", "/a", "HTTP/1.1"),
            ("\r\n\r\nPOST /a?b HTTP/1.0\r\n", "POST", "/a?b", "HTTP/1.0"),
            ("GET /a HTTP/3.0\r\n", "GET", "/a", ""),
            ("GET /a", "GET", "/a", ""),
            ("GET /a b HTTP/1.1\r\n", "GET", "/a", ""),
            ("GET", "", "GET", ""),
            ("", "", "", ""),
            ("\r\n", "", "", ""),
            ("\u{16}\u{3}\u{1}\n", "", "\u{16}\u{3}\u{1}", ""),
            (&long, "GET", &long[4..REFUSED_LINE_BYTES_MAX], ""),
        ] {
            let line = RequestLine::of_unread(received.as_bytes());
            assert_eq!(line.method_bytes(), method.as_bytes(), "{received:?}");
            assert_eq!(line.target.bytes(), target.as_bytes(), "{received:?}");
            assert_eq!(line.protocol, protocol, "{received:?}");
        }
    }

    #[test]
    fn texts_of_every_length_are_kept_whole() {
        for length in 0..200 {
            let text = vec![b'x'; length];
            assert_eq!(LineText::of(&text).bytes(), text);
        }
    }
}
