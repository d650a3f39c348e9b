//! What an error of PostgreSQL means for a user or a post.

use crate::store::StoreError;
use corelane::postgres::{Intent, PostgresError, Refusal};

impl From<PostgresError> for StoreError {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Refused(refusal) if is_email(&refusal) => Self::DuplicateEmail,
            PostgresError::Refused(refusal) if refusal.is_unstorable() => {
                Self::Unstorable(refusal.to_string())
            }
            PostgresError::Refused(refusal) => Self::Failed(refusal.to_string()),
            PostgresError::Busy => Self::Busy,
            PostgresError::Unavailable(why) => Self::Unavailable(why),
            PostgresError::ReadOnly(why) => Self::Unavailable(format!(
                "the server takes no writes, as a replica does; the store's address must lead to \
                 the primary: {why}"
            )),
            PostgresError::OutcomeUnknown(why) => Self::OutcomeUnknown(why),
            PostgresError::DiskFull(why) => Self::DiskFull(why),
            PostgresError::Failed(why) => Self::Failed(why),
        }
    }
}

/// An error of a statement that writes nothing.
pub(super) fn read_error(error: tokio_postgres::Error) -> StoreError {
    PostgresError::of(&error, Intent::Read).into()
}

/// An error of a statement that writes.
pub(super) fn write_error(error: tokio_postgres::Error) -> StoreError {
    PostgresError::of(&error, Intent::Write).into()
}

/// `users_email_key` is what `UNIQUE` makes; an index may be named otherwise.
fn is_email(refusal: &Refusal) -> bool {
    refusal.is_duplicate()
        && refusal.table.as_ref().is_none_or(|table| table == "users")
        && refusal
            .constraint
            .as_ref()
            .is_some_and(|name| name.contains("email"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, table: &str, constraint: &str) -> StoreError {
        let refusal = Refusal {
            code: code.to_owned(),
            message: "no".to_owned(),
            constraint: Some(constraint.to_owned()),
            table: Some(table.to_owned()),
        };
        PostgresError::Refused(refusal).into()
    }

    #[test]
    fn only_an_email_that_somebody_has_is_a_duplicate_one() {
        for constraint in ["users_email_key", "users_email_unique"] {
            let error = refused("23505", "users", constraint);
            assert_eq!(error, StoreError::DuplicateEmail);
        }
        for (code, table, constraint) in [
            ("23505", "users", "users_pkey"),
            ("23505", "letters", "letters_email_key"),
            ("23514", "users", "users_email_check"),
        ] {
            let error = refused(code, table, constraint);
            let told = StoreError::Failed(format!("no (SQLSTATE {code})"));
            assert_eq!(error, told, "{constraint}");
        }
    }

    #[test]
    fn a_replica_is_told_of_with_its_cure() {
        let error = StoreError::from(PostgresError::ReadOnly("why".to_owned()));
        assert!(
            matches!(&error, StoreError::Unavailable(told) if told.contains("to the primary: why")),
            "{error:?}"
        );
    }
}
