//! Which route a method and a path lead to.
//!
//! Stands between the codec, whose raw path it is given, and the shard, which
//! calls the handler found. Built once at start, then only read; looking up
//! allocates nothing for routes of up to three parameters.
//!
//! Pattern rules: see [`Router::insert`]. The most specific pattern decides,
//! then the method: with `GET /users/me` and `PUT /users/{id}`, a
//! `PUT /users/me` is 405, not the second route.

mod params;
mod pattern;

#[cfg(test)]
mod tests;

use std::fmt;

use http::Method;

pub use params::Params;

use pattern::check_pattern;

/// Routes by method and pattern.
///
/// ```
/// use corelane_proto::router::{Match, Params, Router};
/// use http::Method;
///
/// let mut router = Router::new();
/// router.insert(Method::GET, "/users/{id}", "show user")?;
/// let mut params = Params::new();
/// let path = "/users/42";
/// assert!(matches!(router.find(&Method::GET, path, &mut params), Match::Found(&"show user")));
/// assert_eq!(params.name(path, "id"), Some("42"));
/// # Ok::<(), corelane_proto::router::RouteError>(())
/// ```
pub struct Router<T> {
    /// Pattern to index in `paths`.
    tree: matchit::Router<usize>,
    paths: Vec<PathRoutes<T>>,
}

/// What [`Router::find`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Match<'r, T> {
    /// The route's value; the parameters are filled in.
    Found(&'r T),
    /// A pattern fits, but not for this method: 405, or 204 for OPTIONS.
    MethodNotAllowed {
        /// Value of the Allow header: `GET, HEAD, OPTIONS`.
        allow: &'r str,
    },
    /// No pattern fits: 404.
    NotFound,
}

/// Why a route was refused, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteError {
    /// The pattern itself is wrong.
    BadPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong and what would be right.
        reason: &'static str,
    },
    /// Some path would fit both patterns and neither is more specific.
    Conflict {
        /// The pattern that was refused.
        pattern: String,
        /// The pattern inserted before.
        with: String,
    },
    /// The method has a route for this very pattern already.
    Duplicate {
        /// The method.
        method: Method,
        /// The pattern.
        pattern: String,
    },
}

/// The routes of one pattern.
struct PathRoutes<T> {
    pattern: String,
    by_method: Vec<(Method, T)>,
    allow: String,
}

impl<T> Router<T> {
    /// No routes.
    pub fn new() -> Self {
        Self {
            tree: matchit::Router::new(),
            paths: Vec::new(),
        }
    }

    /// Adds a route. `pattern` is an absolute path, compared with paths as
    /// sent (not decoded):
    ///
    /// - `{id}` as a whole segment fits one non-empty segment;
    /// - `{*rest}` as the last segment fits the non-empty remainder, slashes
    ///   included;
    /// - text wins over a parameter, from the left; `{id}` and `{*rest}` at
    ///   the same place conflict;
    /// - `/users` and `/users/` are two patterns;
    /// - at most [`crate::limits::ROUTE_PARAMS_MAX`] parameters, each with a
    ///   name of its own of ASCII letters, digits and `_`.
    ///
    /// A GET route also answers HEAD unless HEAD has a route of its own.
    ///
    /// # Errors
    ///
    /// [`RouteError`] names the patterns concerned; the router is unchanged.
    pub fn insert(&mut self, method: Method, pattern: &str, value: T) -> Result<(), RouteError> {
        check_pattern(pattern).map_err(|reason| RouteError::BadPattern {
            pattern: pattern.to_owned(),
            reason,
        })?;
        let known = self.paths.iter().position(|path| path.pattern == pattern);
        let index = match known {
            Some(index) => index,
            None => self.insert_path(pattern)?,
        };
        let path = &mut self.paths[index];
        if path.by_method.iter().any(|(known, _)| *known == method) {
            return Err(RouteError::Duplicate {
                method,
                pattern: pattern.to_owned(),
            });
        }
        path.by_method.push((method, value));
        path.allow = allow(path.by_method.iter().map(|(method, _)| method));
        Ok(())
    }

    /// Finds the route of `path`, the target without its query. `params` is
    /// filled when one is found and empty otherwise.
    pub fn find<'r>(&'r self, method: &Method, path: &str, params: &mut Params) -> Match<'r, T> {
        params.clear();
        let Ok(found) = self.tree.at(path) else {
            return Match::NotFound;
        };
        let routes = &self.paths[*found.value];
        match routes.of(method) {
            Some(value) => {
                for (name, value) in found.params.iter() {
                    params.push(path, name, value);
                }
                Match::Found(value)
            }
            None => Match::MethodNotAllowed {
                allow: &routes.allow,
            },
        }
    }

    /// Every route: method, pattern, value; by pattern as first inserted.
    pub fn iter(&self) -> impl Iterator<Item = (&Method, &str, &T)> {
        self.paths.iter().flat_map(|path| {
            path.by_method
                .iter()
                .map(|(method, value)| (method, path.pattern.as_str(), value))
        })
    }

    fn insert_path(&mut self, pattern: &str) -> Result<usize, RouteError> {
        let index = self.paths.len();
        self.tree
            .insert(pattern, index)
            .map_err(|error| self.refusal(pattern, &error))?;
        self.paths.push(PathRoutes {
            pattern: pattern.to_owned(),
            by_method: Vec::new(),
            allow: String::new(),
        });
        Ok(index)
    }

    fn refusal(&self, pattern: &str, error: &matchit::InsertError) -> RouteError {
        match error {
            matchit::InsertError::Conflict { with } => RouteError::Conflict {
                pattern: pattern.to_owned(),
                with: self.conflicting(pattern).unwrap_or(with).to_owned(),
            },
            _ => RouteError::BadPattern {
                pattern: pattern.to_owned(),
                reason: pattern::SEGMENT,
            },
        }
    }

    /// The first known pattern that refuses `pattern` even when alone; the
    /// tree itself names a pattern rebuilt from its nodes, which need not be
    /// one that was inserted.
    fn conflicting(&self, pattern: &str) -> Option<&str> {
        self.paths
            .iter()
            .map(|path| path.pattern.as_str())
            .find(|known| {
                let mut pair = matchit::Router::new();
                pair.insert(*known, ()).is_ok() && pair.insert(pattern, ()).is_err()
            })
    }
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for Router<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T> PathRoutes<T> {
    fn of(&self, method: &Method) -> Option<&T> {
        let exact = self.by_method.iter().find(|(known, _)| known == method);
        let route = match exact {
            None if *method == Method::HEAD => self
                .by_method
                .iter()
                .find(|(known, _)| *known == Method::GET),
            _ => exact,
        };
        route.map(|(_, value)| value)
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPattern { pattern, reason } => {
                write!(f, "route pattern {pattern:?}: {reason}")
            }
            Self::Conflict { pattern, with } => write!(
                f,
                "route patterns {pattern:?} and {with:?} fit the same paths: \
                 give them the same parameter names, or another prefix"
            ),
            Self::Duplicate { method, pattern } => write!(
                f,
                "{method} {pattern:?} has a route already: remove one of the two"
            ),
        }
    }
}

impl std::error::Error for RouteError {}

/// Value of the Allow header for a set of methods: HEAD comes with GET, and
/// OPTIONS is always answered.
fn allow<'a>(methods: impl Iterator<Item = &'a Method> + Clone) -> String {
    let has = |wanted: &Method| methods.clone().any(|method| method == wanted);
    let mut names: Vec<&str> = methods.clone().map(Method::as_str).collect();
    if has(&Method::GET) && !has(&Method::HEAD) {
        names.push(Method::HEAD.as_str());
    }
    if !has(&Method::OPTIONS) {
        names.push(Method::OPTIONS.as_str());
    }
    names.sort_by_key(|name| {
        let place = ALLOW_ORDER.iter().position(|known| known == name);
        (
            *name == Method::OPTIONS.as_str(),
            place.unwrap_or(ALLOW_ORDER.len()),
        )
    });
    names.join(", ")
}

/// Order of the Allow header; extension methods follow, OPTIONS is last.
const ALLOW_ORDER: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
