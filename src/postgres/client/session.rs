//! What a session is to have: given after the login, read back and compared. The
//! login itself could carry it, but a pooler in between (PgBouncer) refuses such
//! a login, and what one lets through need not arrive. It costs two round trips
//! per connection made.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;

use super::connection::DirectConnection;
use super::dial_error::DialError;
use super::role::SessionRole;
use crate::engine;
use crate::limits::POSTGRES_SESSION_CHECK_MS;

/// Settings of every session.
#[derive(Clone, Debug)]
pub(super) struct SessionSettings {
    names: Vec<String>,
    /// Sets them all, and answers how the server writes each.
    set: String,
    /// Asks for them all, and for what [`SessionRole`] holds.
    ask: String,
}

impl SessionSettings {
    pub(super) fn new<'a>(settings: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let (mut names, mut sets, mut asks) = (Vec::new(), Vec::new(), Vec::new());
        for (name, value) in settings {
            // Escaped as it is read whatever standard_conforming_strings says.
            let escaped = |text: &str| text.replace('\\', r"\\").replace('\'', "''");
            let literal = |text: &str| format!("E'{}'", escaped(text));
            let (quoted, value) = (literal(name), literal(&value));
            sets.push(format!("set_config({quoted}, {value}, false)"));
            asks.push(format!("current_setting({quoted}, true)"));
            names.push(name.to_owned());
        }
        let (sets, asks) = (sets.join(", "), asks.join(", "));
        Self {
            names,
            set: format!("SELECT {sets}"),
            ask: format!(
                "SELECT current_setting('transaction_read_only'), pg_is_in_recovery(), {asks}"
            ),
        }
    }

    /// Gives them to a new session.
    ///
    /// # Errors
    /// [`DialError::SessionLost`] when one of them has not arrived.
    pub(super) async fn give(
        &self,
        connection: &DirectConnection,
    ) -> Result<SessionRole, DialError> {
        let given = fields(connection, &self.set).await?;
        let mut found = fields(connection, &self.ask).await?.into_iter();
        let is_on = |text: Option<Option<String>>| {
            matches!(text.flatten().as_deref(), Some("on" | "t" | "true"))
        };
        let role = SessionRole {
            is_read_only: is_on(found.next()),
            is_standby: is_on(found.next()),
        };
        let lost =
            (self.names.iter().zip(given)).find(|(_, given)| found.next().as_ref() != Some(given));
        match lost {
            Some((name, _)) => Err(DialError::SessionLost(name.clone())),
            None => Ok(role),
        }
    }
}

/// Whether `connection` stays with one server process from one transaction to
/// the next. A pooler that takes processes away between transactions leaves
/// neither settings nor prepared statements nor `LISTEN` where they were put.
/// `other` is a second connection by the same way: it holds a process in a
/// transaction, so that the first must show whether it has one of its own.
///
/// # Errors
/// The connection failed.
pub(super) async fn keeps_its_process(
    connection: &DirectConnection,
    other: &DirectConnection,
) -> Result<bool, DialError> {
    let mine = process_of(connection).await?;
    if process_of(connection).await? != mine {
        return Ok(false);
    }
    // Poolers that go by statements refuse this; a server that goes away says so,
    // or nothing.
    if let Err(error) = other.client().batch_execute("BEGIN").await {
        let code = error.as_db_error().map(|refusal| refusal.code().code());
        return match code {
            Some(code) if !code.starts_with("57P") => Ok(false),
            _ => Err(DialError::Postgres(error)),
        };
    }
    let asking = async {
        for _ in 0..2 {
            if process_of(connection).await? != mine {
                return Ok(false);
            }
        }
        Ok(true)
    };
    // One that waits now waits for the process that the other has.
    let patience = Duration::from_millis(POSTGRES_SESSION_CHECK_MS);
    let kept = engine::timeout(patience, asking).await;
    let ended = other.client().batch_execute("ROLLBACK").await;
    ended.map_err(DialError::Postgres)?;
    kept.unwrap_or(Ok(false))
}

async fn process_of(connection: &DirectConnection) -> Result<Option<String>, DialError> {
    let answer = fields(connection, "SELECT pg_backend_pid()").await?;
    Ok(answer.into_iter().next().flatten())
}

/// The fields of the only row that the statements answer.
async fn fields(
    connection: &DirectConnection,
    sql: &str,
) -> Result<Vec<Option<String>>, DialError> {
    let answer = connection.client().simple_query(sql).await;
    let answer = answer.map_err(DialError::Postgres)?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let Some(row) = row else {
        return Ok(Vec::new());
    };
    Ok((0..row.len())
        .map(|index| row.get(index).map(str::to_owned))
        .collect())
}
