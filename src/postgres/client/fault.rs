//! What an error of PostgreSQL means for a request: whether anything was done,
//! whether it may be tried again, and whether the connection is still good.
//!
//! The one question that matters: an answer that says no is a rollback, and
//! known. No answer, or word that the server is going down in the place of
//! one, is not known; a write is then never tried again.

use tokio_postgres::error::{DbError, Severity, SqlState};

use super::dial::describe;
use crate::store::StoreError;

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// May be tried again.
    Read,
    /// Must not.
    Write,
}

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) error: StoreError,
    /// The connection cannot be used any more.
    pub(crate) is_broken: bool,
    /// The server gave the statement up because somebody asked it to.
    pub(crate) is_cancelled: bool,
}

/// Judges an error that a call gave.
pub(crate) fn judge(error: &tokio_postgres::Error, intent: Intent) -> Verdict {
    match error.as_db_error() {
        Some(db) => judge_answer(db, intent, describe(error)),
        // Neither said nor sent: the value does not fit its parameter.
        None if is_ours(error) => Verdict {
            error: StoreError::Failed(describe(error)),
            is_broken: false,
            is_cancelled: false,
        },
        None => Verdict {
            error: lost(intent, describe(error)),
            is_broken: true,
            is_cancelled: false,
        },
    }
}

/// An error of a statement that writes nothing.
pub(crate) fn read_error(error: tokio_postgres::Error) -> StoreError {
    judge(&error, Intent::Read).error
}

/// An error of a statement that writes.
pub(crate) fn write_error(error: tokio_postgres::Error) -> StoreError {
    judge(&error, Intent::Write).error
}

/// The answer did not come.
pub(crate) fn lost(intent: Intent, why: String) -> StoreError {
    match intent {
        Intent::Read => StoreError::Unavailable(why),
        Intent::Write => StoreError::OutcomeUnknown(why),
    }
}

fn judge_answer(db: &DbError, intent: Intent, why: String) -> Verdict {
    let code = db.code();
    let is_fatal = matches!(
        db.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    );
    let error = match code.code() {
        "23505" if is_email(db) => StoreError::DuplicateEmail,
        "53100" => StoreError::DiskFull(why),
        "40001" | "40P01" | "55P03" => StoreError::Busy,
        "57014" => StoreError::Unavailable(format!("the statement took too long: {why}")),
        "25006" => StoreError::Unavailable(format!(
            "the server takes no writes, as a replica does; the store's address must lead to the \
             primary: {why}"
        )),
        // The commit may be done and its answer not.
        "57P01" | "57P02" | "57P03" | "57P04" | "40003" => lost(intent, why),
        code if code.starts_with("08") => lost(intent, why),
        "25P03" | "57P05" => StoreError::Unavailable(why),
        code if code.starts_with("53") => StoreError::Unavailable(why),
        _ if is_fatal => lost(intent, why),
        _ => StoreError::Failed(why),
    };
    let is_broken = is_fatal || code.code().starts_with("08") || code.code().starts_with("57P0");
    Verdict {
        error,
        is_broken,
        is_cancelled: *code == SqlState::QUERY_CANCELED,
    }
}

/// `users_email_key` is what `UNIQUE` makes; an index may be named otherwise.
fn is_email(db: &DbError) -> bool {
    db.table().is_none_or(|table| table == "users")
        && db.constraint().is_some_and(|name| name.contains("email"))
}

/// Errors the library finds before it sends, or in an answer that came whole.
fn is_ours(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    OURS.iter().any(|start| text.starts_with(start))
}

const OURS: &[&str] = &[
    "error serializing parameter",
    "expected ",
    "error deserializing column",
    "invalid column",
    "query returned an unexpected number of rows",
    "error encoding message to server",
];
