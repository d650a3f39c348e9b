//! A service over sqlx: its queries run on the tokio bridge.

use corelane::{App, Ctx, Error, Response, Server};
use sqlx::PgPool;

async fn count(ctx: Ctx) -> Result<Response, Error> {
    let pool = ctx.state::<PgPool>();
    let pool = PgPool::clone(&pool);
    let count = ctx.tokio(async move {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pg_class");
        count.fetch_one(&pool).await
    });
    let count = count.await?.map_err(Error::internal)?;
    Ok(Response::text(format!("{count}\n")))
}

fn main() {
    let app = App::new()
        .state(|_shard| async { PgPool::connect_lazy("postgres://localhost").map_err(Error::internal) })
        .get("/", count);
    Server::new(app).run().expect("it starts");
}
