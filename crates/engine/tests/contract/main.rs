//! What every driver promises (`corelane_engine::seam`), one test per promise.
//! Each runs for every driver: a new driver is one more line in the macro. The
//! tests on io_uring end in `::io_uring`, so that they can be left out where the
//! host refuses it.

/// Makes one test per driver of each `fn name(driver: EngineKind)`.
macro_rules! every_driver {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn io_uring() {
                super::$name(corelane_engine::EngineKind::IoUring);
            }

            #[test]
            fn epoll() {
                super::$name(corelane_engine::EngineKind::Epoll);
            }
        }
    )+};
}

mod connections;
mod crowd;
mod listeners;
mod outside;
mod scheduling;

use std::future::Future;

use corelane_engine::{BlockingPool, EngineKind, EngineOptions, Runtime};

/// A runtime of `driver` on this thread.
fn build(driver: EngineKind) -> Runtime {
    let options = EngineOptions {
        kind: driver,
        ring_entries: 64,
    };
    let pool = BlockingPool::start(1).expect("threads");
    Runtime::build(&options, pool).expect("a runtime")
}

/// Runs `future` on a runtime of `driver`, which it must leave quiet.
fn run<F: Future>(driver: EngineKind, future: F) -> F::Output {
    let mut runtime = build(driver);
    let output = runtime.block_on(future);
    runtime.shutdown();
    output
}
