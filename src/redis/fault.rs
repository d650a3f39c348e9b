//! Why Redis gave no answer.

use std::fmt;

use ::redis::RedisError;

use crate::bridge::BridgeFault;
use crate::limits::REDIS_RETRY_AFTER_S;
use crate::{Error, error::Blame};

/// Why a command has no answer. It was carried out by the server or not: only
/// after [`Busy`](Self::Busy) and [`Refused`](Self::Refused) it surely was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisFault {
    /// There is no connection, or it was lost before the answer; why.
    Down(String),
    /// No answer within the deadline.
    TooSlow,
    /// The server said no, with this text, or its answer has another type than
    /// was asked for; or exclusive work panicked.
    Refused(String),
    /// Too many commands are in flight, or no exclusive connection was free in
    /// time: it was not sent.
    Busy,
}

impl RedisFault {
    /// What an error of the library means. Whatever is no answer of the server
    /// is the connection's fault.
    pub(super) fn of(error: &RedisError) -> Self {
        if is_lost(error) {
            Self::Down(error.to_string())
        } else {
            Self::Refused(error.to_string())
        }
    }
}

/// Whether the connection is of no use after this. An answer of another type
/// than was asked for is not such an error, though the library counts it as one.
pub(super) fn is_lost(error: &RedisError) -> bool {
    error.is_io_error()
}

impl fmt::Display for RedisFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down(why) => write!(f, "Redis is not there: {why}"),
            Self::TooSlow => f.write_str("Redis did not answer in time"),
            Self::Refused(text) => write!(f, "Redis refused a command: {text}"),
            Self::Busy => f.write_str("too many commands wait for Redis"),
        }
    }
}

/// 503 with `Retry-After`, or 500 when the server refused the command. What it
/// says of Redis is for the log only.
impl From<RedisFault> for Error {
    fn from(fault: RedisFault) -> Self {
        match fault {
            RedisFault::Refused(_) => Error::internal(fault).with_blame(Blame::Upstream),
            _ => Error::unavailable("a service is not available; try again", REDIS_RETRY_AFTER_S)
                .with_log(fault),
        }
    }
}

impl From<BridgeFault> for RedisFault {
    fn from(fault: BridgeFault) -> Self {
        match fault {
            BridgeFault::Full => Self::Busy,
            BridgeFault::Closed => Self::Down(fault.to_string()),
            // A mistake of the program: 500, whatever Redis does.
            BridgeFault::Panicked(_) => Self::Refused(fault.to_string()),
        }
    }
}
