//! The head parser: one pass, resumable at every byte.
//!
//! A small state machine whose states are runs of like bytes. What has been
//! judged is never read again, so a head that arrives byte by byte costs the
//! same as one that arrives whole, and every refusal is decided by the place
//! of the first bad byte, so it does not depend on how the bytes were cut.

use http::Method;

use crate::http::{FieldSpans, HeadLimits, RequestHead, Span};
use crate::limits::{EMPTY_LINES_MAX, METHOD_BYTES_MAX};

use super::error::ParseError;
use super::fields::FramingFields;
use super::framing::{HeadStatus, Version};
use super::octets::{
    is_blank, is_token, position_of, target_run, token_run, trim_blank, trim_blank_start, value_run,
};
use super::target;

/// Parses one head after the other. Remembers how far a partial head was
/// judged; begins anew by itself after a complete or a refused one.
///
/// ```
/// use corelane_proto::http::{HeadLimits, RequestHead};
/// use corelane_proto::http1::{BodyFraming, HeadParser, HeadStatus};
///
/// let (mut parser, mut head) = (HeadParser::new(), RequestHead::new());
/// let limits = HeadLimits::default();
/// let received = b"GET /users?page=2 HTTP/1.1\r\nHost: example.com\r\n\r\n";
/// assert_eq!(parser.parse(&received[..30], &limits, &mut head)?, HeadStatus::Partial);
/// let HeadStatus::Complete { head_bytes, framing } =
///     parser.parse(received, &limits, &mut head)?
/// else {
///     panic!("the head is whole");
/// };
/// assert_eq!(head_bytes, received.len());
/// assert_eq!((head.path(), head.query()), ("/users", Some("page=2")));
/// assert_eq!((framing.body, framing.keep_alive), (BodyFraming::None, true));
/// # Ok::<(), corelane_proto::http1::ParseError>(())
/// ```
#[derive(Debug, Default)]
pub struct HeadParser {
    phase: ParsePhase,
    /// Everything before this byte has been judged.
    at: usize,
    /// Where the element being read starts: method, target, version, name.
    mark: usize,
    /// Of the header being read: its colon.
    colon: usize,
    /// Of the header being read: the end of its value.
    value_end: usize,
    target: (usize, usize),
    version: Version,
    empty_lines: u8,
    /// Where the authority of an absolute-form target stands.
    authority: Option<(usize, usize)>,
    fields: FramingFields,
}

/// What the byte at `at` belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ParsePhase {
    #[default]
    Start,
    EmptyLineLf,
    Method,
    Target,
    Version,
    FieldStart,
    FieldName,
    FieldValue,
    FieldLf,
    EndLf,
}

/// Whether a phase found its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParseStep {
    Next,
    NeedMore,
    Complete,
}

impl HeadParser {
    /// A parser at the start of a request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a request has begun: a byte of it, or of an empty line before
    /// it, was judged. Distinguishes an idle connection from a slow head.
    pub fn has_begun(&self) -> bool {
        self.at > 0
    }

    /// Parses on. `input` is everything received and not consumed yet, from
    /// the start of this request; between two calls for one request it may
    /// only grow, and `head` must be the same.
    ///
    /// # Errors
    ///
    /// The request must be refused with [`ParseError::status`] and the
    /// connection closed. A refusal comes with the first byte that proves it,
    /// not with the end of the head.
    pub fn parse(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        head: &mut RequestHead,
    ) -> Result<HeadStatus, ParseError> {
        if self.at == 0 {
            head.reset();
        }
        // Spans are 32 bits wide.
        let limit = limits.head_bytes_max.min(u32::MAX as usize);
        let window = &input[..input.len().min(limit)];
        match self.advance(window, limits.headers_max, head) {
            Ok(ParseStep::Complete) => {
                let head_bytes = self.at;
                let finished = self.finish(&window[..head_bytes], head);
                let framing = self.fields.of_request(self.version);
                *self = Self::default();
                finished.map(|()| HeadStatus::Complete {
                    head_bytes,
                    framing,
                })
            }
            Ok(_) if window.len() == limit => Err(self.too_long()),
            Ok(_) => Ok(HeadStatus::Partial),
            Err(error) => {
                *self = Self::default();
                Err(error)
            }
        }
    }

    fn advance(
        &mut self,
        window: &[u8],
        headers_max: usize,
        head: &mut RequestHead,
    ) -> Result<ParseStep, ParseError> {
        loop {
            let step = match self.phase {
                ParsePhase::Start => self.start(window)?,
                ParsePhase::EmptyLineLf => self.empty_line_lf(window)?,
                ParsePhase::Method => self.method(window, head)?,
                ParsePhase::Target => self.target(window)?,
                ParsePhase::Version => self.version(window, head)?,
                ParsePhase::FieldStart => self.field_start(window, headers_max, head)?,
                ParsePhase::FieldName => self.field_name(window)?,
                ParsePhase::FieldValue => self.field_value(window)?,
                ParsePhase::FieldLf => self.field_lf(window, head)?,
                ParsePhase::EndLf => self.end_lf(window)?,
            };
            if step != ParseStep::Next {
                return Ok(step);
            }
        }
    }

    fn start(&mut self, window: &[u8]) -> Result<ParseStep, ParseError> {
        match window.get(self.at) {
            None => Ok(ParseStep::NeedMore),
            // What a new head has until its method is known.
            Some(b'G') if rest(window, self.at).starts_with(b"GET ") => {
                self.mark = self.at + "GET ".len();
                Ok(self.enter(ParsePhase::Target, self.mark))
            }
            Some(&byte) if is_token(byte) => {
                self.mark = self.at;
                Ok(self.enter(ParsePhase::Method, self.at))
            }
            Some(b'\r') if self.empty_lines == EMPTY_LINES_MAX => Err(ParseError::EmptyLines),
            Some(b'\r') => Ok(self.enter(ParsePhase::EmptyLineLf, self.at + 1)),
            Some(b'\n') => Err(ParseError::BareLf),
            Some(&TLS_HANDSHAKE) => Err(ParseError::TlsOnPlainPort),
            Some(_) => Err(ParseError::Method),
        }
    }

    fn empty_line_lf(&mut self, window: &[u8]) -> Result<ParseStep, ParseError> {
        self.empty_lines += u8::from(window.len() > self.at);
        self.line_feed(window, ParsePhase::Start)
    }

    fn method(&mut self, window: &[u8], head: &mut RequestHead) -> Result<ParseStep, ParseError> {
        let end = self.at + token_run(rest(window, self.at));
        if end - self.mark > METHOD_BYTES_MAX {
            return Err(ParseError::MethodTooLong);
        }
        match window.get(end) {
            None => Ok(self.wait_at(end)),
            Some(b' ') => {
                head.set_method(known_method(&window[self.mark..end])?);
                self.mark = end + 1;
                Ok(self.enter(ParsePhase::Target, end + 1))
            }
            Some(b'\r') => Err(ParseError::RequestLine),
            Some(b'\n') => Err(ParseError::BareLf),
            Some(_) => Err(ParseError::Method),
        }
    }

    fn target(&mut self, window: &[u8]) -> Result<ParseStep, ParseError> {
        let end = self.at + target_run(rest(window, self.at));
        match window.get(end) {
            None => Ok(self.wait_at(end)),
            Some(b' ') if end > self.mark => {
                self.target = (self.mark, end);
                self.mark = end + 1;
                Ok(self.enter(ParsePhase::Version, end + 1))
            }
            Some(b' ' | b'\r') => Err(ParseError::RequestLine),
            Some(b'\n') => Err(ParseError::BareLf),
            Some(_) => Err(ParseError::TargetByte),
        }
    }

    /// `HTTP/d.d CRLF`, judged byte by byte when it comes in pieces.
    fn version(&mut self, window: &[u8], head: &mut RequestHead) -> Result<ParseStep, ParseError> {
        let line = rest(window, self.mark);
        if !line.starts_with(b"HTTP/1.1\r\n") {
            for (place, &byte) in line.iter().enumerate().take(VERSION_LINE_BYTES) {
                check_version_byte(place, byte)?;
            }
            if line.len() < VERSION_LINE_BYTES {
                return Ok(self.wait_at(window.len()));
            }
            if line[5] != b'1' {
                return Err(ParseError::VersionUnsupported);
            }
        }
        self.version = if line[7] == b'0' {
            Version::Http10
        } else {
            Version::Http11
        };
        self.store_target(window, head)?;
        Ok(self.enter(ParsePhase::FieldStart, self.mark + VERSION_LINE_BYTES))
    }

    fn store_target(&mut self, window: &[u8], head: &mut RequestHead) -> Result<(), ParseError> {
        let raw = &window[self.target.0..self.target.1];
        let target = target::split(head.method(), raw)?;
        // It was checked to be ASCII.
        let resource = std::str::from_utf8(target.resource);
        let resource = resource.map_err(|_| ParseError::TargetByte)?;
        let query = position_of(b'?', target.resource);
        head.set_target(resource, query.unwrap_or(resource.len()));
        self.authority = target.authority.map(|authority| {
            // Nothing but `http://` or `https://` stands before it.
            let colon = position_of(b':', raw).unwrap_or_default();
            let start = self.target.0 + colon + "://".len();
            (start, start + authority.len())
        });
        Ok(())
    }

    fn field_start(
        &mut self,
        window: &[u8],
        headers_max: usize,
        head: &RequestHead,
    ) -> Result<ParseStep, ParseError> {
        match window.get(self.at) {
            None => Ok(ParseStep::NeedMore),
            Some(b'\r') => Ok(self.enter(ParsePhase::EndLf, self.at + 1)),
            Some(b'\n') => Err(ParseError::BareLf),
            Some(&byte) if is_blank(byte) => Err(ParseError::ObsFold),
            Some(_) if head.header_count() >= headers_max => Err(ParseError::TooManyHeaders),
            Some(&byte) if is_token(byte) => {
                self.mark = self.at;
                Ok(self.enter(ParsePhase::FieldName, self.at))
            }
            Some(_) => Err(ParseError::HeaderName),
        }
    }

    fn field_name(&mut self, window: &[u8]) -> Result<ParseStep, ParseError> {
        let end = self.at + token_run(rest(window, self.at));
        match window.get(end) {
            None => Ok(self.wait_at(end)),
            Some(b':') => {
                self.colon = end;
                Ok(self.enter(ParsePhase::FieldValue, end + 1))
            }
            Some(&byte) if is_blank(byte) => Err(ParseError::SpaceBeforeColon),
            Some(b'\r') => Err(ParseError::MissingColon),
            Some(b'\n') => Err(ParseError::BareLf),
            Some(_) => Err(ParseError::HeaderName),
        }
    }

    fn field_value(&mut self, window: &[u8]) -> Result<ParseStep, ParseError> {
        let end = self.at + value_run(rest(window, self.at));
        match window.get(end) {
            None => Ok(self.wait_at(end)),
            Some(b'\r') => {
                self.value_end = end;
                Ok(self.enter(ParsePhase::FieldLf, end + 1))
            }
            Some(b'\n') => Err(ParseError::BareLf),
            Some(_) => Err(ParseError::HeaderValue),
        }
    }

    fn field_lf(&mut self, window: &[u8], head: &mut RequestHead) -> Result<ParseStep, ParseError> {
        let step = self.line_feed(window, ParsePhase::FieldStart)?;
        if step == ParseStep::Next {
            let name = &window[self.mark..self.colon];
            let raw = trim_blank_start(&window[self.colon + 1..self.value_end]);
            let start = self.value_end - raw.len();
            let value = trim_blank(raw);
            self.fields.note(name, value, start, self.version)?;
            head.fields_mut().push(FieldSpans {
                name: Span::new(self.mark, self.colon),
                value: Span::new(start, start + value.len()),
            });
        }
        Ok(step)
    }

    fn end_lf(&mut self, window: &[u8]) -> Result<ParseStep, ParseError> {
        let step = self.line_feed(window, ParsePhase::Start)?;
        Ok(if step == ParseStep::Next {
            ParseStep::Complete
        } else {
            step
        })
    }

    /// What only the end of the head can tell; `bytes` is the whole head.
    fn finish(&self, bytes: &[u8], head: &mut RequestHead) -> Result<(), ParseError> {
        if self.fields.host.is_none() && self.version == Version::Http11 {
            return Err(ParseError::HostMissing);
        }
        if let Some((start, end)) = self.authority.or(self.fields.host) {
            head.set_host(Span::new(start, end));
        }
        head.fields_mut().set_bytes(bytes);
        Ok(())
    }

    fn too_long(&mut self) -> ParseError {
        let phase = std::mem::take(self).phase;
        match phase {
            ParsePhase::Start
            | ParsePhase::EmptyLineLf
            | ParsePhase::Method
            | ParsePhase::Target
            | ParsePhase::Version => ParseError::RequestLineTooLong,
            _ => ParseError::HeadTooLong,
        }
    }

    /// The LF of a CRLF, then `next`.
    fn line_feed(&mut self, window: &[u8], next: ParsePhase) -> Result<ParseStep, ParseError> {
        match window.get(self.at) {
            None => Ok(ParseStep::NeedMore),
            Some(b'\n') => Ok(self.enter(next, self.at + 1)),
            Some(_) => Err(ParseError::BareCr),
        }
    }

    fn enter(&mut self, phase: ParsePhase, at: usize) -> ParseStep {
        self.phase = phase;
        self.at = at;
        ParseStep::Next
    }

    fn wait_at(&mut self, at: usize) -> ParseStep {
        self.at = at;
        ParseStep::NeedMore
    }
}

/// What is left from `at`; nothing when a caller shortened its input.
fn rest(window: &[u8], at: usize) -> &[u8] {
    window.get(at..).unwrap_or_default()
}

/// Standard methods without allocation; CONNECT is refused as soon as seen.
fn known_method(name: &[u8]) -> Result<Method, ParseError> {
    match name {
        b"GET" => Ok(Method::GET),
        b"CONNECT" => Err(ParseError::Connect),
        _ => Method::from_bytes(name).map_err(|_| ParseError::Method),
    }
}

fn check_version_byte(place: usize, byte: u8) -> Result<(), ParseError> {
    let fits = match place {
        0..=4 => byte == b"HTTP/"[place],
        5 | 7 => byte.is_ascii_digit(),
        6 => byte == b'.',
        8 => byte == b'\r',
        _ => byte == b'\n',
    };
    match byte {
        _ if fits => Ok(()),
        _ if place == VERSION_LINE_BYTES - 1 => Err(ParseError::BareCr),
        b'\n' => Err(ParseError::BareLf),
        _ => Err(ParseError::VersionSyntax),
    }
}

/// `HTTP/1.1` and CRLF.
const VERSION_LINE_BYTES: usize = 10;

/// First byte of a TLS record that carries a ClientHello.
const TLS_HANDSHAKE: u8 = 0x16;
