//! One route of an app, with what it has of its own.

use std::sync::Arc;

use http::Method;

use super::{Handler, ListenerKind, Middleware};

/// A method, a pattern, a handler and the route's own limits.
pub struct Route {
    pub(super) method: Method,
    pub(super) pattern: String,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) middleware: Vec<Arc<dyn Middleware>>,
    pub(super) body_bytes_max: Option<u64>,
    pub(super) listener: ListenerKind,
}

impl Route {
    /// A route. Patterns are `/users`, `/users/{id}`, `/static/{*path}`.
    pub fn new(method: Method, pattern: &str, handler: impl Handler) -> Self {
        Self {
            method,
            pattern: pattern.to_owned(),
            handler: Arc::new(handler),
            middleware: Vec::new(),
            body_bytes_max: None,
            listener: ListenerKind::Public,
        }
    }

    /// Adds middleware around this route alone, inside the app's. The first
    /// added is the outermost.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Request bodies of this route may have up to `bytes` instead of the
    /// server's limit.
    #[must_use]
    pub fn body_bytes_max(mut self, bytes: u64) -> Self {
        self.body_bytes_max = Some(bytes);
        self
    }
}
