//! Building an app: routes, per-shard state, middleware. One [`App`] is shared
//! by all shards; each compiles its own router from it and builds its own
//! state.

use std::any::{Any, TypeId};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use http::Method;

use super::handler::MiddlewareChain;
use super::{Handler, Middleware};
use crate::Error;
use crate::engine::EngineKind;
use crate::metrics::{RouteName, ShardIdentity};
use crate::router::{RouteError, Router};

/// Routes, per-shard state and middleware.
///
/// ```
/// use corelane::{App, Ctx, Error, Response};
///
/// async fn hello(ctx: Ctx) -> Result<Response, Error> {
///     let name: String = ctx.param("name")?;
///     Ok(Response::text(format!("Hello, {name}!\n")))
/// }
///
/// let app = App::new().get("/hello/{name}", hello);
/// ```
#[derive(Default)]
pub struct App {
    routes: Vec<Route>,
    states: Vec<StateBuilder>,
    middleware: Vec<Arc<dyn Middleware>>,
}

/// Where a piece of per-shard state is being built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// 0 to `count` - 1.
    pub index: usize,
    /// Shards in this process.
    pub count: usize,
    /// Operating system index of the CPU it is pinned to; `None` when the
    /// server was told not to pin.
    pub cpu: Option<usize>,
    /// The reactor it runs on.
    pub engine: EngineKind,
    /// How often this shard has been restarted.
    pub restarts: u32,
}

impl ShardInfo {
    /// How the metrics name it.
    pub(crate) fn identity(&self) -> ShardIdentity {
        ShardIdentity {
            shard: self.index,
            incarnation: self.restarts,
            core: self.cpu,
            engine: self.engine.name(),
        }
    }
}

impl App {
    /// An app without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a route with its options.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Answers GET, and HEAD from the same handler.
    #[must_use]
    pub fn get(self, pattern: &str, handler: impl Handler) -> Self {
        self.route(Route::new(Method::GET, pattern, handler))
    }

    /// Answers POST.
    #[must_use]
    pub fn post(self, pattern: &str, handler: impl Handler) -> Self {
        self.route(Route::new(Method::POST, pattern, handler))
    }

    /// Answers PUT.
    #[must_use]
    pub fn put(self, pattern: &str, handler: impl Handler) -> Self {
        self.route(Route::new(Method::PUT, pattern, handler))
    }

    /// Answers PATCH.
    #[must_use]
    pub fn patch(self, pattern: &str, handler: impl Handler) -> Self {
        self.route(Route::new(Method::PATCH, pattern, handler))
    }

    /// Answers DELETE.
    #[must_use]
    pub fn delete(self, pattern: &str, handler: impl Handler) -> Self {
        self.route(Route::new(Method::DELETE, pattern, handler))
    }

    /// Adds state: `build` runs on every shard, on its own thread and reactor,
    /// before the shard accepts; handlers reach it with [`super::Ctx::state`].
    /// It runs again when a shard is restarted.
    #[must_use]
    pub fn state<S, F, Fut>(mut self, build: F) -> Self
    where
        S: 'static,
        F: Fn(ShardInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, Error>> + 'static,
    {
        let build = Arc::new(build);
        self.states.push(StateBuilder {
            type_name: std::any::type_name::<S>(),
            build: Box::new(move |info| {
                let build = build.clone();
                Box::pin(async move {
                    let state: Rc<dyn Any> = Rc::new(build(info).await?);
                    Ok((TypeId::of::<S>(), state))
                })
            }),
        });
        self
    }

    /// Adds middleware; the first added is the outermost.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Checks the routes and makes one shard's router of them.
    pub(crate) fn compile(&self) -> Result<CompiledApp, RouteError> {
        let mut router = Router::new();
        for (index, route) in self.routes.iter().enumerate() {
            router.insert(route.method.clone(), &route.pattern, index)?;
        }
        let routes = self.routes.iter().map(|route| RouteEntry {
            pattern: route.pattern.as_str().into(),
            handler: route.handler.clone(),
            body_bytes_max: route.body_bytes_max,
        });
        Ok(CompiledApp {
            router,
            routes: routes.collect(),
            middleware: self.middleware.iter().cloned().collect(),
        })
    }

    /// Names of the routes for the metrics, by route index.
    pub(crate) fn route_names(&self) -> Vec<RouteName> {
        self.routes
            .iter()
            .map(|route| RouteName::new(route.method.as_str(), &route.pattern))
            .collect()
    }

    /// Builds this shard's state, in the order it was declared.
    pub(crate) async fn build_states(&self, info: &ShardInfo) -> Result<States, Error> {
        let mut states = Vec::with_capacity(self.states.len());
        for builder in &self.states {
            let built = (builder.build)(info.clone()).await.map_err(|error| {
                Error::internal(format!("building the state {}: {error}", builder.type_name))
            })?;
            states.push(built);
        }
        Ok(States(states))
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.routes.iter().map(|r| (&r.method, &r.pattern)))
            .finish()
    }
}

/// A method, a pattern, a handler and the route's own limits.
pub struct Route {
    method: Method,
    pattern: String,
    handler: Arc<dyn Handler>,
    body_bytes_max: Option<u64>,
}

impl Route {
    /// A route. Patterns are `/users`, `/users/{id}`, `/static/{*path}`.
    pub fn new(method: Method, pattern: &str, handler: impl Handler) -> Self {
        Self {
            method,
            pattern: pattern.to_owned(),
            handler: Arc::new(handler),
            body_bytes_max: None,
        }
    }

    /// Request bodies of this route may have up to `bytes` instead of the
    /// server's limit.
    #[must_use]
    pub fn body_bytes_max(mut self, bytes: u64) -> Self {
        self.body_bytes_max = Some(bytes);
        self
    }
}

type StateFuture = Pin<Box<dyn Future<Output = Result<(TypeId, Rc<dyn Any>), Error>>>>;

struct StateBuilder {
    type_name: &'static str,
    build: Box<dyn Fn(ShardInfo) -> StateFuture + Send + Sync>,
}

/// One shard's state, by type. A handful of entries: a scan beats hashing.
#[derive(Default)]
pub(crate) struct States(Vec<(TypeId, Rc<dyn Any>)>);

impl States {
    pub(crate) fn find<S: 'static>(&self) -> Option<Rc<S>> {
        let wanted = TypeId::of::<S>();
        let (_, state) = self.0.iter().find(|(id, _)| *id == wanted)?;
        state.clone().downcast::<S>().ok()
    }
}

/// An app as one shard runs it.
pub(crate) struct CompiledApp {
    pub(crate) router: Router<usize>,
    pub(crate) routes: Vec<RouteEntry>,
    pub(crate) middleware: MiddlewareChain,
}

/// What a matched route runs.
pub(crate) struct RouteEntry {
    pub(crate) pattern: Rc<str>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) body_bytes_max: Option<u64>,
}
