//! Sessions, as far as they can be thought through without a socket or clock:
//! ids and their hashes, the record that is stored, when it expires, cookies,
//! and which requests may use one to change something.
//!
//! An id is 256 random bits. It leaves this server in a cookie and comes back
//! in one; whatever is stored, compared or logged is its SHA-256, so that who
//! reads the store or the log can use none of it.

mod cookie;
mod id;
mod options;
mod origin;
mod record;

pub use cookie::{SameSite, SessionCookie, SessionCookies, expired_cookie, set_cookie};
pub use id::{SessionHash, SessionId};
pub use options::{SessionOptions, SessionOptionsError};
pub use origin::{RequestOrigin, is_safe_method, may_use_session};
pub use record::{RECORD_BYTES, SessionRecord, SessionState};

#[cfg(test)]
mod tests;
