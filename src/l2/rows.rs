//! The rows in Redis, as one shard asks for them.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::change::RowChange;
use super::pending_invalidations::PendingInvalidations;
use super::scripts::{Scripts, filled};
use super::session::{Generation, RowSession};
use crate::engine::{self, LocalPermits};
use crate::ids::random_seed;
use crate::limits::{CACHE_DOUBT_MS, L2_PUTS_IN_FLIGHT_MAX};
use crate::metrics::{MetricsSource, SecondLevelCounters, SecondLevelSnapshot};
use crate::redis::{Redis, RedisFault};
use crate::redis_codec::{EntryKind, GENERATION_BYTES, RedisEntry, version_digits};

/// Options of the rows in Redis. All nodes with the same database must have the
/// same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowCacheOptions {
    /// How the metrics name it.
    pub name: String,
    /// What keys start with. Another for every database.
    pub prefix: String,
    /// How long a row is kept, milliseconds.
    pub ttl_ms: u64,
    /// How long a row that was read earlier cannot be put there after a write,
    /// milliseconds. A load that takes longer than half of it is not put there
    /// at all.
    pub tombstone_ms: u64,
    /// How long a write without a clear outcome may still happen, milliseconds.
    pub doubt_ms: u64,
}

impl RowCacheOptions {
    /// A cache of this name, of a database that `prefix` stands for: rows for a
    /// minute, tombstones for ten seconds.
    pub fn new(name: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            prefix: prefix.into(),
            ttl_ms: 60_000,
            tombstone_ms: 10_000,
            doubt_ms: CACHE_DOUBT_MS,
        }
    }
}

/// What the row caches of all shards of a process have in common.
#[derive(Debug)]
pub struct RowPlan {
    pub(super) options: RowCacheOptions,
    pub(super) pending: PendingInvalidations,
}

impl RowPlan {
    /// For [`RowCache::new`] on every shard.
    #[must_use]
    pub fn new(options: RowCacheOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            pending: PendingInvalidations::default(),
        })
    }
}

/// Rows of the database in Redis, from one shard. Cheap to clone; without
/// [`attach`](Self::attach) it knows nothing and does nothing.
///
/// ```
/// use corelane::App;
/// use corelane::internals::l2::{RowCache, RowCacheOptions, RowPlan};
///
/// let plan = RowPlan::new(RowCacheOptions::new("users", "my-database"));
/// let app = App::new()
///     .state(move |_shard| {
///         let rows = RowCache::new(&plan);
///         async move { Ok(rows) }
///     })
///     .on_shard_start(|shard| {
///         if let (Some(rows), Some(redis)) = (shard.state::<RowCache>(), shard.redis()) {
///             rows.attach(redis);
///         }
///     })
///     .metrics_source::<RowCache>();
/// # app.check().unwrap();
/// ```
#[derive(Clone)]
pub struct RowCache {
    pub(super) inner: Rc<RowCacheParts>,
}

pub(super) struct RowCacheParts {
    pub(super) plan: Arc<RowPlan>,
    pub(super) scripts: Scripts,
    redis: OnceCell<Redis>,
    is_unused: Cell<bool>,
    session: Cell<Option<RowSession>>,
    /// One for the task that begins a session.
    opening: LocalPermits,
    /// One for each row that is being put.
    puts: LocalPermits,
    /// One for the task that tells what is pending.
    pub(super) retrying: LocalPermits,
    pub(super) counters: RefCell<SecondLevelCounters>,
}

/// What was found under the id of a row.
#[derive(Debug)]
pub enum RowLookup {
    /// The row, as it was put; should it turn out to be none, the ticket is for
    /// whoever loads it.
    Found(Vec<u8>, FillTicket),
    /// Nothing: whoever loads it now may put it there.
    Missing(FillTicket),
    /// Redis cannot be asked, or is not believed.
    Bypass,
    /// There is no Redis.
    Off,
}

/// When a load began, as Redis sees it.
#[derive(Debug, Clone, Copy)]
pub struct FillTicket {
    pub(super) generation: Generation,
    pub(super) begun_ms: u64,
}

impl RowCache {
    /// That of one shard.
    #[must_use]
    pub fn new(plan: &Arc<RowPlan>) -> Self {
        Self {
            inner: Rc::new(RowCacheParts {
                plan: plan.clone(),
                scripts: Scripts::new(),
                redis: OnceCell::new(),
                is_unused: Cell::new(false),
                session: Cell::new(None),
                opening: LocalPermits::new(1),
                puts: LocalPermits::new(L2_PUTS_IN_FLIGHT_MAX),
                retrying: LocalPermits::new(1),
                counters: RefCell::default(),
            }),
        }
    }

    /// One that stays without Redis, whatever the app has.
    #[must_use]
    pub fn unused(plan: &Arc<RowPlan>) -> Self {
        let unused = Self::new(plan);
        unused.inner.is_unused.set(true);
        unused
    }

    /// Gives it the shard's Redis; a second one is ignored.
    pub fn attach(&self, redis: Redis) {
        if !self.inner.is_unused.get() {
            let _ = self.inner.redis.set(redis);
        }
    }

    /// Looks a row up.
    pub async fn seek(&self, id: i64) -> RowLookup {
        let Some(redis) = self.inner.redis.get() else {
            return RowLookup::Off;
        };
        let found = match self.inner.plan.pending.has_any() {
            true => {
                self.retry_soon();
                Err(())
            }
            false => self.ask(redis, id).await.map_err(drop),
        };
        let found = found.unwrap_or(RowLookup::Bypass);
        self.count(|counters| match found {
            RowLookup::Found(..) => counters.hits += 1,
            RowLookup::Missing(_) => counters.misses += 1,
            RowLookup::Bypass => counters.bypasses += 1,
            RowLookup::Off => {}
        });
        found
    }

    async fn ask(&self, redis: &Redis, id: i64) -> Result<RowLookup, RedisFault> {
        let Some(session) = self.session(redis).await? else {
            return Ok(RowLookup::Bypass);
        };
        let mut command = ::redis::cmd("MGET");
        command.arg(self.generation_key()).arg(self.row_key(id));
        let (generation, bytes): (Option<Vec<u8>>, Option<Vec<u8>>) = redis.run(&command).await?;
        let generation = generation.as_deref().and_then(|name| name.first_chunk());
        let Some(generation) = generation.copied() else {
            // Redis is empty: there is no generation until one is begun.
            self.inner.session.set(None);
            return Ok(RowLookup::Bypass);
        };
        let session = session.of_generation(generation);
        self.inner.session.set(Some(session));
        if self.inner.plan.pending.has_any() || !session.is_good(redis.outages()) {
            // Pending since it was asked, or it is another server that was asked:
            // what it said may be old.
            return Ok(RowLookup::Bypass);
        }
        let ticket = FillTicket {
            generation,
            begun_ms: session.server_now_ms(),
        };
        if let Some(bytes) = bytes {
            match RedisEntry::parse(&bytes) {
                Some(entry) if entry.generation == generation && entry.kind == EntryKind::Row => {
                    return Ok(RowLookup::Found(entry.row.to_vec(), ticket));
                }
                Some(_) => {}
                None => self.note_undecodable(),
            }
        }
        Ok(RowLookup::Missing(ticket))
    }

    /// A row was found that is none: somebody else's, or of another version of
    /// this program. It counts as not there.
    pub fn note_undecodable(&self) {
        self.count(|counters| counters.garbage += 1);
    }

    /// Puts a row there that was loaded after `ticket` was given, unless
    /// something newer is there. Nobody waits for it.
    pub fn fill(&self, ticket: FillTicket, id: i64, version: i64, row: Vec<u8>) {
        let Some(put) = self.inner.puts.take() else {
            self.count(|counters| counters.dropped += 1);
            return;
        };
        let this = self.clone();
        engine::spawn_local(async move {
            let outcome = this.fill_now(ticket, id, version, &row).await;
            this.count(|counters| match outcome {
                Ok(filled::PUT) => counters.fills += 1,
                Ok(filled::OLDER) => counters.fills_older += 1,
                Ok(_) => counters.fills_late += 1,
                Err(_) => counters.failures += 1,
            });
            drop(put);
        });
    }

    async fn fill_now(
        &self,
        ticket: FillTicket,
        id: i64,
        version: i64,
        row: &[u8],
    ) -> Result<i64, RedisFault> {
        let options = &self.inner.plan.options;
        let last_ms = ticket.begun_ms + options.tombstone_ms / 2;
        let args = [
            &ticket.generation[..],
            version_digits(version).as_bytes(),
            row,
            options.ttl_ms.to_string().as_bytes(),
            last_ms.to_string().as_bytes(),
        ]
        .map(<[u8]>::to_vec);
        self.run(&self.inner.scripts.fill, id, &args).await
    }

    /// Begins to change a row. What is returned must be told how that ended.
    pub fn change(&self, id: i64) -> RowChange {
        RowChange::begin(self, id)
    }

    /// Rows that were changed elsewhere: their ids, and their versions or
    /// `None` for rows that are gone. When it returns nothing older is read
    /// there by this process. To be called before the process's own caches are
    /// told, which would else load the old rows from there.
    pub async fn changed(&self, rows: &[(i64, Option<i64>)]) {
        self.put_tombstones(rows).await;
    }

    /// Anything may have been changed elsewhere: everything that is there is
    /// out of reach when it returns. As [`changed`](Self::changed), for all
    /// rows.
    pub async fn changed_any(&self) {
        if self.inner.redis.get().is_some() {
            self.inner.plan.pending.record_all();
            self.retry_now().await;
            self.retry_soon();
        }
    }

    /// Runs a script about a row.
    pub(super) async fn run(
        &self,
        script: &::redis::Script,
        id: i64,
        args: &[Vec<u8>],
    ) -> Result<i64, RedisFault> {
        let redis = self.redis().ok_or_else(gone)?;
        let (generation, row) = (self.generation_key(), self.row_key(id));
        let keys = [generation.as_bytes(), row.as_bytes()];
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let (done, _now_ms): (i64, u64) = redis.script(script, &keys, &args).await?;
        Ok(done)
    }

    /// Begins a new generation.
    pub(super) async fn raise(&self) -> Result<(), RedisFault> {
        let redis = self.redis().ok_or_else(gone)?;
        let key = self.generation_key();
        let raise = &self.inner.scripts.raise;
        let () = redis
            .script(raise, &[key.as_bytes()], &[&new_generation()])
            .await?;
        Ok(())
    }

    /// The session on this connection, begun if need be; `None` while another
    /// task begins it.
    async fn session(&self, redis: &Redis) -> Result<Option<RowSession>, RedisFault> {
        let present = self.present_session();
        if present.is_some_and(|session| session.is_young()) {
            return Ok(present);
        }
        let Some(_opening) = self.inner.opening.take() else {
            return Ok(present);
        };
        let outages = redis.outages();
        let (key, name) = (self.generation_key(), new_generation());
        let open = &self.inner.scripts.open;
        let (name, server_ms): (Vec<u8>, u64) =
            redis.script(open, &[key.as_bytes()], &[&name]).await?;
        let Some(generation) = name.first_chunk() else {
            return Ok(None);
        };
        let session = RowSession::new(*generation, outages, server_ms);
        self.inner.session.set(Some(session));
        Ok(Some(session))
    }

    /// The session, if it is of this connection.
    pub(super) fn present_session(&self) -> Option<RowSession> {
        let outages = self.redis()?.outages();
        let session = self.inner.session.get();
        session.filter(|session| session.is_good(outages))
    }

    pub(super) fn redis(&self) -> Option<&Redis> {
        self.inner.redis.get()
    }

    fn generation_key(&self) -> String {
        format!("{}:generation", self.inner.plan.options.prefix)
    }

    fn row_key(&self, id: i64) -> String {
        let options = &self.inner.plan.options;
        format!("{}:{}:{id}", options.prefix, options.name)
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut SecondLevelCounters)) {
        count(&mut self.inner.counters.borrow_mut());
    }
}

/// Nothing without Redis.
impl MetricsSource for RowCache {
    fn resume(&self, before: &mut Vec<SecondLevelSnapshot>) {
        let name = &self.inner.plan.options.name;
        let own = before.iter().position(|level| level.name == *name);
        if let Some(own) = own.map(|index| before.remove(index)) {
            self.inner.counters.borrow_mut().add(&own.counters);
        }
    }

    fn second_levels(&self) -> Vec<SecondLevelSnapshot> {
        let counted = self.inner.redis.get().map(|_| SecondLevelSnapshot {
            name: self.inner.plan.options.name.clone(),
            counters: *self.inner.counters.borrow(),
        });
        counted.into_iter().collect()
    }
}

fn gone() -> RedisFault {
    RedisFault::Down("there is none".to_owned())
}

fn new_generation() -> [u8; GENERATION_BYTES] {
    let name = format!("{:016x}", random_seed());
    *name.as_bytes().first_chunk().expect("sixteen digits")
}

impl std::fmt::Debug for RowCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowCache({:?})", self.inner.plan.options.name)
    }
}
