//! A request that is answered without waiting, from its head to its answer in
//! the output: route, body, handler, encode, count. Nothing here is a future;
//! what would have to wait is left to `serve`.

use std::rc::Rc;
use std::task::Context;

use bytes::Bytes;
use http::Method;

use super::Shard;
use super::body::refusal;
use super::connection::ConnectionIo;
use super::handle::Started;
use super::respond::RequestFacts;
use super::serve::{Connection, Exchange};
use crate::Error;
use crate::app::{Ctx, HandlerFuture, RequestBody, RequestParts, Response, Unrouted};
use crate::engine::Guarded;
use crate::http1::{BodyDecoder, BodyFraming, ParseError};
use crate::ids::is_acceptable_request_id;
use crate::limits::WRITE_COPY_BYTES_MAX;

/// A request whose answer takes some waiting.
pub(super) struct Unfinished {
    pub(super) exchange: Exchange,
    pub(super) rest: Rest,
}

/// What is left to do.
pub(super) enum Rest {
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
    Handler(Guarded<HandlerFuture>),
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

impl Connection<'_> {
    /// One request with a complete head, in `parts`. Tells when it was answered.
    ///
    /// # Errors
    /// Gives back what of it has to wait.
    pub(super) fn serve_request(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut ConnectionIo,
        head_bytes: usize,
        started_ns: u64,
    ) -> Result<u64, Box<Unfinished>> {
        let shard: &Rc<Shard> = self.shard;
        let mut parts = self.parts.take().unwrap_or_default();
        parts.peer = Some(self.peer);
        shard.choose_request_id(&mut parts);
        let door = self.entrance.door;
        let RequestParts { head, params, .. } = &mut *parts;
        let routed = self.entrance.check(head).map(|()| {
            // Only of what is let in, so that nothing else names a route.
            shard.context.app.route(door, head, params)
        });
        parts.route = routed.as_ref().ok().and_then(|r| r.as_ref().ok().copied());
        let mut exchange = Exchange {
            facts: RequestFacts {
                version: parts.head.version(),
                is_head: *parts.head.method() == Method::HEAD,
                keep_alive: parts.head.keep_alive() && !shard.context.draining.has_begun(),
            },
            client_goes_on: parts.head.keep_alive(),
            record: shard.start_record(&parts, head_bytes),
            request_id: parts.request_id.clone(),
            started_ns,
        };
        let admitted = routed.and_then(|routed| {
            let body = shard.plan_body(io, &parts).map_err(refusal)?;
            Ok((routed, body))
        });
        let rest = match admitted {
            Ok((routed, BodyPlan::Whole(body))) => {
                let ctx = Ctx::new(parts, body, shard.context.clone());
                match shard.start_handler(cx, door, routed, ctx) {
                    Started::Done(outcome) => {
                        let response = shard.settle(outcome, &mut exchange);
                        if exchange.facts.keep_alive && is_short(&response) {
                            return Ok(shard.answer_at_once(io, exchange, &response));
                        }
                        Rest::Response(response)
                    }
                    Started::Waits(handler) => Rest::Handler(handler),
                }
            }
            Ok((
                routed,
                BodyPlan::Read {
                    decoder,
                    expects_continue,
                },
            )) => Rest::Body {
                parts,
                routed,
                decoder,
                expects_continue,
            },
            Err(error) => {
                shard.context.recycle(parts);
                Rest::Refused(error)
            }
        };
        Err(Box::new(Unfinished { exchange, rest }))
    }
}

/// Whether a body joins the answers that are queued.
fn is_short(response: &Response) -> bool {
    let bytes = response.body().as_bytes();
    bytes.is_some_and(|bytes| bytes.len() <= WRITE_COPY_BYTES_MAX)
}

impl Shard {
    fn plan_body(
        &self,
        io: &mut ConnectionIo,
        parts: &RequestParts,
    ) -> Result<BodyPlan, ParseError> {
        let framing = parts.head.framing();
        if framing == BodyFraming::None {
            return Ok(BodyPlan::Whole(RequestBody::default()));
        }
        let own = parts
            .route
            .and_then(|route| self.context.app.routes[route].body_bytes_max);
        let bytes_max = own.unwrap_or(self.limits.body_bytes_max);
        let decoder = match parts.route {
            Some(_) => BodyDecoder::new(framing, bytes_max)?,
            // That nothing is there is said first; a fallback that reads it all
            // the same is told that it is too large.
            None => BodyDecoder::of_refused(framing, bytes_max),
        };
        if let BodyFraming::Length(length) = framing
            && length <= bytes_max.min(io.pending().len() as u64)
        {
            let length = length as usize;
            let bytes = Bytes::copy_from_slice(&io.pending()[..length]);
            io.consume(length);
            return Ok(BodyPlan::Whole(RequestBody::whole(bytes)));
        }
        Ok(BodyPlan::Read {
            decoder,
            expects_continue: parts.head.expects_continue(),
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
