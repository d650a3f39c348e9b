//! The way from a request to the process's tokio runtime.

use super::Ctx;
use crate::Error;
use crate::bridge::Bridge;

impl Ctx {
    /// Runs a future on the process's tokio runtime, for libraries that need
    /// one: timers, sockets and tasks of tokio work in it. Make them inside, in
    /// an `async` block: tokio's timers panic when they are made elsewhere.
    /// Dropping what this returns aborts it. See [`Bridge::run`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use corelane::{App, Ctx, Error, Response, Server};
    ///
    /// async fn nap(ctx: Ctx) -> Result<Response, Error> {
    ///     let slept = ctx
    ///         .tokio(async {
    ///             let begun = tokio::time::Instant::now();
    ///             tokio::time::sleep(Duration::from_millis(5)).await;
    ///             begun.elapsed()
    ///         })
    ///         .await?;
    ///     Ok(Response::text(format!("{} ms\n", slept.as_millis())))
    /// }
    ///
    /// let app = App::new().get("/nap", nap);
    /// # let server = Server::new(app).listen(([127, 0, 0, 1], 0)).shards(1).unpinned().start()?;
    /// # use std::io::{Read, Write};
    /// # let mut stream = std::net::TcpStream::connect(server.local_addr())?;
    /// # stream.write_all(b"GET /nap HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")?;
    /// # let mut answer = String::new();
    /// # stream.read_to_string(&mut answer)?;
    /// # assert!(answer.ends_with(" ms\n"), "{answer}");
    /// # server.drain();
    /// # server.wait();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// 503 with `Retry-After` when too many tasks are there, 500 when the
    /// future panics.
    pub async fn tokio<T, F>(&self, future: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        Ok(self.shard.bridge.run(future).await?)
    }

    /// The way to the tokio runtime, for state that needs it without a request.
    pub fn bridge(&self) -> Bridge {
        self.shard.bridge.clone()
    }
}
