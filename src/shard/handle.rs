//! Running what users wrote: middleware and handlers, their errors and their
//! panics.

use std::rc::Rc;

use super::Shard;
use super::body::BodyReader;
use super::connection::ConnectionIo;
use super::respond::RequestFacts;
use crate::Error;
use crate::app::{Ctx, Door, Response, Unrouted};
use crate::engine::{Guarded, Panicked};

impl Shard {
    /// Runs middleware and handler. If they do not answer at once, answers
    /// queued before this one are written meanwhile.
    pub(super) async fn run_handler(
        &self,
        door: Door,
        routed: Result<usize, Unrouted>,
        ctx: Ctx,
        held: &mut Option<Box<ConnectionIo>>,
        reader: Option<&Rc<BodyReader>>,
    ) -> Result<Response, HandlerFailure> {
        let mut future = Guarded::start(|| self.context.app.start(door, routed, ctx))?;
        if let Some(outcome) = future.poll_once().await {
            return Ok(outcome??);
        }
        let _in_flight = InFlight::start(self);
        let mut borrowed = None;
        let io = match held {
            Some(io) => Some(io),
            None => {
                borrowed = reader.and_then(|reader| reader.lend_io());
                borrowed.as_mut()
            }
        };
        if let Some(io) = io {
            // A failed write shows again when the answer is written.
            let _ = io.flush().await;
        }
        if let (Some(io), Some(reader)) = (borrowed, reader) {
            reader.return_io(io);
        }
        Ok(future.await??)
    }

    /// The response to send, whatever the handler came to.
    pub(super) fn settle(
        &self,
        outcome: Result<Response, HandlerFailure>,
        facts: &mut RequestFacts,
    ) -> Response {
        let error = match outcome {
            Ok(response) => return response,
            Err(HandlerFailure::Error(error)) => error,
            Err(HandlerFailure::Panic(text)) => {
                self.context.metrics.borrow_mut().panicked();
                facts.keep_alive = false;
                Error::internal(format!("a handler panicked: {text}"))
            }
        };
        if error.status().is_server_error() {
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
