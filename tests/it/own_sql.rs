//! A library user's own SQL: handlers of an app of the test's own on a
//! PostgreSQL with tables of its own, without the API's.

use std::time::{Duration, Instant};

use corelane::postgres::{PostgresError, PostgresOptions, Sql, SqlDatabase};
use corelane::{App, Ctx, Error, Response};
use services::{Database, Postgres};

use crate::harness::{Client, Engine, InProcess};

either_engine!(
    rows_are_written_and_read,
    a_refusal_says_its_code_to_the_handler_and_nothing_to_the_client,
    a_statement_survives_a_change_of_its_table,
    texts_that_vary_do_not_pile_up,
    a_broken_connection_costs_a_read_nothing,
    the_session_is_the_servers_own,
    it_starts_without_the_database_and_finds_it_later,
    more_shards_than_connections_do_not_start,
);

fn options() -> PostgresOptions {
    PostgresOptions {
        connections_max: 4,
        ..PostgresOptions::default()
    }
}

/// Names by number, and a way to run any statement that gives text.
fn app(url: &str, options: &PostgresOptions) -> App {
    let database = SqlDatabase::new(&url.parse().expect("an address"), options);
    let database = database.expect("nothing is wrong with it");
    App::new()
        .state(move |_| {
            let database = database.clone();
            async move { Ok(database.connect()?) }
        })
        .put("/names/{id}/{name}", add)
        .get("/names/{id}", read)
        .post("/ask", ask)
        .post("/bare", bare)
}

async fn add(ctx: Ctx) -> Result<Response, Error> {
    let (id, name): (i32, String) = (ctx.param("id")?, ctx.param("name")?);
    let sql = ctx.state::<Sql>();
    let insert = "INSERT INTO names VALUES ($1, $2)";
    match sql.execute(insert, &[&id, &name]).await {
        Ok(count) => Ok(Response::text(count.to_string())),
        Err(PostgresError::Refused(refusal)) if refusal.is_duplicate() => {
            assert_eq!(refusal.constraint.as_deref(), Some("names_pkey"));
            Err(Error::conflict("there is one"))
        }
        Err(error) => Err(error.into()),
    }
}

async fn read(ctx: Ctx) -> Result<Response, Error> {
    let id: i32 = ctx.param("id")?;
    let sql = ctx.state::<Sql>();
    let select = "SELECT * FROM names WHERE id = $1";
    let row = sql.read_opt(select, &[&id]).await?;
    let row = row.ok_or_else(|| Error::not_found("no such name"))?;
    let name: &str = row.try_get("name")?;
    Ok(Response::text(format!("{name}/{}", row.len())))
}

/// The first field of the first row of the statement in the body.
async fn ask(mut ctx: Ctx) -> Result<Response, Error> {
    let body = ctx.bytes().await?;
    let sql = ctx.state::<Sql>();
    let rows = sql.read(std::str::from_utf8(&body)?, &[]).await?;
    Ok(Response::text(rows[0].try_get::<_, String>(0)?))
}

/// The same as a write, with a parameter that fits no statement.
async fn bare(mut ctx: Ctx) -> Result<Response, Error> {
    let body = ctx.bytes().await?;
    let sql = ctx.state::<Sql>();
    sql.write(std::str::from_utf8(&body)?, &[&1_u32]).await?;
    Ok(Response::no_content())
}

fn started(engine: Engine) -> (Database, InProcess) {
    let database = Database::new();
    database.psql("CREATE TABLE names (id INT PRIMARY KEY, name TEXT NOT NULL)");
    let server = InProcess::start(engine, app(&database.url(), &options()));
    (database, server)
}

fn put(client: &mut Client, target: &str) -> crate::harness::Response {
    client.request("PUT", target, &[], b"")
}

fn asked(client: &mut Client, sql: &str) -> String {
    let answer = client.request("POST", "/ask", &[], sql.as_bytes());
    answer.expect(200).text().to_owned()
}

fn rows_are_written_and_read(engine: Engine) {
    let (database, server) = started(engine);
    let mut client = server.connect();
    assert_eq!(put(&mut client, "/names/1/Ada").expect(200).text(), "1");
    assert_eq!(client.get("/names/1").expect(200).text(), "Ada/2");
    client.get("/names/2").expect_problem(404);
    assert_eq!(database.psql("SELECT name FROM names"), "Ada");
    // Nothing of the API's is there.
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(database.psql(tables), "1");
}

fn a_refusal_says_its_code_to_the_handler_and_nothing_to_the_client(engine: Engine) {
    let (_database, server) = started(engine);
    let mut client = server.connect();
    put(&mut client, "/names/1/Ada").expect(200);
    put(&mut client, "/names/1/Ada").expect_problem(409);
    let nonsense = client.request("POST", "/ask", &[], b"SELECT secret FROM nowhere");
    let told = nonsense.expect_problem(500);
    assert!(!told.contains("nowhere"), "{told}");
    let unfit = client.request("POST", "/bare", &[], b"SELECT $1::text");
    unfit.expect_problem(500);
    client.get("/names/1").expect(200);
}

fn a_statement_survives_a_change_of_its_table(engine: Engine) {
    let (database, server) = started(engine);
    let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
    put(&mut clients[0], "/names/1/Ada").expect(200);
    for client in &mut clients {
        assert_eq!(client.get("/names/1").expect(200).text(), "Ada/2");
    }
    database.psql("ALTER TABLE names ADD COLUMN born INT");
    for client in &mut clients {
        assert_eq!(client.get("/names/1").expect(200).text(), "Ada/3");
    }
}

fn texts_that_vary_do_not_pile_up(engine: Engine) {
    let (_database, server) = started(engine);
    let mut client = server.connect();
    for number in 0..corelane::internals::limits::SQL_STATEMENTS_MAX + 40 {
        let sql = format!("SELECT '{number}'");
        assert_eq!(asked(&mut client, &sql), number.to_string());
    }
    let count = asked(
        &mut client,
        "SELECT count(*)::text FROM pg_prepared_statements",
    );
    let count: usize = count.parse().unwrap();
    let most = corelane::internals::limits::SQL_STATEMENTS_MAX + 1;
    assert!((most - 1..=most).contains(&count), "{count}");
}

fn a_broken_connection_costs_a_read_nothing(engine: Engine) {
    let (database, server) = started(engine);
    let mut client = server.connect();
    put(&mut client, "/names/1/Ada").expect(200);
    for _ in 0..5 {
        database.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend'
             AND pid <> pg_backend_pid()",
        );
        client.get("/names/1").expect(200);
    }
}

/// The settings the API's own statements need would spoil others' plans.
fn the_session_is_the_servers_own(engine: Engine) {
    let (_database, server) = started(engine);
    let mut client = server.connect();
    for name in ["enable_seqscan", "enable_sort", "plan_cache_mode"] {
        let is_default =
            format!("SELECT (setting = boot_val)::text FROM pg_settings WHERE name = '{name}'");
        assert_eq!(asked(&mut client, &is_default), "true", "{name}");
    }
}

fn it_starts_without_the_database_and_finds_it_later(engine: Engine) {
    let mut database = Postgres::start();
    database.psql("CREATE TABLE names (id INT PRIMARY KEY, name TEXT NOT NULL)");
    database.kill();
    let server = InProcess::start(engine, app(&database.url(), &options()));
    let mut client = server.connect();
    let away = client.get("/names/1").expect(503);
    assert!(away.header("retry-after").is_some());
    database.start_again();
    let begun = Instant::now();
    while client.get("/names/1").status == 503 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is not found");
        std::thread::sleep(Duration::from_millis(20));
    }
    put(&mut client, "/names/1/Ada").expect(200);
}

fn more_shards_than_connections_do_not_start(engine: Engine) {
    let narrow = PostgresOptions {
        connections_max: 1,
        ..PostgresOptions::default()
    };
    let app = app("postgres://joe@127.0.0.1:1/x", &narrow);
    let started = InProcess::try_start(engine, 2, app, |_| {});
    let Err(error) = started.map(drop) else {
        panic!("one connection for two shards");
    };
    let error = error.to_string();
    assert!(error.contains("raise connections_max"), "{error}");
}
