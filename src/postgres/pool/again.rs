//! Calls that are done again. A read whose connection broke is asked of another,
//! once. What the server says it did not do is done again too, also a write: a
//! statement that no longer fits its tables is prepared anew, a session that has
//! forgotten what it was given is left, and so is a server that takes no writes;
//! a transaction that another was in the way of is tried again after a pause.
//! How often is bounded, and all of it ends by the deadline of the call.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Inner;
use super::link::{Interrupted, Link, State};
use super::request::{Group, Request};
use super::stats::count;
use crate::engine;
use crate::limits::{
    POSTGRES_CONFLICT_PAUSE_MAX_MS, POSTGRES_CONFLICT_RETRIES_MAX, POSTGRES_LEAVE_SERVER_MS,
    POSTGRES_RETRIES_MAX,
};
use crate::postgres::client::{self, Remedy, Verdict};
use crate::postgres::{Connection, Intent, PostgresError};

impl Inner {
    /// See [`Pool::shared`](super::Pool::shared).
    pub(super) async fn run<T>(
        self: &Rc<Self>,
        group: Group,
        intent: Intent,
        work: impl AsyncFn(&Connection) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, PostgresError> {
        let deadline = Instant::now() + self.deadline();
        let request = Request {
            want: intent.into(),
            group,
            deadline,
        };
        let mut retries = Retries::new(intent, deadline);
        loop {
            let ticket = self.checkout(request).await?;
            let link = ticket.link.clone();
            let outcome = ticket.run(work(&link.connection)).await;
            drop(ticket);
            let error = match outcome {
                Ok(Ok(value)) => {
                    // A replica that was promoted keeps its connections.
                    if intent == Intent::Write && self.server.is_read_only() {
                        self.server.note_role(false);
                    }
                    return Ok(value);
                }
                Ok(Err(error)) => error,
                Err(Interrupted::Expired) => return Err(self.expired(&link, intent)),
                Err(Interrupted::Moved) => continue,
            };
            let verdict = client::judge(&error, intent);
            if verdict.is_broken {
                link.line.cut();
            }
            let is_bystander = verdict.is_cancelled && link.was_cancelled.get();
            let is_heeded = self.heed(&link, verdict.remedy);
            if !retries.may(&verdict, is_bystander, is_heeded) {
                return Err(verdict.error);
            }
            count(&self.stats.retries);
            if let Some(pause) = retries.pause(verdict.remedy) {
                engine::sleep(pause).await;
                // Nothing was done, and nothing that is begun now would end in time.
                if Instant::now() >= deadline {
                    return Err(verdict.error);
                }
            }
        }
    }

    /// Does what helps the next try; whether there is anything to be had of it.
    pub(super) fn heed(&self, link: &Rc<Link>, remedy: Remedy) -> bool {
        match remedy {
            Remedy::None => return false,
            Remedy::AnotherTry => {}
            // The tables have changed for all of them.
            Remedy::PrepareAnew => {
                let links = self.links.borrow();
                links.iter().for_each(|link| link.connection.forget_kept());
                link.connection.forget_kept();
            }
            Remedy::AnotherSession => self.leave(link),
            Remedy::AnotherServer => return self.leave_server(link),
        }
        true
    }

    /// All its connections lead to a server that takes no writes: they are left,
    /// and made anew from the next server of the address, or from the one that
    /// its name stands for now. Not more often than once in a while: where there
    /// is no other, reads go on.
    fn leave_server(&self, link: &Link) -> bool {
        let now = Instant::now();
        self.server.note_role(true);
        let pause = Duration::from_millis(POSTGRES_LEAVE_SERVER_MS);
        let left_at = self.left_at.get();
        if left_at.is_some_and(|at| now.duration_since(at) < pause) {
            // Who comes while others leave finds another connection.
            return link.state.get() == State::Leaving;
        }
        self.left_at.set(Some(now));
        self.server.dialer.pass_over(&link.target);
        let links = self.links.borrow().clone();
        links.iter().for_each(|link| self.leave(link));
        true
    }

    /// Closes a connection as soon as nobody waits on it any more.
    fn leave(&self, link: &Rc<Link>) {
        if !matches!(link.state.get(), State::Shared | State::Promised) {
            return;
        }
        match link.is_idle() {
            true => self.remove(link),
            false => link.state.set(State::Leaving),
        }
    }
}

/// How often one call may be tried again.
struct Retries {
    deadline: Instant,
    /// After its connection broke: what reads may do once.
    lost: u32,
    undone: u32,
    conflicts: u32,
}

impl Retries {
    fn new(intent: Intent, deadline: Instant) -> Self {
        Self {
            deadline,
            lost: u32::from(intent == Intent::Read),
            undone: POSTGRES_RETRIES_MAX,
            conflicts: POSTGRES_CONFLICT_RETRIES_MAX,
        }
    }

    /// Whether it may now; counted.
    fn may(&mut self, verdict: &Verdict, is_bystander: bool, is_heeded: bool) -> bool {
        let left = match verdict.remedy {
            // Hit by the cancel that was meant for another: known to be undone.
            Remedy::None if is_bystander => &mut self.undone,
            Remedy::None if verdict.is_broken => &mut self.lost,
            Remedy::AnotherTry => &mut self.conflicts,
            _ if is_heeded => &mut self.undone,
            _ => return false,
        };
        if *left == 0 {
            return false;
        }
        *left -= 1;
        Instant::now() < self.deadline
    }

    /// How long to wait before: those who were in each other's way part.
    fn pause(&self, remedy: Remedy) -> Option<Duration> {
        if remedy != Remedy::AnotherTry {
            return None;
        }
        let tried = POSTGRES_CONFLICT_RETRIES_MAX - self.conflicts;
        let first = POSTGRES_CONFLICT_PAUSE_MAX_MS as f64 / 16.0;
        let most =
            (first * f64::from(1 << tried.min(5)) / 2.0).min(POSTGRES_CONFLICT_PAUSE_MAX_MS as f64);
        let pause = Duration::from_secs_f64(most * (0.5 + fastrand::f64() / 2.0) / 1_000.0);
        Some(pause.min(self.deadline.saturating_duration_since(Instant::now())))
    }
}
