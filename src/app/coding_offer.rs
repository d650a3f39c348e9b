//! What middleware around a handler can still make of its answer.
//!
//! A handler that has its content in several codings and the middleware that
//! makes another one negotiate as one: the handler counts that one among those
//! there are, and leaves what it is to be made of as it is when it is the one
//! that the client wants.

use std::rc::Rc;

use http::HeaderValue;

/// Attached to the request of a client that wants gzip, when an answer is made
/// into it on its way out.
pub struct GzipOffer {
    may_be_made: Rc<MayBeMade>,
}

type MayBeMade = dyn Fn(&HeaderValue, u64) -> bool;

impl GzipOffer {
    pub(crate) fn new(may_be_made: impl Fn(&HeaderValue, u64) -> bool + 'static) -> Self {
        Self {
            may_be_made: Rc::new(may_be_made),
        }
    }

    /// Whether it is made of content of this media type and length, bytes.
    pub fn is_for(&self, content_type: &HeaderValue, bytes: u64) -> bool {
        (self.may_be_made)(content_type, bytes)
    }
}
