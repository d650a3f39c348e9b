//! Answers as they stand in Redis: a format byte, then lengths and bytes.
//!
//! Under a key stands an answer, or the names of the fields by which answers of
//! this URL differ, each then under a key of its own. Numbers are little-endian.

use http::{HeaderName, HeaderValue, StatusCode};

use super::rules::VaryNames;
use crate::limits::{ANSWER_HEADERS_MAX, ANSWER_VARY_NAMES_MAX};

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptAnswer {
    /// An answer.
    Answer(StoredAnswer),
    /// That answers differ by these fields of the request.
    Varies(VaryNames),
}

/// An answer that is kept for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// When it was made, milliseconds since the Unix epoch.
    pub made_at_unix_ms: u64,
    /// How long from then it is fresh, milliseconds.
    pub lifetime_ms: u64,
    /// It is for everybody, also for those who say who they are.
    pub is_public: bool,
    /// Its status.
    pub status: StatusCode,
    /// Header fields, without those that are written anew with each answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
}

const FORMAT: u8 = 1;
const ANSWER: u8 = b'a';
const VARIES: u8 = b'v';
/// Format, kind.
const START_BYTES: usize = 2;

impl StoredAnswer {
    /// The age at a moment, whole milliseconds. Clocks of nodes differ: what
    /// seems to come from the future is new.
    pub fn age_ms(&self, now_unix_ms: u64) -> u64 {
        now_unix_ms.saturating_sub(self.made_at_unix_ms)
    }

    /// How long it stays fresh from a moment on, milliseconds.
    pub fn left_ms(&self, now_unix_ms: u64) -> u64 {
        self.lifetime_ms.saturating_sub(self.age_ms(now_unix_ms))
    }
}

impl KeptAnswer {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Answer(answer) => {
                let fields = answer.headers.iter();
                encode_answer(
                    answer,
                    fields.map(|(name, value)| (name, value)),
                    &answer.body,
                )
            }
            Self::Varies(names) => {
                let mut out = vec![FORMAT, VARIES, names.names().len() as u8];
                for name in names.names() {
                    push_short(&mut out, name.as_bytes());
                }
                out
            }
        }
    }

    /// Reads bytes that may be anybody's.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let [FORMAT, kind, rest @ ..] = bytes else {
            return None;
        };
        let mut reader = AnswerReader(rest);
        match *kind {
            ANSWER => Some(Self::Answer(reader.answer()?)),
            VARIES => Some(Self::Varies(reader.vary_names()?)),
            _ => None,
        }
    }
}

fn encode_answer<'a>(
    answer: &StoredAnswer,
    headers: impl ExactSizeIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
    body: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(START_BYTES + 32 + 64 * headers.len() + body.len());
    out.extend([FORMAT, ANSWER]);
    out.extend(answer.made_at_unix_ms.to_le_bytes());
    out.extend(answer.lifetime_ms.to_le_bytes());
    out.push(u8::from(answer.is_public));
    out.extend(answer.status.as_u16().to_le_bytes());
    out.extend((headers.len() as u16).to_le_bytes());
    for (name, value) in headers {
        push_short(&mut out, name.as_str().as_bytes());
        push_short(&mut out, value.as_bytes());
    }
    out.extend((body.len() as u32).to_le_bytes());
    out.extend_from_slice(body);
    out
}

fn push_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

struct AnswerReader<'a>(&'a [u8]);

impl<'a> AnswerReader<'a> {
    fn answer(&mut self) -> Option<StoredAnswer> {
        let made_at_unix_ms = u64::from_le_bytes(self.array()?);
        let lifetime_ms = u64::from_le_bytes(self.array()?);
        let is_public = match self.array()? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        let status = StatusCode::from_u16(u16::from_le_bytes(self.array()?)).ok()?;
        // Others are no whole answers; one would break the connection.
        if status.is_informational() || matches!(status.as_u16(), 204 | 206 | 304) {
            return None;
        }
        let count = usize::from(u16::from_le_bytes(self.array()?));
        if count > ANSWER_HEADERS_MAX {
            return None;
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let name = HeaderName::from_bytes(self.short()?).ok()?;
            headers.push((name, HeaderValue::from_bytes(self.short()?).ok()?));
        }
        let body_bytes = u32::from_le_bytes(self.array()?) as usize;
        let body = self.take(body_bytes)?.to_vec();
        self.0.is_empty().then_some(StoredAnswer {
            made_at_unix_ms,
            lifetime_ms,
            is_public,
            status,
            headers,
            body,
        })
    }

    fn vary_names(&mut self) -> Option<VaryNames> {
        let [count] = self.array()?;
        if count == 0 || usize::from(count) > ANSWER_VARY_NAMES_MAX {
            return None;
        }
        let mut names = Vec::new();
        for _ in 0..count {
            let name = HeaderName::from_bytes(self.short()?).ok()?;
            names.push(name.as_str().to_owned());
        }
        if !self.0.is_empty() {
            return None;
        }
        VaryNames::of_names(names)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let count = usize::from(u16::from_le_bytes(self.array()?));
        self.take(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer() -> StoredAnswer {
        StoredAnswer {
            made_at_unix_ms: 1_000,
            lifetime_ms: 60_000,
            is_public: true,
            status: StatusCode::OK,
            headers: vec![
                (http::header::ETAG, HeaderValue::from_static("\"v1\"")),
                (http::header::VARY, HeaderValue::from_static("accept")),
            ],
            body: b"hello".to_vec(),
        }
    }

    fn varies() -> KeptAnswer {
        KeptAnswer::Varies(VaryNames::of_names(vec!["a".into(), "b".into()]).unwrap())
    }

    #[test]
    fn what_is_written_is_read_again() {
        for kept in [KeptAnswer::Answer(answer()), varies()] {
            assert_eq!(KeptAnswer::decode(&kept.encode()), Some(kept));
        }
    }

    #[test]
    fn what_is_cut_or_goes_on_is_not_ours() {
        for kept in [KeptAnswer::Answer(answer()), varies()] {
            let mut bytes = kept.encode();
            for end in 0..bytes.len() {
                assert_eq!(KeptAnswer::decode(&bytes[..end]), None, "{end}");
            }
            bytes.push(0);
            assert_eq!(KeptAnswer::decode(&bytes), None);
        }
        let mut partial = answer();
        partial.status = StatusCode::PARTIAL_CONTENT;
        assert_eq!(
            KeptAnswer::decode(&KeptAnswer::Answer(partial).encode()),
            None
        );
    }

    #[test]
    fn age_and_time_left_follow_from_when_it_was_made() {
        let answer = answer();
        assert_eq!((answer.age_ms(500), answer.left_ms(500)), (0, 60_000));
        assert_eq!(
            (answer.age_ms(3_000), answer.left_ms(3_000)),
            (2_000, 58_000)
        );
        assert_eq!(answer.left_ms(u64::MAX), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_not(bytes in any::<Vec<u8>>()) {
            let _ = KeptAnswer::decode(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_panics(at in 0..60_usize, byte in any::<u8>()) {
            let mut bytes = KeptAnswer::Answer(answer()).encode();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Some(kept) = KeptAnswer::decode(&bytes) {
                prop_assert_eq!(KeptAnswer::decode(&kept.encode()), Some(kept));
            }
        }
    }
}
