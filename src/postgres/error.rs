//! Why a statement has no answer.

use std::fmt;

use http::StatusCode;
use tokio_postgres::error::DbError;

use crate::error::{Blame, Error};
use crate::limits::POSTGRES_RETRY_AFTER_S;

/// Why a statement has no answer. Through `?` a handler answers 503 with
/// `Retry-After`, or 500 to [`Refused`](Self::Refused) and
/// [`Failed`](Self::Failed); what it says is for the log only. For that it is
/// no [`std::error::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostgresError {
    /// The server said no, and nothing was done.
    Refused(Refusal),
    /// Too many wait, no connection became free in time, or another
    /// transaction was in the way: nothing was done.
    Busy,
    /// The server cannot be reached or does not answer: nothing was done, by a
    /// statement that reads.
    Unavailable(String),
    /// The server takes no writes, as a replica does: nothing was done.
    ReadOnly(String),
    /// The statement of a write was sent and its answer lost: it may have been
    /// carried out, or still be.
    OutcomeUnknown(String),
    /// The server has no room: nothing was done.
    DiskFull(String),
    /// A parameter is not of the type the statement has for it, or something
    /// else is wrong on this side.
    Failed(String),
}

/// What the server said (PostgreSQL documentation, "Error and Notice Message
/// Fields").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// SQLSTATE, such as `23505` for a value that must be unique and is not.
    pub code: String,
    /// In the server's words.
    pub message: String,
    /// The constraint that was broken, where it was one.
    pub constraint: Option<String>,
    /// The table it is about, where the server names one.
    pub table: Option<String>,
}

impl Refusal {
    pub(super) fn of(said: &DbError) -> Self {
        Self {
            code: said.code().code().to_owned(),
            message: said.message().to_owned(),
            constraint: said.constraint().map(str::to_owned),
            table: said.table().map(str::to_owned),
        }
    }

    /// Whether it would have made a value double that must be unique (23505).
    pub fn is_duplicate(&self) -> bool {
        self.code == "23505"
    }

    /// Whether a text among the parameters is none the database can hold, such as
    /// one with a NUL (22021, 22P05): the mistake of whoever sent it.
    pub fn is_unstorable(&self) -> bool {
        ["22021", "22P05"].contains(&self.code.as_str())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)
    }
}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "PostgreSQL refused a statement: {refusal}"),
            Self::Busy => f.write_str("too many statements wait for PostgreSQL"),
            Self::Unavailable(why) => write!(f, "PostgreSQL is not there: {why}"),
            Self::ReadOnly(why) => write!(
                f,
                "PostgreSQL takes no writes, as a replica does; its address must lead to the \
                 primary: {why}"
            ),
            Self::OutcomeUnknown(why) => {
                write!(f, "a write was sent to PostgreSQL and not answered: {why}")
            }
            Self::DiskFull(why) => write!(f, "PostgreSQL has no room: {why}"),
            Self::Failed(why) => write!(f, "a statement could not be run: {why}"),
        }
    }
}

/// A statement that was refused is a mistake of whoever wrote it, unless the
/// handler has looked at the reason.
impl From<PostgresError> for Error {
    fn from(error: PostgresError) -> Self {
        let log = error.to_string();
        match error {
            PostgresError::Refused(refusal) if refusal.is_unstorable() => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "a text in the request holds a character that cannot be stored, such as NUL",
            )
            .nothing_done()
            .with_log(log),
            PostgresError::Refused(_) => Self::internal(log).nothing_done(),
            PostgresError::Busy => Self::unavailable(
                "too many writes are waiting; nothing was written, try again",
                POSTGRES_RETRY_AFTER_S,
            )
            .with_blame(Blame::Host)
            .nothing_done()
            .with_log(log),
            PostgresError::Unavailable(_) | PostgresError::ReadOnly(_) => Self::unavailable(
                "the database cannot be reached now; nothing was written, try again",
                POSTGRES_RETRY_AFTER_S,
            )
            .nothing_done()
            .with_log(log),
            // No Retry-After: a repeated POST could create twice.
            PostgresError::OutcomeUnknown(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the write may or may not have happened; look before you repeat it",
            )
            .with_problem_type("urn:corelane:problem:outcome-unknown")
            .with_log(log),
            PostgresError::DiskFull(_) => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "the server has no room to store this; nothing was written",
            )
            .with_problem_type("urn:corelane:problem:disk-full")
            .nothing_done()
            .with_log(log),
            PostgresError::Failed(_) => Self::internal(log),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::RETRY_AFTER;

    use super::*;

    #[test]
    fn each_has_its_status_and_keeps_its_reason_inside() {
        let secret = || "secret".to_owned();
        let refusal = Refusal {
            code: "23505".to_owned(),
            message: secret(),
            constraint: None,
            table: None,
        };
        let unstorable = Refusal {
            code: "22021".to_owned(),
            ..refusal.clone()
        };
        let unavailable = PostgresError::Unavailable(secret());
        let read_only = PostgresError::ReadOnly(secret());
        let unknown = PostgresError::OutcomeUnknown(secret());
        let full = PostgresError::DiskFull(secret());
        let failed = PostgresError::Failed(secret());
        let (unstorable, refused) = (
            PostgresError::Refused(unstorable),
            PostgresError::Refused(refusal),
        );
        for (error, status, blame, retry, nothing_done) in [
            (unstorable, 422, Blame::Client, false, true),
            (refused, 500, Blame::Bug, false, true),
            (PostgresError::Busy, 503, Blame::Host, true, true),
            (unavailable, 503, Blame::Upstream, true, true),
            (read_only, 503, Blame::Upstream, true, true),
            (unknown, 503, Blame::Upstream, false, false),
            (full, 507, Blame::Host, false, true),
            (failed, 500, Blame::Bug, false, false),
        ] {
            let said = error.to_string();
            let answer = Error::from(error);
            assert_eq!(answer.status(), status, "{answer}");
            assert_eq!(answer.blame(), blame, "{answer}");
            assert_eq!(answer.is_nothing_done(), nothing_done, "{answer}");
            assert_eq!(answer.log(), Some(said.as_str()), "{answer}");
            let retry_after = answer.headers().iter().any(|(n, _)| n == RETRY_AFTER);
            assert_eq!(retry_after, retry, "{answer}");
            let body = String::from_utf8(answer.problem_json()).unwrap();
            assert!(!body.contains("secret"), "{body}");
        }
    }
}
