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
    /// There is no connection, or it was lost before the answer, or it led to
    /// a server that is not the one to ask (`READONLY`, `LOADING`, `MOVED` and
    /// their kin); why.
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
        if is_lost(error) || is_misplaced(error) {
            Self::Down(error.to_string())
        } else {
            Self::Refused(error.to_string())
        }
    }
}

/// Whether the server says that it is the wrong one, or does not know this
/// connection: then another is to be made, to whom the name stands for by then.
/// The command was not carried out.
pub(super) fn is_misplaced(error: &RedisError) -> bool {
    says_any(error, MISPLACED)
}

/// Whether it is because the server is a replica, or cut off from its own.
pub(super) fn wants_primary(error: &RedisError) -> bool {
    says_any(error, &["READONLY", "NOREPLICAS"])
}

fn says_any(error: &RedisError, codes: &[&str]) -> bool {
    let is_known = |code: &str| codes.contains(&code);
    let Some(errors) = error.clone().into_server_errors() else {
        return error.code().is_some_and(is_known);
    };
    errors.iter().any(|(_, error)| {
        // A script or a transaction that was refused says why in its text.
        let is_outer = matches!(error.code(), "ERR" | "EXECABORT");
        let text = error.details().filter(|_| is_outer).unwrap_or_default();
        is_known(error.code()) || text.split(|c: char| !c.is_ascii_uppercase()).any(is_known)
    })
}

const MISPLACED: &[&str] = &[
    "READONLY",
    "NOREPLICAS",
    "LOADING",
    "MOVED",
    "ASK",
    "NOAUTH",
    "CLUSTERDOWN",
    "MASTERDOWN",
];

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

#[cfg(test)]
mod tests {
    use ::redis::{ErrorKind, ServerErrorKind};

    use super::*;

    fn said(line: &str) -> RedisError {
        let value = ::redis::parse_redis_value(line.as_bytes());
        value.unwrap().extract_error().unwrap_err()
    }

    #[test]
    fn a_server_that_is_the_wrong_one_is_told_from_one_that_refuses() {
        for line in [
            "-READONLY You can't write against a read only replica.\r\n",
            "-LOADING Redis is loading the dataset in memory\r\n",
            "-MOVED 3999 127.0.0.1:6381\r\n",
            "-NOAUTH Authentication required.\r\n",
            "-CLUSTERDOWN The cluster is down\r\n",
            "-MASTERDOWN Link with MASTER is down\r\n",
            "-NOREPLICAS Not enough good replicas to write.\r\n",
            "-ERR Error running script: @user_script: 1: -READONLY You can't write\r\n",
            "-EXECABORT Transaction discarded because of: READONLY\r\n",
        ] {
            let error = said(line);
            assert!(is_misplaced(&error), "{line}");
            assert!(matches!(RedisFault::of(&error), RedisFault::Down(_)));
        }
        for line in [
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            "-WRONGTYPE Operation against a key\r\n",
            "-NOPERM this user has no permissions\r\n",
            "-MISCONF Redis is configured to save RDB snapshots\r\n",
            "-ERR unknown command 'READ'\r\n",
        ] {
            let error = said(line);
            assert!(!is_misplaced(&error), "{line}");
            assert!(matches!(RedisFault::of(&error), RedisFault::Refused(_)));
        }
        let kind = ErrorKind::Server(ServerErrorKind::ReadOnly);
        assert!(is_misplaced(&RedisError::from((kind, "no"))));
    }
}
