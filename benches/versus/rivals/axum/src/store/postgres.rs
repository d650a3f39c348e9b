//! Users in PostgreSQL, by deadpool-postgres: statements are prepared once a
//! connection, a connection is lent for one statement.

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{NoTls, Row};

use super::StoreError;
use crate::settings::Settings;
use crate::user::{Location, NewUser, Time, User};

pub struct Users(Pool);

impl Users {
    pub async fn open(
        url: &str,
        settings: &Settings,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let config = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(url.parse()?, NoTls, config);
        let pool = Pool::builder(manager)
            .max_size(settings.connections_max)
            .build()?;
        // A database that cannot be reached is told now.
        drop(pool.get().await?);
        Ok(Self(pool))
    }

    pub async fn user(&self, id: i64) -> Result<User, StoreError> {
        self.one(USER_BY_ID, &[&id]).await
    }

    pub async fn page(&self, after: i64, limit: i64) -> Result<Vec<User>, StoreError> {
        let client = self
            .0
            .get()
            .await
            .map_err(|why| StoreError::Failed(why.to_string()))?;
        let statement = client.prepare_cached(USERS_AFTER).await?;
        let rows = client.query(&statement, &[&after, &limit]).await?;
        rows.iter().map(|row| Ok(user_of(row)?)).collect()
    }

    pub async fn create(&self, new: NewUser) -> Result<User, StoreError> {
        let (lat, lon) = new.location.map(|place| (place.lat, place.lon)).unzip();
        let now_ms = Time::now().0;
        self.one(
            USER_INSERT,
            &[&new.name, &new.email, &new.age, &lat, &lon, &now_ms],
        )
        .await
    }

    pub async fn replace(&self, id: i64, new: NewUser) -> Result<User, StoreError> {
        let (lat, lon) = new.location.map(|place| (place.lat, place.lon)).unzip();
        let now_ms = Time::now().0;
        self.one(
            USER_UPDATE,
            &[&id, &new.name, &new.email, &new.age, &lat, &lon, &now_ms],
        )
        .await
    }

    async fn one(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<User, StoreError> {
        let client = self
            .0
            .get()
            .await
            .map_err(|why| StoreError::Failed(why.to_string()))?;
        let statement = client.prepare_cached(sql).await?;
        let row = client.query_opt(&statement, parameters).await?;
        Ok(user_of(&row.ok_or(StoreError::NotFound)?)?)
    }
}

fn user_of(row: &Row) -> Result<User, tokio_postgres::Error> {
    let (lat, lon): (Option<f64>, Option<f64>) = (row.try_get(4)?, row.try_get(5)?);
    Ok(User {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        email: row.try_get(2)?,
        age: row.try_get(3)?,
        location: lat.zip(lon).map(|(lat, lon)| Location { lat, lon }),
        created_at: Time(row.try_get(6)?),
        updated_at: Time(row.try_get(7)?),
        version: row.try_get(8)?,
    })
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() == Some(&SqlState::UNIQUE_VIOLATION) {
            true => Self::DuplicateEmail,
            false => Self::Failed(error.to_string()),
        }
    }
}

const USER_BY_ID: &str = "SELECT id, name, email, age, lat, lon, created_at_ms, updated_at_ms, \
     version FROM users WHERE id = $1";
const USERS_AFTER: &str = "SELECT id, name, email, age, lat, lon, created_at_ms, updated_at_ms, \
     version FROM users WHERE id > $1 ORDER BY id LIMIT $2";
const USER_INSERT: &str = "INSERT INTO users (name, email, age, lat, lon, created_at_ms, \
     updated_at_ms, version) VALUES ($1, $2, $3, $4, $5, $6, $6, 1) \
     RETURNING id, name, email, age, lat, lon, created_at_ms, updated_at_ms, version";
const USER_UPDATE: &str = "UPDATE users SET name = $2, email = $3, age = $4, lat = $5, lon = $6, \
     updated_at_ms = greatest($7, updated_at_ms), version = version + 1 WHERE id = $1 \
     RETURNING id, name, email, age, lat, lon, created_at_ms, updated_at_ms, version";
