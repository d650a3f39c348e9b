//! Polling what users wrote: a panic becomes a value, and the first poll is
//! told apart so that earlier answers are not held back by a slow handler.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future whose panics are caught. After one it must not be polled again.
pub struct CatchUnwind<F>(Option<F>);

/// The text of a panic.
pub struct Panic(pub String);

impl<T, F: Future<Output = T> + Unpin> CatchUnwind<F> {
    /// Starts the future by `start`, catching a panic of that too.
    pub fn start(start: impl FnOnce() -> F) -> Result<Self, Panic> {
        match catch_unwind(AssertUnwindSafe(start)) {
            Ok(future) => Ok(Self(Some(future))),
            Err(payload) => Err(Panic(panic_text(&*payload))),
        }
    }

    /// Guards a future that is there already.
    pub fn new(future: F) -> Self {
        Self(Some(future))
    }

    /// One poll: `None` when it is not done yet.
    pub async fn poll_once(&mut self) -> Option<Result<T, Panic>> {
        poll_fn(|cx| match Pin::new(&mut *self).poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }
}

impl<T, F: Future<Output = T> + Unpin> Future for CatchUnwind<F> {
    type Output = Result<T, Panic>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = self.0.as_mut() else {
            return Poll::Ready(Err(Panic("polled after its end".to_owned())));
        };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(payload) => {
                let future = self.0.take();
                // Its destructor may panic too; one report is enough.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
                Poll::Ready(Err(Panic(panic_text(&*payload))))
            }
        }
    }
}

impl<F> Unpin for CatchUnwind<F> {}

impl<F> Drop for CatchUnwind<F> {
    fn drop(&mut self) {
        if let Some(future) = self.0.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        }
    }
}

/// What a panic said, from what was caught of it.
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    match payload.downcast_ref::<String>() {
        Some(text) => text.clone(),
        None => "a panic without text".to_owned(),
    }
}
