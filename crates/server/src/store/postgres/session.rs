//! One shard's door to PostgreSQL: its pool.

use std::sync::Arc;

use super::announce::Announcer;
use super::feed::Listener;
use super::{PostgresDatabase, list, near, reads, writes};
use crate::store::{Location, NewUser, Post, PostPage, PostQuery, StoreError, User, UserPage};
use crate::store::{UserPatch, UserQuery, WriteCondition};
use corelane::internals::metrics::DatabaseSnapshot;
use corelane::postgres::Pool;

/// A shard's connections; see [`crate::store::Store`], which it stands behind.
pub(in crate::store) struct Session {
    database: Arc<PostgresDatabase>,
    pub(super) pool: Pool,
    announcer: Announcer,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// On the shard that will use it.
    pub(in crate::store) fn open(database: &Arc<PostgresDatabase>) -> Result<Self, StoreError> {
        Ok(Self {
            database: database.clone(),
            pool: database.pool(),
            announcer: database.announcer(),
        })
    }

    pub(in crate::store) async fn user(&self, id: i64) -> Result<Option<User>, StoreError> {
        reads::user(&self.pool, id).await
    }

    pub(in crate::store) async fn users(&self, query: &UserQuery) -> Result<UserPage, StoreError> {
        list::page(&self.pool, query).await
    }

    pub(in crate::store) async fn users_by_ids(
        &self,
        ids: &[i64],
    ) -> Result<Vec<Option<User>>, StoreError> {
        reads::users_by_ids(&self.pool, ids).await
    }

    pub(in crate::store) async fn users_near(
        &self,
        center: Location,
        radius_km: f64,
        limit: u32,
    ) -> Result<Vec<(User, f64)>, StoreError> {
        near::users_near(&self.pool, center, radius_km, limit).await
    }

    pub(in crate::store) async fn create_user(&self, user: NewUser) -> Result<User, StoreError> {
        writes::create_user(&self.pool, &self.announcer, &user).await
    }

    pub(in crate::store) async fn replace_user(
        &self,
        id: i64,
        user: NewUser,
        condition: WriteCondition,
    ) -> Result<User, StoreError> {
        writes::replace_user(&self.pool, &self.announcer, id, user, &condition).await
    }

    pub(in crate::store) async fn update_user(
        &self,
        id: i64,
        patch: UserPatch,
        condition: WriteCondition,
    ) -> Result<User, StoreError> {
        writes::update_user(&self.pool, &self.announcer, id, &patch, &condition).await
    }

    pub(in crate::store) async fn delete_user(
        &self,
        id: i64,
        condition: WriteCondition,
    ) -> Result<(), StoreError> {
        writes::delete_user(&self.pool, id, &condition).await
    }

    pub(in crate::store) async fn post(&self, id: i64) -> Result<Option<Post>, StoreError> {
        reads::post(&self.pool, id).await
    }

    pub(in crate::store) async fn posts(&self, query: &PostQuery) -> Result<PostPage, StoreError> {
        reads::posts(&self.pool, query).await
    }

    pub(in crate::store) async fn ping(&self) -> Result<(), StoreError> {
        reads::ping(&self.pool).await
    }

    pub(in crate::store) fn listener(&self) -> Listener {
        self.database.listener()
    }

    pub(in crate::store) async fn leave(&self) {
        self.announcer.leave().await;
    }

    pub(in crate::store) fn warning(&self) -> Option<String> {
        self.database.warning_now()
    }

    pub(in crate::store) fn connections(&self) -> DatabaseSnapshot {
        self.database.connections()
    }
}
