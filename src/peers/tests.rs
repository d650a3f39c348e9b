//! Lanes between shards, most of them on real reactors and threads.

mod lives;
mod order;
mod progress;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::*;
use crate::engine::{self, BlockingPool, EngineKind, EngineOptions, Runtime, ShardWaker, timeout};

/// Runs on epoll, which is there wherever the tests run.
fn on_shard<T>(future: impl Future<Output = T>) -> T {
    let options = EngineOptions {
        kind: EngineKind::Epoll,
        ring_entries: 256,
    };
    let pool = BlockingPool::start(1).unwrap();
    Runtime::build(&options, pool).unwrap().block_on(future)
}

/// A shard on a thread of its own.
fn spawn_shard<T: Send + 'static, F: Future<Output = T>>(
    start: impl FnOnce() -> F + Send + 'static,
) -> JoinHandle<T> {
    thread::spawn(move || on_shard(async move { start().await }))
}

/// Told when the doorbell of the current shard has been rung.
#[derive(Clone, Default)]
struct Bell(Rc<(Cell<bool>, RefCell<Option<Waker>>)>);

impl Bell {
    fn of_current_shard() -> Self {
        let bell = Self::default();
        let rung = bell.clone();
        ShardWaker::on_wake(move || {
            rung.0.0.set(true);
            if let Some(waker) = rung.0.1.borrow_mut().take() {
                waker.wake();
            }
        });
        bell
    }

    /// Sleeps in the reactor until it rings. That it never does is what these
    /// tests are about.
    async fn wait(&self) {
        let rung = poll_fn(|cx| {
            if self.0.0.replace(false) {
                return Poll::Ready(());
            }
            *self.0.1.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        });
        timeout(LOST_AFTER, rung).await.expect("a wake was lost");
    }
}

const LOST_AFTER: Duration = Duration::from_secs(5);

/// All that has come, with what is left taken too.
fn receive_all<M>(endpoint: &mut Endpoint<M>) -> Vec<Event<M>> {
    let mut events = VecDeque::new();
    while endpoint.receive(&mut events, true) == Left::Requests {}
    events.into()
}
