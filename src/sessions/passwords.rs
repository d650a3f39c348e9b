//! Password hashes off the shard, and only so many at once: they take time and
//! memory on purpose, and anybody may ask for them.

use crate::engine::{Permit, Permits};
use crate::error::Blame;
use crate::limits::{PASSWORD_BYTES_MAX, PASSWORD_HASHES_MAX, SESSION_RETRY_AFTER_S};
use crate::{Error, engine, password};

/// The process's share of the computing threads for passwords; clones share it.
#[derive(Debug, Clone)]
pub struct Passwords {
    permits: Permits,
}

impl Passwords {
    /// Whether a password is the one that was hashed. Takes as long without a
    /// hash, and says no then.
    ///
    /// # Errors
    /// 503 when [`PASSWORD_HASHES_MAX`] are under way or wait.
    ///
    /// # Panics
    /// On a thread that is no shard.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, Error> {
        // Goes with its job, so that a client who leaves does not make room for another
        // while the work goes on.
        let permit = self.permit()?;
        let verified = engine::compute(move || {
            let _permit = permit;
            // Nobody has one this long: the work is done for none.
            let hash = hash.filter(|_| password.len() <= PASSWORD_BYTES_MAX);
            let length = password.len().min(PASSWORD_BYTES_MAX);
            password::verify(&password.as_bytes()[..length], hash.as_deref())
        });
        Ok(verified.await?)
    }

    fn permit(&self) -> Result<Permit, Error> {
        self.permits.take().ok_or_else(|| {
            let too_many = "too many logins are under way; try again";
            let error = Error::unavailable(too_many, SESSION_RETRY_AFTER_S);
            error.with_blame(Blame::Host).nothing_done()
        })
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            permits: Permits::new(PASSWORD_HASHES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_permits_and_no_more() {
        let passwords = Passwords::default();
        let permits: Vec<_> = (0..PASSWORD_HASHES_MAX)
            .map(|_| passwords.permit().unwrap())
            .collect();
        for _ in 0..3 {
            let error = passwords.clone().permit().err().unwrap();
            assert_eq!(error.status(), 503);
        }
        drop(permits);
        assert!(passwords.permit().is_ok());
    }
}
