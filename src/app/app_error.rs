//! Why an app cannot be served: mistakes of the program, told at start.

use std::fmt;

use http::Method;

use crate::cache::CacheOptionsError;
use crate::redis::RedisUrlError;
use crate::router::RouteError;

/// What [`App::check`](super::App::check) found; each message names the cure.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppError {
    /// A pattern is wrong, or two routes are in each other's way.
    Route(RouteError),
    /// An app cannot be nested like this.
    Nest {
        /// The prefix that was given.
        prefix: String,
        /// What is wrong and what would be right.
        reason: &'static str,
    },
    /// An app cannot be the admin app of another like this.
    Admin {
        /// What is wrong and what would be right.
        reason: &'static str,
    },
    /// Two states have the same type, by which handlers ask for it.
    StateTwice {
        /// The type.
        type_name: &'static str,
    },
    /// The options of a cache cannot be used.
    Cache(CacheOptionsError),
    /// Two caches have the same name.
    CacheTwice {
        /// The name.
        name: String,
    },
    /// The options of sessions cannot be used.
    Sessions {
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Sessions are given twice.
    SessionsTwice,
    /// Sessions have no place to be kept.
    SessionsNowhere,
    /// The Redis of the app has an address that cannot be used.
    Redis(RedisUrlError),
    /// Middleware is meant for a route that is not there.
    NoSuchRoute {
        /// The method.
        method: Method,
        /// The pattern.
        pattern: String,
    },
    /// Two Redis servers are given.
    RedisTwice,
    /// A state was declared as required and is not there.
    StateMissing {
        /// The type.
        type_name: &'static str,
    },
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(error) => error.fmt(f),
            Self::Nest { prefix, reason } => write!(f, "nesting at {prefix:?}: {reason}"),
            Self::Admin { reason } => write!(f, "the admin app: {reason}"),
            Self::StateTwice { type_name } => write!(
                f,
                "two states have the type {type_name}: wrap one of them in a type of its own"
            ),
            Self::Cache(error) => error.fmt(f),
            Self::CacheTwice { name } => write!(
                f,
                "two caches have the name {name:?}: give one of them another"
            ),
            Self::Sessions { reason } => f.write_str(reason),
            Self::SessionsTwice => f.write_str("an app has one kind of session: give it once"),
            Self::SessionsNowhere => f.write_str(
                "sessions have no place to be kept: give the app a Redis with `App::redis`, \
                 or name its database of users with `App::session_backend`",
            ),
            Self::Redis(error) => write!(f, "the address of Redis: {error}"),
            Self::NoSuchRoute { method, pattern } => write!(
                f,
                "there is no route {method} {pattern} to put middleware on: add the route first"
            ),
            Self::RedisTwice => f.write_str("an app has one Redis: give it once"),
            Self::StateMissing { type_name } => write!(
                f,
                "there is no state of the type {type_name}: add it with `App::state`"
            ),
        }
    }
}

/// The message, as a `main` that returns it prints it.
impl fmt::Debug for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for AppError {}

impl From<RouteError> for AppError {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}
