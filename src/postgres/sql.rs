//! A library user's own SQL on PostgreSQL, through a pool on the shard's own
//! reactor: no tables, migrations or feed of changes come with it.
//!
//! One [`SqlDatabase`] for the process says how many connections there may be,
//! one [`Sql`] per shard uses them. The server starts and works without
//! PostgreSQL: statements fail until it is there, and from then on do not.

pub use tokio_postgres::Row;
pub use tokio_postgres::types::{self, ToSql};

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tokio_postgres::{Client, Error, Statement};

use super::{Budget, ConnectError, Dialer, Intent, Pool, PostgresError};
use super::{PostgresOptions, PostgresServer, PostgresUrl, StatementCache};
use crate::limits::{SQL_CONNECTIONS_DEFAULT, SQL_STATEMENTS_MAX};
use crate::metrics::DatabaseSnapshot;

/// A PostgreSQL database as the whole process has it. Cheap to clone.
///
/// ```
/// use corelane::postgres::{PostgresOptions, Sql, SqlDatabase};
/// use corelane::{App, Ctx, Error, Response};
///
/// async fn price(ctx: Ctx) -> Result<Response, Error> {
///     let id: i32 = ctx.param("id")?;
///     let items = ctx.state::<Sql>();
///     let row = items.read_opt("SELECT price FROM items WHERE id = $1", &[&id]).await?;
///     let row = row.ok_or_else(|| Error::not_found("there is no such item"))?;
///     Ok(Response::text(row.try_get::<_, i32>(0)?.to_string()))
/// }
///
/// let options = PostgresOptions { connections_max: 32, ..PostgresOptions::default() };
/// let database = SqlDatabase::new(&"postgres://joe@db.example/shop".parse()?, &options)?;
/// let app = App::new()
///     .state(move |_shard| {
///         let database = database.clone();
///         async move { Ok(database.connect()?) }
///     })
///     .get("/items/{id}/price", price);
/// # app.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SqlDatabase {
    server: Arc<PostgresServer>,
}

impl SqlDatabase {
    /// A database at this address; nothing is connected yet.
    ///
    /// `options.connections_max` is for the whole process,
    /// [`SQL_CONNECTIONS_DEFAULT`] if it is 0: nobody asks the server for its
    /// own limit. Each shard has an equal part and lends what it does not use.
    ///
    /// # Errors
    /// [`ConnectError::Tls`] when the certificates cannot be read.
    pub fn new(url: &PostgresUrl, options: &PostgresOptions) -> Result<Self, ConnectError> {
        let dialer = Dialer::new(url, options, &[])?;
        let connections_max = match options.connections_max {
            0 => SQL_CONNECTIONS_DEFAULT,
            most => most,
        };
        let budget = Budget::new(connections_max, 0);
        Ok(Self {
            server: PostgresServer::new(dialer, options.clone(), budget),
        })
    }

    /// Connections for the shard that calls this, in the app's
    /// [`state`](crate::App::state).
    ///
    /// # Errors
    /// [`ConnectError::Unusable`] when there are more shards than connections.
    ///
    /// # Panics
    /// When called on a thread that is no shard's.
    pub fn connect(&self) -> Result<Sql, ConnectError> {
        let pool = Pool::new(&self.server);
        let (members, most) = self.server.members_of();
        if members > most {
            return Err(ConnectError::Unusable {
                place: self.server.dialer().place().to_owned(),
                why: format!(
                    "{most} connections are too few for {members} shards, each of which needs one: \
                     raise connections_max, or start fewer shards"
                ),
            });
        }
        Ok(Sql { pool })
    }

    /// What the pools of all shards have counted.
    pub fn snapshot(&self) -> DatabaseSnapshot {
        self.server.snapshot()
    }
}

impl std::fmt::Debug for SqlDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SqlDatabase({})", self.server.dialer().place())
    }
}

/// One shard's door to a [`SqlDatabase`]. Cheap to clone; never leaves its
/// shard.
///
/// A statement is prepared once per connection and found by its text after
/// that ([`SQL_STATEMENTS_MAX`](crate::limits::SQL_STATEMENTS_MAX) of them are
/// kept), so what varies belongs into parameters: `$1`, `$2`. Statements of
/// several requests are under way on one connection at a time, at most
/// `in_flight_per_connection_max`: none may begin a transaction or change the
/// session.
///
/// Every call ends by `deadline_ms`; a request that is dropped leaves its
/// statement to the server.
#[derive(Clone)]
pub struct Sql {
    pool: Pool,
}

/// All fail with what [`PostgresError`] says.
impl Sql {
    /// Rows of a statement that changes nothing: it is sent again, once, when
    /// the connection broke before the answer.
    ///
    /// # Errors
    /// [`PostgresError`]; never [`PostgresError::OutcomeUnknown`].
    pub async fn read(&self, sql: &str, params: &Params<'_>) -> Result<Vec<Row>, PostgresError> {
        self.rows(Intent::Read, sql, params).await
    }

    /// [`read`](Self::read) with the first row alone.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_opt(
        &self,
        sql: &str,
        params: &Params<'_>,
    ) -> Result<Option<Row>, PostgresError> {
        let rows = self.read(sql, params).await?;
        Ok(rows.into_iter().next())
    }

    /// Rows of a statement that may change something, such as what `RETURNING`
    /// returns: it is sent once. Committed when this returns.
    ///
    /// # Errors
    /// [`PostgresError::OutcomeUnknown`] when its answer was lost.
    pub async fn write(&self, sql: &str, params: &Params<'_>) -> Result<Vec<Row>, PostgresError> {
        self.rows(Intent::Write, sql, params).await
    }

    /// [`write`](Self::write); how many rows it changed.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn execute(&self, sql: &str, params: &Params<'_>) -> Result<u64, PostgresError> {
        self.run(Intent::Write, sql, async |client, statement| {
            client.execute(statement, params).await
        })
        .await
    }

    async fn rows(
        &self,
        intent: Intent,
        sql: &str,
        params: &Params<'_>,
    ) -> Result<Vec<Row>, PostgresError> {
        self.run(intent, sql, async |client, statement| {
            client.query(statement, params).await
        })
        .await
    }

    async fn run<T>(
        &self,
        intent: Intent,
        sql: &str,
        ask: impl AsyncFn(&Client, &Statement) -> Result<T, Error>,
    ) -> Result<T, PostgresError> {
        self.pool
            .shared(intent, async |connection| {
                let prepared = connection.kept::<Prepared>();
                let statement = prepared.statement(connection.client(), sql).await?;
                ask(connection.client(), &statement).await
            })
            .await
    }
}

impl std::fmt::Debug for Sql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sql").finish_non_exhaustive()
    }
}

/// Values of a statement's parameters, in order.
pub type Params<'a> = [&'a (dyn ToSql + Sync)];

/// The statements of a connection, by their text.
struct Prepared(RefCell<StatementCache<Rc<str>>>);

impl Default for Prepared {
    fn default() -> Self {
        Self(RefCell::new(StatementCache::new(SQL_STATEMENTS_MAX)))
    }
}

impl Prepared {
    /// The statement, prepared now unless it was before. The session keeps the
    /// server's own settings.
    async fn statement(&self, client: &Client, sql: &str) -> Result<Statement, Error> {
        let known = self.0.borrow().find(sql);
        if let Some(known) = known {
            return Ok(known);
        }
        let statement = client.prepare(sql).await?;
        self.0.borrow_mut().keep(sql.into(), statement.clone());
        Ok(statement)
    }
}
