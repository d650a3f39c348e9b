//! Handlers, middleware, and the chain that runs them.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use super::{Ctx, Response};
use crate::Error;

pub(crate) type HandlerFuture = Pin<Box<dyn Future<Output = Result<Response, Error>>>>;

/// What answers a route: any `async fn(Ctx) -> Result<Response, Error>`.
///
/// The function is shared by all shards and must be `Send + Sync`; the futures
/// it makes stay on their shard and need not be.
pub trait Handler: Send + Sync + 'static {
    /// Starts answering one request.
    fn call(&self, ctx: Ctx) -> Pin<Box<dyn Future<Output = Result<Response, Error>>>>;
}

impl<F, Fut> Handler for F
where
    F: Fn(Ctx) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Error>> + 'static,
{
    fn call(&self, ctx: Ctx) -> HandlerFuture {
        Box::pin(self(ctx))
    }
}

/// What stands around handlers: any
/// `async fn(Ctx, Next) -> Result<Response, Error>`. It may answer itself,
/// change the response, or look at the error on its way out.
pub trait Middleware: Send + Sync + 'static {
    /// Starts handling one request; `next` runs the rest of the chain.
    fn call(&self, ctx: Ctx, next: Next) -> Pin<Box<dyn Future<Output = Result<Response, Error>>>>;
}

impl<F, Fut> Middleware for F
where
    F: Fn(Ctx, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Error>> + 'static,
{
    fn call(&self, ctx: Ctx, next: Next) -> HandlerFuture {
        Box::pin(self(ctx, next))
    }
}

/// Middleware of an app, outermost first, and what one request runs through.
pub(crate) type MiddlewareChain = Rc<[Arc<dyn Middleware>]>;

/// The rest of the chain: more middleware, then the handler.
pub struct Next {
    chain: MiddlewareChain,
    depth: usize,
    handler: Arc<dyn Handler>,
}

impl Next {
    /// Runs the rest of the chain.
    ///
    /// # Errors
    /// Whatever it returns.
    pub async fn run(self, ctx: Ctx) -> Result<Response, Error> {
        self.start(ctx).await
    }

    fn start(mut self, ctx: Ctx) -> HandlerFuture {
        match self.chain.get(self.depth).cloned() {
            Some(middleware) => {
                self.depth += 1;
                middleware.call(ctx, self)
            }
            None => self.handler.call(ctx),
        }
    }
}

/// Starts a request: through the middleware if there is any.
pub(crate) fn run_chain(
    chain: &MiddlewareChain,
    handler: &Arc<dyn Handler>,
    ctx: Ctx,
) -> HandlerFuture {
    if chain.is_empty() {
        return handler.call(ctx);
    }
    Next {
        chain: chain.clone(),
        depth: 0,
        handler: handler.clone(),
    }
    .start(ctx)
}
