//! Compressed answers: middleware of a route, a group or the whole app.
//!
//! On the way in `request` finds out whether the client wants gzip, and shows
//! the handler the entity tags it knows. On the way out an answer that may be
//! compressed is, by the shard's encoders (`shard`), or chunk by chunk
//! (`stream`). One out of a cache is compressed once: its compressed form is
//! found again by the identity of the cached object, which never changes, so
//! what a write has replaced is never found.

mod request;
mod shard;
mod stream;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use corelane_proto::http::has_member;
use http::{HeaderName, HeaderValue, StatusCode, header};

pub(crate) use shard::ShardCompression;

use crate::Error;
use crate::app::{
    Body, BodyKind, ByteStream, Ctx, GzipOffer, Middleware, Next, PreparedResponse, Response,
    SharedResponse,
};
use crate::caches::HitKind;
use crate::compression::{InvalidMediaType, MediaTypes};
use crate::limits::COMPRESS_BODY_BYTES_MIN;
use crate::semantics::{ETag, gzip_tag, names_gzip_of};

use request::AskedCodings;
use stream::GzipStream;

/// Middleware that compresses answers with gzip for clients that accept it
/// (RFC 9110 section 12.5.3). Of a whole app, a group or a route:
///
/// ```
/// use corelane::{App, Compression, Response};
///
/// let app = App::new()
///     .middleware(Compression::new())
///     .get("/", async |_| Ok(Response::text("to be or not to be\n".repeat(100))));
/// # app.check().unwrap();
/// ```
///
/// Compressed are bodies of a compressible [media type](Self::types) and at
/// least [`min_bytes`](Self::min_bytes), streams chunk by chunk, so that the
/// client has each as soon as it is sent; not 204, 206 and 304, nor what has a
/// `Content-Encoding`, a digest or `Cache-Control: no-transform`. An `Error` is
/// sent as it is: it is short. All that could have been compressed has
/// `Vary: Accept-Encoding`.
///
/// A strong entity tag `"v7"` becomes `"v7--gzip"` with gzip, since the bytes
/// are others (section 8.8.3.3). It comes back in `If-None-Match` and in
/// `If-Match`, where handlers inside this middleware find `"v7"` as well: put
/// it around the writes of a resource too, not only around its GET.
///
/// A page that shows a secret beside what a stranger may choose tells the
/// secret by its compressed length (BREACH): leave those routes out, or keep
/// CSRF tokens and the like from being the same twice.
#[derive(Debug, Clone)]
pub struct Compression(Arc<CompressionPlan>);

#[derive(Debug, Clone)]
struct CompressionPlan {
    level: u8,
    min_bytes: usize,
    types: MediaTypes,
}

/// Something [`Compression`] cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidCompression {
    /// Not a level from 1 to 9.
    Level(u8),
    /// In the list of media types.
    MediaType(InvalidMediaType),
}

impl Compression {
    /// The level of [`new`](Self::new). Of 5 KiB of JSON level 1 leaves 35 % in
    /// 13 µs, level 2 26 % in 22, level 6 24 % in 31; of 50 KiB level 6 leaves
    /// 19 % instead of 22, in more than twice the time. Level 2 makes of JSON
    /// about what other servers' zlib makes at its level 1.
    pub const LEVEL_DEFAULT: u8 = 2;

    /// Gzip for text of 1 KiB and more.
    pub fn new() -> Self {
        Self::of_level(Self::LEVEL_DEFAULT)
    }

    /// [`new`](Self::new) at level 1: where cores are scarcer than the network.
    pub fn fastest() -> Self {
        Self::of_level(1)
    }

    fn of_level(level: u8) -> Self {
        Self(Arc::new(CompressionPlan {
            level,
            min_bytes: COMPRESS_BODY_BYTES_MIN,
            types: MediaTypes::default(),
        }))
    }

    /// 1 (fastest) to 9 (smallest).
    ///
    /// # Errors
    /// [`InvalidCompression::Level`].
    pub fn level(mut self, level: u8) -> Result<Self, InvalidCompression> {
        if !(1..=9).contains(&level) {
            return Err(InvalidCompression::Level(level));
        }
        Arc::make_mut(&mut self.0).level = level;
        Ok(self)
    }

    /// Shortest body that is compressed, bytes; under about 200 a body grows,
    /// and is then sent as it is. Default 1,024: less fits one packet anyway.
    #[must_use]
    pub fn min_bytes(mut self, min_bytes: usize) -> Self {
        Arc::make_mut(&mut self.0).min_bytes = min_bytes;
        self
    }

    /// Media types to compress, such as `application/json`, `text/*`, `*+json`,
    /// instead of [`MediaTypes::DEFAULT`].
    ///
    /// # Errors
    /// [`InvalidCompression::MediaType`].
    pub fn types<T: AsRef<str>>(
        mut self,
        types: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidCompression> {
        let types = MediaTypes::new(types).map_err(InvalidCompression::MediaType)?;
        Arc::make_mut(&mut self.0).types = types;
        Ok(self)
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for InvalidCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(level) => write!(f, "{level} is no level of gzip; give one from 1 to 9"),
            Self::MediaType(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InvalidCompression {}

impl Middleware for Compression {
    fn call(&self, ctx: Ctx, next: Next) -> Pin<Box<dyn Future<Output = Result<Response, Error>>>> {
        let plan = self.0.clone();
        Box::pin(async move { plan.answer(ctx, next).await })
    }
}

impl CompressionPlan {
    async fn answer(self: Arc<Self>, mut ctx: Ctx, next: Next) -> Result<Response, Error> {
        let asked = AskedCodings::of(&mut ctx);
        if asked.wants_gzip {
            ctx.attach(self.offer());
        }
        let shard = ctx.part::<ShardCompression>();
        let shard = shard.expect("a part of every shard");
        shard.note_use();
        let mut response = next.run(ctx).await?;
        if response.status() == StatusCode::NOT_MODIFIED {
            self.add_fresh_headers(&mut response, &asked);
            return Ok(response);
        }
        if response.status() == StatusCode::PARTIAL_CONTENT {
            if self.may_code_whole(&response) {
                add_vary(&mut response);
            }
            return Ok(response);
        }
        let length = response.body().length();
        if !self.may_code(response.status(), response.headers(), length) {
            return Ok(response);
        }
        if !asked.wants_gzip {
            add_vary(&mut response);
            return Ok(response);
        }
        match reusable(&response).filter(|_| asked.is_read).cloned() {
            Some(kept) => Ok(self.code_kept(response, kept, &shard).await),
            None => Ok(self.code(response, &asked, &shard).await),
        }
    }

    /// For handlers that negotiate by themselves.
    fn offer(self: &Arc<Self>) -> GzipOffer {
        let plan = self.clone();
        GzipOffer::new(move |content_type, bytes| {
            bytes >= plan.min_bytes as u64 && plan.types.contains(content_type.as_bytes())
        })
    }

    /// Whether such an answer may be sent compressed.
    fn may_code<'a>(
        &self,
        status: StatusCode,
        headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
        length: Option<u64>,
    ) -> bool {
        let has_whole_content = !status.is_informational()
            && !matches!(
                status,
                StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
            );
        if !has_whole_content || length.is_some_and(|bytes| bytes < self.min_bytes as u64) {
            return false;
        }
        let mut is_compressible = false;
        for (name, value) in headers {
            match *name {
                header::CONTENT_TYPE => is_compressible = self.types.contains(value.as_bytes()),
                header::CONTENT_ENCODING | header::CONTENT_RANGE => return false,
                header::CACHE_CONTROL if has_member(value.as_bytes(), b"no-transform") => {
                    return false;
                }
                _ if is_digest(name.as_str()) => return false,
                _ => {}
            }
        }
        is_compressible
    }

    /// Whether what this 206 is a part of may be sent compressed: it then says
    /// `Vary` as the whole does (RFC 9110 section 15.3.7). Of several parts it
    /// is not known; the field does no harm.
    fn may_code_whole(&self, part: &Response) -> bool {
        let Some(range) = part.header_value(&header::CONTENT_RANGE) else {
            return true;
        };
        let length = range.to_str().ok().and_then(|range| {
            let (_, length) = range.split_once('/')?;
            length.parse().ok()
        });
        let headers = part.headers().filter(|(n, _)| **n != header::CONTENT_RANGE);
        self.may_code(StatusCode::OK, headers, length)
    }

    /// The 304 of an answer has its tag: that of the copy the client named, or
    /// of what it would have been sent.
    fn add_fresh_headers(&self, response: &mut Response, asked: &AskedCodings) {
        let whole = response.prepared_head().map(|head| {
            let whole = &head.of;
            let headers = whole.headers().iter().map(|(name, value)| (name, value));
            self.may_code(whole.status(), headers, Some(whole.body().len() as u64))
        });
        // Of what cannot be looked at it is not known; the field does no harm.
        if whole.unwrap_or(true) {
            add_vary(response);
        }
        let is_gzip = |tag: &ETag| match &asked.if_none_match {
            Some(named) => names_gzip_of(named, tag),
            None => whole == Some(true),
        };
        let tag = tag_of(response).filter(|tag| asked.wants_gzip && is_gzip(tag));
        if let Some(tag) = tag.as_ref().and_then(gzip_tag) {
            response.insert_header(header::ETAG, tag.into());
        }
    }

    /// An answer out of a cache, compressed once for as long as the shard
    /// remembers it.
    async fn code_kept(
        &self,
        mut response: Response,
        kept: SharedResponse,
        shard: &Rc<ShardCompression>,
    ) -> Response {
        if let Some(coded) = shard.find(&kept, self.level) {
            return response.replace_prepared(SharedResponse::Own(coded));
        }
        match shard.encode(self.level, kept.body_bytes()).await {
            Some(body) => {
                let mut whole = Response::prepared(kept.clone());
                mark(&mut whole, kept.status().is_success());
                let coded = Rc::new(PreparedResponse::encode(&whole, &body));
                shard.keep(kept, self.level, coded.clone());
                response.replace_prepared(SharedResponse::Own(coded))
            }
            None => {
                add_vary(&mut response);
                response
            }
        }
    }

    /// Any other answer.
    async fn code(
        &self,
        mut response: Response,
        asked: &AskedCodings,
        shard: &Rc<ShardCompression>,
    ) -> Response {
        let is_tag_of_content = asked.is_read && response.status().is_success();
        let coded: Body = match response.take_body().into_kind() {
            BodyKind::Stream { stream, length } => match self.code_stream(stream, shard) {
                Ok(coded) => coded,
                Err(stream) => {
                    add_vary(&mut response);
                    let body = Body::of_kind(BodyKind::Stream { stream, length });
                    return response.replace_body(body);
                }
            },
            whole => {
                let plain = bytes_of(whole);
                match shard.encode(self.level, plain.clone()).await {
                    Some(coded) => coded.into(),
                    None => {
                        add_vary(&mut response);
                        return response.replace_body(plain);
                    }
                }
            }
        };
        mark(&mut response, is_tag_of_content);
        response.replace_body(coded)
    }

    /// Gives the stream back when too many are being compressed.
    fn code_stream(
        &self,
        stream: ByteStream,
        shard: &Rc<ShardCompression>,
    ) -> Result<Body, ByteStream> {
        match shard.start_stream(self.level) {
            Some(place) => Ok(Body::stream(GzipStream::new(stream, place))),
            None => Err(stream),
        }
    }
}

/// What an answer was prepared as, if it is sent as that and will be sent
/// again, and nothing that was added since says what compression changes.
fn reusable(response: &Response) -> Option<&SharedResponse> {
    let changed = [
        header::VARY,
        header::ETAG,
        header::ACCEPT_RANGES,
        header::CONTENT_TYPE,
    ];
    let kept = response.prepared_body()?;
    let is_plain = !response
        .own_headers()
        .iter()
        .any(|(name, _)| changed.contains(name));
    let is_sent_again = match kept {
        SharedResponse::Cached(cached) => {
            cached.lookup().is_hit() || cached.lookup() == HitKind::Collapsed
        }
        // Its head and its body, and whoever keeps it.
        SharedResponse::Own(prepared) => Rc::strong_count(prepared) > 2,
    };
    Some(kept).filter(|_| is_plain && is_sent_again && response.status() == kept.status())
}

/// Makes the head that of the gzip. The tag of a write's answer is that of the
/// resource, not of this content.
fn mark(response: &mut Response, is_tag_of_content: bool) {
    let gzip = HeaderValue::from_static("gzip");
    response.insert_header(header::CONTENT_ENCODING, gzip);
    let tag = tag_of(response).filter(|_| is_tag_of_content);
    if let Some(tag) = tag.as_ref().and_then(gzip_tag) {
        response.insert_header(header::ETAG, tag.into());
    }
    // Ranges are those of the plain bytes, which have another tag.
    if response.header_value(&header::ACCEPT_RANGES).is_some() {
        response.remove_header(&header::ACCEPT_RANGES);
    }
    add_vary(response);
}

fn add_vary(response: &mut Response) {
    let mut names = Vec::new();
    for (_, value) in response.headers().filter(|(n, _)| **n == header::VARY) {
        if has_member(value.as_bytes(), b"*") || has_member(value.as_bytes(), b"accept-encoding") {
            return;
        }
        names.extend_from_slice(value.as_bytes());
        names.extend_from_slice(b", ");
    }
    if names.is_empty() {
        return response.append_header(header::VARY, ACCEPT_ENCODING);
    }
    names.extend_from_slice(ACCEPT_ENCODING.as_bytes());
    match HeaderValue::try_from(names) {
        Ok(all) => response.insert_header(header::VARY, all),
        Err(_) => response.append_header(header::VARY, ACCEPT_ENCODING),
    }
}

const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");

fn tag_of(response: &Response) -> Option<ETag> {
    ETag::try_from(response.header_value(&header::ETAG)?.clone()).ok()
}

fn bytes_of(body: BodyKind) -> Bytes {
    match body {
        BodyKind::Bytes(bytes) => bytes,
        BodyKind::Vec(bytes) => bytes.into(),
        BodyKind::Prepared(prepared) => prepared.body_bytes(),
        BodyKind::Sealed(pages) => Bytes::from_owner(pages),
        BodyKind::Empty | BodyKind::Stream { .. } => Bytes::new(),
    }
}

/// Of the bytes as they are (RFC 9530, RFC 3230, RFC 2616).
fn is_digest(name: &str) -> bool {
    matches!(
        name,
        "content-digest" | "repr-digest" | "digest" | "content-md5"
    )
}
