//! PostgreSQL as the store. Each shard has a pool of connections on its own
//! reactor; requests are pipelined over few of them. A write is one statement,
//! answered when PostgreSQL has committed it.
//!
//! Every change is told to other processes: by triggers in the transaction that
//! makes it, see `migrations/0003_changes.sql`, or, for most writes of ours, by
//! ourselves after it: see `announce`.

mod announce;
mod blocking;
mod connections;
mod explain;
mod export;
mod fault;
mod feed;
mod groups;
mod list;
mod logins;
mod migrations;
mod near;
mod queries;
mod reads;
mod rows;
mod seeding;
mod session;
mod statements;
mod writes;

#[cfg(test)]
mod tests;

pub(super) use export::PostgresExport;
pub(super) use feed::Listener;
pub(super) use session::Session;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use announce::Announcer;
use connections::Connections;
use migrations::{MIGRATIONS, migrate};
use tokio_postgres::error::SqlState;

use crate::store::limits::STORE_MIGRATION_LOCK_WAIT_MS;
use corelane::internals::metrics::DatabaseSnapshot;
use corelane::postgres::{
    DialError, Dialer, DirectConnection, Pool, PostgresServer, PostgresUrl, ServerLimits,
};

use super::{OpenError, PlanReport, SeedPlan, SeedReport, StoreError, StoreOptions};

/// The process's side of a PostgreSQL database: what new connections need.
pub(super) struct PostgresDatabase {
    server: Arc<PostgresServer>,
    /// Whether each shard has a connection to tell of its writes with.
    has_announcers: bool,
    place: String,
    /// What the triggers are told writes of this process are.
    origin: String,
    identity: String,
    warning: Option<String>,
}

impl std::fmt::Debug for PostgresDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresDatabase({})", self.place)
    }
}

impl PostgresDatabase {
    /// Connects once, to apply migrations and to ask how many connections
    /// there may be. Blocks the caller.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(super) fn open(url: &PostgresUrl, options: &StoreOptions) -> Result<Self, OpenError> {
        let place = url.to_string();
        let origin = format!("{:016x}", random_seed());
        let mut settings = vec![("corelane.origin", origin.as_str())];
        if !options.durable {
            settings.push(("synchronous_commit", "off"));
        }
        let dialer = Dialer::new(url, &options.database, &settings)?;
        let prepared = blocking::run(async || prepare(&dialer, &place, options).await);
        let Prepared {
            connections,
            identity,
            warning,
        } = match prepared {
            Ok(prepared) => prepared,
            Err(Failure::Open(error)) => return Err(error),
            // The server went away while it was asked.
            Err(Failure::Store(StoreError::Unavailable(why))) => {
                return Err(OpenError::Unreachable { place, why });
            }
            Err(Failure::Store(error)) => {
                let why = error.to_string();
                return Err(OpenError::Server { place, why });
            }
        };
        let Connections {
            budget,
            has_announcers,
        } = connections;
        Ok(Self {
            server: PostgresServer::new(dialer, options.database.clone(), budget),
            has_announcers,
            place,
            origin,
            identity,
            warning,
        })
    }

    /// See [`super::Database::is_empty`]. Blocks the caller.
    pub(super) fn is_empty(&self) -> Result<bool, StoreError> {
        blocking::run(async || {
            let connection = self.chore().await?;
            let last_id = seeding::last_user_id(&connection).await;
            Ok(last_id.map_err(fault::read_error)? == 0)
        })
    }

    /// See [`super::Database::seed`]. Blocks the caller.
    pub(super) fn seed(
        &self,
        plan: &SeedPlan,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<SeedReport, StoreError> {
        let seeded = self.seed_where(plan, false, progress)?;
        seeded.ok_or_else(|| StoreError::Failed("nothing was added".to_owned()))
    }

    /// See [`super::Database::seed_if_empty`]. Blocks the caller.
    pub(super) fn seed_if_empty(
        &self,
        plan: &SeedPlan,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<SeedReport>, StoreError> {
        self.seed_where(plan, true, progress)
    }

    fn seed_where(
        &self,
        plan: &SeedPlan,
        only_if_empty: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<SeedReport>, StoreError> {
        let total = plan.users.saturating_add(plan.posts);
        blocking::run_telling(
            async |tell| {
                let connection = self.chore().await?;
                seeding::seed(&connection, plan, only_if_empty, &tell).await
            },
            &mut |done| progress(done, total),
        )
    }

    /// See [`super::Database::explain`]. Blocks the caller.
    pub(super) fn explain(&self) -> Result<Vec<PlanReport>, StoreError> {
        blocking::run(async || {
            let connection = self.chore().await?;
            explain::explain(&connection).await
        })
    }

    /// See [`super::Database::identity`]: of the cluster, whichever of its
    /// servers this is, and the database in it.
    pub(super) fn identity(&self) -> String {
        self.identity.clone()
    }

    /// See [`super::Database::warning`].
    pub(super) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// See [`super::Store::warning`].
    pub(super) fn warning_now(&self) -> Option<String> {
        let stuck = groups::warning(&self.server.stuck());
        let read_only = || self.server.is_read_only().then(|| READ_ONLY.to_owned());
        stuck.or_else(read_only)
    }

    /// Connections for the shard that calls this.
    fn pool(&self) -> Pool {
        Pool::new(&self.server)
    }

    /// Tells others of the writes of the shard that calls this.
    fn announcer(&self) -> Announcer {
        Announcer::new(&self.server, &self.origin, self.has_announcers)
    }

    /// Hears what others change; on the shard that calls this.
    fn listener(&self) -> Listener {
        Listener::new(self.server.clone(), self.origin.clone())
    }

    /// The numbers of all pools.
    pub(super) fn connections(&self) -> DatabaseSnapshot {
        self.server.snapshot()
    }

    /// A connection for what takes its time.
    async fn chore(&self) -> Result<DirectConnection, StoreError> {
        let dialed = self.server.dialer().dial().await;
        let connection = dialed.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        unhurried(connection).await.map_err(fault::read_error)
    }
}

/// What is known of a database before a shard connects.
struct Prepared {
    connections: Connections,
    identity: String,
    warning: Option<String>,
}

/// Applies migrations; how many connections this process may have, and the
/// database's identity.
async fn prepare(
    dialer: &Dialer,
    place: &str,
    options: &StoreOptions,
) -> Result<Prepared, Failure> {
    let refused = |error: DialError| Failure::Open(error.into_connect_error(dialer.place()).into());
    let connection = dialer.dial().await.map_err(refused)?;
    if !dialer.keeps_sessions(&connection).await.map_err(refused)? {
        return Err(Failure::Open(OpenError::Server {
            place: place.to_owned(),
            why: POOLED.to_owned(),
        }));
    }
    let is_read_only = connection.is_read_only();
    let connection = unhurried(connection).await.map_err(fault::read_error)?;
    let lock_wait_ms = STORE_MIGRATION_LOCK_WAIT_MS;
    migrate(&connection, place, MIGRATIONS, lock_wait_ms).await?;
    let limits = ServerLimits::ask(connection.client()).await;
    let limits = limits.map_err(fault::read_error)?.ok_or_else(|| {
        StoreError::Failed("the server does not say how many connections it takes".to_owned())
    })?;
    let connections = Connections::plan(limits, &options.database, options.shards);
    let identity = ask_identity(&connection).await;
    let identity = identity.map_err(fault::read_error)?;
    Ok(Prepared {
        connections: connections?,
        identity,
        warning: is_read_only.then(|| {
            format!(
                "PostgreSQL at {} takes no writes, as a replica does: it is only read from, and \
                 writes are answered 503\n  cure: let the store's address lead to the primary, or \
                 name all servers in it, with target_session_attrs=read-write",
                dialer.place()
            )
        }),
    })
}

const READ_ONLY: &str =
    "PostgreSQL takes no writes now, as a replica does: writes are answered 503";

const POOLED: &str = "a pooler stands before it that takes a session's process away between \
    transactions, and with it settings, prepared statements and LISTEN: set pool_mode = session \
    for this database or user in pgbouncer.ini (its default), or name the server itself";

/// Every role may read the cluster's identity, unless somebody has revoked
/// that; then the time of the first migration stands for it.
async fn ask_identity(connection: &DirectConnection) -> Result<String, tokio_postgres::Error> {
    let client = connection.client();
    let row = match client.query_one(IDENTITY, &[]).await {
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            client.query_one(IDENTITY_BY_AGE, &[]).await?
        }
        asked => asked?,
    };
    row.try_get(0)
}

const IDENTITY: &str = "\
    SELECT to_hex(system_identifier) || '-' || (SELECT oid FROM pg_database \
     WHERE datname = current_database()) FROM pg_control_system()";

const IDENTITY_BY_AGE: &str = "\
    SELECT to_hex(min(applied_at_ms)) || '-since-' || (SELECT oid FROM pg_database \
     WHERE datname = current_database()) FROM schema_migrations";

/// A connection whose statements may take long: the session's timeouts are for
/// requests.
async fn unhurried(
    connection: DirectConnection,
) -> Result<DirectConnection, tokio_postgres::Error> {
    connection.client().batch_execute(UNHURRIED).await?;
    Ok(connection)
}

const UNHURRIED: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// A number nobody outside can guess.
fn random_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Why opening failed.
#[derive(Debug)]
enum Failure {
    Open(OpenError),
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}
