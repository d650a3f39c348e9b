//! What a service's own errors are to its clients.

use std::sync::Arc;

use super::{App, Ctx, Middleware, Next};
use crate::Error;

impl App {
    /// Says what the handlers' errors of type `E` are to clients: with which
    /// status, and which text. Without it `?` makes a 500 of each, as of every
    /// `std::error::Error`. An `E` is also found behind another error, as its
    /// source.
    ///
    /// It stands innermost around the routes of this app and of those nested in
    /// it, so middleware sees the answer it makes. An error that it makes a 5xx
    /// of keeps its text for the log.
    ///
    /// ```
    /// use corelane::{App, Ctx, Error, Response};
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// enum ShopError {
    ///     #[error("article {0} is sold out")]
    ///     SoldOut(u32),
    ///     #[error("the stock cannot be read")]
    ///     Stock(#[from] std::io::Error),
    /// }
    ///
    /// fn take_one(article: u32) -> Result<u32, ShopError> {
    ///     match article {
    ///         7 => Err(ShopError::SoldOut(article)),
    ///         8 => Err(std::io::Error::other("the disk is on fire"))?,
    ///         _ => Ok(2),
    ///     }
    /// }
    ///
    /// async fn order(ctx: Ctx) -> Result<Response, Error> {
    ///     let left = take_one(ctx.param("article")?)?;
    ///     Ok(Response::text(format!("{left} left\n")))
    /// }
    ///
    /// async fn audit(_ctx: Ctx) -> Result<Response, Error> {
    ///     // What `anyhow` brings is a 500 too, with all it says in the log.
    ///     let audited: anyhow::Result<u32> = Err(anyhow::anyhow!("no auditor"));
    ///     Ok(Response::text(format!("{}\n", audited?)))
    /// }
    ///
    /// let app = App::new()
    ///     .map_error(|error: &ShopError| match error {
    ///         ShopError::SoldOut(_) => Error::conflict(error.to_string()),
    ///         ShopError::Stock(_) => Error::unavailable("try again in a while", 5),
    ///     })
    ///     .post("/orders/{article}", order)
    ///     .post("/audits", audit);
    /// # let server = corelane::Server::new(app).listen(([127, 0, 0, 1], 0)).shards(1).unpinned();
    /// # let server = server.start()?;
    /// # for (path, status, text) in [
    /// #     ("/orders/1", "200", "2 left"),
    /// #     ("/orders/7", "409", "article 7 is sold out"),
    /// #     ("/orders/8", "503", "try again in a while"),
    /// #     ("/audits", "500", "could not answer"),
    /// # ] {
    /// #     use std::io::{Read, Write};
    /// #     let mut stream = std::net::TcpStream::connect(server.local_addr())?;
    /// #     let lines = "Host: t\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    /// #     write!(stream, "POST {path} HTTP/1.1\r\n{lines}")?;
    /// #     let mut answer = String::new();
    /// #     stream.read_to_string(&mut answer)?;
    /// #     assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    /// #     assert!(answer.contains(text) && !answer.contains("fire"), "{answer}");
    /// #     assert!(!answer.contains("auditor"), "{answer}");
    /// # }
    /// # server.drain();
    /// # server.wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn map_error<E>(mut self, map: impl Fn(&E) -> Error + Send + Sync + 'static) -> Self
    where
        E: std::error::Error + 'static,
    {
        let map = Arc::new(map);
        let middleware = move |ctx: Ctx, next: Next| {
            let map = map.clone();
            async move { next.run(ctx).await.map_err(|error| mapped(error, &*map)) }
        };
        let middleware: Arc<dyn Middleware> = Arc::new(middleware);
        self.error_maps.push(middleware);
        self
    }
}

fn mapped<E: std::error::Error + 'static>(error: Error, map: &impl Fn(&E) -> Error) -> Error {
    let Some(cause) = error.cause::<E>() else {
        return error;
    };
    let mapped = map(cause);
    match (mapped.log(), error.log()) {
        (None, Some(log)) if mapped.status().is_server_error() => mapped.with_log(log),
        _ => mapped,
    }
}
