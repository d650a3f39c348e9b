//! What handlers use: commands, scripts and pipelines on the shard's
//! connection, and work on an exclusive one.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, Script};

use super::fault::{is_lost, is_misplaced, wants_primary};
use super::link::Link;
use super::{ExclusiveConnection, RedisFault, RedisPlan};
use crate::metrics::{RedisCounters, ShardSnapshot};

/// The app's Redis, from one shard. Cheap to clone; it never leaves its shard.
///
/// All commands of a shard share one connection, in the order they are asked
/// for: none may block or keep state in the connection (`BLPOP`, `WATCH`,
/// `SUBSCRIBE`, `SELECT`); that is what [`exclusive`](Self::exclusive) is for.
/// A future that is dropped takes nothing along: the answer is read and
/// thrown away.
///
/// ```
/// use corelane::redis::{RedisFault, RedisOptions};
/// use corelane::{App, Ctx, Error, Response};
/// use redis::cmd;
///
/// /// Counts visits while Redis is there, and serves when it is not.
/// async fn visit(ctx: Ctx) -> Result<Response, Error> {
///     let redis = ctx.redis().expect("`App::redis` gives it");
///     let text = match redis.run::<u64>(cmd("INCR").arg("visits")).await {
///         Ok(visits) => format!("visit {visits}\n"),
///         Err(RedisFault::Refused(why)) => return Err(Error::internal(why)),
///         Err(_) => "a visit\n".to_owned(),
///     };
///     Ok(Response::text(text))
/// }
///
/// let app = App::new()
///     .redis(RedisOptions::new("redis://127.0.0.1:6379/0"))
///     .get("/visit", visit);
/// app.check().unwrap();
/// ```
#[derive(Clone)]
pub struct Redis {
    link: Rc<Link>,
}

impl Redis {
    /// Connects, or tries to: one attempt is waited for, the others are made
    /// in the background. Counts on from a shard that died.
    pub(crate) async fn start(
        plan: Option<Arc<RedisPlan>>,
        died: Option<&ShardSnapshot>,
    ) -> Option<Self> {
        let inherited = died.and_then(|died| died.redis).unwrap_or_default();
        let link = Link::start(plan?, inherited).await;
        Some(Self { link })
    }

    /// Runs one command.
    ///
    /// # Errors
    /// [`RedisFault`], after the deadline at the latest.
    pub async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, RedisFault> {
        self.ask(async |connection| command.query_async(connection).await)
            .await
    }

    /// Runs a script by its hash; a server that does not know it gets it first.
    ///
    /// # Errors
    /// [`RedisFault`], after the deadline at the latest, loading included.
    pub async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> Result<T, RedisFault> {
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(*key);
        }
        for arg in args {
            invocation.arg(*arg);
        }
        self.ask(async |connection| invocation.invoke_async(connection).await)
            .await
    }

    /// Sends several commands at once; `atomic()` makes a transaction of them.
    ///
    /// # Errors
    /// [`RedisFault`], after the deadline at the latest.
    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, RedisFault> {
        self.ask(async |connection| pipeline.query_async(connection).await)
            .await
    }

    /// Why there is no connection, while there is none.
    pub fn outage(&self) -> Option<String> {
        self.link.connection().err()
    }

    /// Whether the circuit is closed: there is a connection, and commands are
    /// sent.
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// How often this shard has lost its connection, or given it up. As long as
    /// it stays the same and the circuit is closed, nothing was missed on it.
    pub fn outages(&self) -> u64 {
        self.link.outages()
    }

    /// Has `callback` called on this shard whenever a connection is made again,
    /// before any command is sent over it. Kept as long as the shard lives.
    pub fn on_up(&self, callback: impl Fn() + 'static) {
        self.link.on_up(Rc::new(callback));
    }

    /// Runs `work` with a connection that nobody else uses, on the tokio
    /// bridge: a whole `WATCH`, `MULTI` and `EXEC`, or a blocking command. The
    /// connection is one of a pool of the whole process.
    ///
    /// One hop for all of `work`, and one `UNWATCH` before it: about 45 us of CPU
    /// for a single command, 85 for `WATCH`, `GET` and a transaction (eight at
    /// once, unoptimised), against 2 to 4 for [`run`](Self::run). Dropped before its end, `work` is dropped and
    /// its connection closed.
    ///
    /// # Errors
    /// [`RedisFault`]: `Busy` when no connection was free in time, `TooSlow`
    /// when `work` took longer than `exclusive_timeout_ms`.
    pub async fn exclusive<T, F, W>(&self, work: F) -> Result<T, RedisFault>
    where
        T: Send + 'static,
        F: FnOnce(ExclusiveConnection) -> W + Send + 'static,
        W: Future<Output = RedisResult<T>> + Send + 'static,
    {
        self.link.counters.borrow_mut().exclusives += 1;
        let outcome = self.on_bridge(work).await;
        if outcome.is_err() {
            self.link.counters.borrow_mut().exclusive_failures += 1;
        }
        outcome
    }

    async fn on_bridge<T, F, W>(&self, work: F) -> Result<T, RedisFault>
    where
        T: Send + 'static,
        F: FnOnce(ExclusiveConnection) -> W + Send + 'static,
        W: Future<Output = RedisResult<T>> + Send + 'static,
    {
        self.link.connection().map_err(RedisFault::Down)?;
        let plan = self.link.plan.clone();
        let bridge = plan.bridge.clone();
        let place = plan.exclusive.take_place()?;
        let outcome = bridge.run(async move {
            let _place = place;
            plan.exclusive.run(work).await
        });
        outcome.await?
    }

    /// Asks under a deadline, and counts.
    async fn ask<T>(
        &self,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, RedisFault> {
        let link = &*self.link;
        link.counters.borrow_mut().commands += 1;
        let mut connection = link.connection().map_err(|why| {
            link.counters.borrow_mut().failed_down += 1;
            RedisFault::Down(why)
        })?;
        let Some(deadline) = link.pending.start() else {
            link.counters.borrow_mut().failed_busy += 1;
            return Err(RedisFault::Busy);
        };
        let mut work = pin!(work(&mut connection));
        let outcome = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if deadline.has_passed(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match outcome.await {
            Some(Ok(value)) => {
                link.note_answer();
                Ok(value)
            }
            Some(Err(error)) => Err(self.failed(&error)),
            None => {
                link.counters.borrow_mut().failed_too_slow += 1;
                link.note_late();
                Err(RedisFault::TooSlow)
            }
        }
    }

    fn failed(&self, error: &RedisError) -> RedisFault {
        let fault = RedisFault::of(error);
        if is_lost(error) {
            self.link.counters.borrow_mut().failed_down += 1;
            return fault;
        }
        self.link.note_answer();
        if is_misplaced(error) {
            self.link.leave(error.to_string(), wants_primary(error));
        }
        let mut counters = self.link.counters.borrow_mut();
        let counter = match error.code() {
            Some("LOADING") => &mut counters.refused_loading,
            Some("READONLY") => &mut counters.refused_readonly,
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => &mut counters.refused_auth,
            Some("OOM") => &mut counters.refused_oom,
            _ => &mut counters.refused_other,
        };
        *counter += 1;
        fault
    }

    /// This shard's numbers.
    pub(crate) fn counters(&self) -> RedisCounters {
        self.link.snapshot()
    }

    /// Ends the connection.
    pub(crate) async fn close(&self) {
        self.link.close().await;
    }

    /// Whether none of its operations is in flight any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.link.has_ended()
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plan = &self.link.plan;
        f.debug_tuple("Redis").field(&plan.options.url).finish()
    }
}
