//! What the tests are written with: servers on either engine, a raw client,
//! and the checks that every response must pass.

#[macro_use]
pub(crate) mod engines;

mod checks;
mod client;
mod in_process;
mod process;
mod response;
mod sample;

pub(crate) use client::{As, Client};
pub(crate) use engines::Engine;
pub(crate) use in_process::InProcess;
pub(crate) use process::{Data, Refusal, Serve, ServerProcess, corelane};
pub(crate) use response::{Response, hash_of};
pub(crate) use sample::{pattern, sample_app};
