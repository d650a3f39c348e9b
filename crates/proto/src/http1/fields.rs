//! The header fields that decide framing and connection, judged as they come.
//!
//! Everything else is stored and not looked at. A field that could make two
//! readers disagree about where the request ends is refused here.

use super::error::ParseError;
use super::framing::{BodyFraming, RequestFraming, Version};
use super::octets::{is_token, trim_blank};
use super::target;

/// What the header fields read so far have said.
#[derive(Debug, Default)]
pub(super) struct FramingFields {
    /// Where the value of Host stands.
    pub(super) host: Option<(usize, usize)>,
    framing: BodyFraming,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl FramingFields {
    /// Judges one field; `place` is where `value` starts in the head.
    pub(super) fn note(
        &mut self,
        name: &[u8],
        value: &[u8],
        place: usize,
        version: Version,
    ) -> Result<(), ParseError> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value, place),
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect(value, version),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.connection(value);
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.transfer_encoding(value, version)
            }
            _ => Ok(()),
        }
    }

    /// What they come to, of a request of this version. Without a body nothing
    /// waits for `100 Continue`.
    pub(super) fn of_request(&self, version: Version) -> RequestFraming {
        let has_body = !matches!(self.framing, BodyFraming::None | BodyFraming::Length(0));
        RequestFraming {
            version,
            body: self.framing,
            keep_alive: !self.close && (version == Version::Http11 || self.keep_alive),
            expects_continue: self.expects_continue && has_body,
        }
    }

    fn host(&mut self, value: &[u8], place: usize) -> Result<(), ParseError> {
        if self.host.is_some() {
            return Err(ParseError::HostRepeated);
        }
        target::check_authority(value)?;
        self.host = Some((place, place + value.len()));
        Ok(())
    }

    /// RFC 9110 section 10.1.1. A list, even of two `100-continue`, is refused.
    fn expect(&mut self, value: &[u8], version: Version) -> Result<(), ParseError> {
        if version == Version::Http10 {
            return Ok(());
        }
        if self.expects_continue || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(ParseError::Expectation);
        }
        self.expects_continue = true;
        Ok(())
    }

    /// Options other than these two are for proxies and do not matter here.
    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|&b| b == b',').map(trim_blank) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), ParseError> {
        match self.framing {
            BodyFraming::None => {}
            BodyFraming::Length(_) => return Err(ParseError::ContentLengthRepeated),
            BodyFraming::Chunked => return Err(ParseError::LengthAndEncoding),
        }
        self.framing = BodyFraming::Length(decimal(value)?);
        Ok(())
    }

    /// RFC 9112 section 6.1. Only `chunked`, exactly once, is understood.
    fn transfer_encoding(&mut self, value: &[u8], version: Version) -> Result<(), ParseError> {
        if version == Version::Http10 {
            return Err(ParseError::EncodingInHttp10);
        }
        match self.framing {
            BodyFraming::None => {}
            BodyFraming::Length(_) => return Err(ParseError::LengthAndEncoding),
            BodyFraming::Chunked => return Err(ParseError::EncodingInvalid),
        }
        for coding in value.split(|&b| b == b',').map(trim_blank) {
            if coding.is_empty() || !coding.iter().all(|&b| is_token(b)) {
                return Err(ParseError::EncodingInvalid);
            }
            if self.framing == BodyFraming::Chunked {
                return Err(ParseError::EncodingInvalid);
            }
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(ParseError::EncodingUnknown);
            }
            self.framing = BodyFraming::Chunked;
        }
        Ok(())
    }
}

/// `1*DIGIT` below 2^64: no sign, no list, no white space.
fn decimal(value: &[u8]) -> Result<u64, ParseError> {
    if value.is_empty() {
        return Err(ParseError::ContentLengthInvalid);
    }
    value
        .iter()
        .try_fold(0u64, |number, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        })
        .ok_or(ParseError::ContentLengthInvalid)
}
