//! Runs a future to its end for a caller that is on no shard: commands and the
//! start of the server. A thread and a reactor of its own, for as long.

use std::future::Future;
use std::sync::mpsc::{Sender, channel};

use crate::store::StoreError;
use corelane::internals::engine::{BlockingPool, EngineKind, EngineOptions, Runtime};

/// Blocks until the future that `work` makes is done. epoll, because locked
/// memory for one more ring may not be there and nothing here is hot.
///
/// # Errors
/// What the future says, or that there is no thread or reactor.
pub(super) fn run<T, F, E>(work: impl FnOnce() -> F + Send) -> Result<T, E>
where
    T: Send,
    E: From<StoreError> + Send,
    F: Future<Output = Result<T, E>>,
{
    run_telling(|_| work(), &mut |_| {})
}

/// [`run`] with word of how far it is: what is sent to the channel is told to
/// `progress` on the caller's thread.
///
/// # Errors
/// As [`run`].
pub(super) fn run_telling<T, F, E>(
    work: impl FnOnce(Sender<u64>) -> F + Send,
    progress: &mut dyn FnMut(u64),
) -> Result<T, E>
where
    T: Send,
    E: From<StoreError> + Send,
    F: Future<Output = Result<T, E>>,
{
    let (tell, told) = channel();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("store-blocking".to_owned())
            .spawn_scoped(scope, move || {
                let options = EngineOptions {
                    kind: EngineKind::Epoll,
                    ..EngineOptions::default()
                };
                let pool = BlockingPool::start(1).map_err(no_reactor)?;
                let mut runtime = Runtime::build(&options, pool).map_err(no_reactor)?;
                let result = runtime.block_on(work(tell));
                runtime.shutdown();
                result
            });
        let thread = thread.map_err(no_reactor)?;
        // Ends when the thread drops its end.
        told.iter().for_each(progress);
        thread.join().unwrap_or_else(|_| {
            let bug = StoreError::Failed("a thread of the store panicked".to_owned());
            Err(bug.into())
        })
    })
}

fn no_reactor(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("no thread to talk to the database on: {error}"))
}
