//! Tests of the codec as a whole: whole connections in, one line per request
//! out, however the bytes are cut.

mod corpus;
mod encoded;
mod properties;
mod requests;

use super::*;
use crate::http::{HeadLimits, RequestHead};

/// One connection: feeds `pieces`, answers with a line per request, the last
/// one being the refusal, or `partial` when the input ends inside a request.
fn talk<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut peer = Peer::default();
    for piece in pieces {
        peer.feed(piece);
    }
    if !peer.buffer.is_empty() || peer.parser.has_begun() || peer.body.is_some() {
        peer.lines.push("partial".into());
    }
    peer.lines
}

/// A connection that drops what was consumed, as the real one does.
#[derive(Default)]
struct Peer {
    buffer: Vec<u8>,
    parser: HeadParser,
    head: RequestHead,
    framing: RequestFraming,
    body: Option<(BodyDecoder, Vec<u8>)>,
    lines: Vec<String>,
    closed: bool,
}

impl Peer {
    fn feed(&mut self, piece: &[u8]) {
        if self.closed {
            return;
        }
        self.buffer.extend_from_slice(piece);
        if let Err(error) = self.advance() {
            self.lines
                .push(format!("{} {error:?}", error.status().as_u16()));
            self.close();
        }
    }

    fn advance(&mut self) -> Result<(), ParseError> {
        while !self.closed {
            let went_on = match self.body {
                None => self.advance_head()?,
                Some(_) => self.advance_body()?,
            };
            if !went_on {
                break;
            }
        }
        Ok(())
    }

    fn advance_head(&mut self) -> Result<bool, ParseError> {
        let limits = HeadLimits::default();
        match self.parser.parse(&self.buffer, &limits, &mut self.head)? {
            HeadStatus::Partial => Ok(false),
            HeadStatus::Complete {
                head_bytes,
                framing,
            } => {
                self.buffer.drain(..head_bytes);
                self.framing = framing;
                let decoder = BodyDecoder::new(framing.body, BODY_BYTES_MAX)?;
                self.body = Some((decoder, Vec::new()));
                Ok(true)
            }
        }
    }

    fn advance_body(&mut self) -> Result<bool, ParseError> {
        let Some((decoder, body)) = &mut self.body else {
            return Ok(false);
        };
        let (consumed, went_on) = match decoder.decode(&self.buffer)? {
            BodyEvent::NeedMore { consumed } => {
                assert_eq!(consumed, self.buffer.len(), "framing is judged once");
                (consumed, false)
            }
            BodyEvent::Data { start, end } => {
                assert!(start < end, "data is never empty");
                body.extend_from_slice(&self.buffer[start..end]);
                (end, true)
            }
            BodyEvent::End { consumed } => {
                assert!(decoder.is_done() && decoder.remaining_known() == Some(0));
                let line = summary(&self.head, self.framing, body);
                self.lines.push(line);
                self.body = None;
                (consumed, true)
            }
        };
        self.buffer.drain(..consumed);
        if self.body.is_none() && !self.framing.keep_alive {
            self.close();
        }
        Ok(went_on)
    }

    fn close(&mut self) {
        self.closed = true;
        self.buffer.clear();
        self.parser = HeadParser::new();
        self.body = None;
    }
}

fn summary(head: &RequestHead, framing: RequestFraming, body: &[u8]) -> String {
    let version = match framing.version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
    };
    let connection = if framing.keep_alive { "keep" } else { "close" };
    let expects = if framing.expects_continue {
        " continue"
    } else {
        ""
    };
    let body = match framing.body {
        BodyFraming::None => "none".to_owned(),
        BodyFraming::Length(_) => format!("length \"{}\"", body.escape_ascii()),
        BodyFraming::Chunked => format!("chunked \"{}\"", body.escape_ascii()),
    };
    let (method, target, host) = (head.method(), head.target(), head.host());
    format!("{method} {target} {version} host={host} {connection}{expects} body={body}")
}

/// Parses one whole head.
fn parse_whole(input: &[u8]) -> Result<(HeadStatus, RequestHead), ParseError> {
    let mut head = RequestHead::new();
    let status = HeadParser::new().parse(input, &HeadLimits::default(), &mut head)?;
    Ok((status, head))
}

/// The status of a head of this length that asks for nothing special.
fn complete(head_bytes: usize) -> HeadStatus {
    HeadStatus::Complete {
        head_bytes,
        framing: RequestFraming {
            keep_alive: true,
            ..RequestFraming::default()
        },
    }
}

const BODY_BYTES_MAX: u64 = 1024 * 1024;
