//! (stand-in) What an error of PostgreSQL means to the API.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::pool::Intent;
use crate::store::StoreError;

/// An error of a statement that writes nothing.
pub(super) fn read_error(error: Error) -> StoreError {
    self::error(Intent::Read, error)
}

pub(super) fn error(intent: Intent, error: Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        let why = error.to_string();
        return match intent {
            Intent::Read => StoreError::Unavailable(why),
            Intent::Write => StoreError::OutcomeUnknown(why),
        };
    };
    let is_email = db
        .constraint()
        .is_some_and(|name| name.starts_with("users_email"));
    if *db.code() == SqlState::UNIQUE_VIOLATION && is_email {
        return StoreError::DuplicateEmail;
    }
    StoreError::Failed(format!("{} ({})", db.message(), db.code().code()))
}
