//! PostgreSQL as the store. Each shard has a pool of connections on its own
//! reactor; requests are pipelined over few of them. A write is one statement,
//! answered when PostgreSQL has committed it.
//!
//! Triggers tell of every change, whoever made it: see
//! `migrations/0003_changes.sql`.

mod blocking;
mod connection;
mod explain;
mod export;
mod fault;
mod list;
mod migrations;
mod near;
mod pool;
mod queries;
mod reads;
mod rows;
mod seeding;
mod session;
mod writes;

#[cfg(test)]
mod tests;

pub(super) use export::PostgresExport;
pub(super) use session::Session;

use migrations::{MIGRATIONS, migrate};
use pool::Pool;

use crate::limits::STORE_MIGRATION_LOCK_WAIT_MS;

use super::{OpenError, PlanReport, SeedPlan, SeedReport, StoreError, StoreOptions, StoreUrl};

/// The process's side of a PostgreSQL database: what new connections need.
pub(super) struct PostgresDatabase {
    options: StoreOptions,
}

impl std::fmt::Debug for PostgresDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresDatabase({})", self.options.url)
    }
}

impl PostgresDatabase {
    /// Connects once, to apply migrations. Blocks the caller.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub(super) fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let database = Self {
            options: options.clone(),
        };
        let place = options.url.to_string();
        let migrated = blocking::run(async || {
            let connection = database.pool()?.exclusive().await?;
            migrate(
                &connection,
                &place,
                MIGRATIONS,
                STORE_MIGRATION_LOCK_WAIT_MS,
            )
            .await
        });
        match migrated {
            Ok(()) => Ok(database),
            Err(Failure::Open(error)) => Err(error),
            Err(Failure::Store(error)) => Err(OpenError::Server {
                place,
                why: error.to_string(),
            }),
        }
    }

    /// See [`super::Database::is_empty`]. Blocks the caller.
    pub(super) fn is_empty(&self) -> Result<bool, StoreError> {
        blocking::run(async || {
            let connection = self.pool()?.exclusive().await?;
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
                let connection = self.pool()?.exclusive().await?;
                seeding::seed(&connection, plan, only_if_empty, &tell).await
            },
            &mut |done| progress(done, total),
        )
    }

    /// See [`super::Database::explain`]. Blocks the caller.
    pub(super) fn explain(&self) -> Result<Vec<PlanReport>, StoreError> {
        blocking::run(async || {
            let connection = self.pool()?.exclusive().await?;
            explain::explain(&connection).await
        })
    }

    /// Connections for the shard that calls this.
    fn pool(&self) -> Result<Pool, StoreError> {
        match &self.options.url {
            StoreUrl::Postgres(url) => Pool::new(url),
            StoreUrl::Sqlite { .. } => Err(StoreError::Failed("not PostgreSQL".to_owned())),
        }
    }
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
