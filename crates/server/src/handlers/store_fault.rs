//! What a client is told when the store says no.
//!
//! Every call of the store in a handler goes through here: `?` alone would
//! make a 500 of each of these.

use http::StatusCode;

use crate::store::StoreError;
use crate::store::limits::STORE_RETRY_AFTER_S;
use corelane::Error;
use corelane::error::Blame;
use corelane::internals::app::precondition_failed;

/// The answer to a store operation that did not happen. What the database
/// said stays in the log.
pub fn store_fault(error: StoreError) -> Error {
    let log = error.to_string();
    match error {
        StoreError::NotFound => Error::not_found("there is no such resource"),
        StoreError::DuplicateEmail => Error::conflict("another user has this email")
            .with_problem_type("urn:corelane:problem:duplicate-email"),
        StoreError::ConditionFailed => precondition_failed(None),
        StoreError::Unstorable(_) => Error::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "a text in the request holds a character that cannot be stored, such as NUL",
        )
        .nothing_done()
        .with_log(log),
        StoreError::Busy => Error::unavailable(
            "too many writes are waiting; nothing was written, try again",
            STORE_RETRY_AFTER_S,
        )
        .with_blame(Blame::Host)
        .nothing_done()
        .with_log(log),
        StoreError::DiskFull(_) => Error::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "the server has no room to store this; nothing was written",
        )
        .with_problem_type("urn:corelane:problem:disk-full")
        .nothing_done()
        .with_log(log),
        StoreError::Unavailable(_) => Error::unavailable(
            "the database cannot be reached now; nothing was written, try again",
            STORE_RETRY_AFTER_S,
        )
        .nothing_done()
        .with_log(log),
        StoreError::OutcomeUnknown(_) => Error::outcome_unknown(log),
        StoreError::Failed(_) => Error::internal(log),
    }
}

#[cfg(test)]
mod tests {
    use http::header::RETRY_AFTER;

    use super::*;

    #[test]
    fn each_refusal_has_its_status_and_keeps_its_reason_inside() {
        let secret = || "/var/lib/secret.db".to_owned();
        for (error, status, blame, retry) in [
            (StoreError::NotFound, 404, Blame::Client, false),
            (StoreError::DuplicateEmail, 409, Blame::Client, false),
            (StoreError::ConditionFailed, 412, Blame::Client, false),
            (StoreError::Unstorable(secret()), 422, Blame::Client, false),
            (StoreError::Busy, 503, Blame::Host, true),
            (StoreError::DiskFull(secret()), 507, Blame::Host, false),
            (
                StoreError::Unavailable(secret()),
                503,
                Blame::Upstream,
                true,
            ),
            (
                StoreError::OutcomeUnknown(secret()),
                503,
                Blame::Upstream,
                false,
            ),
            (StoreError::Failed(secret()), 500, Blame::Bug, false),
        ] {
            let answer = store_fault(error);
            assert_eq!(answer.status(), status, "{answer}");
            assert_eq!(answer.blame(), blame, "{answer}");
            let retry_after = answer.headers().iter().any(|(n, _)| n == RETRY_AFTER);
            assert_eq!(retry_after, retry, "{answer}");
            let body = String::from_utf8(answer.problem_json()).unwrap();
            assert!(!body.contains("secret"), "{body}");
        }
    }

    #[test]
    fn an_unknown_outcome_says_so_in_its_type() {
        let answer = store_fault(StoreError::OutcomeUnknown("fsync: EIO".into()));
        let body: serde_json::Value = serde_json::from_slice(&answer.problem_json()).unwrap();
        assert_eq!(body["type"], "urn:corelane:problem:outcome-unknown");
        assert!(answer.log().unwrap().contains("EIO"));
    }
}
