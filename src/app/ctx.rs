//! What a handler sees: the request, and its shard's world.

use std::any::{Any, type_name};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::str::FromStr;

use bytes::Bytes;
use corelane_proto::http::RequestHead;
use http::{HeaderName, Method, StatusCode, header};
use serde::de::DeserializeOwned;

use super::json::parse_json;
use super::{RequestBody, ShardContext, ShardInfo, ShardPart, ShardsHealth};
use crate::caches::{Cache, Feed};
use crate::error::FieldError;
use crate::limiter::Limiter;
use crate::metrics::{ProcessSnapshot, ShardMetrics};
use crate::redis::Redis;
use crate::router::Params;
use crate::semantics::{Client, ForwardingFields, TrustedProxies, trace_client};
use crate::{Error, clock};

/// One request and the shard it is on. Owned by its handler; what it borrows
/// from the shard is counted, not copied.
pub struct Ctx {
    /// Always present until drop, when it goes back to the shard's pool.
    parts: Option<Box<RequestParts>>,
    body: RequestBody,
    pub(super) shard: Rc<ShardContext>,
}

/// The reusable storage of a request: no allocation once a shard is warm.
#[derive(Default)]
pub(crate) struct RequestParts {
    pub(crate) head: RequestHead,
    pub(crate) params: Params,
    pub(crate) route: Option<usize>,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) request_id: String,
    /// Once asked for.
    pub(crate) client: Cell<Option<Client>>,
    /// What middleware leaves for the handler; a scan finds it.
    pub(crate) attachments: Vec<Box<dyn Any>>,
}

impl RequestParts {
    /// Who sent it; found once.
    pub(crate) fn client(&self, trusted: &TrustedProxies) -> Option<Client> {
        let peer = self.peer?;
        if let Some(client) = self.client.get() {
            return Some(client);
        }
        let fields = ForwardingFields {
            forwarded: self.head.header_all("forwarded"),
            x_forwarded_for: self.head.header_all("x-forwarded-for"),
            x_forwarded_proto: self.head.header_all("x-forwarded-proto"),
        };
        let client = trace_client(peer.ip(), trusted, fields);
        self.client.set(Some(client));
        Some(client)
    }
}

impl Ctx {
    pub(crate) fn new(
        parts: Box<RequestParts>,
        body: RequestBody,
        shard: Rc<ShardContext>,
    ) -> Self {
        Self {
            parts: Some(parts),
            body,
            shard,
        }
    }

    fn parts(&self) -> &RequestParts {
        self.parts.as_ref().expect("present until drop")
    }

    pub(crate) fn head(&self) -> &RequestHead {
        &self.parts().head
    }

    pub(crate) fn head_mut(&mut self) -> &mut RequestHead {
        &mut self.parts.as_mut().expect("present until drop").head
    }

    /// What some middleware keeps on this shard.
    pub(crate) fn part<T: ShardPart>(&self) -> Option<Rc<T>> {
        self.shard.parts.find()
    }

    pub(crate) fn shard_metrics(&self) -> &RefCell<ShardMetrics> {
        &self.shard.metrics
    }

    /// The request method.
    pub fn method(&self) -> &Method {
        self.parts().head.method()
    }

    /// The path as sent, still percent-encoded.
    pub fn path(&self) -> &str {
        self.parts().head.path()
    }

    /// The query string as sent, without `?`.
    pub fn query_string(&self) -> Option<&str> {
        self.parts().head.query()
    }

    /// Path and query as sent.
    pub fn target(&self) -> &str {
        self.parts().head.target()
    }

    /// Authority of the request: `Host`, or that of an absolute-form target.
    pub fn host(&self) -> &str {
        self.parts().head.host()
    }

    /// The pattern of the matched route, `/users/{id}`.
    pub fn route_pattern(&self) -> &str {
        match self.parts().route {
            Some(index) => &self.shard.app.routes[index].pattern,
            None => "",
        }
    }

    /// The first header of that name, if it is visible text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        std::str::from_utf8(self.header_bytes(name)?).ok()
    }

    /// The first header of that name, as sent.
    pub fn header_bytes(&self, name: &HeaderName) -> Option<&[u8]> {
        self.parts().head.header(name.as_str())
    }

    /// Every header line of that name, in order.
    pub fn header_all<'a>(&'a self, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.parts().head.header_all(name.as_str())
    }

    /// Every header line, name and value as sent, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.parts().head.headers()
    }

    /// A path parameter, percent-decoded and parsed.
    ///
    /// # Errors
    /// 404 when it cannot be decoded or parsed: there is no such resource.
    pub fn param<T: FromStr>(&self, name: &str) -> Result<T, Error> {
        let text = self
            .param_str(name)
            .ok_or_else(|| Error::not_found("no such resource"))?;
        text.parse().map_err(|_| {
            Error::not_found(format!(
                "no such resource: {name} is not valid in this path"
            ))
        })
    }

    /// A path parameter, percent-decoded; `None` when the route has none of
    /// that name or its encoding is not valid UTF-8.
    pub fn param_str(&self, name: &str) -> Option<Cow<'_, str>> {
        let parts = self.parts();
        parts.params.decoded(parts.head.path(), name)
    }

    /// [`param_str`](Self::param_str) of any bytes, UTF-8 or not.
    pub fn param_bytes(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let parts = self.parts();
        parts.params.decoded_bytes(parts.head.path(), name)
    }

    /// The query string as a type; a `Vec` takes a key that is repeated.
    ///
    /// # Errors
    /// 422 telling what does not fit.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_html_form::from_str(self.query_string().unwrap_or(""))
            .map_err(|error| Error::validation(vec![FieldError::new("query", error.to_string())]))
    }

    /// The whole body as JSON.
    ///
    /// # Errors
    /// 415 when `Content-Type` is not JSON, 400 when it is not well-formed,
    /// 422 when it does not fit `T` or an object in it has a member twice, 413
    /// when it is too long.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        if !is_json(self.header(&header::CONTENT_TYPE)) {
            return Err(Error::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "send the body as JSON with `Content-Type: application/json`",
            ));
        }
        let body = self.bytes().await?;
        parse_json(&body)
    }

    /// The whole body as the fields of an HTML form.
    ///
    /// # Errors
    /// 415 when `Content-Type` is not `application/x-www-form-urlencoded`, 422
    /// when the fields do not fit `T`, 413 when it is too long.
    ///
    /// ```
    /// use corelane::{Ctx, Error, Response};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Login {
    ///     name: String,
    /// }
    ///
    /// async fn login(mut ctx: Ctx) -> Result<Response, Error> {
    ///     let login: Login = ctx.form().await?;
    ///     Response::redirect(&format!("/hello/{}", login.name))
    /// }
    /// ```
    pub async fn form<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let essence = self.header(&header::CONTENT_TYPE).map(essence_of);
        if !essence.is_some_and(|essence| essence.eq_ignore_ascii_case(FORM)) {
            return Err(Error::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("send the body as a form with `Content-Type: {FORM}`"),
            ));
        }
        let body = self.bytes().await?;
        serde_html_form::from_bytes(&body)
            .map_err(|error| Error::validation(vec![FieldError::new("body", error.to_string())]))
    }

    /// The whole body, up to the route's limit.
    ///
    /// # Errors
    /// 413 when it is too long, 400 when its framing is wrong or the client
    /// went away.
    pub async fn bytes(&mut self) -> Result<Bytes, Error> {
        self.body.bytes().await
    }

    /// Takes the body to read it chunk by chunk, with or without the context.
    pub fn take_body(&mut self) -> RequestBody {
        std::mem::take(&mut self.body)
    }

    /// The shard's state of type `S`, as the app's `state` built it: of this shard
    /// alone. What all shards share is [`shared`](Self::shared).
    ///
    /// # Panics
    /// When the app has no state of that type: a mistake of the program, told
    /// at the first request, or at start with
    /// [`App::requires_state`](super::App::requires_state).
    pub fn state<S: 'static>(&self) -> Rc<S> {
        match self.shard.states.find::<S>() {
            Some(state) => state,
            None => panic!(
                "the app has no state of type {}; add App::state",
                type_name::<S>()
            ),
        }
    }

    /// The shard's state of type `S`, if the app has one.
    pub fn find_state<S: 'static>(&self) -> Option<Rc<S>> {
        self.shard.states.find::<S>()
    }

    /// The cache of this name, the same from every shard.
    ///
    /// # Panics
    /// When the app has no cache of that name: a mistake of the program, told
    /// at the first request.
    pub fn cache(&self, name: &str) -> Cache {
        match self.shard.caches.find(name) {
            Some(cache) => cache,
            None => panic!("the app has no cache named {name:?}; add App::cache"),
        }
    }

    /// The app's feed of changes made elsewhere.
    pub fn feed(&self) -> Option<&Feed> {
        self.shard.caches.feed()
    }

    /// Every cache of the app.
    pub fn caches(&self) -> Vec<Cache> {
        self.shard.caches.all()
    }

    /// Every tag there is: those in the options of the app's caches, and those
    /// that entries depend on now. A shard that does not answer in time is left
    /// out.
    pub async fn cache_tags(&self) -> BTreeSet<String> {
        self.shard.caches.tags().await
    }

    /// Forgets everything that depends on a tag, in every cache of the app.
    ///
    /// # Errors
    /// 503 when that cannot be had in time.
    pub async fn invalidate_tag(&self, tag: &str) -> Result<(), Error> {
        self.shard.caches.invalidate_tag(tag).await
    }

    /// Leaves a value for whatever runs after this middleware; one of the same
    /// type is replaced.
    pub fn attach<T: 'static>(&mut self, value: T) {
        let parts = self.parts.as_mut().expect("present until drop");
        parts.attachments.retain(|attachment| !attachment.is::<T>());
        parts.attachments.push(Box::new(value));
    }

    /// What [`attach`](Self::attach) left.
    pub fn attached<T: 'static>(&self) -> Option<&T> {
        self.parts()
            .attachments
            .iter()
            .find_map(|attachment| attachment.downcast_ref())
    }

    /// The address of the client's end of the connection; behind a proxy, the
    /// proxy's.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.parts().peer
    }

    /// The address of the client: the peer or, where that is one of
    /// [`ServerOptions::trusted_proxies`](crate::server::ServerOptions::trusted_proxies),
    /// the last address before them in `Forwarded` (RFC 7239) or, without it, in
    /// `X-Forwarded-For`. An IPv4 client of an IPv6 socket has its IPv4 address.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.client().map(|client| client.ip)
    }

    /// Whether the client spoke TLS, as a trusted proxy says (`proto=https` of
    /// `Forwarded`, or `X-Forwarded-Proto`); this server itself speaks none.
    pub fn is_secure(&self) -> bool {
        self.client().is_some_and(|client| client.is_secure)
    }

    fn client(&self) -> Option<Client> {
        self.parts().client(&self.shard.trusted_proxies)
    }

    pub(crate) fn shard_redis(&self) -> Option<Redis> {
        self.shard.redis.clone()
    }

    pub(crate) fn limiter(&self) -> &Limiter {
        &self.shard.limiter
    }

    /// The request's id: the client's if it sent a good `X-Request-Id`, else
    /// one of ours; empty when request ids are off.
    pub fn request_id(&self) -> &str {
        &self.parts().request_id
    }

    /// The shard this request is on.
    pub fn shard(&self) -> &ShardInfo {
        &self.shard.info
    }

    /// Monotonic milliseconds on the shard's clock.
    pub fn now_ms(&self) -> clock::Millis {
        self.shard.clock.now_ms()
    }

    /// Milliseconds since the server started.
    pub fn uptime_ms(&self) -> u64 {
        self.shard.server_started.elapsed().as_millis() as u64
    }

    /// Whether the server is shutting down: it finishes what it has and takes
    /// nothing new.
    pub fn is_draining(&self) -> bool {
        self.shard.draining.has_begun()
    }

    /// The metrics of all shards. A shard that does not answer within
    /// [`crate::limits::METRICS_GATHER_TIMEOUT_MS`] is listed as missing.
    pub async fn metrics(&self) -> ProcessSnapshot {
        self.shard.gather_metrics().await
    }

    /// Which shards gave no sign of life within
    /// [`crate::limits::SHARD_PING_TIMEOUT_MS`], because something blocks their
    /// thread or they are being restarted (never this one), and what went wrong
    /// lately on the others. They are asked at the call, not when it is awaited.
    pub fn shards_health(&self) -> impl Future<Output = ShardsHealth> + use<> {
        self.shard.ask_how_they_are()
    }
}

impl Drop for Ctx {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            self.shard.recycle(parts);
        }
    }
}

fn is_json(content_type: Option<&str>) -> bool {
    let Some(value) = content_type else {
        return false;
    };
    // Bytes: what a client sends need not end at a character.
    let essence = essence_of(value).as_bytes();
    let suffix = essence.len().checked_sub(b"+json".len());
    essence.eq_ignore_ascii_case(b"application/json")
        || suffix.is_some_and(|at| at > 0 && essence[at..].eq_ignore_ascii_case(b"+json"))
}

/// A media type without its parameters.
fn essence_of(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or("").trim()
}

const FORM: &str = "application/x-www-form-urlencoded";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_of_json_is_known_whatever_is_sent() {
        for (given, expected) in [
            (Some("application/json"), true),
            (Some("Application/JSON; charset=utf-8"), true),
            (Some("application/problem+json"), true),
            (Some("+json"), false),
            (Some("text/plain"), false),
            (Some("json"), false),
            // Five bytes before its end is the middle of a character.
            (Some("\u{e9}\u{e9}\u{e9}\u{e9}"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_json(given), expected, "{given:?}");
        }
    }
}
