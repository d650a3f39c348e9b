//! Why PostgreSQL cannot be used at all, each with what to do about it.

use std::fmt;

/// Why there is no database to ask: its address or certificates, its login or
/// its room. `Display` names the cure; no password is ever in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ConnectError {
    /// The address is none of PostgreSQL's.
    Url(String),
    /// TLS is not possible, or its certificates cannot be used.
    Tls(String),
    /// It cannot be reached, or says nothing that makes sense.
    Unreachable { place: String, why: String },
    /// None of its servers is one that the address asks for.
    Unfit { place: String, why: String },
    /// It does not let us in.
    Login { place: String, why: String },
    /// It has no connection left (53300).
    ServerFull { place: String, why: String },
    /// It cannot be used the way it was asked for.
    Unusable { place: String, why: String },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => write!(f, "address of PostgreSQL: {why}"),
            Self::Tls(why) if why.contains("server does not support TLS") => write!(
                f,
                "TLS to PostgreSQL: {why}: set ssl = on in its postgresql.conf, or leave sslmode= \
                 out of its address where the way to it is safe"
            ),
            Self::Tls(why) => write!(
                f,
                "TLS to PostgreSQL: {why}: name a file of PEM certificates with sslrootcert= in \
                 its address, or install ca-certificates"
            ),
            Self::Unreachable { place, why } => write!(
                f,
                "PostgreSQL at {place} cannot be reached: {why}: start it, or name another \
                 address; `pg_isready` tells whether it takes connections"
            ),
            Self::Unfit { place, why } => write!(
                f,
                "none of the servers at {place} will do: {why}: let the address lead to the one \
                 that does, or change target_session_attrs in it"
            ),
            Self::Login { place, why } => write!(
                f,
                "PostgreSQL at {place} does not let corelane in: {why}: check user, password and \
                 database of its address, and pg_hba.conf; `createdb` makes a database"
            ),
            Self::ServerFull { place, why } => write!(
                f,
                "PostgreSQL at {place} has no connection left: {why}: raise its max_connections, \
                 close what others hold (pg_stat_activity), or lower connections_max of the other \
                 processes"
            ),
            Self::Unusable { place, why } => {
                write!(f, "the database {place} cannot be used: {why}")
            }
        }
    }
}

impl std::error::Error for ConnectError {}
