//! The HTTP/1.1 codec: strict, sans-IO, no allocation per request once warm.
//!
//! Where it stands: the connection feeds received bytes to [`HeadParser`],
//! which fills a head of `http`, then to [`BodyDecoder`]; the answer is written
//! by [`encode_head`] and [`encode_chunk`] into the connection's output buffer.
//!
//! Invariants: every refusal is decided by the position of the first bad byte,
//! so the answer does not depend on how the bytes were cut into reads; a byte
//! is looked at a bounded number of times however slowly it arrives; whatever
//! two readers could understand in two ways (RFC 9112 section 11.2) is refused.
//! After an error the connection has lost its framing: answer and close.

mod body;
mod encode;
mod error;
mod fields;
mod framing;
mod octets;
mod parse;
mod target;

#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, BodyEvent};
pub use encode::{
    CONTINUE, ConnectionHeader, ResponseFraming, encode_chunk, encode_chunk_end,
    encode_chunk_start, encode_head, encode_last_chunk,
};
pub use error::ParseError;
pub use framing::{BodyFraming, HeadStatus, RequestFraming, Version};
pub use parse::HeadParser;
