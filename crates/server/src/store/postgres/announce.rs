//! Tells other processes of a shard's own writes, after their commit and before
//! they are acknowledged. A trigger could do it in the writing transaction, but
//! PostgreSQL keeps transactions that notify apart from before their commit
//! until it is on the disk: one write per flush. A transaction that does nothing
//! else waits for no disk, and what gathers while one is under way goes
//! together in the next.
//!
//! What if the shard dies in between? Others know of it: it tells them, before
//! its first such write and every
//! [`DATABASE_BEAT_MS`](crate::store::limits::DATABASE_BEAT_MS) after that, that it is
//! there; when it falls silent without a goodbye they take everything for
//! changed (`presence`). It holds itself to that: a write that begins when it has
//! not been heard for a while is told by the trigger, in its transaction.

mod queue;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::random_seed;
use crate::store::changes::{self, ChangedRow};
use crate::store::limits::{
    DATABASE_ANNOUNCE_TIMEOUT_MS, DATABASE_ANNOUNCE_WAIT_MS, DATABASE_BEAT_MS, DATABASE_LEASE_MS,
    DATABASE_PRESENCE_MS,
};
use corelane::internals::engine::{self, LocalEvent};
use corelane::internals::limits::POSTGRES_SETTLE_MS;
use corelane::postgres::{DirectConnection, PostgresServer};
use queue::Queue;

/// One shard's.
pub(super) struct Announcer {
    /// None where there is no connection for it: triggers tell then.
    inner: Option<Rc<Inner>>,
}

struct Inner {
    server: Arc<PostgresServer>,
    /// Of the process; others know its writes by it.
    origin: String,
    /// Of this shard, begins with the origin.
    member: String,
    queue: RefCell<Queue>,
    rung: LocalEvent,
    /// When what the others have last heard of us was sent.
    heard_at: Cell<Option<Instant>>,
    /// When a write last asked whether it may be told of here.
    used_at: Cell<Instant>,
    /// Writes sent as ours of which the end is not known yet: while there are
    /// any, no goodbye is said.
    under_way: Cell<u32>,
    is_running: Cell<bool>,
    is_leaving: Cell<bool>,
    on_left: RefCell<Option<oneshot::Sender<()>>>,
}

/// A write that may be told of here. Dropped before its end is known it counts
/// as one that may have been committed, or may yet be.
pub(super) struct Write<'a> {
    announcer: &'a Announcer,
    /// The row, if it is known before.
    id: Option<i64>,
    is_ours: Cell<bool>,
}

impl Announcer {
    /// On the shard that writes; connects when it does, if it may have a
    /// connection for it.
    pub(super) fn new(server: &Arc<PostgresServer>, origin: &str, has_connection: bool) -> Self {
        let inner = Inner {
            server: server.clone(),
            origin: origin.to_owned(),
            member: format!("{origin}.{:08x}", random_seed() as u32),
            queue: RefCell::default(),
            rung: LocalEvent::default(),
            heard_at: Cell::new(None),
            used_at: Cell::new(Instant::now()),
            under_way: Cell::new(0),
            is_running: Cell::new(false),
            is_leaving: Cell::new(false),
            on_left: RefCell::default(),
        };
        Self {
            inner: has_connection.then(|| Rc::new(inner)),
        }
    }

    /// Before a write of the user with this id, or of one that has none yet.
    pub(super) fn write(&self, id: Option<i64>) -> Write<'_> {
        Write {
            announcer: self,
            id,
            is_ours: Cell::new(false),
        }
    }

    /// Tells what there is to tell and says goodbye. For a shard that ends, when
    /// nobody writes any more.
    pub(super) async fn leave(&self) {
        let Some(inner) = &self.inner else { return };
        if !inner.is_running.get() {
            return;
        }
        let (left, leaving) = oneshot::channel();
        *inner.on_left.borrow_mut() = Some(left);
        inner.stop();
        let patience = Duration::from_millis(POSTGRES_SETTLE_MS);
        let _ = engine::timeout(patience, leaving).await;
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        if let Some(inner) = &self.inner {
            inner.stop();
        }
    }
}

impl Write<'_> {
    /// The setting `corelane.announced` of the transaction, to be asked when it
    /// is sent: empty has the trigger tell.
    pub(super) fn mark(&self) -> &'static str {
        let is_ours = self.announcer.inner.as_ref().is_some_and(Inner::may_tell);
        self.count(is_ours);
        if is_ours { "on" } else { "" }
    }

    /// Nothing was written.
    pub(super) fn nothing_done(self) {
        self.count(false);
    }

    /// Whether it is one of those under way that nobody else tells of.
    fn count(&self, is_ours: bool) {
        let Some(inner) = &self.announcer.inner else {
            return;
        };
        let was_ours = self.is_ours.replace(is_ours);
        let others = inner.under_way.get() - u32::from(was_ours);
        inner.under_way.set(others + u32::from(is_ours));
    }

    /// It was committed; when this returns the others have been told, or will be
    /// when they can.
    pub(super) async fn committed(self, id: i64, version: i64) {
        let Some(inner) = self.announcer.inner.as_ref() else {
            return;
        };
        if !self.is_ours.get() {
            return;
        }
        let version = Some(version);
        let told = inner.queue.borrow_mut().join(ChangedRow { id, version });
        self.count(false);
        inner.rung.notify();
        let patience = Duration::from_millis(DATABASE_ANNOUNCE_WAIT_MS);
        let _ = engine::timeout(patience, told).await;
    }
}

impl Drop for Write<'_> {
    fn drop(&mut self) {
        let Some(inner) = &self.announcer.inner else {
            return;
        };
        if self.is_ours.get() {
            // Until then the statement has been sent and has ended.
            let deadline = Duration::from_millis(inner.server.options().deadline_ms);
            let until = Instant::now() + deadline + inner.statement_ends_within();
            inner.queue.borrow_mut().doubt(self.id, until);
            self.count(false);
            inner.rung.notify();
        }
    }
}

impl Inner {
    /// Whether a write that begins now will be missed if we fall silent.
    fn may_tell(self: &Rc<Self>) -> bool {
        self.used_at.set(Instant::now());
        if !self.is_running.get() && !self.is_leaving.get() {
            self.is_running.set(true);
            engine::spawn_local(run(self.clone()));
        } else if self.heard_at.get().is_none() {
            self.rung.notify();
        }
        let lease = Duration::from_millis(DATABASE_LEASE_MS);
        let heard_at = self.heard_at.get();
        !self.is_leaving.get() && heard_at.is_some_and(|at| at.elapsed() < lease)
    }

    /// Of a statement that the server has, and a second for the machines.
    fn statement_ends_within(&self) -> Duration {
        Duration::from_millis(self.server.options().statement_timeout_ms + DATABASE_BEAT_MS)
    }

    fn stop(&self) {
        self.is_leaving.set(true);
        self.rung.notify();
    }

    /// Whether nobody writes, so that silence will mean nothing.
    fn is_idle(&self) -> bool {
        let presence = Duration::from_millis(DATABASE_PRESENCE_MS);
        let is_unused = self.is_leaving.get() || self.used_at.get().elapsed() >= presence;
        is_unused && self.under_way.get() == 0 && self.queue.borrow().is_empty()
    }
}

/// Until the shard leaves.
async fn run(inner: Rc<Inner>) {
    let mut retry = inner.server.retry_schedule();
    loop {
        if let Ok(dialed) = inner.server.dialer().dial().await {
            let ringing = inner.clone();
            dialed.when_over(move || {
                // Who begins to listen now does not see us.
                ringing.heard_at.set(None);
                ringing.rung.notify();
            });
            let (close, closed) = oneshot::channel();
            dialed.when_closed(move || {
                // Whoever waits may have gone.
                let _ = close.send(());
            });
            let inner = &*inner;
            let told = (Teller { inner, dialed }).tell_all().await;
            inner.heard_at.set(None);
            match told {
                Ok(()) => break,
                Err(Broken { had_worked: true }) => retry.worked(),
                Err(_) => {}
            }
            // There are never two, also not at the server.
            let _ = closed.await;
        }
        if inner.is_leaving.get() || engine::is_ending() {
            break;
        }
        engine::sleep(retry.failed(Instant::now())).await;
    }
    if let Some(left) = inner.on_left.borrow_mut().take() {
        let _ = left.send(());
    }
}

/// One connection, and what is told over it.
struct Teller<'a> {
    inner: &'a Inner,
    dialed: DirectConnection,
}

/// The connection cannot be used any more.
struct Broken {
    had_worked: bool,
}

impl Teller<'_> {
    /// Until the shard leaves.
    async fn tell_all(&self) -> Result<(), Broken> {
        let inner = self.inner;
        let Some(statement) = self.prepare().await else {
            return Err(Broken { had_worked: false });
        };
        // A server that stood still begins only now what it was sent before.
        let ended = Instant::now() + inner.statement_ends_within();
        inner.queue.borrow_mut().doubt_longer(ended);
        // When the others have last been told that we are there.
        let mut beaten_at = None;
        loop {
            let now = Instant::now();
            let beat = Duration::from_millis(DATABASE_BEAT_MS);
            let sent = if inner.is_idle() {
                // Nothing that others have to rely on begins from here on.
                inner.heard_at.set(None);
                let goodbye = beaten_at.take().map(|_: Instant| self.presence("bye"));
                match goodbye {
                    Some(goodbye) => self.send(&statement, "", vec![goodbye]).await,
                    None => true,
                }
            } else if beaten_at.is_none_or(|at: Instant| now >= at + beat) {
                beaten_at = Some(now);
                let sent = self.beat(&statement, now).await;
                inner.heard_at.set(sent.then_some(now));
                sent
            } else {
                self.tell_waiting(&statement).await
            };
            if !sent || self.dialed.is_over() {
                self.dialed.cut();
                return Err(Broken { had_worked: true });
            }
            if inner.is_idle() && beaten_at.is_none() {
                if inner.is_leaving.get() {
                    self.dialed.close();
                    return Ok(());
                }
                inner.rung.wait().await;
            } else if !inner.queue.borrow().has_waiting() {
                let due = beaten_at.map_or(now, |at| at + beat);
                let pause = due.saturating_duration_since(Instant::now());
                let _ = engine::timeout(pause, inner.rung.wait()).await;
            }
        }
    }

    async fn prepare(&self) -> Option<Statement> {
        let preparing = async {
            self.dialed.client().batch_execute(SET_UP).await?;
            self.dialed.client().prepare(TELL).await
        };
        let patience = Duration::from_millis(DATABASE_ANNOUNCE_TIMEOUT_MS);
        let prepared = engine::timeout(patience, preparing).await.ok()?.ok();
        if prepared.is_none() {
            self.dialed.cut();
        }
        prepared
    }

    /// That we are there, and what may have been written.
    async fn beat(&self, statement: &Statement, now: Instant) -> bool {
        let doubtful = self.inner.queue.borrow().doubtful();
        let mut told = vec![self.presence("beat")];
        if let Some(rows) = doubtful {
            told.extend(self.changed(rows.as_deref()));
        }
        let sent = self.send(statement, &self.inner.member, told).await;
        if sent {
            self.inner.queue.borrow_mut().settle(now);
        }
        sent
    }

    async fn tell_waiting(&self, statement: &Statement) -> bool {
        let batch = self.inner.queue.borrow_mut().take();
        if batch.is_empty() {
            return true;
        }
        let told = self.changed(batch.rows());
        let member = &self.inner.member;
        let sent = self.send(statement, member, told.collect()).await;
        match sent {
            true => batch.told(),
            false => self.inner.queue.borrow_mut().put_back(batch),
        }
        sent
    }

    async fn send(&self, statement: &Statement, member: &str, told: Vec<Told>) -> bool {
        let (channels, payloads): (Vec<&str>, Vec<String>) = told.into_iter().unzip();
        let client = self.dialed.client();
        let params: [&(dyn ToSql + Sync); 3] = [&channels, &payloads, &member];
        let sending = client.query(statement, &params);
        let patience = Duration::from_millis(DATABASE_ANNOUNCE_TIMEOUT_MS);
        matches!(engine::timeout(patience, sending).await, Ok(Ok(_)))
    }

    fn presence(&self, word: &str) -> Told {
        ("corelane_presence", format!("{} {word}", self.inner.member))
    }

    fn changed(&self, rows: Option<&[ChangedRow]>) -> impl Iterator<Item = Told> + use<> {
        let payloads = changes::encode(&self.inner.origin, rows);
        let on_channel = |payload| ("corelane_changes", payload);
        payloads.into_iter().map(on_channel)
    }
}

/// A channel and what is told on it.
type Told = (&'static str, String);

/// What is told need not outlast the server: its listeners do not either.
const SET_UP: &str = "SET synchronous_commit = off";

/// The name in pg_stat_activity tells who begins to listen later whom to
/// expect: its last word, if it is a member's.
const TELL: &str = "\
    SELECT pg_notify(channel, payload), \
     set_config('application_name', left(split_part(current_setting('application_name'), \
     ' announces ', 1), 25) || ' announces ' || $3::text, false) \
    FROM unnest($1::text[], $2::text[]) AS told (channel, payload)";
