//! The machine, and the seam to the reactor: listen, accept, connect, read,
//! write, sleep, spawn, files, blocking work, waking a shard from another
//! thread; what cores there are; and the bridge to tokio.
//!
//! Everything above says `engine::…`; what it may count on, whichever driver
//! runs, says [`seam`]. Only the folder `monoio` names a reactor; a second one
//! is a second folder, and an enum of both in `Runtime`, `Listener`,
//! `TcpStream` and `File`: one branch per operation, which is predicted.
//!
//! This crate alone has unsafe code. It is a part of `corelane`, which says
//! what of it users may build on.
//!
//! ```text
//! floor 2  machine    seam topology bridge catch_unwind clock input kind
//!                     local_event memory monoio options permits pool probe remote
//!                     sealed_bytes wake
//! ```

#[cfg_attr(not(feature = "bridge"), path = "bridge/absent.rs")]
pub mod bridge;
mod catch_unwind;
pub mod clock;
mod input;
mod kind;
mod local_event;
pub mod memory;
mod monoio;
mod options;
mod permits;
mod pool;
mod probe;
mod remote;
mod sealed_bytes;
pub mod seam;
pub mod topology;
mod wake;

pub use catch_unwind::{CatchUnwind, Panic, panic_text};
pub use input::Input;
pub use kind::EngineKind;
pub use local_event::LocalEvent;
pub use monoio::{
    ClientStream, File, Listener, Receiver, Runtime, Sender, Stop, StreamCloser, Target, TcpStream,
    adopt_std, bind_alone_std, bind_std, connect, interval_tick, is_ending, is_running, now, sleep,
    spawn_local, timeout, yield_now, yield_to_all,
};
pub use options::{BuildError, EngineOptions, NotListening};
pub use permits::{LocalPermit, LocalPermits, Permit, Permits};
pub use pool::{BlockingPool, PoolError, compute, unblock};
pub use probe::check_io_uring;
pub use remote::{Gone, RemoteReceiver, RemoteSender, ShardWaker, remote};
pub use sealed_bytes::SealedBytes;
pub use wake::wake;

/// A deadline passed; the future was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

impl std::fmt::Display for Elapsed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the deadline has passed")
    }
}

impl std::error::Error for Elapsed {}
