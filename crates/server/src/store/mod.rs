//! The database behind the API: one process-wide [`Database`] (migrations, the
//! writer), one [`Store`] per shard (its own connections). Both stores give the
//! same answers; `store/tests` run against each.
//!
//! SQLite: a read runs on the shard, synchronously, and is short: whatever
//! could be long is cut into pieces with [`yield_now`](corelane::engine::yield_now)
//! between them. A write goes to the writer and is answered when it is durable.
//! PostgreSQL: each is a statement on the shard's own reactor. Once a write is
//! answered every read on every shard sees it.

mod changes;
mod columns;
mod geo;
pub mod limits;
mod logins;
mod migration;
mod model;
mod open_error;
mod options;
mod postgres;
mod seed;
mod sqlite;
mod user_page;

#[cfg(test)]
mod tests;

pub use changes::{Change, ChangeEvent, ChangedRow, ChangedRows, ChangedTable};
pub use model::*;
pub use open_error::OpenError;
pub use options::{StoreOptions, StoreUrl};
pub use seed::{DEMO_PASSWORD, SeedPlan, SeedReport};

use std::rc::Rc;
use std::sync::Arc;

pub use corelane::sessions::Login;

use corelane::internals::metrics::DatabaseSnapshot;

/// The database of this process: it applies migrations, owns the writer and
/// hands out a [`Store`] per shard.
#[derive(Debug)]
pub struct Database {
    backend: DatabaseBackend,
}

#[derive(Debug)]
enum DatabaseBackend {
    Sqlite(Arc<sqlite::SqliteDatabase>),
    Postgres(Arc<postgres::PostgresDatabase>),
}

/// What the writer has done since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriterStats {
    /// Commits, each made durable once.
    pub commits: u64,
    /// Writes that were committed.
    pub writes: u64,
    /// The most writes that shared one commit.
    pub largest_group: u64,
}

/// The plan of one query the server uses, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanReport {
    /// Name of the query.
    pub name: String,
    /// Its text.
    pub sql: String,
    /// The database's plan, a line per step.
    pub plan: Vec<String>,
    /// Why the plan is not acceptable, or that the query cannot be prepared.
    pub problem: Option<String>,
}

impl PlanReport {
    /// Whether the plan is bounded as it should be.
    pub fn is_ok(&self) -> bool {
        self.problem.is_none()
    }
}

impl Database {
    /// Opens the database and applies migrations. Blocks the caller.
    ///
    /// SQLite: makes the folder and file where they are missing and starts the
    /// writer. Several processes may open the same file: each sees the others'
    /// writes, and a write waits `busy_timeout_ms` for another process's.
    /// PostgreSQL: of nodes that start at once one migrates and the others wait
    /// [`crate::store::limits::STORE_MIGRATION_LOCK_WAIT_MS`] for it.
    ///
    /// # Errors
    /// [`OpenError`] says what to do about it.
    pub fn open(options: &StoreOptions) -> Result<Arc<Self>, OpenError> {
        let backend = match &options.url {
            StoreUrl::Sqlite { path } => {
                DatabaseBackend::Sqlite(Arc::new(sqlite::SqliteDatabase::open(path, options)?))
            }
            StoreUrl::Postgres(url) => {
                let database = postgres::PostgresDatabase::open(url, options)?;
                DatabaseBackend::Postgres(Arc::new(database))
            }
        };
        Ok(Arc::new(Self { backend }))
    }

    /// Connections for the shard that calls this; none leaves it.
    ///
    /// # Errors
    /// The database cannot be opened any more, or descriptors ran out.
    pub fn connect(self: &Arc<Self>) -> Result<Store, StoreError> {
        let backend = match &self.backend {
            DatabaseBackend::Sqlite(database) => {
                StoreBackend::Sqlite(Rc::new(sqlite::Session::open(database)?))
            }
            DatabaseBackend::Postgres(database) => {
                StoreBackend::Postgres(Rc::new(postgres::Session::open(database)?))
            }
        };
        Ok(Store { backend })
    }

    /// A name for the database's contents, the same in every process that has
    /// it open: what is kept elsewhere under it belongs to no other database.
    /// One that was made anew, or put in the place of another, has another.
    pub fn identity(&self) -> String {
        match &self.backend {
            DatabaseBackend::Sqlite(database) => database.identity(),
            DatabaseBackend::Postgres(database) => database.identity(),
        }
    }

    /// Whether no user was ever stored: a first start. A database whose users
    /// were all deleted is not empty in this sense.
    ///
    /// # Errors
    /// The database could not be read.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        match &self.backend {
            DatabaseBackend::Sqlite(database) => database.is_empty(),
            DatabaseBackend::Postgres(database) => database.is_empty(),
        }
    }

    /// Adds `plan.users` users and `plan.posts` posts to what is there. All the
    /// users have the password [`DEMO_PASSWORD`].
    /// Blocks the caller; `progress` is told rows done and rows in all.
    ///
    /// The rows follow from `plan.random_seed` and the rows that were there
    /// before. Running it again adds as many again, with other emails. If it
    /// is cut short, whole batches of
    /// [`crate::store::limits::STORE_SEED_BATCH_ROWS`] rows remain (of
    /// [`crate::store::limits::STORE_SEED_FIRST_BATCH_ROWS`] where there was no user).
    ///
    /// # Errors
    /// The database could not be written, or there is no user to write posts.
    pub fn seed(
        &self,
        plan: &SeedPlan,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<SeedReport, StoreError> {
        match &self.backend {
            DatabaseBackend::Sqlite(database) => database.seed(plan, progress),
            DatabaseBackend::Postgres(database) => database.seed(plan, progress),
        }
    }

    /// [`Self::seed`] unless a user was ever stored; then `None`. Of several
    /// processes that start on one empty PostgreSQL database, one does it and
    /// the others wait for that.
    ///
    /// # Errors
    /// As [`Self::seed`].
    pub fn seed_if_empty(
        &self,
        plan: &SeedPlan,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<SeedReport>, StoreError> {
        match &self.backend {
            DatabaseBackend::Sqlite(database) if database.is_empty()? => {
                database.seed(plan, progress).map(Some)
            }
            DatabaseBackend::Sqlite(_) => Ok(None),
            DatabaseBackend::Postgres(database) => database.seed_if_empty(plan, progress),
        }
    }

    /// SQLite: commits the writes that wait and ends the writer. Later writes
    /// get [`StoreError::Unavailable`]; reads go on. Blocks the caller; calling
    /// it again does nothing. PostgreSQL has no writer to end.
    pub fn close(&self) {
        match &self.backend {
            DatabaseBackend::Sqlite(database) => database.close(),
            DatabaseBackend::Postgres(_) => {}
        }
    }

    /// The plan of every query the server uses.
    ///
    /// # Errors
    /// The database could not be opened or read at all; a single query that
    /// cannot be prepared is reported in its [`PlanReport`].
    pub fn explain(&self) -> Result<Vec<PlanReport>, StoreError> {
        match &self.backend {
            DatabaseBackend::Sqlite(database) => database.explain(),
            DatabaseBackend::Postgres(database) => database.explain(),
        }
    }

    /// What whoever starts the server should know of it: that it takes no
    /// writes, for one.
    pub fn warning(&self) -> Option<&str> {
        match &self.backend {
            DatabaseBackend::Sqlite(_) => None,
            DatabaseBackend::Postgres(database) => database.warning(),
        }
    }

    /// Whether it tells of changes that others make; see [`Store::changes`].
    pub fn tells_changes(&self) -> bool {
        match &self.backend {
            DatabaseBackend::Sqlite(_) => false,
            DatabaseBackend::Postgres(_) => true,
        }
    }

    /// What the writer has done; nothing for PostgreSQL, which has none.
    pub fn writer_stats(&self) -> WriterStats {
        match &self.backend {
            DatabaseBackend::Sqlite(database) => database.writer_stats(),
            DatabaseBackend::Postgres(_) => WriterStats::default(),
        }
    }
}

/// One shard's door to the database. Cheap to clone; never leaves its shard.
#[derive(Debug, Clone)]
pub struct Store {
    backend: StoreBackend,
}

#[derive(Debug, Clone)]
enum StoreBackend {
    Sqlite(Rc<sqlite::Session>),
    Postgres(Rc<postgres::Session>),
}

/// Asks whichever session there is.
macro_rules! ask {
    ($store:ident.$ask:ident($($argument:expr),*)) => {
        match &$store.backend {
            StoreBackend::Sqlite(session) => session.$ask($($argument),*).await,
            StoreBackend::Postgres(session) => session.$ask($($argument),*).await,
        }
    };
}

/// Reads fail with [`StoreError::Unavailable`] or [`StoreError::Failed`].
/// Writes also with [`StoreError::Busy`], [`StoreError::DiskFull`],
/// [`StoreError::OutcomeUnknown`] and what each names itself.
impl Store {
    /// The user with this id.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn user(&self, id: i64) -> Result<Option<User>, StoreError> {
        ask!(self.user(id))
    }

    /// One page of users.
    ///
    /// The cost is bounded by `limit` plus the offset for every combination of
    /// order and filters; a cursor costs the same at any depth.
    ///
    /// # Errors
    /// The database could not be read; [`StoreError::Failed`] when the cursor
    /// lacks the name and age that `sort` goes by.
    pub async fn users(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        ask!(self.users(query))
    }

    /// The users with these ids, read in one statement, in the order asked;
    /// `None` where there is none. An id may be asked for twice.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn users_by_ids(&self, ids: &[i64]) -> Result<Vec<Option<User>>, StoreError> {
        ask!(self.users_by_ids(ids))
    }

    /// At most `limit` users within `radius_km` of `center`, nearest first
    /// (ties by id), each with its great-circle distance in km.
    ///
    /// Exact, also across the antimeridian and at the poles; the cost does not
    /// grow with the radius. Two bounds apply to data crowded beyond reason:
    /// [`crate::store::limits::STORE_NEAR_CROWD_ROWS_MAX`] users within metres of
    /// each other, and (SQLite) [`crate::store::limits::STORE_NEAR_ROWS_MAX`] in all.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn users_near(
        &self,
        center: Location,
        radius_km: f64,
        limit: u32,
    ) -> Result<Vec<(User, f64)>, StoreError> {
        ask!(self.users_near(center, radius_km, limit))
    }

    /// All users by id, in constant memory.
    pub fn export_users(&self) -> UserExport {
        let backend = match &self.backend {
            StoreBackend::Sqlite(session) => {
                ExportBackend::Sqlite(sqlite::SqliteExport::new(session))
            }
            StoreBackend::Postgres(session) => {
                ExportBackend::Postgres(postgres::PostgresExport::new(session))
            }
        };
        UserExport { backend }
    }

    /// Adds a user: version 1, both times now.
    ///
    /// # Errors
    /// [`StoreError::DuplicateEmail`].
    pub async fn create_user(&self, user: NewUser) -> Result<User, StoreError> {
        ask!(self.create_user(user))
    }

    /// Replaces what a client may set of a user.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::ConditionFailed`],
    /// [`StoreError::DuplicateEmail`].
    pub async fn replace_user(
        &self,
        id: i64,
        user: NewUser,
        condition: WriteCondition,
    ) -> Result<User, StoreError> {
        ask!(self.replace_user(id, user, condition))
    }

    /// Changes the fields present in `patch`. An empty patch checks the
    /// condition and writes nothing: version and times stay.
    ///
    /// # Errors
    /// As [`Self::replace_user`].
    pub async fn update_user(
        &self,
        id: i64,
        patch: UserPatch,
        condition: WriteCondition,
    ) -> Result<User, StoreError> {
        ask!(self.update_user(id, patch, condition))
    }

    /// Deletes a user and all their posts. The id is never given again.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::ConditionFailed`].
    pub async fn delete_user(&self, id: i64, condition: WriteCondition) -> Result<(), StoreError> {
        ask!(self.delete_user(id, condition))
    }

    /// The post with this id; `author` is `None`.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn post(&self, id: i64) -> Result<Option<Post>, StoreError> {
        ask!(self.post(id))
    }

    /// One page of posts by id; authors come from the same statement (a join).
    /// The offset counts from `after_id` where both are given.
    ///
    /// # Errors
    /// The database could not be read.
    pub async fn posts(&self, query: &PostQuery) -> Result<PostPage, StoreError> {
        ask!(self.posts(query))
    }

    /// A listener for changes made by others, over a connection of its own;
    /// one of them per process is enough. `None` for the embedded database,
    /// which tells of none.
    pub fn changes(&self) -> Option<ChangeListener> {
        match &self.backend {
            StoreBackend::Sqlite(_) => None,
            StoreBackend::Postgres(session) => Some(ChangeListener {
                backend: session.listener(),
            }),
        }
    }

    /// The process's connections to its database server; `None` for the
    /// embedded database, which has none.
    pub fn connections(&self) -> Option<DatabaseSnapshot> {
        match &self.backend {
            StoreBackend::Sqlite(_) => None,
            StoreBackend::Postgres(session) => Some(session.connections()),
        }
    }

    /// Says goodbye to other processes on the database, so that they do not wait
    /// for what this shard might have left untold. When nobody writes any more.
    pub(crate) async fn leave(&self) {
        match &self.backend {
            StoreBackend::Sqlite(_) => {}
            StoreBackend::Postgres(session) => session.leave().await,
        }
    }

    /// What an operator should know although the database answers: that a table
    /// is locked, or that no writes are taken.
    pub fn warning(&self) -> Option<String> {
        match &self.backend {
            StoreBackend::Sqlite(_) => None,
            StoreBackend::Postgres(session) => session.warning(),
        }
    }

    /// Reads from the database on this shard; SQLite's writer is asked for a
    /// sign of life too, which comes after the commit under way.
    ///
    /// # Errors
    /// One of them cannot work.
    pub async fn ping(&self) -> Result<(), StoreError> {
        ask!(self.ping())
    }
}

/// Hears what others change in the database, until it is dropped.
#[derive(Debug)]
pub struct ChangeListener {
    backend: postgres::Listener,
}

impl ChangeListener {
    /// The next thing there is to know; waits for it, for ever if need be. May
    /// be dropped and asked again.
    pub async fn next(&mut self) -> ChangeEvent {
        self.backend.next().await
    }
}

/// All users by ascending id, batch by batch, of
/// [`crate::store::limits::STORE_EXPORT_BATCH_ROWS`] each, as fast as they are asked
/// for. Nobody is given twice.
///
/// SQLite: each batch is read at its own moment; nothing is held between
/// batches, so an export may take hours and costs writers nothing. A user who
/// exists throughout is given exactly once, as they stood when their batch was
/// read; one created meanwhile is given; one deleted before their batch is not.
///
/// PostgreSQL: a stream on a connection of its own. It gives the users as they
/// all stood when it began; meanwhile the server cannot remove old versions of
/// rows, in any table, so an export of hours costs disk. Dropping it before its
/// end cancels the statement and closes the connection.
#[derive(Debug)]
pub struct UserExport {
    backend: ExportBackend,
}

#[derive(Debug)]
enum ExportBackend {
    Sqlite(sqlite::SqliteExport),
    Postgres(postgres::PostgresExport),
}

impl UserExport {
    /// The next users, never an empty batch; `None` at the end, and ever after.
    ///
    /// # Errors
    /// The database could not be read; asking again tries the same batch, for
    /// PostgreSQL by a new stream, which shows the users as they stand then.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<User>>, StoreError> {
        match &mut self.backend {
            ExportBackend::Sqlite(export) => export.next_batch().await,
            ExportBackend::Postgres(export) => export.next_batch().await,
        }
    }
}
