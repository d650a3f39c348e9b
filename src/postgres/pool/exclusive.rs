//! A connection that one caller has alone.

use std::ops::Deref;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::Inner;
use super::link::{Interrupted, Link, State, Ticket};
use super::request::{Group, Request, Want};
use crate::engine;
use crate::limits::POSTGRES_SETTLE_MS;
use crate::postgres::client::{self, Intent};
use crate::postgres::{Connection, PostgresError};

/// A connection of one's own; it goes back when dropped.
pub struct Exclusive {
    pool: Rc<Inner>,
    link: Rc<Link>,
    is_suspect: bool,
}

impl Exclusive {
    pub(super) fn new(pool: &Rc<Inner>, ticket: Ticket) -> Self {
        Self {
            pool: pool.clone(),
            link: ticket.link.clone(),
            is_suspect: false,
        }
    }

    /// Runs work on it, at most until the deadline, which counts anew for each
    /// call. After an error that is no answer the connection is closed.
    ///
    /// # Errors
    /// As [`Pool::shared`](super::Pool::shared); nothing is tried again.
    pub async fn run<T>(
        &mut self,
        intent: Intent,
        work: impl AsyncFnOnce(&Connection) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, PostgresError> {
        let deadline = Instant::now() + self.pool.deadline();
        let request = Request {
            want: Want::Alone,
            group: Group::default(),
            deadline,
        };
        let ticket = self.pool.ticket(&self.link, request);
        let outcome = ticket.run(work(&self.link.connection)).await;
        drop(ticket);
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                let verdict = client::judge(&error, intent);
                self.is_suspect |= verdict.is_broken;
                self.pool.heed(&self.link, verdict.remedy);
                Err(verdict.error)
            }
            Err(Interrupted::Moved | Interrupted::Expired) => {
                self.is_suspect = true;
                Err(self.pool.expired(&self.link, intent))
            }
        }
    }
}

impl Exclusive {
    /// Has the server cancel what it does on it, and closes it: for an export
    /// whose client has left.
    pub fn give_up(mut self) {
        self.is_suspect = true;
    }
}

impl Deref for Exclusive {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.link.connection
    }
}

impl Drop for Exclusive {
    fn drop(&mut self) {
        // Looked at by a task of the pool: this may run while the shard ends,
        // when nothing can be started any more.
        let returned = (self.link.clone(), self.is_suspect);
        self.pool.returned.borrow_mut().push(returned);
        self.pool.stirred.notify();
    }
}

/// Takes it back if nothing is left undone on it: rows that nobody reads any
/// more and transactions that nobody ends close it.
pub(super) async fn put_back(pool: &Rc<Inner>, link: &Rc<Link>, is_suspect: bool) {
    let patience = Duration::from_millis(POSTGRES_SETTLE_MS);
    let is_free = !is_suspect
        && !link.connection.is_spoiled()
        && matches!(
            engine::timeout(patience, is_outside_transaction(&link.connection)).await,
            Ok(true)
        );
    if is_free {
        link.state.set(State::Shared);
        pool.call_ended(link, true);
        return;
    }
    if !link.line.is_over() {
        pool.cancel(link).await;
        link.line.close();
    }
}

/// The protocol tells the state of a transaction after every statement; the
/// library keeps it to itself. Outside of one a statement's time is that of
/// its own transaction; in a failed one it is refused.
async fn is_outside_transaction(connection: &Connection) -> bool {
    const ASK: &str = "SELECT statement_timestamp() = transaction_timestamp()";
    let answer = connection.client().simple_query(ASK).await;
    answer.is_ok_and(|messages| {
        messages.iter().any(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0) == Some("t"),
            _ => false,
        })
    })
}
