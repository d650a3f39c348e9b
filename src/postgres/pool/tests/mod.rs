//! Pools against real PostgreSQL servers, on both engines.

mod again;
mod basics;
mod faults;
mod groups;
mod lending;
mod links;
mod placing;
mod poolers;
mod servers;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use services::Database;

use super::request::Want;
use super::{Budget, Exclusive, Group, Pool, PostgresServer};
use crate::engine::{self, BlockingPool, EngineKind, EngineOptions, Runtime};
use crate::postgres::{ConnectError, Connection, Dialer, Intent, PostgresError, PostgresOptions};

/// Runs a test on a shard of each engine.
fn on_both<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for kind in [EngineKind::IoUring, EngineKind::Epoll] {
        on(kind, &test);
    }
}

fn on<F: Future<Output = ()>>(kind: EngineKind, test: impl Fn() -> F) {
    let options = EngineOptions {
        kind,
        ring_entries: 256,
    };
    let mut shard = Runtime::build(&options, BlockingPool::start(2).unwrap()).unwrap();
    let whole = async {
        let outcome = engine::timeout(Duration::from_secs(60), test()).await;
        outcome.unwrap_or_else(|_| panic!("{kind:?}: the test hangs"));
    };
    shard.block_on(whole);
    shard.abandon();
}

/// Small numbers, so that tests are quick.
fn options() -> PostgresOptions {
    PostgresOptions {
        connections_max: 0,
        pool_min: 1,
        pool_max: 4,
        in_flight_per_connection_max: 4,
        idle_timeout_ms: 60_000,
        connect_timeout_ms: 1_000,
        checkout_timeout_ms: 1_000,
        max_lifetime_ms: 60_000,
        health_check_ms: 60_000,
        deadline_ms: 1_500,
        statement_timeout_ms: 1_200,
        idle_in_transaction_timeout_ms: 10_000,
    }
}

/// Where calls may have to wait for each other, however busy the machine is.
fn patient() -> PostgresOptions {
    PostgresOptions {
        deadline_ms: 20_000,
        statement_timeout_ms: 19_000,
        checkout_timeout_ms: 15_000,
        ..options()
    }
}

fn server(url: &str, options: PostgresOptions) -> Arc<PostgresServer> {
    server_of(url, options, Budget::new(19, 1)).unwrap()
}

fn server_of(
    url: &str,
    options: PostgresOptions,
    budget: Arc<Budget>,
) -> Result<Arc<PostgresServer>, ConnectError> {
    let dialer = Dialer::new(&url.parse()?, &options, &[])?;
    Ok(PostgresServer::with_log(dialer, options, budget, None))
}

/// Drops a pool and waits until none of its connections is left.
async fn closed(pool: Pool) {
    let server = pool.inner.server.clone();
    drop(pool);
    until(|| server.budget.open() == 0).await;
}

/// Waits for a condition; the test's own time limit ends the wait.
async fn until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never holds");
        engine::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs a statement without rows that matter.
async fn run(pool: &Pool, intent: Intent, sql: &str) -> Result<(), PostgresError> {
    let work = async |connection: &Connection| connection.client().batch_execute(sql).await;
    pool.shared(intent, work).await
}

/// The first field of the first row.
async fn ask(pool: &Pool, sql: &str) -> Result<String, PostgresError> {
    let work = async |connection: &Connection| first_field(connection, sql).await;
    pool.shared(Intent::Read, work).await
}

async fn first_field(connection: &Connection, sql: &str) -> Result<String, tokio_postgres::Error> {
    let messages = connection.client().simple_query(sql).await?;
    let field = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(field.unwrap_or_default())
}

/// Waits until a call is under way, without asking the server: psql takes its
/// time on a busy machine.
async fn under_way(pool: &Pool) {
    until(|| pool.inner.links.borrow().iter().any(|link| !link.is_idle())).await;
}

/// How many statements like this one the server runs now.
fn running(postgres: &Database, like: &str) -> u32 {
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND state = 'active' AND query LIKE '{like}' AND pid <> pg_backend_pid()"
    );
    postgres.psql(&sql).parse().unwrap()
}

fn is_unavailable<T>(outcome: &Result<T, PostgresError>) -> bool {
    matches!(outcome, Err(PostgresError::Unavailable(_)))
}
