//! What is checked of an app at start, and what one shard makes of it.

use std::rc::Rc;
use std::sync::Arc;

use http::Method;

use super::builder::App;
use super::compiled::{CompiledApp, RouteEntry, RouteTable};
use super::states::ShardStates;
use super::{AppError, ListenerKind, Middleware, Route, ShardInfo};
use crate::Error;
use crate::cache::CacheOptions;
use crate::caches::Feed;
use crate::metrics::{MetricsSource, RouteName};
use crate::router::Router;

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
        for check in &self.checks {
            check(self)?;
        }
        let routes = self.routes.iter().map(|route| RouteEntry {
            pattern: route.pattern.as_str().into(),
            handler: route.handler.clone(),
            middleware: self
                .guard_of(route)
                .into_iter()
                .chain(self.middleware_of(route.listener).iter().cloned())
                .chain(self.rules_before(route))
                .chain(route.middleware.iter().cloned())
                .chain(self.error_maps_of(route.listener).iter().cloned())
                .collect(),
            body_bytes_max: route.body_bytes_max,
        });
        let fallback_guard = self.fallback.as_ref().and(self.guard.clone());
        Ok(CompiledApp {
            public: RouteTable {
                router: self.router_of(ListenerKind::Public)?,
                middleware: fallback_guard
                    .into_iter()
                    .chain(self.middleware.iter().cloned())
                    .chain(self.rules_for(None, None))
                    .chain(self.error_maps.iter().cloned())
                    .collect(),
                fallback: self.fallback.clone(),
            },
            admin: RouteTable {
                router: self.router_of(ListenerKind::Admin)?,
                middleware: self.admin.iter().flatten().cloned().collect(),
                fallback: None,
            },
            routes: routes.collect(),
        })
    }

    /// The rules that requests of this route may meet; nothing stands before a
    /// route that no rule fits.
    fn rules_before(&self, route: &Route) -> Vec<Arc<dyn Middleware>> {
        match route.listener {
            ListenerKind::Public => self.rules_for(Some(&route.method), Some(&route.pattern)),
            ListenerKind::Admin => Vec::new(),
        }
    }

    fn rules_for(&self, method: Option<&Method>, route: Option<&str>) -> Vec<Arc<dyn Middleware>> {
        let rules = self.route_rules.iter();
        let rules = rules.filter_map(|rules| rules.middleware_for(method, route));
        rules.collect()
    }

    /// The routes of one listener, by their index among all.
    fn router_of(&self, listener: ListenerKind) -> Result<Router<usize>, AppError> {
        let mut router = Router::new();
        for (index, route) in self.routes.iter().enumerate() {
            if route.listener == listener {
                router.insert(route.method.clone(), &route.pattern, index)?;
            }
        }
        Ok(router)
    }

    /// What stands around routes that do not bring it: those of an admin app
    /// already have theirs.
    fn middleware_of(&self, listener: ListenerKind) -> &[Arc<dyn Middleware>] {
        match listener {
            ListenerKind::Public => &self.middleware,
            ListenerKind::Admin => &[],
        }
    }

    /// As [`middleware_of`](Self::middleware_of), inside all other middleware.
    fn error_maps_of(&self, listener: ListenerKind) -> &[Arc<dyn Middleware>] {
        match listener {
            ListenerKind::Public => &self.error_maps,
            ListenerKind::Admin => &[],
        }
    }

    /// Guards a route of the public listener that may change something.
    fn guard_of(&self, route: &Route) -> Option<Arc<dyn Middleware>> {
        let is_guarded = route.listener == ListenerKind::Public && !route.method.is_safe();
        self.guard.clone().filter(|_| is_guarded)
    }

    /// Every cache of this app and of those in it.
    pub(crate) fn caches(&self) -> &[CacheOptions] {
        &self.caches
    }

    /// The feed of changes made elsewhere, if there is one.
    pub(crate) fn change_feed(&self) -> Option<&Feed> {
        self.feed.as_ref()
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
        Ok(())
    }

    /// The ones of a shard's states that count for the metrics.
    pub(crate) fn metrics_sources_of(&self, states: &ShardStates) -> Vec<Rc<dyn MetricsSource>> {
        let sources = self.metrics_sources.iter();
        sources.filter_map(|find| find(states)).collect()
    }

    /// Names of the routes for the metrics, by route index.
    pub(crate) fn route_names(&self) -> Vec<RouteName> {
        self.routes
            .iter()
            .map(|route| match route.listener {
                ListenerKind::Public => RouteName::new(route.method.as_str(), &route.pattern),
                // Both listeners may have the same pattern.
                ListenerKind::Admin => {
                    RouteName::new(route.method.as_str(), &format!("admin:{}", route.pattern))
                }
            })
            .collect()
    }

    /// Builds this shard's state, in the order it was declared.
    pub(crate) async fn build_states(&self, info: &ShardInfo) -> Result<ShardStates, Error> {
        let mut states = Vec::with_capacity(self.states.len());
        for builder in &self.states {
            let built = (builder.build)(info.clone()).await.map_err(|error| {
                Error::internal(format!("building the state {}: {error}", builder.of.name))
            })?;
            states.push(built);
        }
        Ok(ShardStates(states))
    }
}
