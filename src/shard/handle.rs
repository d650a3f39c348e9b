//! Running what users wrote: middleware and handlers, their errors and their
//! panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll};

use super::Shard;
use super::body::BodyReader;
use super::connection::ConnectionIo;
use super::serve::Exchange;
use crate::Error;
use crate::app::{Ctx, HandlerFuture, ListenerKind, Response, Unrouted};
use crate::engine::{Guarded, Panicked, panic_text};

/// A handler after its first poll.
pub(super) enum Started {
    Done(Result<Response, HandlerFailure>),
    /// To be given to [`Shard::wait_for_handler`].
    Waits(Guarded<HandlerFuture>),
}

impl Shard {
    /// Starts middleware and handler and polls them once.
    pub(super) fn start_handler(
        &self,
        cx: &mut Context<'_>,
        door: ListenerKind,
        routed: Result<usize, Unrouted>,
        ctx: Ctx,
    ) -> Started {
        let mut handler = None;
        // One guard for both. The future stays outside of it: its destructor
        // may panic too, which `Guarded` sees to.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let future = self.context.app.start(door, routed, ctx);
            handler.insert(future).as_mut().poll(cx)
        }));
        let outcome = match (polled, handler.map(Guarded::new)) {
            (Ok(Poll::Ready(outcome)), _) => outcome.map_err(HandlerFailure::Error),
            (Ok(Poll::Pending), Some(handler)) => return Started::Waits(handler),
            (Ok(Poll::Pending), None) => unreachable!("what was polled was kept"),
            (Err(payload), _) => Err(HandlerFailure::Panic(panic_text(&*payload))),
        };
        Started::Done(outcome)
    }

    /// Waits for a handler that did not answer at once; answers queued before
    /// its own are written meanwhile.
    pub(super) async fn wait_for_handler(
        &self,
        handler: Guarded<HandlerFuture>,
        io: &mut ConnectionIo,
    ) -> Result<Response, HandlerFailure> {
        let _in_flight = InFlight::start(self);
        // A failed write shows again when the answer is written.
        let _ = io.flush().await;
        Ok(handler.await??)
    }

    /// Runs middleware and handler while `reader` has the connection. If they
    /// do not answer at once, answers queued before this one are written
    /// meanwhile.
    pub(super) async fn run_reading_handler(
        &self,
        door: ListenerKind,
        routed: Result<usize, Unrouted>,
        ctx: Ctx,
        reader: &Rc<BodyReader>,
    ) -> Result<Response, HandlerFailure> {
        let mut handler = Guarded::start(|| self.context.app.start(door, routed, ctx))?;
        if let Some(outcome) = handler.poll_once().await {
            return Ok(outcome??);
        }
        let _in_flight = InFlight::start(self);
        if let Some(mut io) = reader.lend_io() {
            let _ = io.flush().await;
            reader.return_io(io);
        }
        Ok(handler.await??)
    }

    /// The response to send, whatever the handler came to.
    pub(super) fn settle(
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
            self.log_error("a request failed", &error);
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

impl From<Panicked> for HandlerFailure {
    fn from(panicked: Panicked) -> Self {
        Self::Panic(panicked.0)
    }
}
