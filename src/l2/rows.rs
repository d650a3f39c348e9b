//! One shard's door to the rows in Redis.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::change::Change;
use super::debts::Debts;
use super::scripts::{Scripts, filled};
use super::session::{Generation, Session};
use crate::engine;
use crate::ids::random_seed;
use crate::limits::{CACHE_DOUBT_MS, L2_PUTS_IN_FLIGHT_MAX};
use crate::metrics::{MetricsSource, SecondLevelCounters, SecondLevelSnapshot};
use crate::redis::{Redis, RedisFault};
use crate::redis_codec::{Entry, EntryKind, GENERATION_BYTES, version_digits};

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
    pub(super) debts: Debts,
}

impl RowPlan {
    /// For [`RowCache::new`] on every shard.
    #[must_use]
    pub fn new(options: RowCacheOptions) -> Arc<Self> {
        Arc::new(Self {
            options,
            debts: Debts::default(),
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
    pub(super) inner: Rc<Inner>,
}

pub(super) struct Inner {
    pub(super) plan: Arc<RowPlan>,
    pub(super) scripts: Scripts,
    redis: OnceCell<Redis>,
    is_unused: Cell<bool>,
    session: Cell<Option<Session>>,
    is_opening: Cell<bool>,
    puts_in_flight: Cell<usize>,
    pub(super) is_paying: Cell<bool>,
    pub(super) counters: RefCell<SecondLevelCounters>,
}

/// What was found under the id of a row.
#[derive(Debug)]
pub enum Sought {
    /// The row, as it was put; should it turn out to be none, the ticket is for
    /// whoever loads it.
    Found(Vec<u8>, Ticket),
    /// Nothing: whoever loads it now may put it there.
    Missing(Ticket),
    /// Redis cannot be asked, or is not believed.
    Bypass,
    /// There is no Redis.
    Off,
}

/// When a load began, as Redis sees it.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    pub(super) generation: Generation,
    pub(super) begun_ms: u64,
}

impl RowCache {
    /// The door of one shard.
    #[must_use]
    pub fn new(plan: &Arc<RowPlan>) -> Self {
        Self {
            inner: Rc::new(Inner {
                plan: plan.clone(),
                scripts: Scripts::new(),
                redis: OnceCell::new(),
                is_unused: Cell::new(false),
                session: Cell::new(None),
                is_opening: Cell::new(false),
                puts_in_flight: Cell::new(0),
                is_paying: Cell::new(false),
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
    pub async fn seek(&self, id: i64) -> Sought {
        let Some(redis) = self.inner.redis.get() else {
            return Sought::Off;
        };
        let sought = match self.inner.plan.debts.is_owing() {
            true => {
                self.pay_soon();
                Err(())
            }
            false => self.ask(redis, id).await.map_err(drop),
        };
        let sought = sought.unwrap_or(Sought::Bypass);
        self.count(|counters| match sought {
            Sought::Found(..) => counters.hits += 1,
            Sought::Missing(_) => counters.misses += 1,
            Sought::Bypass => counters.bypasses += 1,
            Sought::Off => {}
        });
        sought
    }

    async fn ask(&self, redis: &Redis, id: i64) -> Result<Sought, RedisFault> {
        let Some(session) = self.session(redis).await? else {
            return Ok(Sought::Bypass);
        };
        let mut command = ::redis::cmd("MGET");
        command.arg(self.generation_key()).arg(self.row_key(id));
        let (generation, bytes): (Option<Vec<u8>>, Option<Vec<u8>>) = redis.run(&command).await?;
        let generation = generation.as_deref().and_then(|name| name.first_chunk());
        let Some(generation) = generation.copied() else {
            // Redis is empty: there is no generation until one is begun.
            self.inner.session.set(None);
            return Ok(Sought::Bypass);
        };
        let session = session.of_generation(generation);
        self.inner.session.set(Some(session));
        if self.inner.plan.debts.is_owing() || !session.is_good(redis.outages()) {
            // Owed since it was asked, or it is another server that was asked:
            // what it said may be old.
            return Ok(Sought::Bypass);
        }
        let ticket = Ticket {
            generation,
            begun_ms: session.server_now_ms(),
        };
        if let Some(bytes) = bytes {
            match Entry::parse(&bytes) {
                Some(entry) if entry.generation == generation && entry.kind == EntryKind::Row => {
                    return Ok(Sought::Found(entry.row.to_vec(), ticket));
                }
                Some(_) => {}
                None => self.note_garbage(),
            }
        }
        Ok(Sought::Missing(ticket))
    }

    /// A row was found that is none: somebody else's, or of another version of
    /// this program. It counts as not there.
    pub fn note_garbage(&self) {
        self.count(|counters| counters.garbage += 1);
    }

    /// Puts a row there that was loaded after `ticket` was given, unless
    /// something newer is there. Nobody waits for it.
    pub fn fill(&self, ticket: Ticket, id: i64, version: i64, row: Vec<u8>) {
        let Some(put) = PutInFlight::start(&self.inner) else {
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
        ticket: Ticket,
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
    pub fn change(&self, id: i64) -> Change {
        Change::begin(self, id)
    }

    /// Rows that were changed elsewhere: their ids, and their versions or
    /// `None` for rows that are gone. When it returns nothing older is read
    /// there by this process. To be called before the process's own caches are
    /// told, which would else load the old rows from there.
    pub async fn changed(&self, rows: &[(i64, Option<i64>)]) {
        self.tell_of(rows).await;
    }

    /// Anything may have been changed elsewhere: everything that is there is
    /// out of reach when it returns. As [`changed`](Self::changed), for all
    /// rows.
    pub async fn changed_any(&self) {
        if self.inner.redis.get().is_some() {
            self.inner.plan.debts.owe_all();
            self.pay().await;
            self.pay_soon();
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
    async fn session(&self, redis: &Redis) -> Result<Option<Session>, RedisFault> {
        let present = self.present_session();
        if present.is_some_and(|session| session.is_young()) {
            return Ok(present);
        }
        let Some(_opening) = Opening::start(&self.inner) else {
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
        let session = Session::new(*generation, outages, server_ms);
        self.inner.session.set(Some(session));
        Ok(Some(session))
    }

    /// The session, if it is of this connection.
    pub(super) fn present_session(&self) -> Option<Session> {
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

/// A task that begins a session; one at a time.
struct Opening(Rc<Inner>);

impl Opening {
    fn start(inner: &Rc<Inner>) -> Option<Self> {
        let is_first = !inner.is_opening.replace(true);
        is_first.then(|| Self(inner.clone()))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.is_opening.set(false);
    }
}

/// A row that is being put.
struct PutInFlight(Rc<Inner>);

impl PutInFlight {
    fn start(inner: &Rc<Inner>) -> Option<Self> {
        let before = inner.puts_in_flight.get();
        (before < L2_PUTS_IN_FLIGHT_MAX).then(|| {
            inner.puts_in_flight.set(before + 1);
            Self(inner.clone())
        })
    }
}

impl Drop for PutInFlight {
    fn drop(&mut self) {
        self.0.puts_in_flight.set(self.0.puts_in_flight.get() - 1);
    }
}

impl std::fmt::Debug for RowCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RowCache({:?})", self.inner.plan.options.name)
    }
}
