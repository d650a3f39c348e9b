//! How many connections to PostgreSQL the process may have, and which shard
//! may have another.
//!
//! Every connection holds a [`Permit`] from before its socket is opened until
//! the server has closed it, so there are never more than allowed. Each shard
//! has an equal share; what one does not use another may borrow. A shard below
//! its share that finds nothing left is hungry: until it is fed, shards above
//! their share give connections back and get no more.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::limits::POSTGRES_RESERVE_CONNECTIONS;

/// The process's connections. Counters only; no shard waits for another here.
#[derive(Debug)]
pub struct Budget {
    /// For the shards' pools.
    shared_max: u32,
    /// Those beside the pools.
    apart: u32,
    open: AtomicU32,
    members: AtomicU32,
    hungry: AtomicU32,
}

/// What the server says of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// `max_connections`.
    pub connections_max: u32,
    /// Of these kept for superusers and for `pg_use_reserved_connections`.
    pub reserved: u32,
    /// `CONNECTION LIMIT` of the role or the database, the lower one.
    pub own_max: Option<u32>,
}

/// Reads [`ServerLimits`]: one row of three numbers, the last perhaps null.
const SERVER_LIMITS_SQL: &str = "\
    SELECT current_setting('max_connections')::int, \
           current_setting('superuser_reserved_connections')::int \
           + coalesce(current_setting('reserved_connections', true)::int, 0), \
           least((SELECT rolconnlimit FROM pg_roles \
                  WHERE rolname = current_user AND rolconnlimit >= 0), \
                 (SELECT datconnlimit FROM pg_database \
                  WHERE datname = current_database() AND datconnlimit >= 0))";

impl ServerLimits {
    /// Asks the server.
    ///
    /// # Errors
    /// As any query; `Ok(None)` when the answer is not what was asked for.
    pub async fn ask(
        client: &tokio_postgres::Client,
    ) -> Result<Option<Self>, tokio_postgres::Error> {
        let answer = client.simple_query(SERVER_LIMITS_SQL).await?;
        Ok(answer.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(Self {
                connections_max: row.get(0)?.parse().ok()?,
                reserved: row.get(1)?.parse().ok()?,
                own_max: row.get(2).and_then(|limit| limit.parse().ok()),
            }),
            _ => None,
        }))
    }

    /// What the process may have: `configured`, or for 0 what the server
    /// leaves less a few for others. Never more than the server gives. The
    /// role's own limit is all its own: nothing of it is left to others.
    pub fn allowed(self, configured: u32) -> u32 {
        let given = self.connections_max.saturating_sub(self.reserved);
        let allowed = match configured {
            0 => given.saturating_sub(POSTGRES_RESERVE_CONNECTIONS),
            configured => configured.min(given),
        };
        allowed.min(self.own_max.unwrap_or(u32::MAX))
    }
}

impl Budget {
    /// `shared_max` connections for the pools of all shards. Those `apart` are
    /// the process's too, and somebody else's business: they are only counted
    /// among what it may have.
    pub fn new(shared_max: u32, apart: u32) -> Arc<Self> {
        Arc::new(Self {
            shared_max,
            apart,
            open: AtomicU32::new(0),
            members: AtomicU32::new(0),
            hungry: AtomicU32::new(0),
        })
    }

    /// A shard's place at the table, for as long as it is held.
    pub(super) fn join(self: &Arc<Self>) -> Seat {
        self.members.fetch_add(1, Ordering::Relaxed);
        let (own, is_hungry) = (Rc::default(), Rc::default());
        SEATS.with_borrow_mut(|seats| {
            // Those given up are of no more use here.
            seats.retain(|seat| Rc::strong_count(&seat.is_hungry) > 1);
            seats.push(Abandoned {
                budget: self.clone(),
                own: Rc::clone(&own),
                is_hungry: Rc::clone(&is_hungry),
            });
        });
        Seat {
            budget: self.clone(),
            own,
            is_hungry,
        }
    }

    /// Connections that count now.
    #[cfg(test)]
    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// All that the process may have, in pools and apart.
    pub fn connections_max(&self) -> u32 {
        self.shared_max + self.apart
    }

    /// How many shards share, and how many connections.
    pub(super) fn members_of(&self) -> (u32, u32) {
        (self.members.load(Ordering::Relaxed), self.shared_max)
    }
}

/// One shard's part in the budget.
#[derive(Debug)]
pub(super) struct Seat {
    budget: Arc<Budget>,
    own: Rc<Cell<u32>>,
    is_hungry: Rc<Cell<bool>>,
}

thread_local! {
    /// The seats that were taken on this thread, until it ends.
    static SEATS: RefCell<Vec<Abandoned>> = const { RefCell::new(Vec::new()) };
}

/// What a seat holds when its thread ends. A shard that dies with operations
/// in flight leaves its reactor, and with it pool and permits, undropped; its
/// connections have been shut by then.
struct Abandoned {
    budget: Arc<Budget>,
    own: Rc<Cell<u32>>,
    is_hungry: Rc<Cell<bool>>,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        // The other one is the seat's; without it the seat was given up.
        if Rc::strong_count(&self.is_hungry) == 1 {
            return;
        }
        let budget = &self.budget;
        budget.open.fetch_sub(self.own.take(), Ordering::AcqRel);
        budget.members.fetch_sub(1, Ordering::Relaxed);
        if self.is_hungry.take() {
            budget.hungry.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Seat {
    /// Leave to have one more connection.
    pub(super) fn take(&self) -> Option<Permit> {
        let is_below = self.own.get() < self.share();
        if !is_below && self.budget.hungry.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let most = self.budget.shared_max;
        let more = |open| (open < most).then_some(open + 1);
        let open = &self.budget.open;
        let taken = open.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more);
        if taken.is_err() {
            self.set_hungry(is_below);
            return None;
        }
        self.set_hungry(false);
        self.own.set(self.own.get() + 1);
        Some(Permit {
            budget: self.budget.clone(),
            own: self.own.clone(),
        })
    }

    /// Whether another shard needs what this one has over its share.
    pub(super) fn owes(&self) -> bool {
        self.own.get() > self.share() && self.budget.hungry.load(Ordering::Relaxed) > 0
    }

    /// Connections over its share.
    pub(super) fn borrowed(&self) -> u32 {
        self.own.get().saturating_sub(self.share())
    }

    /// Nobody waits any more.
    pub(super) fn is_fed(&self) {
        self.set_hungry(false);
    }

    /// Its equal share, one at least.
    pub(super) fn share(&self) -> u32 {
        let members = self.budget.members.load(Ordering::Relaxed).max(1);
        (self.budget.shared_max / members).max(1)
    }

    fn set_hungry(&self, is_hungry: bool) {
        match (self.is_hungry.replace(is_hungry), is_hungry) {
            (false, true) => drop(self.budget.hungry.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.budget.hungry.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.set_hungry(false);
        self.budget.members.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Leave to have one connection; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    budget: Arc<Budget>,
    own: Rc<Cell<u32>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.own.set(self.own.get() - 1);
        self.budget.open.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: ServerLimits = ServerLimits {
        connections_max: 100,
        reserved: 3,
        own_max: None,
    };

    #[test]
    fn the_server_is_not_asked_for_more_than_it_has() {
        assert_eq!(SERVER.allowed(0), 92);
        assert_eq!(SERVER.allowed(40), 40);
        assert_eq!(SERVER.allowed(1_000), 97);
    }

    #[test]
    fn a_role_has_all_of_its_own_limit() {
        let server = ServerLimits {
            own_max: Some(5),
            ..SERVER
        };
        assert_eq!([0, 3, 9].map(|asked| server.allowed(asked)), [5, 3, 5]);
    }

    #[test]
    fn what_a_dead_thread_held_is_free_again() {
        let budget = Budget::new(3, 1);
        let dying = budget.clone();
        let dies = std::thread::spawn(move || {
            let seat = dying.join();
            let permits = [seat.take(), seat.take(), seat.take()];
            assert!(permits.iter().all(Option::is_some) && seat.take().is_none());
            std::mem::forget((seat, permits));
        });
        dies.join().unwrap();
        assert_eq!(budget.open(), 0);
        let seat = budget.join();
        let permits = [seat.take(), seat.take(), seat.take()];
        assert!(permits.iter().all(Option::is_some));
        drop((permits, seat));
        assert_eq!(budget.members.load(Ordering::Relaxed), 0);
        assert_eq!(budget.hungry.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_one_shard_does_not_use_another_borrows() {
        let budget = Budget::new(4, 1);
        let (busy, idle) = (budget.join(), budget.join());
        let held: Vec<_> = std::iter::from_fn(|| busy.take()).collect();
        assert_eq!((held.len(), busy.borrowed()), (4, 2));
        assert!(!busy.owes(), "nobody is hungry");
        assert!(idle.take().is_none());
        assert!(busy.owes());
    }

    #[test]
    fn the_hungry_one_gets_what_is_given_back_and_the_borrower_does_not() {
        let budget = Budget::new(4, 1);
        let (busy, poor) = (budget.join(), budget.join());
        let mut held: Vec<_> = std::iter::from_fn(|| busy.take()).collect();
        assert!(poor.take().is_none());
        held.pop();
        assert!(busy.take().is_none(), "it is for the hungry one");
        let first = poor.take();
        assert!(first.is_some() && !busy.owes());
        assert!(poor.take().is_none() && busy.owes());
        poor.is_fed();
        assert!(!busy.owes());
    }

    #[test]
    fn a_shard_that_is_gone_leaves_its_share_to_the_others() {
        let budget = Budget::new(4, 1);
        let (one, other) = (budget.join(), budget.join());
        let held: Vec<_> = std::iter::from_fn(|| one.take()).collect();
        assert!(other.take().is_none() && one.owes());
        drop(other);
        assert!(!one.owes() && one.borrowed() == 0);
        drop(held);
        let held: Vec<_> = std::iter::from_fn(|| one.take()).collect();
        assert_eq!(held.len(), 4);
    }

    #[test]
    fn many_threads_never_take_more_than_there_is() {
        let budget = Budget::new(6, 1);
        let most = AtomicU32::new(0);
        let now = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let seat = budget.join();
                    for _ in 0..20_000 {
                        if let Some(permit) = seat.take() {
                            let open = now.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(open, Ordering::SeqCst);
                            now.fetch_sub(1, Ordering::SeqCst);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert!((1..=6).contains(&most.into_inner()));
        assert_eq!(budget.open.load(Ordering::SeqCst), 0);
        assert_eq!(budget.hungry.load(Ordering::SeqCst), 0);
    }
}
