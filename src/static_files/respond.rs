//! Responses of static files: headers and bodies of a plan.

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::file_stream::Piece;
use super::resource::{Representation, Resource};
use crate::engine::SealedBytes;
use crate::limits::WRITE_COPY_BYTES_MAX;
use crate::semantics::{ByteRange, ByterangesBody, Coding, unsatisfied_content_range};
use crate::{Error, PreparedResponse, Response};

/// A resource in the coding that was negotiated.
#[derive(Clone, Copy)]
pub(super) struct Selected<'a> {
    pub(super) resource: &'a Resource,
    pub(super) representation: &'a Representation,
    pub(super) coding: Coding,
}

/// What goes into a body, before it is known where the bytes come from.
#[derive(Debug)]
pub(super) enum Outline {
    Whole,
    Part(ByteRange),
    Parts(ByterangesBody),
}

impl Outline {
    /// `ranges` in an envelope with a boundary that nobody can foresee.
    pub(super) fn parts(ranges: &[ByteRange], selected: Selected<'_>) -> Self {
        let boundary = format!("{:032x}", fastrand::u128(..));
        Self::Parts(ByterangesBody::new(
            &boundary,
            ranges,
            &selected.resource.content_type,
            selected.representation.length,
        ))
    }

    /// Bytes of the body, given the length of the representation.
    pub(super) fn body_bytes(&self, length: u64) -> u64 {
        match self {
            Self::Whole => length,
            Self::Part(range) => range.len(),
            Self::Parts(envelope) => envelope.total_bytes(),
        }
    }

    /// The body from bytes in memory. `None` when they are shorter than they
    /// are known to be, which no caller lets happen.
    pub(super) fn of_content(&self, content: &Bytes) -> Option<Bytes> {
        let slice = |range: &ByteRange| {
            let (start, end) = (range.start as usize, range.end_inclusive as usize + 1);
            (end <= content.len()).then(|| content.slice(start..end))
        };
        match self {
            Self::Whole => Some(content.clone()),
            Self::Part(range) => slice(range),
            Self::Parts(envelope) => {
                let mut body = BytesMut::with_capacity(envelope.total_bytes() as usize);
                for (head, range) in envelope.parts() {
                    body.extend_from_slice(head);
                    body.extend_from_slice(&slice(range)?);
                }
                body.extend_from_slice(envelope.tail());
                Some(body.freeze())
            }
        }
    }

    /// The body in the pages it is kept in; `None` when it is of several
    /// parts, or so short that a copy is cheaper.
    pub(super) fn of_sealed(&self, sealed: &SealedBytes) -> Option<SealedBytes> {
        let part = match self {
            Self::Whole => return Some(sealed.clone()),
            Self::Part(range) => range.start as usize..range.end_inclusive as usize + 1,
            Self::Parts(_) => return None,
        };
        (part.len() > WRITE_COPY_BYTES_MAX).then(|| sealed.slice(part))?
    }

    /// The body as pieces of a file of `length` bytes.
    pub(super) fn pieces(&self, length: u64) -> Vec<Piece> {
        let content = |range: &ByteRange| Piece::Content {
            offset: range.start,
            length: range.len(),
        };
        match self {
            Self::Whole if length == 0 => Vec::new(),
            Self::Whole => vec![Piece::Content { offset: 0, length }],
            Self::Part(range) => vec![content(range)],
            Self::Parts(envelope) => {
                let parts = envelope.parts().iter();
                parts
                    .flat_map(|(head, range)| [Piece::Literal(head.clone()), content(range)])
                    .chain([Piece::Literal(envelope.tail().clone())])
                    .collect()
            }
        }
    }
}

impl Selected<'_> {
    /// 200 or 206 without its body.
    pub(super) fn head_of(self, outline: &Outline) -> Response {
        let Representation {
            length,
            last_modified,
            ..
        } = self.representation;
        let (status, content_type) = match outline {
            Outline::Whole => (StatusCode::OK, &self.resource.content_type),
            Outline::Part(_) => (StatusCode::PARTIAL_CONTENT, &self.resource.content_type),
            Outline::Parts(envelope) => (StatusCode::PARTIAL_CONTENT, envelope.content_type()),
        };
        let mut response = Response::new(status);
        response.append_header(header::CONTENT_TYPE, content_type.clone());
        if let Outline::Part(range) = outline {
            response.append_header(header::CONTENT_RANGE, range.content_range(*length));
        }
        if self.coding != Coding::Identity {
            let name = HeaderValue::from_static(self.coding.name());
            response.append_header(header::CONTENT_ENCODING, name);
        }
        if let Some((_, value)) = last_modified {
            response.append_header(header::LAST_MODIFIED, value.clone());
        }
        response.append_header(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        self.append_cache_headers(&mut response);
        response
    }

    fn encode(self) -> Option<PreparedResponse> {
        let content = self.representation.content.as_ref()?;
        let head = self.head_of(&Outline::Whole);
        let headers = head
            .headers()
            .map(|(name, value)| (name.clone(), value.clone()));
        let headers = headers.filter(|(name, _)| *name != header::CONTENT_TYPE);
        let content_type = self.resource.content_type.clone();
        Some(match &self.representation.sealed {
            Some(sealed) => PreparedResponse::of_sealed(content_type, sealed.clone(), headers),
            None => PreparedResponse::of_content(content_type, content, headers),
        })
    }

    /// 304: only what a cache needs to refresh what it has (RFC 9110 section
    /// 15.4.5).
    pub(super) fn not_modified(self) -> Response {
        let mut response = Response::not_modified();
        self.append_cache_headers(&mut response);
        response
    }

    fn append_cache_headers(self, response: &mut Response) {
        let etag = self.representation.etag.header_value().clone();
        response.append_header(header::ETAG, etag);
        if let Some(value) = &self.resource.cache_control {
            response.append_header(header::CACHE_CONTROL, value.clone());
        }
        if self.resource.varies() {
            response.append_header(header::VARY, VARY);
        }
    }

    /// 416, saying how long it is.
    pub(super) fn not_satisfiable(self) -> Error {
        let length = self.representation.length;
        Error::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            format!("none of the ranges is within its {length} bytes"),
        )
        .with_header(header::CONTENT_RANGE, unsatisfied_content_range(length))
    }
}

/// Encodes the answers to requests for the whole of what is kept as content,
/// which is from then on a part of them.
pub(super) fn prepare(resource: &mut Resource) {
    for coding in Coding::BY_PREFERENCE {
        let representation = resource.representation(coding);
        let prepared = representation.and_then(|representation| {
            let selected = Selected {
                resource,
                representation,
                coding,
            };
            selected.encode()
        });
        let representation = resource.representations[coding as usize].as_mut();
        if let (Some(prepared), Some(representation)) = (prepared, representation) {
            representation.content = Some(prepared.body_bytes());
            resource.prepared[coding as usize] = Some(prepared);
        }
    }
}

/// 406: the client refuses every coding there is, by name.
pub(super) fn not_acceptable() -> Error {
    Error::new(
        StatusCode::NOT_ACCEPTABLE,
        "it exists in no content coding that Accept-Encoding allows",
    )
    .with_header(header::VARY, VARY)
}

/// 405.
pub(super) fn method_not_allowed() -> Error {
    Error::new(StatusCode::METHOD_NOT_ALLOWED, "static files are only read")
        .with_header(header::ALLOW, HeaderValue::from_static("GET, HEAD"))
}

/// 308 to the same path with a slash, so that relative links in its index
/// lead into the directory.
pub(super) fn redirect_to_slash(path: &str, query: Option<&str>) -> Result<Response, Error> {
    let location = match query {
        Some(query) => format!("{path}/?{query}"),
        None => format!("{path}/"),
    };
    let value = HeaderValue::try_from(location).map_err(|_| not_found())?;
    let mut response = Response::new(StatusCode::PERMANENT_REDIRECT);
    response.append_header(header::LOCATION, value);
    Ok(response)
}

/// 404.
pub(super) fn not_found() -> Error {
    Error::not_found("no such file")
}

const VARY: HeaderValue = HeaderValue::from_static("accept-encoding");

/// The fields of a request that choose and condition a representation.
pub(super) const REQUEST_FIELDS: [HeaderName; 7] = [
    header::ACCEPT_ENCODING,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::RANGE,
    header::IF_RANGE,
];
