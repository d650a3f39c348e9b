//! One connection to PostgreSQL: its client, the statements it has prepared,
//! and whether it may be used again.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

use super::queries::{Columns, Query, SESSION};
use super::sql::Statements;
use crate::store::limits::STORE_STATEMENTS_MAX;

/// A connection of a shard. Its methods take `&self`: statements of several
/// tasks are pipelined.
pub(super) struct Connection {
    client: Client,
    statements: RefCell<HashMap<(Query, Columns), Statement>>,
    /// Of a library user's own SQL.
    own: RefCell<Statements>,
    is_set_up: Cell<bool>,
    is_spoiled: Cell<bool>,
}

impl Connection {
    /// A connection over `client`, whose driver runs.
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            statements: RefCell::default(),
            own: RefCell::default(),
            is_set_up: Cell::new(false),
            is_spoiled: Cell::new(false),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether somebody left it in a state that nobody should meet: half a
    /// result under way, a transaction open. It must be closed.
    pub(super) fn is_spoiled(&self) -> bool {
        self.is_spoiled.get()
    }

    /// Says that it must be closed, unless [`Self::restore`] comes.
    pub(super) fn spoil(&self) {
        self.is_spoiled.set(true);
    }

    /// It is as it was.
    pub(super) fn restore(&self) {
        self.is_spoiled.set(false);
    }

    /// Runs a statement without asked-for columns.
    pub(super) async fn query(
        &self,
        query: Query,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let (statement, _) = self.statement(query, Columns::ALL).await?;
        self.client.query(&statement, params).await
    }

    /// [`Self::query`] with the first row alone.
    pub(super) async fn query_opt(
        &self,
        query: Query,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        let (statement, _) = self.statement(query, Columns::ALL).await?;
        self.client.query_opt(&statement, params).await
    }

    /// The statement, prepared now unless it was before, and the columns it
    /// reads: all, not those asked for, once there are too many statements of
    /// different columns.
    pub(super) async fn statement(
        &self,
        query: Query,
        columns: Columns,
    ) -> Result<(Statement, Columns), Error> {
        let mut columns = if query.has_columns() {
            columns
        } else {
            Columns::ALL
        };
        if let Some(known) = self.known(query, columns) {
            return Ok((known, columns));
        }
        if self.statements.borrow().len() >= STORE_STATEMENTS_MAX - Query::ALL.len() {
            columns = Columns::ALL;
            if let Some(known) = self.known(query, columns) {
                return Ok((known, columns));
            }
        }
        self.set_up().await?;
        let statement = self.client.prepare(&query.sql(columns)).await?;
        let mut statements = self.statements.borrow_mut();
        statements.insert((query, columns), statement.clone());
        Ok((statement, columns))
    }

    /// Gives the session its settings, before its first statement. To be
    /// called outside of a transaction, whose end could undo it.
    pub(super) async fn set_up(&self) -> Result<(), Error> {
        // Those who come meanwhile are behind it on the wire.
        if self.is_set_up.replace(true) {
            return Ok(());
        }
        let done = self.client.batch_execute(SESSION).await;
        self.is_set_up.set(done.is_ok());
        done
    }

    /// A user's statement, prepared now unless it was before. The session
    /// keeps the server's own settings.
    pub(super) async fn statement_of(&self, sql: &str) -> Result<Statement, Error> {
        let known = self.own.borrow().find(sql);
        if let Some(known) = known {
            return Ok(known);
        }
        let statement = self.client.prepare(sql).await?;
        self.own.borrow_mut().keep(sql, &statement);
        Ok(statement)
    }

    /// Has [`Self::statement_of`] prepare it anew.
    pub(super) fn forget_statement_of(&self, sql: &str) {
        self.own.borrow_mut().forget(sql);
    }

    fn known(&self, query: Query, columns: Columns) -> Option<Statement> {
        self.statements.borrow().get(&(query, columns)).cloned()
    }
}

const _: () = assert!(Query::ALL.len() < STORE_STATEMENTS_MAX);
