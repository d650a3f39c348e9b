//! One connection: where it leads, how it is made, what its users keep with it,
//! and what its errors mean.

mod connection;
mod dial;
mod dial_error;
mod fault;
mod line;
mod role;
mod session;
mod statements;
mod tls;
mod url;

pub use connection::{Connection, DirectConnection};
pub use dial::Dialer;
pub use dial_error::DialError;
pub use fault::{Intent, describe};
pub(super) use fault::{Remedy, Verdict, judge, lost};
pub(super) use line::Line;
pub use statements::StatementCache;
pub use url::{ChannelBinding, PostgresUrl, Secret, SessionAttrs, TlsMode};
