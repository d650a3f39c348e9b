//! Connections that one piece of work has for itself, in a bb8 pool on the
//! tokio bridge.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{ErrorKind, RedisError, RedisResult};
use bb8::{ManageConnection, Pool, RunError};
use bb8_redis::RedisConnectionManager;

use super::fault::{is_lost, is_misplaced};
use super::options::Address;
use super::{RedisFault, RedisOptions, RedisUrlError};
use crate::engine::{Permit, Permits};
use crate::limits::REDIS_EXCLUSIVE_WAITING_MAX;

/// The pool of the process. Its connections are made when they are needed, and
/// closed by bb8 after ten minutes unused or half an hour in all.
pub(super) struct ExclusivePool {
    source: Source,
    /// Made on the bridge, by the first who needs it.
    pool: OnceLock<Pool<Source>>,
    connections_max: u32,
    wait: Duration,
    timeout: Duration,
    places: Permits,
}

impl ExclusivePool {
    pub(super) fn new(options: &RedisOptions, address: &Address) -> Result<Self, RedisUrlError> {
        let connections = RedisConnectionManager::new(address.info.clone());
        let timeout = Duration::from_millis(options.exclusive_timeout_ms);
        Ok(Self {
            source: Source {
                connections: connections.map_err(|_| RedisUrlError::UNUSABLE)?,
                timeout,
            },
            pool: OnceLock::new(),
            connections_max: options.exclusive_connections_max.max(1),
            wait: Duration::from_millis(options.exclusive_wait_ms.max(1)),
            timeout,
            places: Permits::new(REDIS_EXCLUSIVE_WAITING_MAX),
        })
    }

    /// A place among those that have a connection or wait for one.
    pub(super) fn take_place(&self) -> Result<Permit, RedisFault> {
        self.places.take().ok_or(RedisFault::Busy)
    }

    /// Runs on the bridge.
    pub(super) async fn run<T, F, W>(&self, work: F) -> Result<T, RedisFault>
    where
        F: FnOnce(MultiplexedConnection) -> W,
        W: Future<Output = RedisResult<T>>,
    {
        let pool = self.pool.get_or_init(|| self.build());
        let mut connection = match pool.get().await {
            Ok(connection) => connection,
            Err(RunError::TimedOut) => return Err(RedisFault::Busy),
            Err(RunError::User(error)) => return Err(RedisFault::of(&error)),
        };
        // Until it is known to be fit for the next one: should this future be
        // dropped, a command may be under way on it.
        connection.is_spent = true;
        let work = work(connection.connection.clone());
        let Ok(outcome) = tokio::time::timeout(self.timeout, work).await else {
            return Err(RedisFault::TooSlow);
        };
        let is_spent = |error: &RedisError| is_lost(error) || is_misplaced(error);
        connection.is_spent = outcome.as_ref().is_err_and(is_spent);
        outcome.map_err(|error| RedisFault::of(&error))
    }

    fn build(&self) -> Pool<Source> {
        Pool::builder()
            .max_size(self.connections_max)
            .connection_timeout(self.wait)
            // A server that is away is told at once, not after the wait.
            .retry_connection(false)
            .build_unchecked(self.source.clone())
    }
}

/// Makes connections by bb8-redis, and is stricter about who may come back.
#[derive(Clone)]
struct Source {
    connections: RedisConnectionManager,
    timeout: Duration,
}

struct Exclusive {
    connection: MultiplexedConnection,
    is_spent: bool,
}

impl ManageConnection for Source {
    type Connection = Exclusive;
    type Error = RedisError;

    async fn connect(&self) -> Result<Exclusive, RedisError> {
        let mut connection = self.connections.connect().await?;
        // The library's default of half a second is less than commands block;
        // the timeout of the work comes first.
        connection.set_response_timeout(self.timeout + Duration::from_secs(1));
        Ok(Exclusive {
            connection,
            is_spent: false,
        })
    }

    /// In place of bb8-redis's `PING`, for the same round trip: it also takes
    /// back what the last user watched, and is not answered `OK` in a
    /// transaction or subscription somebody left open.
    async fn is_valid(&self, exclusive: &mut Exclusive) -> Result<(), RedisError> {
        let unwatch = ::redis::cmd("UNWATCH");
        let answer: String = unwatch.query_async(&mut exclusive.connection).await?;
        match answer.as_str() {
            "OK" => Ok(()),
            _ => Err((ErrorKind::Extension, "a transaction was left open").into()),
        }
    }

    fn has_broken(&self, exclusive: &mut Exclusive) -> bool {
        exclusive.is_spent
    }
}
