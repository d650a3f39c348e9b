//! Running what users wrote: middleware and handlers, their errors and their
//! panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use super::Shard;
use super::body::BodyReader;
use super::exchange::Exchange;
use super::write_half::WriteHalf;
use crate::Error;
use crate::app::{Ctx, HandlerFuture, ListenerKind, Response, Unrouted};
use crate::engine::{CatchUnwind, Panic, panic_text};

/// A handler after its first poll.
pub(super) enum FirstPoll {
    Ready(Result<Response, HandlerFailure>),
    /// To be given to [`Shard::wait_for_handler`].
    Pending(CatchUnwind<HandlerFuture>),
}

impl Shard {
    /// Starts middleware and handler and polls them once.
    pub(super) fn start_handler(
        &self,
        cx: &mut Context<'_>,
        kind: ListenerKind,
        routed: Result<usize, Unrouted>,
        ctx: Ctx,
    ) -> FirstPoll {
        let mut handler = None;
        // One guard for both. The future stays outside of it: its destructor
        // may panic too, which `CatchUnwind` sees to.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let future = self.context.app.start(kind, routed, ctx);
            handler.insert(future).as_mut().poll(cx)
        }));
        let outcome = match (polled, handler.map(CatchUnwind::new)) {
            (Ok(Poll::Ready(outcome)), _) => outcome.map_err(HandlerFailure::Error),
            (Ok(Poll::Pending), Some(handler)) => return FirstPoll::Pending(handler),
            (Ok(Poll::Pending), None) => unreachable!("what was polled was kept"),
            (Err(payload), _) => Err(HandlerFailure::Panic(panic_text(&*payload))),
        };
        FirstPoll::Ready(outcome)
    }

    /// Waits for a handler that did not answer at once; answers queued before
    /// its own are written meanwhile.
    pub(super) async fn wait_for_handler(
        &self,
        handler: CatchUnwind<HandlerFuture>,
        writing: &mut WriteHalf,
    ) -> Result<Response, HandlerFailure> {
        let _in_flight = InFlight::start(self);
        // A failed write shows again when the answer is written.
        let _ = writing.flush().await;
        Ok(handler.await??)
    }

    /// Runs middleware and handler while `reader` has the read half. If they
    /// do not answer at once, answers queued before this one are written
    /// meanwhile.
    pub(super) async fn run_reading_handler(
        &self,
        kind: ListenerKind,
        routed: Result<usize, Unrouted>,
        ctx: Ctx,
        reader: &BodyReader,
        writing: &mut WriteHalf,
    ) -> Result<Response, HandlerFailure> {
        let mut handler = CatchUnwind::start(|| self.context.app.start(kind, routed, ctx))?;
        if let Some(outcome) = handler.poll_once().await {
            return Ok(outcome??);
        }
        let _in_flight = InFlight::start(self);
        Ok(reader.run(&mut handler, writing).await??)
    }

    /// The response to send, whatever the handler came to.
    pub(super) fn response_of(
        &self,
        outcome: Result<Response, HandlerFailure>,
        exchange: &mut Exchange,
    ) -> Response {
        let error = match outcome {
            Ok(response) => return response,
            Err(HandlerFailure::Error(error)) => error,
            Err(HandlerFailure::Panic(text)) => {
                self.context.metrics.borrow_mut().panicked();
                exchange.facts.keep_alive = false;
                Error::internal(format!("a handler panicked: {text}"))
            }
        };
        if error.status().is_server_error() {
            self.count_failure(&exchange.record, &error);
            self.log_failure(exchange, "a request failed", &error);
        }
        error.into()
    }
}

/// Counts a handler that waits, until it answers or is dropped.
struct InFlight<'a>(&'a Shard);

impl<'a> InFlight<'a> {
    fn start(shard: &'a Shard) -> Self {
        shard.context.metrics.borrow_mut().request_started();
        Self(shard)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.context.metrics.borrow_mut().request_finished();
    }
}

/// Why there is no response yet.
pub(super) enum HandlerFailure {
    Error(Error),
    Panic(String),
}

impl From<Error> for HandlerFailure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Panic> for HandlerFailure {
    fn from(panicked: Panic) -> Self {
        Self::Panic(panicked.0)
    }
}
