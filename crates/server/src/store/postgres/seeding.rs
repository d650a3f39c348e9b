//! Writes demo data, a batch per transaction, hundreds of rows a statement.
//!
//! The first batch of a database without users is written with the table
//! locked and on a sequence begun anew in its transaction: an insertion that
//! is rolled back would else use up ids, and those tell a first start.

use std::ops::Range;
use std::sync::mpsc::Sender;
use std::time::Instant;

use tokio_postgres::Error;

use super::fault::write_error;
use crate::store::limits::{
    STORE_SEED_BATCH_ROWS, STORE_SEED_FIRST_BATCH_ROWS, STORE_SEED_INSERT_ROWS,
};
use crate::store::seed::{DemoRows, demo_password_hash};
use crate::store::{SeedPlan, SeedReport, StoreError};
use corelane::internals::clock::unix_ms;
use corelane::postgres::Connection;

/// See [`crate::store::Database::seed`]; nothing is done when `only_if_empty`
/// and it is not, also if another process fills it at this moment. `tell` is
/// sent the rows done.
pub(super) async fn seed(
    connection: &Connection,
    plan: &SeedPlan,
    only_if_empty: bool,
    tell: &Sender<u64>,
) -> Result<Option<SeedReport>, StoreError> {
    let start = Instant::now();
    let password_hash = demo_password_hash()?;
    let total = plan.users.saturating_add(plan.posts);
    // Closed if anything fails midway, and with it the transaction.
    connection.spoil();
    let begun = begin(connection).await.map_err(write_error)?;
    if only_if_empty && begun.last_id > 0 {
        execute(connection, "COMMIT").await.map_err(write_error)?;
        connection.restore();
        return Ok(None);
    }
    let mut seeding = Seeding {
        connection,
        rows: DemoRows::new(plan.random_seed, begun.last_id),
        password_hash,
        next_number: begun.last_id + 1,
        users: plan.users,
        tell,
    };
    let batch_rows = if begun.last_id == 0 {
        STORE_SEED_FIRST_BATCH_ROWS
    } else {
        STORE_SEED_BATCH_ROWS
    };
    let mut done = 0;
    while done < total {
        let end = (done + batch_rows).min(total);
        if done > 0 {
            execute(connection, "BEGIN").await.map_err(write_error)?;
        }
        seeding.write(done..end).await?;
        execute(connection, "COMMIT").await.map_err(write_error)?;
        done = end;
    }
    if total == 0 {
        execute(connection, "COMMIT").await.map_err(write_error)?;
    }
    connection.restore();
    // Nobody listens any more when the caller has gone.
    let _ = tell.send(total);
    Ok(Some(SeedReport {
        users: plan.users,
        posts: plan.posts,
        elapsed_ms: start.elapsed().as_millis() as u64,
    }))
}

struct Begun {
    /// The highest id ever given to a user.
    last_id: i64,
}

/// Begins the first transaction. While there is no user it keeps others from
/// adding one: they wait, and then find those of this batch.
async fn begin(connection: &Connection) -> Result<Begun, Error> {
    execute(connection, "BEGIN").await?;
    let mut last_id = last_user_id(connection).await?;
    if last_id == 0 {
        execute(connection, "LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE").await?;
        last_id = last_user_id(connection).await?;
        if last_id == 0 {
            execute(connection, "ALTER SEQUENCE users_id_seq RESTART").await?;
        }
    }
    Ok(Begun { last_id })
}

/// The highest id ever given to a user, 0 before the first.
pub(super) async fn last_user_id(connection: &Connection) -> Result<i64, Error> {
    let sql = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM users_id_seq";
    let row = connection.client().query_one(sql, &[]).await?;
    row.try_get(0)
}

async fn execute(connection: &Connection, sql: &str) -> Result<(), Error> {
    connection.client().batch_execute(sql).await
}

struct Seeding<'a> {
    connection: &'a Connection,
    rows: DemoRows,
    /// Of all demo users.
    password_hash: String,
    /// Makes the next email unique.
    next_number: i64,
    users: u64,
    tell: &'a Sender<u64>,
}

impl Seeding<'_> {
    /// Rows of the plan: users are the first, posts the rest.
    async fn write(&mut self, batch: Range<u64>) -> Result<(), StoreError> {
        let mut done = batch.start;
        while done < batch.end {
            // As on every error of a channel: nobody listens any more.
            let _ = self.tell.send(done);
            let most = STORE_SEED_INSERT_ROWS.min(batch.end - done);
            if done < self.users {
                let count = most.min(self.users - done);
                self.insert_users(count).await.map_err(write_error)?;
                done += count;
            } else {
                self.insert_posts(most).await?;
                done += most;
            }
        }
        Ok(())
    }

    /// `count` users; where somebody has the email, another is made.
    async fn insert_users(&mut self, count: u64) -> Result<(), Error> {
        let mut missing = count;
        while missing > 0 {
            let mut batch = UserColumns::default();
            for _ in 0..missing {
                let created_at_ms = self.rows.moment_ms();
                let user = self.rows.user(self.next_number);
                self.next_number += 1;
                let (lat, lon) = user.location.map(|place| (place.lat, place.lon)).unzip();
                batch.names.push(user.name);
                batch.emails.push(user.email);
                batch.ages.push(user.age);
                batch.lats.push(lat);
                batch.lons.push(lon);
                batch.moments.push(created_at_ms);
            }
            let UserColumns {
                names,
                emails,
                ages,
                lats,
                lons,
                moments,
            } = &batch;
            let client = self.connection.client();
            let (hash, now_ms) = (&self.password_hash, unix_ms());
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
                [names, emails, ages, lats, lons, moments, hash, &now_ms];
            missing -= client.execute(INSERT_USERS, &params).await?.min(missing);
        }
        Ok(())
    }

    async fn insert_posts(&mut self, count: u64) -> Result<(), StoreError> {
        let client = self.connection.client();
        let last_id = client
            .query_one("SELECT coalesce(max(id), 0) FROM users", &[])
            .await
            .and_then(|row| row.try_get::<_, i64>(0))
            .map_err(write_error)?;
        if last_id == 0 {
            return Err(StoreError::Failed(
                "posts need an author: seed users too".to_owned(),
            ));
        }
        let (mut from, mut moments) = (Vec::new(), Vec::new());
        let (mut titles, mut bodies) = (Vec::new(), Vec::new());
        for _ in 0..count {
            from.push(self.rows.below(last_id) + 1);
            let post = self.rows.post();
            titles.push(post.title);
            bodies.push(post.body);
            moments.push(self.rows.moment_ms());
        }
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&from, &titles, &bodies, &moments];
        let inserted = client.execute(INSERT_POSTS, &params).await;
        inserted.map(drop).map_err(write_error)
    }
}

#[derive(Default)]
struct UserColumns {
    names: Vec<String>,
    emails: Vec<String>,
    ages: Vec<i64>,
    lats: Vec<Option<f64>>,
    lons: Vec<Option<f64>>,
    moments: Vec<i64>,
}

const INSERT_USERS: &str = "
    WITH added AS (
        INSERT INTO users (name, email, age, lat, lon, created_at_ms, updated_at_ms, version)
        SELECT name, email, age, lat, lon, at_ms, at_ms, 1
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::float8[], $5::float8[],
                $6::bigint[])
            WITH ORDINALITY AS rows (name, email, age, lat, lon, at_ms, place)
        ORDER BY place
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    INSERT INTO credentials (user_id, password_hash, updated_at_ms)
    SELECT id, $7::text, $8::bigint FROM added";

/// The author is the first user from a random id on; where all after it were
/// deleted, the first of all.
const INSERT_POSTS: &str = "
    INSERT INTO posts (author_id, title, body, created_at_ms)
    SELECT coalesce(
        (SELECT id FROM users WHERE id >= rows.author ORDER BY id LIMIT 1),
        (SELECT id FROM users ORDER BY id LIMIT 1)
    ), title, body, at_ms
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[])
        WITH ORDINALITY AS rows (author, title, body, at_ms, place)
    ORDER BY place";
