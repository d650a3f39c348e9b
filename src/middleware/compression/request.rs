//! What a request says about compression, and how its handler sees it.

use http::{Method, header};

use crate::app::Ctx;
use crate::semantics::{Coding, CodingSet, join_lines, preferred_coding, with_plain_tags};

/// What is needed of the request once it has been answered.
pub(super) struct AskedCodings {
    pub(super) wants_gzip: bool,
    /// GET or HEAD: the answer's content is the resource's.
    pub(super) is_read: bool,
    /// Its tags as sent.
    pub(super) if_none_match: Option<Vec<u8>>,
}

const CODINGS: CodingSet = CodingSet::EMPTY.with(Coding::Identity).with(Coding::Gzip);

impl AskedCodings {
    /// Reads it, and lets handlers see the tags behind those of gzip. In a
    /// condition for a fresh copy only if gzip would be sent: a client that
    /// does not accept it now has no use for its copy.
    ///
    /// Who accepts neither gzip nor identity is sent identity, as RFC 9110
    /// section 12.5.3 allows: an answer it may not like beats none.
    pub(super) fn of(ctx: &mut Ctx) -> Self {
        let accepted = join_lines(ctx.header_all(&header::ACCEPT_ENCODING));
        let wants_gzip = preferred_coding(accepted.as_deref(), CODINGS) == Some(Coding::Gzip);
        let is_read = matches!(*ctx.method(), Method::GET | Method::HEAD);
        let mut asked = Self {
            wants_gzip,
            is_read,
            if_none_match: None,
        };
        if !ctx.head().has_header_prefix("if-") {
            return asked;
        }
        asked.if_none_match =
            join_lines(ctx.header_all(&header::IF_NONE_MATCH)).map(|value| value.into_owned());
        let if_none_match = asked
            .if_none_match
            .as_deref()
            .filter(|_| wants_gzip || !is_read);
        let if_none_match = if_none_match.and_then(with_plain_tags);
        let if_match = join_lines(ctx.header_all(&header::IF_MATCH));
        let if_match = if_match.as_deref().and_then(with_plain_tags);
        for (name, value) in [
            (header::IF_MATCH, if_match),
            (header::IF_NONE_MATCH, if_none_match),
        ] {
            if let Some(value) = value {
                ctx.head_mut().replace_header(name.as_str(), &value);
            }
        }
        asked
    }
}
