//! Static files: `GET` and `HEAD` of everything beneath a directory.
//!
//! A request is resolved to a path (floor 1), answered from the shard's memory
//! of lookups (`entries`) or looked up on the blocking pool (`resource`, over
//! `beneath`), negotiated and planned (`plan`, pure), and sent: small files as
//! shared bytes, long ones streamed (`file_stream`). What may be relied on: no
//! path or link leads out of the root; an answer is at most `revalidate_ms`
//! behind the disk; a body that arrives whole is the bytes its ETag names; a
//! hit allocates only its response; no shard ever blocks.

mod beneath;
mod entries;
mod file_stream;
mod options;
mod plan;
mod resource;
mod respond;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::rc::Rc;

use http::{Method, StatusCode};

pub use options::{StaticError, StaticOptions};

use self::entries::{Entries, LookupError};
use self::file_stream::{FileStream, OpenedTwice, Place};
use self::plan::{Asked, Plan};
use self::resource::{Finder, Found, path_in};
use self::respond::{Outline, Selected};
use crate::clock::{self, Millis};
use crate::semantics::{Conditions, join_lines, preferred_coding};
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
    path_rules: PathRules,
    open_files: Rc<Cell<usize>>,
    open_files_max: usize,
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
    asked: Asked<'a>,
}

impl StaticFiles {
    /// Checks the options and the root. Call it on each shard.
    ///
    /// # Errors
    /// See [`StaticError`]; each says what to do.
    pub fn new(options: StaticOptions) -> Result<Self, StaticError> {
        let (root, rules) = options.check()?;
        let finder = Finder {
            root,
            rules,
            index: options.index,
            precompressed: options.precompressed,
            cached_file_bytes_max: options.cached_file_bytes_max,
        };
        Ok(Self {
            entries: Entries::new(finder, options.cache_bytes, options.revalidate_ms),
            path_rules: PathRules {
                hidden: options.hidden,
            },
            open_files: Rc::default(),
            open_files_max: options.open_files_max,
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
        for _ in 0..ANSWER_ATTEMPTS_MAX {
            if let Some(response) = self.try_answer(request, &path, now_ms).await? {
                return Ok(response);
            }
        }
        Err(Error::unavailable(
            "the file is being written; try again",
            1,
        ))
    }

    /// `None` when the file on disk is no longer the one that was looked up;
    /// that lookup is then forgotten.
    async fn try_answer(
        &self,
        request: &StaticRequest<'_>,
        path: &StaticPath<'_>,
        now_ms: Millis,
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
        let coding = preferred_coding(request.accept_encoding, resource.codings())
            .ok_or_else(respond::not_acceptable)?;
        let Some(representation) = resource.representation(coding) else {
            return Err(respond::not_acceptable());
        };
        let selected = Selected {
            resource,
            representation,
            coding,
        };
        let Some(outline) = outline(&request.asked, selected)? else {
            return Ok(Some(selected.not_modified()));
        };
        if let (Outline::Whole, Some(whole)) = (&outline, &entry.prepared[coding as usize]) {
            return Ok(Some(Response::prepared(whole.clone())));
        }
        let Some(body) = self.body(&outline, selected, request.asked.is_head).await? else {
            self.entries.forget(path.as_str());
            return Ok(None);
        };
        Ok(Some(selected.head_of(&outline).replace_body(body)))
    }

    /// The body, from memory or from disk; `None` when the file on disk is
    /// another one now.
    async fn body(
        &self,
        outline: &Outline,
        selected: Selected<'_>,
        is_head: bool,
    ) -> Result<Option<Body>, Error> {
        let representation = selected.representation;
        let body_bytes = outline.body_bytes(representation.length);
        let sealed = representation.sealed.as_ref();
        if let Some(sealed) = sealed.and_then(|sealed| outline.of_sealed(sealed)) {
            return Ok(Some(Body::sealed(sealed)));
        }
        if let Some(content) = &representation.content {
            return Ok(outline.of_content(content).map(Body::from));
        }
        if is_head {
            // Only its length is asked for; it is never polled.
            return Ok(Some(Body::stream_of_length(body_bytes, NeverRead)));
        }
        let Some(place) = Place::take(&self.open_files, self.open_files_max) else {
            return Err(Error::unavailable(
                "too many files are being sent; try again",
                1,
            ));
        };
        let Some(opened) = self.open(selected).await? else {
            return Ok(None);
        };
        let pieces = outline.pieces(representation.length);
        let stream = FileStream::new(opened, pieces, place)?;
        Ok(Some(Body::stream_of_length(body_bytes, stream)))
    }

    /// Opens the file of a representation, if it still is that file.
    async fn open(&self, selected: Selected<'_>) -> Result<Option<OpenedTwice>, Error> {
        let expected = selected.representation.fingerprint;
        let relative = path_in(&selected.resource.relative, selected.coding);
        let finder = self.entries.finder().clone();
        let opened = engine::unblock(move || {
            let Ok(open) = finder.root.open_file(&relative)? else {
                return Ok(None);
            };
            if open.fingerprint != expected {
                return Ok(None);
            }
            let watched = open.file.try_clone()?;
            Ok(Some(OpenedTwice {
                read: open.file,
                watched,
                fingerprint: expected,
            }))
        });
        Ok(opened.await?.map_err(LookupError::from_io)?)
    }
}

/// The outline of a 200 or 206; `None` for a 304.
fn outline(asked: &Asked<'_>, selected: Selected<'_>) -> Result<Option<Outline>, Error> {
    let representation = selected.representation;
    let is_encoded = selected.coding != crate::semantics::Coding::Identity;
    let now_s = || clock::unix_ms() / 1_000;
    let validators = representation.validators();
    match plan::plan(asked, validators, representation.length, is_encoded, now_s) {
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
