//! One shard's door to the embedded store: its reader, and the way to the
//! writer.

use std::rc::Rc;
use std::sync::Arc;

use super::connection::{Role, store_error};
use super::reader::Reader;
use super::writes::{Write, Written};
use super::{SqliteDatabase, list, near};
use crate::store::limits;
use crate::store::{Location, NewUser, Post, PostPage, PostQuery, StoreError, User, UserPage};
use crate::store::{UserPatch, UserQuery, WriteCondition};
use corelane::engine;

/// A shard's connection; see [`crate::store::Store`], which it stands behind.
#[derive(Debug)]
pub(in crate::store) struct Session {
    database: Arc<SqliteDatabase>,
    pub(super) reader: Reader,
}

impl Session {
    pub(in crate::store) fn open(database: &Arc<SqliteDatabase>) -> Result<Self, StoreError> {
        // A shard that begins later must not read from another file.
        database.writer.files().check()?;
        let connection = database.target.connect(Role::Reader).map_err(store_error)?;
        Ok(Self {
            database: Arc::clone(database),
            reader: Reader::new(connection),
        })
    }

    pub(in crate::store) async fn user(&self, id: i64) -> Result<Option<User>, StoreError> {
        self.reader.user(id).map_err(store_error)
    }

    pub(in crate::store) async fn users(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        list::page(&self.reader, query)
    }

    pub(in crate::store) async fn users_by_ids(
        &self,
        ids: &[i64],
    ) -> Result<Vec<Option<User>>, StoreError> {
        self.reader.users_by_ids(ids).map_err(store_error)
    }

    pub(in crate::store) async fn users_near(
        &self,
        center: Location,
        radius_km: f64,
        limit: u32,
    ) -> Result<Vec<(User, f64)>, StoreError> {
        near::users_near(&self.reader, center, radius_km, limit).await
    }

    pub(in crate::store) async fn create_user(&self, user: NewUser) -> Result<User, StoreError> {
        self.written_user(Write::Create(user)).await
    }

    pub(in crate::store) async fn replace_user(
        &self,
        id: i64,
        user: NewUser,
        condition: WriteCondition,
    ) -> Result<User, StoreError> {
        self.written_user(Write::Replace {
            id,
            user,
            condition,
        })
        .await
    }

    pub(in crate::store) async fn update_user(
        &self,
        id: i64,
        patch: UserPatch,
        condition: WriteCondition,
    ) -> Result<User, StoreError> {
        self.written_user(Write::Update {
            id,
            patch,
            condition,
        })
        .await
    }

    pub(in crate::store) async fn delete_user(
        &self,
        id: i64,
        condition: WriteCondition,
    ) -> Result<(), StoreError> {
        self.write(Write::Delete { id, condition }).await.map(drop)
    }

    pub(in crate::store) async fn post(&self, id: i64) -> Result<Option<Post>, StoreError> {
        self.reader.post(id).map_err(store_error)
    }

    pub(in crate::store) async fn posts(&self, query: &PostQuery) -> Result<PostPage, StoreError> {
        self.reader.posts(query).map_err(store_error)
    }

    pub(in crate::store) async fn ping(&self) -> Result<(), StoreError> {
        self.reader.ping().map_err(store_error)?;
        self.database.writer.files().check_writable()?;
        let answer = self.database.writer.ping()?;
        answer
            .await
            .map_err(|_| StoreError::Unavailable("the writer has died".to_owned()))
    }

    async fn written_user(&self, write: Write) -> Result<User, StoreError> {
        match self.write(write).await? {
            Written::User(user) => Ok(user),
            Written::Nothing => Err(StoreError::Failed("the write gave no user".to_owned())),
        }
    }

    /// Answered when the write is durable, or has failed.
    pub(super) async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let answer = self.database.writer.submit(write)?;
        answer.await.unwrap_or_else(|_| {
            Err(StoreError::OutcomeUnknown(
                "the writer died with it in hand".to_owned(),
            ))
        })
    }
}

/// See [`crate::store::UserExport`].
#[derive(Debug)]
pub(in crate::store) struct SqliteExport {
    session: Rc<Session>,
    /// The last id given; ids start at 1.
    after_id: i64,
    is_first: bool,
    is_done: bool,
}

impl SqliteExport {
    pub(in crate::store) fn new(session: &Rc<Session>) -> Self {
        Self {
            session: Rc::clone(session),
            after_id: i64::MIN,
            is_first: true,
            is_done: false,
        }
    }

    pub(in crate::store) async fn next_batch(&mut self) -> Result<Option<Vec<User>>, StoreError> {
        if self.is_done {
            return Ok(None);
        }
        if !std::mem::take(&mut self.is_first) {
            engine::yield_now().await;
        }
        let rows_max = limits::STORE_EXPORT_BATCH_ROWS;
        let users = self
            .session
            .reader
            .users_after(self.after_id, rows_max)
            .map_err(store_error)?;
        let Some(last) = users.last() else {
            self.is_done = true;
            return Ok(None);
        };
        self.after_id = last.id;
        Ok(Some(users))
    }
}
