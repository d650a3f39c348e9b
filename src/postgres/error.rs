//! Why a user's statement has no answer.

use std::fmt;

use tokio_postgres::Error;
use tokio_postgres::error::DbError;

use crate::postgres::client::fault::{Intent, judge};
use crate::store::StoreError;

/// Why a statement has no answer. Through `?` a handler answers 503 with
/// `Retry-After`, or 500 to [`Refused`](Self::Refused) and
/// [`Failed`](Self::Failed); what it says is for the log only. For that it is
/// no [`std::error::Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqlError {
    /// The server said no, and nothing was done.
    Refused(Refusal),
    /// Too many wait, no connection became free in time, or another
    /// transaction was in the way: nothing was done.
    Busy,
    /// The server cannot be reached or does not answer: nothing was done, by a
    /// statement that reads.
    Unavailable(String),
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
}

impl Refusal {
    /// `None` when it was no answer to the statement, but trouble with the
    /// connection or the server.
    pub(crate) fn of(error: &Error, intent: Intent) -> Option<Self> {
        let said: &DbError = error.as_db_error()?;
        let verdict = judge(error, intent);
        // The judge knows the API's own constraint by its name.
        let is_answer = matches!(
            verdict.error,
            StoreError::Failed(_) | StoreError::DuplicateEmail
        );
        (is_answer && !verdict.is_broken).then(|| Self {
            code: said.code().code().to_owned(),
            message: said.message().to_owned(),
            constraint: said.constraint().map(str::to_owned),
        })
    }

    /// Whether it would have made a value double that must be unique (23505).
    pub fn is_duplicate(&self) -> bool {
        self.code == "23505"
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "PostgreSQL refused a statement: {refusal}"),
            Self::Busy => f.write_str("too many statements wait for PostgreSQL"),
            Self::Unavailable(why) => write!(f, "PostgreSQL is not there: {why}"),
            Self::OutcomeUnknown(why) => {
                write!(f, "a write was sent to PostgreSQL and not answered: {why}")
            }
            Self::DiskFull(why) => write!(f, "PostgreSQL has no room: {why}"),
            Self::Failed(why) => write!(f, "a statement could not be run: {why}"),
        }
    }
}

impl From<StoreError> for SqlError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Unavailable(why) => Self::Unavailable(why),
            StoreError::OutcomeUnknown(why) => Self::OutcomeUnknown(why),
            StoreError::DiskFull(why) => Self::DiskFull(why),
            other => Self::Failed(other.to_string()),
        }
    }
}
