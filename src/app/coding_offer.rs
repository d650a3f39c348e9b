//! What middleware around a handler can still make of its answer.
//!
//! A handler that has its content in several codings and the middleware that
//! makes another one negotiate as one: the handler counts that one among those
//! there are, and leaves what it is to be made of as it is when it is the one
//! that the client wants.

use std::rc::Rc;

use http::HeaderValue;

/// Attached to a request whose answer is made into gzip, of the clients that
/// accept it, if this is true of its media type and its length in bytes.
pub(crate) struct GzipOffer(pub(crate) Rc<dyn Fn(&HeaderValue, u64) -> bool>);
