//! All users as one stream of rows on a connection of its own.
//!
//! The client reads a batch from the socket when it is asked for one, so a
//! slow reader makes the server wait, with a fixed amount in flight. What is
//! given stands as it was when the stream began; the server keeps old rows for
//! that long. An export that is dropped cancels its statement.

use std::pin::Pin;
use std::rc::Rc;

use futures_core::Stream;
use tokio::sync::oneshot;
use tokio_postgres::{Error, RowStream};

use super::queries::{Columns, Query};
use super::rows::user_from;
use super::session::Session;
use super::statements::RunsQueries;
use crate::store::limits::STORE_EXPORT_BATCH_ROWS;
use crate::store::{StoreError, User};
use corelane::engine;
use corelane::postgres::{Connection, Exclusive, Intent, Pool, PostgresError};

/// See [`crate::store::UserExport`].
pub(in crate::store) struct PostgresExport {
    session: Rc<Session>,
    stream: Option<Streaming>,
    /// The last id given; ids start at 1.
    after_id: i64,
    is_done: bool,
}

/// A stream under way. Dropping it tells its keeper, which ends it.
struct Streaming {
    rows: Pin<Box<RowStream>>,
    done: Option<oneshot::Sender<()>>,
}

impl std::fmt::Debug for PostgresExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresExport")
            .field("after_id", &self.after_id)
            .finish_non_exhaustive()
    }
}

impl PostgresExport {
    pub(in crate::store) fn new(session: &Rc<Session>) -> Self {
        Self {
            session: Rc::clone(session),
            stream: None,
            after_id: i64::MIN,
            is_done: false,
        }
    }

    pub(in crate::store) async fn next_batch(&mut self) -> Result<Option<Vec<User>>, StoreError> {
        if self.is_done {
            return Ok(None);
        }
        let mut streaming = match self.stream.take() {
            Some(streaming) => streaming,
            None => match begin(&self.session.pool, self.after_id).await {
                // The table has changed since the statement was prepared.
                Err(error) if error.is_outdated() => {
                    begin(&self.session.pool, self.after_id).await?
                }
                begun => begun?,
            },
        };
        // A failure drops the stream; asking again begins another after the
        // last id given.
        let batch = take_batch(&mut streaming.rows);
        let Ok(users) = engine::timeout(self.session.pool.deadline(), batch).await else {
            let why = "no row of the export came in time".to_owned();
            return Err(StoreError::Unavailable(why));
        };
        let users = users.map_err(super::fault::read_error)?;
        if users.len() == STORE_EXPORT_BATCH_ROWS {
            self.stream = Some(streaming);
        } else {
            self.is_done = true;
            if let Some(done) = streaming.done.take() {
                // The keeper is there as long as its shard is.
                let _ = done.send(());
            }
        }
        let Some(last) = users.last() else {
            return Ok(None);
        };
        self.after_id = last.id;
        Ok(Some(users))
    }
}

/// Starts the statement, in a transaction because it may run for as long as
/// its reader likes.
async fn begin(pool: &Pool, after_id: i64) -> Result<Streaming, PostgresError> {
    let mut connection = pool.exclusive().await?;
    // From here on somebody else would find a transaction, or rows.
    connection.spoil();
    let begun = connection.run(Intent::Read, async |connection| {
        let (statement, _) = connection
            .statement(Query::UsersAfter, Columns::ALL)
            .await?;
        connection.client().batch_execute(BEGIN).await?;
        connection.client().query_raw(&statement, [after_id]).await
    });
    let rows = Box::pin(begun.await?);
    let (done, is_done) = oneshot::channel();
    engine::spawn_local(keep(connection, is_done));
    Ok(Streaming {
        rows,
        done: Some(done),
    })
}

const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = 0; \
    SET LOCAL idle_in_transaction_session_timeout = 0";

/// Holds the connection of a stream. When the stream has been read to its end
/// the connection goes back; when it was dropped before, the server is told to
/// stop and the connection closed.
async fn keep(mut connection: Exclusive, is_done: oneshot::Receiver<()>) {
    if is_done.await.is_err() {
        return connection.give_up();
    }
    let commit = async |connection: &Connection| connection.client().batch_execute("COMMIT").await;
    if connection.run(Intent::Read, commit).await.is_ok() {
        connection.restore();
    }
}

/// A batch of rows, fewer at the end; the stream is not to be asked again
/// then.
async fn take_batch(rows: &mut Pin<Box<RowStream>>) -> Result<Vec<User>, Error> {
    let mut users = Vec::with_capacity(STORE_EXPORT_BATCH_ROWS);
    while users.len() < STORE_EXPORT_BATCH_ROWS {
        match std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await {
            Some(row) => users.push(user_from(&row?)?),
            None => break,
        }
    }
    Ok(users)
}
