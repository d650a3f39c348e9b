//! Where users come from and go to: a file read at start, PostgreSQL, SQLite;
//! Redis before either as a second level of the cache.

mod file;
mod postgres;
mod redis;
mod sqlite;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

pub use self::redis::Redis;
use crate::settings::{Settings, Source};
use crate::user::{Finished, NewUser, User};

/// One of them.
pub enum Store {
    File(file::Users),
    Postgres(postgres::Users),
    Sqlite(sqlite::Users),
}

/// Why there is no row.
#[derive(Debug, Clone)]
pub enum StoreError {
    NotFound,
    DuplicateEmail,
    ReadOnly,
    Failed(String),
}

impl Store {
    /// Opens what the settings name; databases are migrated already.
    pub async fn open(
        settings: &Settings,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(match &settings.source {
            Source::File(path) => Self::File(file::Users::read(path)?),
            Source::Postgres(url) => Self::Postgres(postgres::Users::open(url, settings).await?),
            Source::Sqlite(path) => Self::Sqlite(sqlite::Users::open(path, settings).await?),
        })
    }

    pub async fn user(&self, id: i64) -> Result<Finished, StoreError> {
        match self {
            Self::File(users) => users.user(id),
            Self::Postgres(users) => Ok(Finished::of(&users.user(id).await?)),
            Self::Sqlite(users) => Ok(Finished::of(&users.user(id).await?)),
        }
    }

    /// Rows with greater ids, at most so many.
    pub async fn page(&self, after: i64, limit: i64) -> Result<Vec<User>, StoreError> {
        match self {
            Self::File(_) => Err(StoreError::ReadOnly),
            Self::Postgres(users) => users.page(after, limit).await,
            Self::Sqlite(users) => users.page(after, limit).await,
        }
    }

    pub async fn create(&self, user: NewUser) -> Result<User, StoreError> {
        match self {
            Self::File(_) => Err(StoreError::ReadOnly),
            Self::Postgres(users) => users.create(user).await,
            Self::Sqlite(users) => users.create(user).await,
        }
    }

    pub async fn replace(&self, id: i64, user: NewUser) -> Result<User, StoreError> {
        match self {
            Self::File(_) => Err(StoreError::ReadOnly),
            Self::Postgres(users) => users.replace(id, user).await,
            Self::Sqlite(users) => users.replace(id, user).await,
        }
    }
}

impl IntoResponse for StoreError {
    fn into_response(self) -> Response {
        let (status, detail) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "there is no user with this id"),
            Self::DuplicateEmail => (StatusCode::CONFLICT, "another user has this email"),
            Self::ReadOnly => (StatusCode::NOT_IMPLEMENTED, "there is no database"),
            Self::Failed(why) => {
                eprintln!("axum-rival: {why}");
                (StatusCode::SERVICE_UNAVAILABLE, "the database failed")
            }
        };
        (status, axum::Json(serde_json::json!({ "detail": detail }))).into_response()
    }
}
