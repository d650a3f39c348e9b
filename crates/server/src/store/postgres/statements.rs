//! The statements of [`queries`](super::queries) on a connection: each is
//! prepared once, in a session that has its settings.

use std::cell::{Cell, RefCell};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use super::queries::{Columns, Query, SESSION};
use crate::store::limits::STORE_STATEMENTS_MAX;
use corelane::postgres::{Connection, StatementCache};

/// What a connection can do when it is asked for the users' and posts'
/// statements.
pub(super) trait RunsQueries {
    /// Runs a statement without asked-for columns.
    async fn query(&self, query: Query, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error>;

    /// [`Self::query`] with the first row alone.
    async fn query_opt(
        &self,
        query: Query,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error>;

    /// The statement, prepared now unless it was before, and the columns it
    /// reads: all, not those asked for, once there are too many statements of
    /// different columns.
    async fn statement(
        &self,
        query: Query,
        columns: Columns,
    ) -> Result<(Statement, Columns), Error>;

    /// Gives the session its settings, before its first statement. To be
    /// called outside of a transaction, whose end could undo it.
    async fn set_up(&self) -> Result<(), Error>;
}

impl RunsQueries for Connection {
    async fn query(&self, query: Query, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let (statement, _) = self.statement(query, Columns::ALL).await?;
        self.client().query(&statement, params).await
    }

    async fn query_opt(
        &self,
        query: Query,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        let (statement, _) = self.statement(query, Columns::ALL).await?;
        self.client().query_opt(&statement, params).await
    }

    async fn statement(
        &self,
        query: Query,
        columns: Columns,
    ) -> Result<(Statement, Columns), Error> {
        let prepared = self.kept::<Prepared>();
        let mut columns = if query.has_columns() {
            columns
        } else {
            Columns::ALL
        };
        if let Some(known) = prepared.find(query, columns) {
            return Ok((known, columns));
        }
        if prepared.statements.borrow().len() >= STORE_STATEMENTS_MAX - Query::ALL.len() {
            columns = Columns::ALL;
            if let Some(known) = prepared.find(query, columns) {
                return Ok((known, columns));
            }
        }
        self.set_up().await?;
        let statement = self.client().prepare(&query.sql(columns)).await?;
        let mut statements = prepared.statements.borrow_mut();
        statements.keep((query, columns), statement.clone());
        Ok((statement, columns))
    }

    async fn set_up(&self) -> Result<(), Error> {
        let prepared = self.kept::<Prepared>();
        // Those who come meanwhile are behind it on the wire.
        if prepared.is_set_up.replace(true) {
            return Ok(());
        }
        let done = self.client().batch_execute(SESSION).await;
        prepared.is_set_up.set(done.is_ok());
        done
    }
}

/// What a connection's session has.
struct Prepared {
    statements: RefCell<StatementCache<(Query, Columns)>>,
    is_set_up: Cell<bool>,
}

impl Default for Prepared {
    fn default() -> Self {
        Self {
            statements: RefCell::new(StatementCache::new(STORE_STATEMENTS_MAX)),
            is_set_up: Cell::new(false),
        }
    }
}

impl Prepared {
    fn find(&self, query: Query, columns: Columns) -> Option<Statement> {
        self.statements.borrow().find(&(query, columns))
    }
}

const _: () = assert!(Query::ALL.len() < STORE_STATEMENTS_MAX);
