//! One connection: where it leads, how it is made, and what its errors mean.

pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod fault;
pub(crate) mod line;
pub(crate) mod statements;
pub(crate) mod tls;
pub(crate) mod url;
