//! The body decoder: where a body's bytes stand in the input, and its end.
//!
//! Fed with whatever was received, it answers with ranges of that input and
//! buffers nothing. Chunk framing and trailers are judged byte by byte by a
//! state machine, so one-byte chunks and one-byte reads stay linear.

use crate::limits::{
    CHUNK_EXTENSION_BYTES_MAX, CHUNK_EXTENSIONS_BYTES_MAX, TRAILER_BYTES_MAX, TRAILERS_MAX,
};

use super::error::ParseError;
use super::framing::BodyFraming;
use super::octets::{is_blank, is_token, is_value};

/// Decodes one body. Made for each request, whatever its framing.
#[derive(Debug)]
pub struct BodyDecoder {
    state: DecoderState,
    chunk: ChunkBounds,
}

/// What [`BodyDecoder::decode`] found at the start of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEvent {
    /// Framing was consumed (all of the input); more bytes are needed.
    NeedMore {
        /// Bytes to drop from the input.
        consumed: usize,
    },
    /// `input[start..end]` is body; everything up to `end` is consumed.
    Data {
        /// First byte of the data.
        start: usize,
        /// One past the last, and the bytes to drop from the input.
        end: usize,
    },
    /// The body has ended; the next request starts after `consumed`.
    End {
        /// Bytes to drop from the input.
        consumed: usize,
    },
}

impl BodyDecoder {
    /// A decoder for a body of at most `body_bytes_max` bytes after decoding.
    ///
    /// # Errors
    ///
    /// [`ParseError::BodyTooLarge`] when Content-Length says so already.
    pub fn new(framing: BodyFraming, body_bytes_max: u64) -> Result<Self, ParseError> {
        let state = match framing {
            BodyFraming::None => DecoderState::Length { remaining: 0 },
            BodyFraming::Length(bytes) if bytes > body_bytes_max => {
                return Err(ParseError::BodyTooLarge);
            }
            BodyFraming::Length(bytes) => DecoderState::Length { remaining: bytes },
            BodyFraming::Chunked => DecoderState::Chunked(Chunk::Size { digits: 0, size: 0 }),
        };
        Ok(Self {
            state,
            chunk: ChunkBounds::new(body_bytes_max),
        })
    }

    /// The same for a request that is answered without its body, being refused
    /// for something else: one that is too large says so when it is read.
    pub fn of_refused(framing: BodyFraming, body_bytes_max: u64) -> Self {
        Self::new(framing, body_bytes_max).unwrap_or(Self {
            state: DecoderState::TooLarge,
            chunk: ChunkBounds::new(body_bytes_max),
        })
    }

    /// Looks at `input`, everything received and not consumed yet. The caller
    /// drops what the event consumed before it calls again, and calls until
    /// `End` or until `NeedMore`.
    ///
    /// # Errors
    ///
    /// The request must be refused and the connection closed; the decoder then
    /// answers the same error for ever.
    pub fn decode(&mut self, input: &[u8]) -> Result<BodyEvent, ParseError> {
        match &mut self.state {
            DecoderState::Length { remaining: 0 } | DecoderState::Done => {
                Ok(BodyEvent::End { consumed: 0 })
            }
            DecoderState::Length { .. } if input.is_empty() => {
                Ok(BodyEvent::NeedMore { consumed: 0 })
            }
            DecoderState::Length { remaining } => Ok(data(0, input, remaining)),
            DecoderState::TooLarge => Err(ParseError::BodyTooLarge),
            DecoderState::Failed(error) => Err(*error),
            DecoderState::Chunked(_) => self.decode_chunked(input).inspect_err(|&error| {
                self.state = DecoderState::Failed(error);
            }),
        }
    }

    /// Whether the whole body was consumed.
    pub fn is_done(&self) -> bool {
        matches!(
            self.state,
            DecoderState::Length { remaining: 0 } | DecoderState::Done
        )
    }

    /// Bytes of body still to come, where the framing tells.
    pub fn remaining_known(&self) -> Option<u64> {
        match self.state {
            DecoderState::Length { remaining } => Some(remaining),
            DecoderState::Done => Some(0),
            DecoderState::TooLarge => Some(u64::MAX),
            DecoderState::Chunked(_) | DecoderState::Failed(_) => None,
        }
    }

    fn decode_chunked(&mut self, input: &[u8]) -> Result<BodyEvent, ParseError> {
        let mut at = 0;
        while let DecoderState::Chunked(chunk) = &mut self.state {
            let Some(&byte) = input.get(at) else {
                return Ok(BodyEvent::NeedMore { consumed: at });
            };
            if let Chunk::Data { remaining } = chunk {
                let event = data(at, input, remaining);
                if *remaining == 0 {
                    *chunk = Chunk::DataCr;
                }
                return Ok(event);
            }
            at += 1;
            self.state = match self.chunk.feed(*chunk, byte)? {
                Some(next) => DecoderState::Chunked(next),
                None => DecoderState::Done,
            };
        }
        Ok(BodyEvent::End { consumed: at })
    }
}

#[derive(Debug)]
enum DecoderState {
    Length {
        remaining: u64,
    },
    Chunked(Chunk),
    Done,
    /// Nothing of it is taken.
    TooLarge,
    Failed(ParseError),
}

/// What the next byte of a chunked body belongs to (RFC 9112 section 7.1).
#[derive(Debug, Clone, Copy)]
enum Chunk {
    Size {
        digits: u8,
        size: u64,
    },
    /// White space after the size; only `;` may follow.
    SizeBlank {
        size: u64,
    },
    Extension {
        part: Extension,
        size: u64,
    },
    SizeLf {
        size: u64,
    },
    Data {
        remaining: u64,
    },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// `;name`, `;name=token`, `;name="quoted"`, with white space around `;`, `=`.
#[derive(Debug, Clone, Copy)]
enum Extension {
    NameStart,
    Name,
    NameBlank,
    ValueStart,
    Token,
    Quoted,
    QuotedEscape,
    QuotedEnd,
    ValueBlank,
}

/// What a chunked body has used up of its bounds.
#[derive(Debug)]
struct ChunkBounds {
    body_bytes_left: u64,
    extension_bytes: usize,
    extensions_bytes: usize,
    trailer_bytes: usize,
    trailers: usize,
}

impl ChunkBounds {
    fn new(body_bytes_max: u64) -> Self {
        Self {
            body_bytes_left: body_bytes_max,
            extension_bytes: 0,
            extensions_bytes: 0,
            trailer_bytes: 0,
            trailers: 0,
        }
    }

    /// One byte of framing; `None` after the last one of the body.
    fn feed(&mut self, chunk: Chunk, byte: u8) -> Result<Option<Chunk>, ParseError> {
        let next = match chunk {
            Chunk::Size { digits, size } => self.size(digits, size, byte)?,
            Chunk::SizeBlank { size } => {
                self.count_extension_byte()?;
                match byte {
                    b';' => Chunk::Extension {
                        part: Extension::NameStart,
                        size,
                    },
                    _ if is_blank(byte) => Chunk::SizeBlank { size },
                    _ => return Err(ParseError::ChunkSize),
                }
            }
            Chunk::Extension { part, size } => {
                self.count_extension_byte()?;
                match extension(part, byte)? {
                    Some(part) => Chunk::Extension { part, size },
                    None => Chunk::SizeLf { size },
                }
            }
            Chunk::SizeLf { size } => {
                self.extension_bytes = 0;
                line_feed(byte)?;
                if size == 0 {
                    Chunk::TrailerStart
                } else {
                    Chunk::Data { remaining: size }
                }
            }
            Chunk::DataCr if byte == b'\r' => Chunk::DataLf,
            Chunk::DataLf if byte == b'\n' => Chunk::Size { digits: 0, size: 0 },
            Chunk::DataCr | Chunk::DataLf => return Err(ParseError::ChunkEnd),
            // Data is taken in ranges and never comes here byte by byte.
            Chunk::Data { .. } => return Err(ParseError::ChunkEnd),
            Chunk::EndLf => {
                line_feed(byte)?;
                return Ok(None);
            }
            _ => self.trailer(chunk, byte)?,
        };
        Ok(Some(next))
    }

    fn size(&mut self, digits: u8, size: u64, byte: u8) -> Result<Chunk, ParseError> {
        if let Some(digit) = (byte as char).to_digit(16) {
            if digits == CHUNK_SIZE_DIGITS_MAX {
                return Err(ParseError::ChunkSize);
            }
            return Ok(Chunk::Size {
                digits: digits + 1,
                size: size << 4 | u64::from(digit),
            });
        }
        if digits == 0 {
            return Err(ParseError::ChunkSize);
        }
        self.body_bytes_left = self
            .body_bytes_left
            .checked_sub(size)
            .ok_or(ParseError::BodyTooLarge)?;
        match byte {
            b'\r' => Ok(Chunk::SizeLf { size }),
            b'\n' => Err(ParseError::BareLf),
            b';' | b' ' | b'\t' => {
                self.count_extension_byte()?;
                Ok(match byte {
                    b';' => Chunk::Extension {
                        part: Extension::NameStart,
                        size,
                    },
                    _ => Chunk::SizeBlank { size },
                })
            }
            _ => Err(ParseError::ChunkSize),
        }
    }

    /// Trailers are judged like header lines and dropped.
    fn trailer(&mut self, chunk: Chunk, byte: u8) -> Result<Chunk, ParseError> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(ParseError::TrailersTooLong);
        }
        match (chunk, byte) {
            (Chunk::TrailerLf, _) => line_feed(byte).map(|()| Chunk::TrailerStart),
            (Chunk::TrailerStart, b'\r') => Ok(Chunk::EndLf),
            (_, b'\n') => Err(ParseError::BareLf),
            (Chunk::TrailerStart, _) => {
                self.trailers += 1;
                match byte {
                    _ if self.trailers > TRAILERS_MAX => Err(ParseError::TrailersTooLong),
                    _ if is_token(byte) => Ok(Chunk::TrailerName),
                    _ if is_blank(byte) => Err(ParseError::ObsFold),
                    _ => Err(ParseError::HeaderName),
                }
            }
            (Chunk::TrailerName, b':') => Ok(Chunk::TrailerValue),
            (Chunk::TrailerName, b'\r') => Err(ParseError::MissingColon),
            (Chunk::TrailerName, _) if is_token(byte) => Ok(Chunk::TrailerName),
            (Chunk::TrailerName, _) if is_blank(byte) => Err(ParseError::SpaceBeforeColon),
            (Chunk::TrailerName, _) => Err(ParseError::HeaderName),
            (_, b'\r') => Ok(Chunk::TrailerLf),
            (_, _) if is_value(byte) => Ok(Chunk::TrailerValue),
            _ => Err(ParseError::HeaderValue),
        }
    }

    fn count_extension_byte(&mut self) -> Result<(), ParseError> {
        self.extension_bytes += 1;
        self.extensions_bytes += 1;
        if self.extension_bytes > CHUNK_EXTENSION_BYTES_MAX
            || self.extensions_bytes > CHUNK_EXTENSIONS_BYTES_MAX
        {
            return Err(ParseError::ChunkExtensionTooLong);
        }
        Ok(())
    }
}

/// One byte of an extension; `None` at the CR that ends the line.
fn extension(part: Extension, byte: u8) -> Result<Option<Extension>, ParseError> {
    use Extension as E;
    let next = match (part, byte) {
        (E::Quoted, b'"') => E::QuotedEnd,
        (E::Quoted, b'\\') => E::QuotedEscape,
        (E::Quoted | E::QuotedEscape, _) if is_value(byte) => E::Quoted,
        (_, b'\n') => return Err(ParseError::BareLf),
        (E::Name | E::Token | E::QuotedEnd, b'\r') => return Ok(None),
        (E::Name | E::NameBlank, b'=') => E::ValueStart,
        (E::ValueStart, b'"') => E::Quoted,
        (E::NameStart | E::ValueStart, _) if is_blank(byte) => part,
        (E::NameStart | E::Name, _) if is_token(byte) => E::Name,
        (E::ValueStart | E::Token, _) if is_token(byte) => E::Token,
        (E::Name | E::NameBlank | E::Token | E::QuotedEnd | E::ValueBlank, b';') => E::NameStart,
        (E::Name | E::NameBlank, _) if is_blank(byte) => E::NameBlank,
        (E::Token | E::QuotedEnd | E::ValueBlank, _) if is_blank(byte) => E::ValueBlank,
        _ => return Err(ParseError::ChunkExtension),
    };
    Ok(Some(next))
}

fn line_feed(byte: u8) -> Result<(), ParseError> {
    if byte == b'\n' {
        Ok(())
    } else {
        Err(ParseError::BareCr)
    }
}

/// As much of `input` from `start` as belongs to `remaining`, which shrinks.
fn data(start: usize, input: &[u8], remaining: &mut u64) -> BodyEvent {
    let here = input.len() - start;
    let taken = usize::try_from(*remaining).unwrap_or(usize::MAX).min(here);
    *remaining -= taken as u64;
    BodyEvent::Data {
        start,
        end: start + taken,
    }
}

/// Sixteen hexadecimal digits are 64 bits: a longer number would overflow.
const CHUNK_SIZE_DIGITS_MAX: u8 = 16;
