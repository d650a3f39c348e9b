//! What an error of PostgreSQL means for a request: whether anything was done,
//! whether it may be tried again, and whether the connection is still good.
//!
//! The one question that matters: an answer that says no is a rollback, and
//! known. No answer, or word that the server is going down in the place of
//! one, is not known; a write is then never tried again.

use tokio_postgres::error::{DbError, Severity, SqlState};

#[cfg(doc)]
use super::Connection;
use crate::postgres::{PostgresError, Refusal};

/// What a call is for: it decides whether it may be sent again, and what an
/// answer that does not come means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// May be tried again.
    Read,
    /// Must not.
    Write,
}

/// What became of a call.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::postgres) struct Verdict {
    pub(in crate::postgres) error: PostgresError,
    /// The connection cannot be used any more.
    pub(in crate::postgres) is_broken: bool,
    /// The server gave the statement up because somebody asked it to.
    pub(in crate::postgres) is_cancelled: bool,
    pub(in crate::postgres) remedy: Remedy,
}

/// What may help where the server has said that nothing was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::postgres) enum Remedy {
    /// Nothing, or it is not known whether something was done.
    None,
    /// To prepare the statement anew: it no longer fits its tables.
    PrepareAnew,
    /// Another session: this one has lost what it was given.
    AnotherSession,
    /// Another server: this one takes no writes.
    AnotherServer,
    /// Another try: another transaction was in the way.
    AnotherTry,
}

/// Judges an error that a call gave.
pub(in crate::postgres) fn judge(error: &tokio_postgres::Error, intent: Intent) -> Verdict {
    match error.as_db_error() {
        Some(db) => judge_answer(db, intent, describe(error)),
        // Neither said nor sent: the value does not fit its parameter.
        None if is_ours(error) => Verdict {
            error: PostgresError::Failed(describe(error)),
            is_broken: false,
            is_cancelled: false,
            remedy: Remedy::None,
        },
        None => Verdict {
            error: lost(intent, describe(error)),
            is_broken: true,
            is_cancelled: false,
            remedy: Remedy::None,
        },
    }
}

impl PostgresError {
    /// What an error that [`Connection::client`] gave means for a call with
    /// this intent.
    pub fn of(error: &tokio_postgres::Error, intent: Intent) -> Self {
        judge(error, intent).error
    }

    /// Whether a prepared statement was refused because it no longer fits: its
    /// tables have changed, or its session has forgotten it. Nothing was done,
    /// and prepared anew it may be. A pool does so by itself, but for those who
    /// have a connection alone.
    pub fn is_outdated(&self) -> bool {
        let codes = [
            SqlState::FEATURE_NOT_SUPPORTED,
            SqlState::INVALID_SQL_STATEMENT_NAME,
        ];
        let code = match self {
            Self::Refused(refusal) => refusal.code.as_str(),
            _ => return false,
        };
        codes.iter().any(|outdated| outdated.code() == code)
    }
}

/// The answer did not come.
pub(in crate::postgres) fn lost(intent: Intent, why: String) -> PostgresError {
    match intent {
        Intent::Read => PostgresError::Unavailable(why),
        Intent::Write => PostgresError::OutcomeUnknown(why),
    }
}

fn judge_answer(db: &DbError, intent: Intent, why: String) -> Verdict {
    let code = db.code();
    let is_fatal = matches!(
        db.parsed_severity(),
        Some(Severity::Fatal | Severity::Panic)
    );
    let error = match code.code() {
        "53100" => PostgresError::DiskFull(why),
        "40001" | "40P01" | "55P03" => PostgresError::Busy,
        "57014" => PostgresError::Unavailable(format!("the statement took too long: {why}")),
        "25006" => PostgresError::ReadOnly(why),
        // The commit may be done and its answer not.
        "57P01" | "57P02" | "57P03" | "57P04" | "40003" => lost(intent, why),
        code if code.starts_with("08") => lost(intent, why),
        "25P03" | "57P05" => PostgresError::Unavailable(why),
        code if code.starts_with("53") => PostgresError::Unavailable(why),
        _ if is_fatal => lost(intent, why),
        _ => PostgresError::Refused(Refusal::of(db)),
    };
    let is_broken = is_fatal || code.code().starts_with("08") || code.code().starts_with("57P0");
    Verdict {
        error,
        is_broken,
        is_cancelled: *code == SqlState::QUERY_CANCELED,
        remedy: remedy(db),
    }
}

fn remedy(db: &DbError) -> Remedy {
    match db.code().code() {
        // A procedure may have committed something before it raises the same.
        "0A000" if db.routine() == Some("RevalidateCachedQuery") => Remedy::PrepareAnew,
        // Of another session's the same name is taken.
        "26000" | "42P05" => Remedy::AnotherSession,
        "25006" => Remedy::AnotherServer,
        "40001" | "40P01" => Remedy::AnotherTry,
        _ => Remedy::None,
    }
}

/// What went wrong in the server's own words where there are some: the
/// library's leave them out.
pub fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", db.message(), db.code().code());
    }
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
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
