//! One connection: where it leads, how it is made, what its users keep with it,
//! and what its errors mean.

mod connection;
mod dial;
mod fault;
mod line;
mod statements;
mod tls;
mod url;

pub use connection::{Connection, DirectConnection};
pub use dial::{DialError, Dialer};
pub use fault::{Intent, describe};
pub(super) use fault::{judge, lost};
pub(super) use line::Line;
pub use statements::StatementCache;
pub use url::{PostgresUrl, Secret, TlsMode};
