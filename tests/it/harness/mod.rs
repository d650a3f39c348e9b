//! What the tests are written with: servers on either engine, a raw client,
//! and the checks that every response must pass.

#[macro_use]
pub(crate) mod engines;

mod checks;
mod client;
mod process;
mod response;

pub(crate) use client::{As, Client};
pub(crate) use engines::Engine;
pub(crate) use process::{Data, Serve, ServerProcess};
pub(crate) use response::{Response, hash_of};
