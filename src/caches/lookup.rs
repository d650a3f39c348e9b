//! A lookup under way: mostly it is over at once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::Error;

/// What [`Cache::get_or_load`](super::Cache::get_or_load) and
/// [`find_or_load`](super::Cache::find_or_load) return; to be awaited. Small and
/// without a heap when this shard has the value: only what waits is boxed.
#[must_use = "a lookup does nothing but what is at once until it is awaited"]
pub struct CacheLookup<T>(LookupState<T>);

enum LookupState<T> {
    /// Until it is taken.
    Ready(Option<Result<T, Error>>),
    Waiting(Waiting<T>),
}

type Waiting<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

impl<T> CacheLookup<T> {
    pub(super) fn ready(found: Result<T, Error>) -> Self {
        Self(LookupState::Ready(Some(found)))
    }

    pub(super) fn waiting(found: impl Future<Output = Result<T, Error>> + 'static) -> Self {
        Self(LookupState::Waiting(Box::pin(found)))
    }
}

// Nothing in it is pinned but what is behind the box.
impl<T> Unpin for CacheLookup<T> {}

impl<T> Future for CacheLookup<T> {
    type Output = Result<T, Error>;

    /// # Panics
    /// When it is polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            LookupState::Ready(found) => {
                Poll::Ready(found.take().expect("polled until it is ready"))
            }
            LookupState::Waiting(found) => found.as_mut().poll(cx),
        }
    }
}

impl<T> fmt::Debug for CacheLookup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            LookupState::Ready(_) => "CacheLookup(ready)",
            LookupState::Waiting(_) => "CacheLookup(waiting)",
        })
    }
}
