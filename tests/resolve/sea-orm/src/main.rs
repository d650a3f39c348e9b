//! A service over sea-orm: its queries run on the tokio bridge.

use corelane::{App, Ctx, Error, Response, Server};
use sea_orm::Database;

async fn ping(ctx: Ctx) -> Result<Response, Error> {
    let pinged = ctx.tokio(async {
        let database = Database::connect("postgres://localhost").await?;
        database.ping().await
    });
    pinged.await?.map_err(Error::internal)?;
    Ok(Response::text("pong\n"))
}

fn main() {
    let app = App::new().get("/", ping);
    Server::new(app).run().expect("it starts");
}
