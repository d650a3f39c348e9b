//! A request that is answered without waiting, from its head to its answer in
//! the output: route, body, handler, encode, count. Nothing here is a future;
//! what would have to wait is left to `serve`.

use std::rc::Rc;
use std::task::Context;

use bytes::Bytes;
use http::Method;

use super::Shard;
use super::body::refusal;
use super::exchange::{Exchange, RequestFacts};
use super::handle::FirstPoll;
use super::listener::ShardListener;
use super::read_half::ReadHalf;
use super::write_half::WriteHalf;
use crate::Error;
use crate::app::{Ctx, HandlerFuture, RequestBody, RequestParts, Response, Unrouted};
use crate::engine::CatchUnwind;
use crate::http1::{BodyDecoder, BodyFraming, ParseError, RequestFraming, Version};
use crate::ids::is_acceptable_request_id;
use crate::limits::WRITE_COPY_BYTES_MAX;

/// A request whose answer takes some waiting.
pub(super) struct Deferred {
    pub(super) exchange: Exchange,
    pub(super) continuation: Continuation,
}

/// What is left to do.
pub(super) enum Continuation {
    /// Tell the client that it is not let in or sent too much, and close.
    Refused(Error),
    /// Start the handler; the body comes from the socket, as it asks.
    Body {
        parts: Box<RequestParts>,
        routed: Result<usize, Unrouted>,
        decoder: BodyDecoder,
        expects_continue: bool,
    },
    /// Wait for the handler.
    Handler(CatchUnwind<HandlerFuture>),
    /// Send what is long or streamed, or the last on its connection.
    Response(Response),
}

/// How a request's body is read.
enum BodyPlan {
    /// It is empty or has already arrived.
    Whole(RequestBody),
    /// From the socket, as the handler asks.
    Read {
        decoder: BodyDecoder,
        expects_continue: bool,
    },
}

/// A request whose head has been read.
pub(super) struct Arrived<'a> {
    pub(super) listener: &'a ShardListener,
    pub(super) parts: Box<RequestParts>,
    pub(super) framing: RequestFraming,
    pub(super) head_bytes: usize,
    pub(super) started_ns: u64,
}

impl Shard {
    /// One request. Tells when it was answered.
    ///
    /// # Errors
    /// Gives back what of it has to wait.
    pub(super) fn dispatch(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        (reading, writing): (&mut ReadHalf, &mut WriteHalf),
        arrived: Arrived<'_>,
    ) -> Result<u64, Box<Deferred>> {
        let (listener, framing) = (arrived.listener, arrived.framing);
        let mut parts = arrived.parts;
        self.choose_request_id(&mut parts);
        let kind = listener.kind;
        let RequestParts { head, params, .. } = &mut *parts;
        let routed = listener.check(head).map(|()| {
            // Only of what is let in, so that nothing else names a route.
            self.context.app.route(kind, head, params)
        });
        parts.route = routed.as_ref().ok().and_then(|r| r.as_ref().ok().copied());
        let mut exchange = Exchange {
            facts: RequestFacts {
                is_http10: framing.version == Version::Http10,
                is_head: *parts.head.method() == Method::HEAD,
                keep_alive: framing.keep_alive && !self.context.draining.has_begun(),
            },
            client_goes_on: framing.keep_alive,
            request_id: parts.request_id.clone(),
            started_ns: arrived.started_ns,
            // Last, so that it is made where it stays: it is large.
            record: self.start_record(&parts, framing.version.name(), arrived.head_bytes),
        };
        let admitted = routed.and_then(|routed| {
            let body = self.plan_body(reading, &parts, framing).map_err(refusal)?;
            Ok((routed, body))
        });
        let continuation = match admitted {
            Ok((routed, BodyPlan::Whole(body))) => {
                let ctx = Ctx::new(parts, body, self.context.clone());
                match self.start_handler(cx, kind, routed, ctx) {
                    FirstPoll::Ready(outcome) => {
                        let response = self.response_of(outcome, &mut exchange);
                        if exchange.facts.keep_alive && is_short(&response) {
                            return Ok(self.queue_answer(writing, &mut exchange, &response));
                        }
                        Continuation::Response(response)
                    }
                    FirstPoll::Pending(handler) => Continuation::Handler(handler),
                }
            }
            Ok((
                routed,
                BodyPlan::Read {
                    decoder,
                    expects_continue,
                },
            )) => Continuation::Body {
                parts,
                routed,
                decoder,
                expects_continue,
            },
            Err(error) => {
                self.context.recycle(parts);
                Continuation::Refused(error)
            }
        };
        Err(Box::new(Deferred {
            exchange,
            continuation,
        }))
    }

    fn plan_body(
        &self,
        reading: &mut ReadHalf,
        parts: &RequestParts,
        framing: RequestFraming,
    ) -> Result<BodyPlan, ParseError> {
        if framing.body == BodyFraming::None {
            return Ok(BodyPlan::Whole(RequestBody::default()));
        }
        let own = parts
            .route
            .and_then(|route| self.context.app.routes[route].body_bytes_max);
        let bytes_max = own.unwrap_or(self.limits.body_bytes_max);
        let decoder = match parts.route {
            Some(_) => BodyDecoder::new(framing.body, bytes_max)?,
            // That nothing is there is said first; a fallback that reads it all
            // the same is told that it is too large.
            None => BodyDecoder::of_refused(framing.body, bytes_max),
        };
        if let BodyFraming::Length(length) = framing.body
            && length <= bytes_max.min(reading.pending().len() as u64)
        {
            let length = length as usize;
            let bytes = Bytes::copy_from_slice(&reading.pending()[..length]);
            reading.consume(length);
            return Ok(BodyPlan::Whole(RequestBody::whole(bytes)));
        }
        Ok(BodyPlan::Read {
            decoder,
            expects_continue: framing.expects_continue,
        })
    }

    fn choose_request_id(&self, parts: &mut RequestParts) {
        parts.request_id.clear();
        if self.request_id_echo
            && let Some(id) = parts.head.header("x-request-id")
            && is_acceptable_request_id(id)
            && let Ok(id) = std::str::from_utf8(id)
        {
            parts.request_id.push_str(id);
        } else if self.request_id_always {
            self.context.request_ids.write_next(&mut parts.request_id);
        }
    }
}

/// Whether a body joins the answers that are queued.
fn is_short(response: &Response) -> bool {
    let bytes = response.body().as_bytes();
    bytes.is_some_and(|bytes| bytes.len() <= WRITE_COPY_BYTES_MAX)
}
