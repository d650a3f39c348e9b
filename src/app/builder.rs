//! Building an app: routes, per-shard state, middleware. One [`App`] is shared
//! by all shards; each compiles its own router from it (`compiled`) and builds
//! its own state.

use std::any::{Any, TypeId};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use http::Method;

use super::lifecycle::Lifecycle;
use super::parts::{AppCheck, RouteRules, Settings};
use super::states::{Find, StateBuilder, StateType};
use super::{AppError, Handler, ListenerKind, Middleware, Route};
use crate::Error;
use crate::cache::CacheOptions;
use crate::caches::Feed;
use crate::engine::EngineKind;
use crate::metrics::{MetricsSource, ShardIdentity};
use crate::redis::RedisOptions;

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
    pub(super) routes: Vec<Route>,
    pub(super) states: Vec<StateBuilder>,
    pub(crate) required_states: Vec<StateType>,
    pub(super) metrics_sources: Vec<Find<dyn MetricsSource>>,
    pub(super) caches: Vec<CacheOptions>,
    pub(super) feed: Option<Feed>,
    pub(super) lifecycle: Lifecycle,
    /// What other rooms were told of it, and what they check at start.
    pub(crate) settings: Settings,
    pub(crate) checks: Vec<AppCheck>,
    pub(crate) redis: Option<RedisOptions>,
    pub(super) middleware: Vec<Arc<dyn Middleware>>,
    /// Innermost around handlers.
    pub(super) error_maps: Vec<Arc<dyn Middleware>>,
    pub(super) fallback: Option<Arc<dyn Handler>>,
    /// Outermost around whatever may change something, and what has no route.
    pub(crate) guard: Option<Arc<dyn Middleware>>,
    /// What stands before routes inside this app's middleware, in this order.
    pub(crate) route_rules: Vec<Arc<dyn RouteRules>>,
    /// Middleware of the admin app, if there is one; its routes are in `routes`.
    pub(super) admin: Option<Vec<Arc<dyn Middleware>>>,
    /// What was found wrong while building, told by `check`.
    pub(crate) faults: Vec<AppError>,
}

/// Where a piece of per-shard state is being built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardInfo {
    /// 0 to `count` - 1; `count` on the thread of the admin listener, which has
    /// state of its own like every shard, and no part in the public requests.
    pub index: usize,
    /// Shards in this process, without that of the admin listener.
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
    /// Whether this is the thread of the admin listener.
    pub fn is_admin(&self) -> bool {
        self.index == self.count
    }

    /// How the metrics name it.
    pub(crate) fn identity(&self) -> ShardIdentity {
        ShardIdentity {
            shard: self.index,
            is_admin: self.is_admin(),
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

    /// Adds state of each shard: `build` runs on every shard, on its own thread
    /// and reactor, before the shard accepts; handlers reach it with
    /// [`super::Ctx::state`]. What is put into it through one connection is not
    /// found through another, which may be on another shard; for that there is
    /// [`shared`](Self::shared). It runs again when a shard is restarted.
    #[must_use]
    pub fn state<S, F, Fut>(mut self, build: F) -> Self
    where
        S: 'static,
        F: Fn(ShardInfo) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<S, Error>> + 'static,
    {
        let build = Arc::new(build);
        self.states.push(StateBuilder {
            of: StateType::of::<S>(),
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

    /// Has the app's state of type `S` count for the metrics. It must be state of
    /// the app.
    #[must_use]
    pub fn metrics_source<S: MetricsSource + 'static>(mut self) -> Self {
        self.required_states.push(StateType::of::<S>());
        self.metrics_sources.push(|states| {
            states
                .find::<S>()
                .map(|state| state as Rc<dyn MetricsSource>)
        });
        self
    }

    /// Adds a cache: one for all shards, which handlers reach with
    /// [`Ctx::cache`](super::Ctx::cache). See [`Cache`](crate::Cache).
    #[must_use]
    pub fn cache(mut self, options: CacheOptions) -> Self {
        self.caches.push(options);
        self
    }

    /// Adds the feed of changes made elsewhere, on which caches that are
    /// [`fed`](CacheOptions::fed) rely. Whoever listens for the changes, a
    /// [`background`](Self::background) task for example, resumes and cuts it.
    #[must_use]
    pub fn feed(mut self, feed: Feed) -> Self {
        self.feed = Some(feed);
        self
    }

    /// Declares that handlers of this app ask for state of type `S`: without
    /// it the server does not start, instead of failing their first request.
    ///
    /// ```
    /// use corelane::App;
    ///
    /// struct Greeting(String);
    ///
    /// let app = App::new().requires_state::<Greeting>();
    /// assert!(app.check().unwrap_err().to_string().contains("Greeting"));
    /// let app = app.state(|_shard| async { Ok(Greeting("Hello".to_owned())) });
    /// app.check().unwrap();
    /// ```
    #[must_use]
    pub fn requires_state<S: 'static>(mut self) -> Self {
        self.required_states.push(StateType::of::<S>());
        self
    }

    /// Adds middleware around every request of this app, also those that no
    /// route answers (404, 405, OPTIONS). The first added is the outermost.
    /// For some routes only: [`Route::middleware`], or [`nest`](Self::nest).
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Adds middleware around one route that is there already: the one for this
    /// method and pattern, inside whatever the route has. Without such a route
    /// [`check`](Self::check) fails.
    #[must_use]
    pub fn middleware_on(
        mut self,
        method: &Method,
        pattern: &str,
        middleware: impl Middleware,
    ) -> Self {
        let mut routes = self.routes.iter_mut();
        match routes.find(|route| route.method == *method && route.pattern == pattern) {
            Some(route) => route.middleware.push(Arc::new(middleware)),
            None => self.faults.push(AppError::NoSuchRoute {
                method: method.clone(),
                pattern: pattern.to_owned(),
            }),
        }
        self
    }

    /// Answers paths that no pattern fits, instead of 404. A path with routes
    /// for other methods is still answered 405.
    ///
    /// ```
    /// use corelane::{App, Ctx, Response};
    ///
    /// let app = App::new()
    ///     .get("/", async |_| Ok(Response::text("home\n")))
    ///     .fallback(async |_: Ctx| Response::redirect("/"));
    /// ```
    #[must_use]
    pub fn fallback(mut self, handler: impl Handler) -> Self {
        self.fallback = Some(Arc::new(handler));
        self
    }

    /// Adds every route of `inner` below `prefix`, inside the middleware of
    /// both apps; its own stays around its own routes. `/` of `inner` answers
    /// `prefix` itself. State is the whole server's, whichever app brought it.
    ///
    /// ```
    /// use corelane::{App, Ctx, Error, Next, Response};
    /// use http::{StatusCode, header};
    ///
    /// /// Who a request comes from.
    /// struct Caller(String);
    ///
    /// async fn authorise(mut ctx: Ctx, next: Next) -> Result<Response, Error> {
    ///     match ctx.header(&header::AUTHORIZATION) {
    ///         Some("Bearer s3cret") => ctx.attach(Caller("root".to_owned())),
    ///         _ => return Err(Error::new(StatusCode::UNAUTHORIZED, "who are you?")),
    ///     }
    ///     next.run(ctx).await
    /// }
    ///
    /// async fn time(ctx: Ctx, next: Next) -> Result<Response, Error> {
    ///     let begun = std::time::Instant::now();
    ///     let response = next.run(ctx).await?;
    ///     let took = format!("app;dur={}", begun.elapsed().as_millis());
    ///     Ok(response.header("server-timing", &took))
    /// }
    ///
    /// let admin = App::new()
    ///     .middleware(authorise)
    ///     .get("/whoami", async |ctx: Ctx| {
    ///         let caller = ctx.attached::<Caller>().expect("`authorise` attaches it");
    ///         Ok(Response::text(caller.0.clone()))
    ///     });
    /// let app = App::new()
    ///     .middleware(time)
    ///     .get("/", async |_| Ok(Response::text("open to all\n")))
    ///     .nest("/admin", admin);
    /// # let server = corelane::Server::new(app).listen(([127, 0, 0, 1], 0)).shards(1).unpinned();
    /// # let server = server.start()?;
    /// # for (path, header, status, end) in [
    /// #     ("/admin/whoami", "x: y", "401", "}"),
    /// #     ("/admin/whoami", "authorization: Bearer s3cret", "200", "\r\n\r\nroot"),
    /// #     ("/", "x: y", "200", "open to all\n"),
    /// # ] {
    /// #     use std::io::{Read, Write};
    /// #     let mut stream = std::net::TcpStream::connect(server.local_addr())?;
    /// #     let lines = "Host: t\r\nConnection: close\r\n";
    /// #     write!(stream, "GET {path} HTTP/1.1\r\n{lines}{header}\r\n\r\n")?;
    /// #     let mut answer = String::new();
    /// #     stream.read_to_string(&mut answer)?;
    /// #     assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    /// #     assert!(answer.ends_with(end), "{answer}");
    /// #     assert_eq!(answer.contains("server-timing: app"), status == "200", "{answer}");
    /// # }
    /// # server.drain();
    /// # server.wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn nest(mut self, prefix: &str, inner: App) -> Self {
        let reason = if !prefix.starts_with('/') || prefix.ends_with('/') {
            Some("a prefix begins with `/` and does not end with it, such as `/api`")
        } else if inner.fallback.is_some() {
            Some("only the outermost app has a fallback; give it a route `/{*rest}` instead")
        } else if inner.admin.is_some() {
            Some("only the outermost app has an admin app")
        } else {
            None
        };
        if let Some(reason) = reason {
            let prefix = prefix.to_owned();
            self.faults.push(AppError::Nest { prefix, reason });
        }
        self.route_rules.extend(inner.route_rules.iter().cloned());
        self.take_in(inner, |route| {
            route.pattern = match route.pattern.as_str() {
                "/" => prefix.to_owned(),
                pattern => format!("{prefix}{pattern}"),
            };
        });
        self
    }

    /// Answers the routes of `inner` on the admin listener, and nowhere else:
    /// no request that came in through the public listener reaches them, and
    /// none of the admin listener's reaches any other route. Only `inner`'s
    /// middleware stands around them. State is the whole server's, whichever
    /// app brought it; the metrics name these routes `admin:/path`.
    ///
    /// The server listens for them when its options say where:
    /// [`ServerOptions::admin`](crate::server::ServerOptions::admin), which
    /// also says who may come in.
    ///
    /// ```
    /// use corelane::{App, Ctx, Error, Response, Server};
    ///
    /// async fn uptime(ctx: Ctx) -> Result<Response, Error> {
    ///     Ok(Response::text(format!("{} ms\n", ctx.uptime_ms())))
    /// }
    ///
    /// let admin = App::new().get("/uptime", uptime);
    /// let app = App::new()
    ///     .get("/", async |_| Ok(Response::text("open to all\n")))
    ///     .admin(admin);
    /// let server = Server::new(app).admin_listen(([127, 0, 0, 1], 0));
    /// # let server = server.listen(([127, 0, 0, 1], 0)).shards(1).unpinned();
    /// let server = server.start()?;
    /// let operators_only = server.admin_addr().expect("asked for");
    /// # for (address, path, status) in [
    /// #     (operators_only, "/uptime", "200"),
    /// #     (operators_only, "/", "404"),
    /// #     (server.local_addr(), "/", "200"),
    /// #     (server.local_addr(), "/uptime", "404"),
    /// # ] {
    /// #     use std::io::{Read, Write};
    /// #     let mut stream = std::net::TcpStream::connect(address)?;
    /// #     let lines = "Host: localhost\r\nConnection: close\r\n";
    /// #     write!(stream, "GET {path} HTTP/1.1\r\n{lines}\r\n")?;
    /// #     let mut answer = String::new();
    /// #     stream.read_to_string(&mut answer)?;
    /// #     assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    /// # }
    /// # server.drain();
    /// server.wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn admin(mut self, inner: App) -> Self {
        let reason = if self.admin.is_some() {
            Some("it is given twice; put the routes of both into one app")
        } else if inner.admin.is_some() {
            Some("it has an admin app of its own; only the outermost app has one")
        } else if inner.fallback.is_some() {
            Some("only the outermost app has a fallback; give it a route `/{*rest}` instead")
        } else {
            None
        };
        if let Some(reason) = reason {
            self.faults.push(AppError::Admin { reason });
        }
        self.admin = Some(inner.middleware.clone());
        self.take_in(inner, |route| route.listener = ListenerKind::Admin);
        self
    }

    /// Takes over all that `inner` has, its middleware around its own routes.
    fn take_in(&mut self, inner: App, change: impl Fn(&mut Route)) {
        self.routes
            .extend(inner.routes.into_iter().map(|mut route| {
                change(&mut route);
                route
                    .middleware
                    .splice(0..0, inner.middleware.iter().cloned());
                route.middleware.extend(inner.error_maps.iter().cloned());
                route
            }));
        self.states.extend(inner.states);
        self.required_states.extend(inner.required_states);
        self.metrics_sources.extend(inner.metrics_sources);
        self.caches.extend(inner.caches);
        self.feed = self.feed.take().or(inner.feed);
        self.lifecycle.extend(inner.lifecycle);
        self.settings.extend(inner.settings);
        self.checks.extend(inner.checks);
        self.guard = self.guard.take().or(inner.guard);
        if self.redis.is_some() && inner.redis.is_some() {
            self.faults.push(AppError::RedisTwice);
        }
        self.redis = self.redis.take().or(inner.redis);
        self.faults.extend(inner.faults);
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.routes.iter().map(|r| (&r.method, &r.pattern)))
            .finish()
    }
}
