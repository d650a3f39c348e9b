//! Static files: `GET` and `HEAD` of everything beneath a directory.
//!
//! A request is resolved to a path (floor 1), answered from the shard's memory
//! of lookups (`entries`) or looked up on the blocking pool (`resource`, over
//! `beneath`), negotiated and planned (`plan`, pure), and sent: small files as
//! shared bytes, long ones streamed (`file_stream`). What may be relied on: no
//! path or link leads out of the root; an answer is at most `revalidate_ms`
//! behind the disk; a body that arrives whole is the bytes its ETag names; a
//! hit allocates only its response; no shard ever blocks.

mod assets;
mod beneath;
mod entries;
mod file_stream;
mod options;
mod plan;
mod resource;
mod respond;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::{Method, StatusCode};

pub use options::{StaticError, StaticOptions};

use self::assets::Assets;
use self::entries::{Entries, LookupError};
use self::file_stream::{FileStream, OpenedTwice, Sent};
use self::plan::{Asked, Plan};
use self::resource::{Finder, Found, Representation, Resource, path_in};
use self::respond::{Outline, Selected};
use crate::app::GzipOffer;
use crate::clock::Millis;
use crate::engine::{LocalPermit, LocalPermits};
use crate::semantics::{Coding, CodingSet, Conditions, ETag, join_lines, preferred_coding};
use crate::static_path::{PathRules, Refusal, StaticPath, resolve};
use crate::{Body, Ctx, Error, Response, engine};

/// A shard's static files: the state that [`serve`] needs.
///
/// ```
/// use corelane::App;
/// use corelane::static_files::{StaticFiles, StaticOptions, serve};
///
/// let app = App::new()
///     .state(|_shard| async { Ok(StaticFiles::new(StaticOptions::default())?) })
///     .get("/static/", serve)
///     .get("/static/{*path}", serve);
/// ```
pub struct StaticFiles {
    entries: Entries,
    assets: Arc<Assets>,
    path_rules: PathRules,
    /// One for each file that is being sent.
    open_files: LocalPermits,
}

/// Answers a static file. Route it at a pattern that ends in a catch-all,
/// `/static/{*path}`, and at what the catch-all does not match, `/static/`.
///
/// # Errors
/// 400 for a malformed path, 404 for what is not there or not served, 403 for
/// what this user may not read, 405, 406, 412, 416; 503 when too many files
/// are open or too much work waits; 500 when the disk fails.
///
/// # Panics
/// When the app has no [`StaticFiles`] state.
pub async fn serve(ctx: Ctx) -> Result<Response, Error> {
    let is_head = match *ctx.method() {
        Method::GET => false,
        Method::HEAD => true,
        _ => return Err(respond::method_not_allowed()),
    };
    let files = ctx.state::<StaticFiles>();
    let [
        accept_encoding,
        if_match,
        if_none_match,
        if_modified,
        if_unmodified,
        range,
        if_range,
    ] = respond::REQUEST_FIELDS
        .each_ref()
        .map(|name| join_lines(ctx.header_all(name)));
    let request = StaticRequest {
        path: ctx.path(),
        query: ctx.query_string(),
        tail: catch_all_tail(ctx.route_pattern(), ctx.path()),
        accept_encoding: accept_encoding.as_deref(),
        gzip_offer: ctx.attached(),
        asked: Asked {
            is_head,
            conditions: Conditions {
                if_match: if_match.as_deref(),
                if_none_match: if_none_match.as_deref(),
                if_modified_since: if_modified.as_deref(),
                if_unmodified_since: if_unmodified.as_deref(),
            },
            range: range.as_deref(),
            if_range: if_range.as_deref(),
        },
    };
    files.answer(&request, ctx.now_ms()).await
}

/// The part of a path as sent that the pattern's catch-all matched. The
/// parameter itself comes decoded, where an encoded slash looks like a real
/// one.
fn catch_all_tail<'a>(pattern: &str, path: &'a str) -> &'a str {
    // Nothing stands behind a catch-all.
    let Some((fixed, rest)) = pattern.rsplit_once('{') else {
        return "";
    };
    if !rest.starts_with('*') {
        return "";
    }
    let slashes = fixed.bytes().filter(|b| *b == b'/').count();
    path.splitn(slashes + 1, '/').nth(slashes).unwrap_or("")
}

/// What a static answer depends on.
struct StaticRequest<'a> {
    /// The whole path and the part under the mount point, as sent.
    path: &'a str,
    tail: &'a str,
    query: Option<&'a str>,
    accept_encoding: Option<&'a [u8]>,
    /// What is made of an answer on its way out.
    gzip_offer: Option<&'a GzipOffer>,
    asked: Asked<'a>,
}

impl StaticFiles {
    /// Checks the options and the root. Call it on each shard.
    ///
    /// # Errors
    /// See [`StaticError`]; each says what to do.
    pub fn new(options: StaticOptions) -> Result<Self, StaticError> {
        let (root, rules) = options.check()?;
        let assets = Arc::new(match options.fingerprints {
            true => Assets::find(
                root.path(),
                &options.cdn_url,
                &options.mount,
                options.cached_file_bytes_max,
            ),
            false => Assets::none(&options.cdn_url, &options.mount),
        });
        let finder = Finder {
            assets: assets.clone(),
            fingerprints: options.fingerprints,
            root,
            rules,
            index: options.index,
            precompressed: options.precompressed,
            cached_file_bytes_max: options.cached_file_bytes_max,
        };
        Ok(Self {
            assets,
            entries: Entries::new(finder, options.cache_bytes, options.revalidate_ms),
            path_rules: PathRules {
                hidden: options.hidden,
            },
            open_files: LocalPermits::new(options.open_files_max),
        })
    }

    async fn answer(&self, request: &StaticRequest<'_>, now_ms: Millis) -> Result<Response, Error> {
        let path = resolve(request.tail, self.path_rules).map_err(|refusal| match refusal {
            Refusal::Malformed => Error::bad_request("the path is not a file name"),
            Refusal::NotServed => respond::not_found(),
        })?;
        // The mount point itself without its slash: `/static`.
        if path.as_str().is_empty() && !request.path.ends_with('/') {
            return respond::redirect_to_slash(request.path, request.query);
        }
        for attempt in 0..ANSWER_ATTEMPTS_MAX {
            if let Some(response) = self.try_answer(request, &path, now_ms, attempt).await? {
                return Ok(response);
            }
        }
        Err(Error::unavailable(
            "the file is being written; try again",
            1,
        ))
    }

    /// `None` when the file on disk is no longer the one that was looked up;
    /// that lookup is then forgotten. A file that is another each time, as one
    /// that grows all the while, is sent as it is when it is opened.
    async fn try_answer(
        &self,
        request: &StaticRequest<'_>,
        path: &StaticPath<'_>,
        now_ms: Millis,
        attempt: usize,
    ) -> Result<Option<Response>, Error> {
        let entry = match self.entries.trusted(path.as_str(), now_ms) {
            Some(entry) => entry,
            None => self.entries.look_up(path.as_str(), now_ms).await?,
        };
        let resource = match &entry.found {
            Found::File(resource) => resource,
            Found::Missing => return Err(respond::not_found()),
            Found::Forbidden => {
                return Err(Error::new(
                    StatusCode::FORBIDDEN,
                    "this file may not be read",
                ));
            }
            Found::DirectoryWithoutSlash => {
                return respond::redirect_to_slash(request.path, request.query).map(Some);
            }
        };
        let (coding, asked) = negotiate(request, resource)?;
        let Some(representation) = resource.representation(coding) else {
            return Err(respond::not_acceptable());
        };
        let selected = Selected {
            resource,
            representation,
            coding,
        };
        let Some(outline) = outline(&asked, selected)? else {
            return Ok(Some(selected.not_modified()));
        };
        if let (Outline::Whole, Some(whole)) = (&outline, &entry.prepared[coding as usize]) {
            return Ok(Some(Response::prepared(whole.clone())));
        }
        match self.body(&outline, selected, asked.is_head).await? {
            Sought::Body(body) => Ok(Some(selected.head_of(&outline).replace_body(body))),
            Sought::Another(opened, permit) => {
                self.entries.forget(path.as_str());
                if attempt == 0 || coding != Coding::Identity {
                    return Ok(None);
                }
                self.entries.announce(path.as_str(), &opened.fingerprint);
                as_opened(&asked, resource, *opened, permit).map(Some)
            }
            Sought::Gone => {
                self.entries.forget(path.as_str());
                Ok(None)
            }
        }
    }

    /// The body, from memory or from disk.
    async fn body(
        &self,
        outline: &Outline,
        selected: Selected<'_>,
        is_head: bool,
    ) -> Result<Sought, Error> {
        let representation = selected.representation;
        let body_bytes = outline.body_bytes(representation.length);
        let sealed = representation.sealed.as_ref();
        if let Some(sealed) = sealed.and_then(|sealed| outline.of_sealed(sealed)) {
            return Ok(Sought::Body(Body::sealed(sealed)));
        }
        if let Some(content) = &representation.content {
            let body = outline.of_content(content).map(Body::from);
            return Ok(body.map_or(Sought::Gone, Sought::Body));
        }
        if is_head {
            // Only its length is asked for; it is never polled.
            let body = Body::stream_of_length(body_bytes, NeverRead);
            return Ok(Sought::Body(body));
        }
        let Some(permit) = self.open_files.take() else {
            return Err(Error::unavailable(
                "too many files are being sent; try again",
                1,
            ));
        };
        let Some(opened) = self.open(selected).await? else {
            return Ok(Sought::Gone);
        };
        if opened.fingerprint != representation.fingerprint {
            return Ok(Sought::Another(Box::new(opened), permit));
        }
        let pieces = outline.pieces(representation.length);
        let stream = FileStream::new(opened, pieces, permit)?;
        Ok(Sought::Body(Body::stream_of_length(body_bytes, stream)))
    }

    /// Opens the file of a representation, if one is there.
    async fn open(&self, selected: Selected<'_>) -> Result<Option<OpenedTwice>, Error> {
        let relative = path_in(&selected.resource.relative, selected.coding);
        let finder = self.entries.finder().clone();
        let opened = engine::unblock(move || {
            let Ok(open) = finder.root.open_file(&relative)? else {
                return Ok(None);
            };
            let watched = open.file.try_clone()?;
            let sent = Sent::sampled(&watched, open.fingerprint.length)?;
            Ok(Some(OpenedTwice {
                read: open.file,
                watched,
                fingerprint: open.fingerprint,
                sent,
            }))
        });
        Ok(opened.await?.map_err(LookupError::from_io)?)
    }
}

/// The coding to answer in, and what is asked of it. There are those on disk
/// and the one that is made of the plain file on its way out; when that one is
/// wanted it is left to those who make it. A client that does not take the
/// plain bytes is then sent no part of them.
fn negotiate<'a>(
    request: &StaticRequest<'a>,
    resource: &Resource,
) -> Result<(Coding, Asked<'a>), Error> {
    let on_disk = resource.codings();
    let is_made = request.gzip_offer.is_some_and(|offer| {
        let plain = resource.representation(Coding::Identity);
        plain.is_some_and(|plain| offer.is_for(&resource.content_type, plain.length))
    });
    let available = match is_made {
        true => on_disk.with(Coding::Gzip),
        false => on_disk,
    };
    let coding = preferred_coding(request.accept_encoding, available);
    let coding = coding.ok_or_else(respond::not_acceptable)?;
    let mut asked = request.asked;
    if on_disk.contains(coding) {
        return Ok((coding, asked));
    }
    let plain = CodingSet::EMPTY.with(Coding::Identity);
    let takes_plain = preferred_coding(request.accept_encoding, plain).is_some();
    // A date is that of the plain file and of what was made of it alike, so it
    // does not tell which of them the client has the beginning of.
    let resumes_by_date = asked
        .if_range
        .is_some_and(|value| ETag::parse(value.trim_ascii()).is_err());
    if !takes_plain || resumes_by_date {
        asked.range = None;
    }
    Ok((Coding::Identity, asked))
}

/// Where a body comes from.
enum Sought {
    Body(Body),
    /// The file on disk is another one now, and this is it.
    Another(Box<OpenedTwice>, LocalPermit),
    Gone,
}

/// The answer from a file as it was opened, whatever was known of it.
fn as_opened(
    asked: &Asked<'_>,
    resource: &Resource,
    opened: OpenedTwice,
    permit: LocalPermit,
) -> Result<Response, Error> {
    let representation = Representation::of_open(opened.fingerprint);
    let selected = Selected {
        resource,
        representation: &representation,
        coding: Coding::Identity,
    };
    let Some(outline) = outline(asked, selected)? else {
        return Ok(selected.not_modified());
    };
    let body_bytes = outline.body_bytes(representation.length);
    let pieces = outline.pieces(representation.length);
    let stream = FileStream::new(opened, pieces, permit)?;
    let body = Body::stream_of_length(body_bytes, stream);
    Ok(selected.head_of(&outline).replace_body(body))
}

/// The outline of a 200 or 206; `None` for a 304.
fn outline(asked: &Asked<'_>, selected: Selected<'_>) -> Result<Option<Outline>, Error> {
    let representation = selected.representation;
    let is_encoded = selected.coding != Coding::Identity;
    let validators = representation.validators();
    match plan::plan(asked, validators, representation.length, is_encoded) {
        Plan::Whole => Ok(Some(Outline::Whole)),
        Plan::Part(range) => Ok(Some(Outline::Part(range))),
        Plan::Parts(ranges) => Ok(Some(Outline::parts(&ranges, selected))),
        Plan::NotModified => Ok(None),
        Plan::NotSatisfiable => Err(selected.not_satisfiable()),
        Plan::PreconditionFailed => Err(Error::precondition_failed(
            "the file is not in the state you asked for",
        )),
    }
}

/// The stream of a body whose bytes nobody reads.
struct NeverRead;

impl futures_core::Stream for NeverRead {
    type Item = Result<bytes::Bytes, Error>;

    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(None)
    }
}

/// Answers are tried this often against a file that changes each time between
/// lookup and open.
const ANSWER_ATTEMPTS_MAX: usize = 4;
