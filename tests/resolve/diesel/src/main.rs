//! A service over diesel and SQLite: its queries run on the blocking pool.

use corelane::{App, Ctx, Error, Response, Server, engine};
use diesel::prelude::*;

async fn one(_: Ctx) -> Result<Response, Error> {
    let one = engine::unblock(|| {
        let mut connection = SqliteConnection::establish(":memory:").expect("memory");
        diesel::select(1_i32.into_sql::<diesel::sql_types::Integer>()).get_result::<i32>(&mut connection)
    });
    let one = one.await?.map_err(Error::internal)?;
    Ok(Response::text(format!("{one}\n")))
}

fn main() {
    let app = App::new().get("/", one);
    Server::new(app).run().expect("it starts");
}
