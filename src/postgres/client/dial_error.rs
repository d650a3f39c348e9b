//! Why there is no connection, and what that means for a start.

use std::io;

use tokio_postgres::error::SqlState;

#[cfg(doc)]
use super::Dialer;
use super::fault::describe;
use crate::engine::Target;
use crate::postgres::ConnectError;

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// The socket could not be connected.
    Io(io::Error),
    /// TLS, the login or the server said no.
    Postgres(tokio_postgres::Error),
    /// The server did not answer in time.
    Timeout,
    /// The server is not one that was asked for.
    Unfit(String),
    /// A setting with this name did not reach the session.
    SessionLost(String),
    /// None of the servers of the address would do, each for its reason; never
    /// fewer than two.
    Several(Vec<(Target, DialError)>),
}

impl DialError {
    /// Of all servers that were tried, one at least.
    pub(super) fn of_all(mut failures: Vec<(Target, Self)>) -> Self {
        match failures.len() {
            0 | 1 => failures.pop().map_or(Self::Timeout, |(_, only)| only),
            _ => Self::Several(failures),
        }
    }

    /// Whether user, password or database are the matter.
    pub(super) fn is_login(&self) -> bool {
        let Self::Postgres(error) = self else {
            return false;
        };
        error.code().is_some_and(|code| {
            code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME
        })
    }

    pub(super) fn may_be_tls(&self) -> bool {
        match self {
            Self::Postgres(error) => error.as_db_error().is_none_or(|db| {
                // "no pg_hba.conf entry for ..., SSL encryption".
                *db.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
            }),
            _ => false,
        }
    }

    /// As a reason not to start, with its cure.
    pub fn into_connect_error(self, place: &str) -> ConnectError {
        let (place, why) = (place.to_owned(), self.to_string());
        let code = match &self {
            Self::Postgres(error) => error.code().cloned(),
            Self::Unfit(_) => return ConnectError::Unfit { place, why },
            Self::SessionLost(_) => return ConnectError::Unusable { place, why },
            Self::Several(failures) => {
                let is_unfit = |(_, error): &(_, Self)| matches!(error, Self::Unfit(_));
                return match failures.iter().any(is_unfit) {
                    true => ConnectError::Unfit { place, why },
                    false => ConnectError::Unreachable { place, why },
                };
            }
            _ => None,
        };
        if why.starts_with("error performing TLS handshake") {
            return ConnectError::Tls(format!("{place}: {why}"));
        }
        // What the library calls a missing password.
        if why.starts_with("invalid configuration") {
            return ConnectError::Login { place, why };
        }
        match code {
            Some(SqlState::TOO_MANY_CONNECTIONS) => ConnectError::ServerFull { place, why },
            Some(
                SqlState::INVALID_PASSWORD
                | SqlState::INVALID_AUTHORIZATION_SPECIFICATION
                | SqlState::INVALID_CATALOG_NAME
                | SqlState::INSUFFICIENT_PRIVILEGE,
            ) => ConnectError::Login { place, why },
            _ => ConnectError::Unreachable { place, why },
        }
    }
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Postgres(error) => f.write_str(&describe(error)),
            Self::Timeout => f.write_str("the server did not answer in time"),
            Self::Unfit(why) => f.write_str(why),
            Self::SessionLost(name) => write!(
                f,
                "the setting {name} was given to a session and has not reached it: what stands \
                 between here and PostgreSQL must leave a connection its session (for PgBouncer \
                 pool_mode = session), or be left out of the way"
            ),
            Self::Several(failures) => {
                for (index, (target, error)) in failures.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{target}: {error}")?;
                }
                Ok(())
            }
        }
    }
}
