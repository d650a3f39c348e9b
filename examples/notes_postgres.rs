//! JSON notes, kept with SQL of one's own in PostgreSQL.
//!
//! Each shard has its connections on its own reactor, within one budget for the
//! process. The server starts without the database and finds it later.
//!
//! ```text
//! DATABASE_URL=postgres://user:password@localhost/notes cargo run --example notes_postgres
//! curl -i http://127.0.0.1:8080/notes --json '{"title":"buy tea"}'
//! curl http://127.0.0.1:8080/notes
//! curl -i -X PUT http://127.0.0.1:8080/notes/1 --json '{"title":"buy coffee"}'
//! curl -i -X DELETE http://127.0.0.1:8080/notes/1
//! ```

use std::net::SocketAddr;
use std::time::Duration;

use corelane::postgres::{PostgresOptions, Row, Sql, SqlDatabase};
use corelane::{App, Background, Ctx, Error, Response, Server};
use http::StatusCode;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Draft {
    title: String,
}

#[derive(Serialize)]
struct Note {
    id: i64,
    title: String,
}

/// An error is a mistake in a statement: 500, and the reason in the log.
fn note(row: &Row) -> Result<Note, Error> {
    Ok(Note {
        id: row.try_get("id")?,
        title: row.try_get("title")?,
    })
}

fn found(rows: &[Row]) -> Result<Note, Error> {
    let row = rows.first();
    note(row.ok_or_else(|| Error::not_found("there is no such note"))?)
}

async fn list(ctx: Ctx) -> Result<Response, Error> {
    let select = "SELECT id, title FROM notes ORDER BY id LIMIT 100";
    let rows = ctx.state::<Sql>().read(select, &[]).await?;
    let notes: Result<Vec<Note>, Error> = rows.iter().map(note).collect();
    Response::json(&notes?)
}

async fn read(ctx: Ctx) -> Result<Response, Error> {
    let id: i64 = ctx.param("id")?;
    let select = "SELECT id, title FROM notes WHERE id = $1";
    let rows = ctx.state::<Sql>().read(select, &[&id]).await?;
    Response::json(&found(&rows)?)
}

async fn create(mut ctx: Ctx) -> Result<Response, Error> {
    let draft: Draft = ctx.json().await?;
    let insert = "INSERT INTO notes (title) VALUES ($1) RETURNING id, title";
    let rows = ctx.state::<Sql>().write(insert, &[&draft.title]).await?;
    let note = found(&rows)?;
    let response = Response::json(&note)?.with_status(StatusCode::CREATED);
    Ok(response.header("location", &format!("/notes/{}", note.id)))
}

async fn replace(mut ctx: Ctx) -> Result<Response, Error> {
    let id: i64 = ctx.param("id")?;
    let draft: Draft = ctx.json().await?;
    let update = "UPDATE notes SET title = $2 WHERE id = $1 RETURNING id, title";
    let rows = ctx
        .state::<Sql>()
        .write(update, &[&id, &draft.title])
        .await?;
    Response::json(&found(&rows)?)
}

async fn delete(ctx: Ctx) -> Result<Response, Error> {
    let id: i64 = ctx.param("id")?;
    let delete = "DELETE FROM notes WHERE id = $1";
    match ctx.state::<Sql>().execute(delete, &[&id]).await? {
        0 => Err(Error::not_found("there is no such note")),
        _ => Ok(Response::no_content()),
    }
}

/// Makes the table, as soon as there is a database.
async fn migrate(shard: Background) {
    let sql = shard.state::<Sql>().expect("given in main");
    let create = "CREATE TABLE IF NOT EXISTS notes \
                  (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title TEXT NOT NULL)";
    while let Err(error) = sql.execute(create, &[]).await {
        shard.log(format!("the table is not made: {error}"));
        if shard.is_draining() {
            return;
        }
        shard.sleep(Duration::from_secs(1)).await;
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "give DATABASE_URL")?;
    let database = SqlDatabase::new(&url.parse()?, &PostgresOptions::default())?;
    let app = App::new()
        .state(move |_shard| {
            let database = database.clone();
            async move { Ok(database.connect()?) }
        })
        .background(migrate)
        .get("/notes", list)
        .post("/notes", create)
        .get("/notes/{id}", read)
        .put("/notes/{id}", replace)
        .delete("/notes/{id}", delete);
    let listen = std::env::args().nth(1);
    let listen: SocketAddr = listen.as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    Server::new(app).listen(listen).run()?;
    Ok(())
}
