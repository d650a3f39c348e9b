//! What is checked of an app at start, and what one shard makes of it.

use std::rc::Rc;
use std::sync::Arc;

use super::builder::App;
use super::compiled::{CompiledApp, Entry, RouteEntry};
use super::states::States;
use super::{AppError, Door, Middleware, Route, ShardInfo};
use crate::Error;
use crate::cache::CacheOptions;
use crate::caches::Feed;
use crate::metrics::{MetricsSource, RouteName};
use crate::middleware::guard;
use crate::redis::RedisOptions;
use crate::router::Router;
use crate::session::is_safe_method;
use crate::sessions::{SessionBackend, Sessions};

impl App {
    /// Checks what [`Server::start`](crate::Server::start) would refuse, for a
    /// test of the program's own.
    ///
    /// # Errors
    /// [`AppError`]: routes that conflict, patterns that are wrong, state that
    /// is there twice or is required and missing.
    pub fn check(&self) -> Result<(), AppError> {
        self.compile().map(drop)
    }

    /// Checks the app and makes one shard's router of it.
    pub(crate) fn compile(&self) -> Result<CompiledApp, AppError> {
        if let Some(fault) = self.faults.first() {
            return Err(fault.clone());
        }
        self.check_states()?;
        self.check_caches()?;
        if let Some(redis) = &self.redis {
            redis.url.check().map_err(AppError::Redis)?;
        }
        let routes = self.routes.iter().map(|route| RouteEntry {
            pattern: route.pattern.as_str().into(),
            handler: route.handler.clone(),
            middleware: self
                .guard_of(route)
                .into_iter()
                .chain(self.middleware_of(route.door).iter().cloned())
                .chain(self.rules_before(route))
                .chain(route.middleware.iter().cloned())
                .collect(),
            body_bytes_max: route.body_bytes_max,
        });
        let fallback_guard = self.fallback.as_ref().and(self.guard());
        Ok(CompiledApp {
            public: Entry {
                router: self.router_of(Door::Public)?,
                middleware: fallback_guard
                    .into_iter()
                    .chain(self.middleware.iter().cloned())
                    .chain(self.rate_rules.middleware_for(None, None))
                    .collect(),
                fallback: self.fallback.clone(),
            },
            admin: Entry {
                router: self.router_of(Door::Admin)?,
                middleware: self.admin.iter().flatten().cloned().collect(),
                fallback: None,
            },
            routes: routes.collect(),
            sessions: self.sessions.as_ref().map(|plan| {
                let prefix = self.session_key_prefix.as_deref().unwrap_or("corelane");
                Sessions::new(plan.options.clone(), plan.passwords.clone(), prefix)
            }),
            session_users: self.session_users.clone(),
        })
    }

    /// The rate limits that requests of this route may meet; nothing stands
    /// before a route that no rule fits.
    fn rules_before(&self, route: &Route) -> Option<Arc<dyn Middleware>> {
        match route.door {
            Door::Public => {
                let (method, pattern) = (&route.method, route.pattern.as_str());
                self.rate_rules.middleware_for(Some(method), Some(pattern))
            }
            Door::Admin => None,
        }
    }

    /// The routes of one door, by their index among all.
    fn router_of(&self, door: Door) -> Result<Router<usize>, AppError> {
        let mut router = Router::new();
        for (index, route) in self.routes.iter().enumerate() {
            if route.door == door {
                router.insert(route.method.clone(), &route.pattern, index)?;
            }
        }
        Ok(router)
    }

    /// What stands around routes that do not bring it: those of an admin app
    /// already have theirs.
    fn middleware_of(&self, door: Door) -> &[Arc<dyn Middleware>] {
        match door {
            Door::Public => &self.middleware,
            Door::Admin => &[],
        }
    }

    /// Guards a route of the public door that may change something.
    fn guard_of(&self, route: &Route) -> Option<Arc<dyn Middleware>> {
        let is_guarded = route.door == Door::Public && !is_safe_method(&route.method);
        self.guard().filter(|_| is_guarded)
    }

    /// The guard against other sites' pages, where there are sessions.
    fn guard(&self) -> Option<Arc<dyn Middleware>> {
        let guard: Arc<dyn Middleware> = Arc::new(guard);
        self.sessions.is_some().then_some(guard)
    }

    /// Every cache of this app and of those in it.
    pub(crate) fn caches(&self) -> &[CacheOptions] {
        &self.caches
    }

    /// The feed of changes made elsewhere, if there is one.
    pub(crate) fn change_feed(&self) -> Option<&Feed> {
        self.feed.as_ref()
    }

    /// The Redis of this app, if it has one.
    pub(crate) fn redis_options(&self) -> Option<&RedisOptions> {
        self.redis.as_ref()
    }

    fn check_caches(&self) -> Result<(), AppError> {
        for (index, options) in self.caches.iter().enumerate() {
            options.check().map_err(AppError::Cache)?;
            let mut before = self.caches[..index].iter();
            if before.any(|other| other.name == options.name) {
                let name = options.name.clone();
                return Err(AppError::CacheTwice { name });
            }
        }
        Ok(())
    }

    fn check_states(&self) -> Result<(), AppError> {
        for (index, state) in self.states.iter().enumerate() {
            let type_name = state.of.name;
            if self.states[..index]
                .iter()
                .any(|other| other.of.id == state.of.id)
            {
                return Err(AppError::StateTwice { type_name });
            }
        }
        for required in &self.required_states {
            let type_name = required.name;
            if !self.states.iter().any(|state| state.of.id == required.id) {
                return Err(AppError::StateMissing { type_name });
            }
        }
        let has_place = self.redis.is_some() || self.session_backend.is_some();
        if self.sessions.is_some() && !has_place {
            return Err(AppError::SessionsNowhere);
        }
        Ok(())
    }

    /// The one of a shard's states that keeps sessions.
    pub(crate) fn session_backend_of(&self, states: &States) -> Option<Rc<dyn SessionBackend>> {
        self.session_backend.and_then(|find| find(states))
    }

    /// The ones of a shard's states that count for the metrics.
    pub(crate) fn metrics_sources_of(&self, states: &States) -> Vec<Rc<dyn MetricsSource>> {
        let sources = self.metrics_sources.iter();
        sources.filter_map(|find| find(states)).collect()
    }

    /// Names of the routes for the metrics, by route index.
    pub(crate) fn route_names(&self) -> Vec<RouteName> {
        self.routes
            .iter()
            .map(|route| match route.door {
                Door::Public => RouteName::new(route.method.as_str(), &route.pattern),
                // Both doors may have the same pattern.
                Door::Admin => {
                    RouteName::new(route.method.as_str(), &format!("admin:{}", route.pattern))
                }
            })
            .collect()
    }

    /// Builds this shard's state, in the order it was declared.
    pub(crate) async fn build_states(&self, info: &ShardInfo) -> Result<States, Error> {
        let mut states = Vec::with_capacity(self.states.len());
        for builder in &self.states {
            let built = (builder.build)(info.clone()).await.map_err(|error| {
                Error::internal(format!("building the state {}: {error}", builder.of.name))
            })?;
            states.push(built);
        }
        Ok(States(states))
    }
}
