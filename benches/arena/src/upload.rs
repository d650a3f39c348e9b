//! Profile upload: how many bytes came, counted as they come and not kept.

use corelane::{Ctx, Error, Response, Route};
use http::Method;

/// The profile sends 20 MiB.
const UPLOAD_BYTES_MAX: u64 = 32 << 20;

/// `POST /upload`.
pub(crate) fn route() -> Route {
    Route::new(Method::POST, "/upload", count).body_bytes_max(UPLOAD_BYTES_MAX)
}

async fn count(mut ctx: Ctx) -> Result<Response, Error> {
    let mut body = ctx.take_body();
    let mut bytes = 0;
    while let Some(chunk) = body.chunk().await? {
        bytes += chunk.len();
    }
    Ok(Response::text(bytes.to_string()))
}
