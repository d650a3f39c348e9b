//! Tells other processes of a shard's own writes, after their commit and before
//! they are acknowledged. A trigger could do it in the writing transaction, but
//! PostgreSQL keeps transactions that notify apart from before their commit
//! until it is on the disk: one write per flush. A transaction that does nothing
//! else waits for no disk, and what gathers while one is under way goes
//! together in the next.
//!
//! What is told when, and what others may rely on, is thought in
//! [`corelane::internals::announce`]; here are the connection and those who wait.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use super::random_seed;
use crate::store::changes::{self, ChangedRow};
use crate::store::limits::{
    DATABASE_ANNOUNCE_TIMEOUT_MS, DATABASE_ANNOUNCE_WAIT_MS, DATABASE_ANNOUNCED_ROWS_MAX,
};
use corelane::internals::announce::{self, Message, Output, Patience, Rows};
use corelane::internals::engine::{self, LocalEvent};
use corelane::internals::limits::POSTGRES_SETTLE_MS;
use corelane::postgres::{DirectConnection, PostgresServer};

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
    thought: RefCell<announce::Announcer>,
    /// Those who wait to be told of, by the numbers of their rows.
    waiting: RefCell<VecDeque<(u64, oneshot::Sender<()>)>>,
    rung: LocalEvent,
    is_running: Cell<bool>,
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
        let options = server.options();
        let patience = Patience {
            call: Duration::from_millis(options.deadline_ms),
            statement: Duration::from_millis(options.statement_timeout_ms),
        };
        let inner = Inner {
            server: server.clone(),
            origin: origin.to_owned(),
            member: format!("{origin}.{:08x}", random_seed() as u32),
            thought: RefCell::new(announce::Announcer::new(patience, Instant::now())),
            waiting: RefCell::default(),
            rung: LocalEvent::default(),
            is_running: Cell::new(false),
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
        inner.thought.borrow_mut().count(was_ours, is_ours);
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
        let told = inner.committed(ChangedRow { id, version });
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
            let mut thought = inner.thought.borrow_mut();
            thought.doubt(self.id, Instant::now());
            drop(thought);
            self.count(false);
            inner.rung.notify();
        }
    }
}

impl Inner {
    /// Whether a write that begins now will be missed if we fall silent.
    fn may_tell(self: &Rc<Self>) -> bool {
        let mut thought = self.thought.borrow_mut();
        let may = thought.may_tell(Instant::now());
        let (is_heard, is_leaving) = (thought.is_heard(), thought.is_leaving());
        drop(thought);
        if !self.is_running.get() && !is_leaving {
            self.is_running.set(true);
            engine::spawn_local(run(self.clone()));
        } else if !is_heard {
            self.rung.notify();
        }
        may
    }

    /// A row to tell of; what is returned ends when it has been told.
    fn committed(&self, row: ChangedRow) -> oneshot::Receiver<()> {
        let (waiter, told) = oneshot::channel();
        let number = self.thought.borrow_mut().committed(row);
        let mut waiting = self.waiting.borrow_mut();
        // Who has gone need not be kept.
        if waiting.len() >= DATABASE_ANNOUNCED_ROWS_MAX {
            waiting.retain(|(_, waiter)| !waiter.is_closed());
        }
        waiting.push_back((number, waiter));
        told
    }

    /// Lets those go on whose rows have been told.
    fn release(&self) {
        let told = self.thought.borrow().told();
        let mut waiting = self.waiting.borrow_mut();
        let is_told = |(number, _): &(u64, _)| *number <= told;
        let count = waiting.iter().take_while(|waiter| is_told(waiter)).count();
        for (_, waiter) in waiting.drain(..count) {
            // Who has gone does not care.
            let _ = waiter.send(());
        }
    }

    fn stop(&self) {
        self.thought.borrow_mut().leave();
        self.rung.notify();
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
                ringing.thought.borrow_mut().lost();
                ringing.rung.notify();
            });
            let (close, closed) = oneshot::channel();
            dialed.when_closed(move || {
                // Whoever waits may have gone.
                let _ = close.send(());
            });
            let inner = &*inner;
            let told = (Teller { inner, dialed }).tell_all().await;
            inner.thought.borrow_mut().lost();
            match told {
                Ok(()) => break,
                Err(Broken { had_worked: true }) => retry.worked(),
                Err(_) => {}
            }
            // There are never two, also not at the server.
            let _ = closed.await;
        }
        if inner.thought.borrow().is_leaving() || engine::is_ending() {
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
        inner.thought.borrow_mut().connected(Instant::now());
        loop {
            let now = Instant::now();
            let output = inner.thought.borrow_mut().poll_output(now);
            match output {
                Output::Left => {
                    self.dialed.close();
                    return Ok(());
                }
                Output::Wait(None) => inner.rung.wait().await,
                Output::Wait(Some(due_at)) => {
                    let pause = due_at.saturating_duration_since(now);
                    let _ = engine::timeout(pause, inner.rung.wait()).await;
                }
                Output::Send(message) => {
                    if !self.send(&statement, message).await {
                        self.dialed.cut();
                        return Err(Broken { had_worked: true });
                    }
                    inner.thought.borrow_mut().sent();
                    inner.release();
                }
            }
            if self.dialed.is_over() {
                return Err(Broken { had_worked: true });
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

    async fn send(&self, statement: &Statement, message: Message) -> bool {
        let Inner { origin, member, .. } = self.inner;
        let mut told: Vec<Told> = Vec::new();
        let word = message.word.map(|word| format!("{member} {}", word.text()));
        told.extend(word.map(|word| ("corelane_presence", word)));
        let payloads = message.rows.map(|rows| match rows {
            Rows::These(rows) => changes::encode(origin, Some(&rows)),
            Rows::Any => changes::encode(origin, None),
        });
        let payloads = payloads.into_iter().flatten();
        told.extend(payloads.map(|payload| ("corelane_changes", payload)));
        let (channels, payloads): (Vec<&str>, Vec<String>) = told.into_iter().unzip();
        let member = if message.is_present { member } else { "" };
        let client = self.dialed.client();
        let params: [&(dyn ToSql + Sync); 3] = [&channels, &payloads, &member];
        let sending = client.query(statement, &params);
        let patience = Duration::from_millis(DATABASE_ANNOUNCE_TIMEOUT_MS);
        let Ok(Ok(told)) = engine::timeout(patience, sending).await else {
            return false;
        };
        // A server that takes no writes any more is the wrong one: who listens
        // has gone to another, and so must this.
        told.iter().all(|row| row.get::<_, &str>(2) != "on")
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
     ' announces ', 1), 25) || ' announces ' || $3::text, false), \
     current_setting('transaction_read_only') \
    FROM unnest($1::text[], $2::text[]) AS told (channel, payload)";
