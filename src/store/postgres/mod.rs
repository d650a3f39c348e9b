//! PostgreSQL as the store. Each shard has a pool of connections on its own
//! reactor; requests are pipelined over few of them. A write is one statement,
//! answered when PostgreSQL has committed it.
//!
//! Every change is told to other processes: by triggers in the transaction that
//! makes it, see `migrations/0003_changes.sql`, or, for most writes of ours, by
//! ourselves after it: see `announce`.

mod announce;
mod blocking;
mod explain;
mod export;
mod feed;
mod list;
mod logins;
mod migrations;
mod near;
mod presence;
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

use std::sync::Arc;

use crate::postgres::client::connection::Connection;
use crate::postgres::client::dial::{DialError, Dialed, Dialer};
use crate::postgres::pool::Pool;
use crate::postgres::pool::budget::{Budget, ServerLimits};
use crate::postgres::pool::server::Server;
use announce::Announcer;
use migrations::{MIGRATIONS, migrate};
use tokio_postgres::error::SqlState;

use crate::backoff::Backoff;
use crate::error_log::ErrorLog;
use crate::ids::random_seed;
use crate::limits::{
    DATABASE_RECONNECT_FIRST_MS, DATABASE_RECONNECT_MAX_MS, STORE_MIGRATION_LOCK_WAIT_MS,
};
use crate::metrics::DatabaseSnapshot;
use crate::postgres::client::fault;
use crate::postgres::client::url::PostgresUrl;

use super::{OpenError, PlanReport, SeedPlan, SeedReport, StoreError, StoreOptions};

/// The process's side of a PostgreSQL database: what new connections need.
pub(super) struct PostgresDatabase {
    server: Arc<Server>,
    place: String,
    /// What the triggers are told writes of this process are.
    origin: String,
    identity: String,
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
        let dialer = Dialer::new(url, options, &origin)?;
        let prepared = blocking::run(async || prepare(&dialer, &place, options).await);
        let (budget, identity) = match prepared {
            Ok(prepared) => prepared,
            Err(Failure::Open(error)) => return Err(error),
            Err(Failure::Store(error)) => {
                let why = error.to_string();
                return Err(OpenError::Server { place, why });
            }
        };
        let errors = ErrorLog::start().ok();
        let server = Server::new(dialer, options.database.clone(), budget, errors);
        Ok(Self {
            server,
            place,
            origin,
            identity,
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

    /// Connections for the shard that calls this.
    fn pool(&self) -> Pool {
        Pool::new(&self.server)
    }

    /// Tells others of the writes of the shard that calls this.
    fn announcer(&self) -> Announcer {
        Announcer::new(&self.server, &self.origin)
    }

    /// Hears what others change; on the shard that calls this.
    fn listener(&self) -> Listener {
        let backoff = Backoff::new(
            DATABASE_RECONNECT_FIRST_MS,
            DATABASE_RECONNECT_MAX_MS,
            DATABASE_RECONNECT_MAX_MS,
        );
        let backoff = backoff.with_seed(random_seed());
        Listener::new(self.server.clone(), self.origin.clone(), backoff)
    }

    /// The numbers of all pools.
    pub(super) fn connections(&self) -> DatabaseSnapshot {
        self.server.snapshot()
    }

    /// A connection for what takes its time.
    async fn chore(&self) -> Result<Connection, StoreError> {
        let dialed = self.server.dialer.dial().await;
        let dialed = dialed.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let connection = unhurried(dialed).await;
        connection.map_err(fault::read_error)
    }
}

/// Applies migrations; how many connections this process may have, and the
/// database's identity.
async fn prepare(
    dialer: &Dialer,
    place: &str,
    options: &StoreOptions,
) -> Result<(Arc<Budget>, String), Failure> {
    let refused = |error: DialError| Failure::Open(error.into_open_error(dialer.target()));
    let dialed = dialer.dial().await.map_err(refused)?;
    let connection = unhurried(dialed).await.map_err(fault::read_error)?;
    let lock_wait_ms = STORE_MIGRATION_LOCK_WAIT_MS;
    migrate(&connection, place, MIGRATIONS, lock_wait_ms).await?;
    let limits = ServerLimits::ask(connection.client()).await;
    let limits = limits.map_err(fault::read_error)?.ok_or_else(|| {
        StoreError::Failed("the server does not say how many connections it takes".to_owned())
    })?;
    let database = &options.database;
    let plan = limits.plan(database.connections_max, options.shards, database.pool_min);
    let identity = ask_identity(&connection).await;
    let identity = identity.map_err(fault::read_error)?;
    Ok((plan.map_err(Failure::Open)?, identity))
}

/// Every role may read the cluster's identity, unless somebody has revoked
/// that; then the time of the first migration stands for it.
async fn ask_identity(connection: &Connection) -> Result<String, tokio_postgres::Error> {
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
async fn unhurried(dialed: Dialed) -> Result<Connection, tokio_postgres::Error> {
    let connection = Connection::new(dialed.client);
    connection.client().batch_execute(UNHURRIED).await?;
    Ok(connection)
}

const UNHURRIED: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";

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
