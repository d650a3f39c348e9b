//! The seam to the reactor: listen, accept, connect, read, write, sleep, spawn, files,
//! blocking work, and waking a shard from another thread.
//!
//! Everything above says `engine::…`; only `monoio.rs` names a reactor, and a
//! second reactor is a second file beside it. Two rules come from facts about
//! the reactor: nothing races `accept` or a read that must not lose data, and
//! no task's waker leaves its shard: results from other threads come through
//! [`remote`], one wake for many of them.

mod guarded;
mod local_event;
mod monoio;
mod options;
mod pool;
mod remote;
mod sealed_bytes;
mod wake;

pub(crate) use guarded::{Guarded, Panicked, panic_text};
pub(crate) use local_event::LocalEvent;
pub(crate) use monoio::is_ending;
pub use monoio::{
    ClientStream, File, Runtime, StreamCloser, Target, TcpListener, TcpStream, WrittenAndRead,
    bind_alone_std, bind_std, connect, interval_tick, is_running, sleep, spawn_local, timeout,
    yield_now, yield_to_all,
};
pub use options::{BuildError, EngineOptions};
pub use pool::{BlockingPool, PoolError, compute, unblock};
pub use remote::{Gone, RemoteReceiver, RemoteSender, ShardWaker, remote};
pub use sealed_bytes::SealedBytes;
pub(crate) use wake::wake;

pub use crate::topology::EngineKind;

/// A deadline passed; the future was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl std::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl std::error::Error for Elapsed {}
