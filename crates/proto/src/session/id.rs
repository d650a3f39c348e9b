//! Session ids, and the hashes that stand for them everywhere but in a cookie.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::limits::SESSION_ID_BYTES;

/// 256 random bits. Not comparable: what is looked up is its [`hash`](Self::hash),
/// and how long that takes tells nothing of the id.
pub struct SessionId([u8; SESSION_ID_BYTES]);

impl SessionId {
    /// An id of bytes that nobody can guess.
    pub fn of_random(bytes: [u8; SESSION_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// Reads what [`encode`](Self::encode) wrote, and nothing else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != TEXT_BYTES {
            return None;
        }
        let mut bytes = [0; SESSION_ID_BYTES];
        let (mut bits, mut count, mut at) = (0_u32, 0, 0);
        for byte in text {
            bits = bits << 6 | u32::from(digit(*byte)?);
            count += 6;
            if count >= 8 {
                count -= 8;
                bytes[at] = (bits >> count) as u8;
                bits &= (1 << count) - 1;
                at += 1;
            }
        }
        // The bits left over are zero: one text for each id.
        (bits == 0).then_some(Self(bytes))
    }

    /// The id as base64url without padding (RFC 4648 section 5), 43 characters.
    /// For the cookie only.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(TEXT_BYTES);
        for group in self.0.chunks(3) {
            let bits = group
                .iter()
                .fold(0, |bits, byte| bits << 8 | u32::from(*byte));
            let bits = bits << (8 * (3 - group.len()));
            for place in 0..=group.len() {
                let digit = (bits >> (18 - 6 * place)) & 0x3f;
                text.push(char::from(DIGITS[digit as usize]));
            }
        }
        text
    }

    /// What stands for it in a store or a log.
    pub fn hash(&self) -> SessionHash {
        SessionHash(Sha256::digest(self.0).into())
    }
}

/// Tells nothing.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

/// The SHA-256 of an id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionHash([u8; HASH_BYTES]);

impl SessionHash {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }
}

/// In hexadecimal.
impl fmt::Display for SessionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionHash({self})")
    }
}

const HASH_BYTES: usize = 32;
/// Six bits a character.
const TEXT_BYTES: usize = (SESSION_ID_BYTES * 8).div_ceil(6);
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    }
}
