//! The statements one connection has prepared for a user, by their text.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Statement};

use crate::limits::SQL_STATEMENTS_MAX;

/// At most [`SQL_STATEMENTS_MAX`]; the oldest goes first, and the server is
/// told when nobody runs it any more.
#[derive(Default)]
pub(in crate::store::postgres) struct Statements {
    by_text: HashMap<Rc<str>, Statement>,
    oldest_first: VecDeque<Rc<str>>,
}

impl Statements {
    pub(in crate::store::postgres) fn find(&self, sql: &str) -> Option<Statement> {
        self.by_text.get(sql).cloned()
    }

    /// Keeps a statement; one that another task prepared meanwhile is replaced.
    pub(in crate::store::postgres) fn keep(&mut self, sql: &str, statement: &Statement) {
        let text: Rc<str> = sql.into();
        let known = self.by_text.insert(text.clone(), statement.clone());
        if known.is_some() {
            return;
        }
        self.oldest_first.push_back(text);
        if self.oldest_first.len() > SQL_STATEMENTS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.by_text.remove(&oldest);
        }
    }

    pub(in crate::store::postgres) fn forget(&mut self, sql: &str) {
        self.by_text.remove(sql);
        self.oldest_first.retain(|text| **text != *sql);
    }
}

/// Whether a prepared statement was refused because it no longer fits: "cached
/// plan must not change result type", or the session has forgotten it.
pub(super) fn is_outdated(error: &Error) -> bool {
    let Some(refusal) = error.as_db_error() else {
        return false;
    };
    match *refusal.code() {
        SqlState::INVALID_SQL_STATEMENT_NAME => true,
        // A procedure may have committed something before it raises the same.
        SqlState::FEATURE_NOT_SUPPORTED => refusal.routine() == Some("RevalidateCachedQuery"),
        _ => false,
    }
}
