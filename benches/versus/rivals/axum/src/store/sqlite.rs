//! Users in SQLite, by deadpool-sqlite, which runs every statement on tokio's
//! blocking threads: a few connections that read, one that writes. The pragmas
//! are corelane's; a write is durable when it is answered.

use std::path::Path;

use deadpool_sqlite::rusqlite::{self, Connection, ErrorCode, OptionalExtension, Row, params};
use deadpool_sqlite::{Config, Hook, HookError, Pool, Runtime};

use super::StoreError;
use crate::settings::Settings;
use crate::user::{Location, NewUser, Time, User};

pub struct Users {
    readers: Pool,
    writer: Pool,
}

impl Users {
    pub async fn open(
        path: &Path,
        settings: &Settings,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // More readers than cores only queue at the cores.
        let readers = (2 * settings.cores.len())
            .max(4)
            .min(settings.connections_max);
        let users = Self {
            readers: pool(path, readers, "PRAGMA query_only = ON")?,
            writer: pool(
                path,
                1,
                "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096",
            )?,
        };
        // A database that cannot be opened or has no users is told now.
        users
            .page(0, 1)
            .await
            .map_err(|why| format!("{}: {why:?}", path.display()))?;
        Ok(users)
    }

    pub async fn user(&self, id: i64) -> Result<User, StoreError> {
        one(&self.readers, move |connection| {
            connection
                .prepare_cached(USER_BY_ID)?
                .query_row([id], user_of)
                .optional()
        })
        .await
    }

    pub async fn page(&self, after: i64, limit: i64) -> Result<Vec<User>, StoreError> {
        run(&self.readers, move |connection| {
            let mut statement = connection.prepare_cached(USERS_AFTER)?;
            statement.query_map([after, limit], user_of)?.collect()
        })
        .await
    }

    pub async fn create(&self, new: NewUser) -> Result<User, StoreError> {
        let (lat, lon) = new.location.map(|place| (place.lat, place.lon)).unzip();
        one(&self.writer, move |connection| {
            let values = params![new.name, new.email, new.age, lat, lon, Time::now().0];
            connection
                .prepare_cached(USER_INSERT)?
                .query_row(values, user_of)
                .optional()
        })
        .await
    }

    pub async fn replace(&self, id: i64, new: NewUser) -> Result<User, StoreError> {
        let (lat, lon) = new.location.map(|place| (place.lat, place.lon)).unzip();
        one(&self.writer, move |connection| {
            let values = params![id, new.name, new.email, new.age, lat, lon, Time::now().0];
            connection
                .prepare_cached(USER_UPDATE)?
                .query_row(values, user_of)
                .optional()
        })
        .await
    }
}

fn pool(
    path: &Path,
    size: usize,
    pragmas: &'static str,
) -> Result<Pool, Box<dyn std::error::Error + Send + Sync>> {
    let configure = Hook::async_fn(
        move |connection: &mut deadpool_sync::SyncWrapper<Connection>, _| {
            Box::pin(async move {
                let configured =
                    connection.interact(move |connection| configure(connection, pragmas));
                match configured.await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(why)) => Err(HookError::message(why.to_string())),
                    Err(why) => Err(HookError::message(why.to_string())),
                }
            })
        },
    );
    let builder = Config::new(path).builder(Runtime::Tokio1)?;
    Ok(builder.max_size(size).post_create(configure).build()?)
}

fn configure(connection: &Connection, pragmas: &str) -> rusqlite::Result<()> {
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA busy_timeout = 5000; PRAGMA cache_size = -8192; \
         PRAGMA mmap_size = 1073741824; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY",
    )?;
    connection.execute_batch(pragmas)
}

async fn one(
    pool: &Pool,
    work: impl FnOnce(&Connection) -> rusqlite::Result<Option<User>> + Send + 'static,
) -> Result<User, StoreError> {
    run(pool, work).await?.ok_or(StoreError::NotFound)
}

async fn run<T: Send + 'static>(
    pool: &Pool,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let connection = pool
        .get()
        .await
        .map_err(|why| StoreError::Failed(why.to_string()))?;
    let done = connection
        .interact(move |connection| work(connection))
        .await;
    Ok(done.map_err(|why| StoreError::Failed(why.to_string()))??)
}

fn user_of(row: &Row<'_>) -> rusqlite::Result<User> {
    let (lat, lon): (Option<f64>, Option<f64>) = (row.get(4)?, row.get(5)?);
    Ok(User {
        id: row.get(0)?,
        name: row.get(1)?,
        email: row.get(2)?,
        age: row.get(3)?,
        location: lat.zip(lon).map(|(lat, lon)| Location { lat, lon }),
        created_at: Time(row.get(6)?),
        updated_at: Time(row.get(7)?),
        version: row.get(8)?,
    })
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) if error.to_string().contains("users.email") => {
                Self::DuplicateEmail
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

const USER_BY_ID: &str = "SELECT id, name, email, age, lat, lon, created_at_ms, updated_at_ms, \
     version FROM users WHERE id = ?1";
const USERS_AFTER: &str = "SELECT id, name, email, age, lat, lon, created_at_ms, updated_at_ms, \
     version FROM users WHERE id > ?1 ORDER BY id LIMIT ?2";
const USER_INSERT: &str = "INSERT INTO users (name, email, age, lat, lon, created_at_ms, \
     updated_at_ms, version) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1) \
     RETURNING id, name, email, age, lat, lon, created_at_ms, updated_at_ms, version";
const USER_UPDATE: &str = "UPDATE users SET name = ?2, email = ?3, age = ?4, lat = ?5, lon = ?6, \
     updated_at_ms = max(?7, updated_at_ms), version = version + 1 WHERE id = ?1 \
     RETURNING id, name, email, age, lat, lon, created_at_ms, updated_at_ms, version";
