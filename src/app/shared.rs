//! State of the process, which all shards share.

use std::any::type_name;
use std::sync::Arc;

use super::{App, Ctx};

impl App {
    /// Adds a value that is one for the whole process: what one shard puts into
    /// it every other finds. Handlers reach it with [`Ctx::shared`]; tasks and
    /// what runs at a shard's start, as state of type `Arc<S>`.
    ///
    /// It is made once, before the server starts, lives until it ends, a shard's
    /// restart included, and is lost with the process. Changing it takes a lock or
    /// an atomic, for which shards wait on each other: hold a lock for a moment and
    /// never across an `.await`. What need not be seen by other shards is better
    /// kept by [`state`](Self::state), once per shard and without a lock.
    ///
    /// ```
    /// use std::sync::Mutex;
    ///
    /// use corelane::{App, Ctx, Error, Response};
    ///
    /// #[derive(Default)]
    /// struct Notes(Mutex<Vec<String>>);
    ///
    /// async fn write(mut ctx: Ctx) -> Result<Response, Error> {
    ///     let text = String::from_utf8_lossy(&ctx.bytes().await?).into_owned();
    ///     ctx.shared::<Notes>().0.lock().expect("no panic").push(text);
    ///     Ok(Response::no_content())
    /// }
    ///
    /// async fn read(ctx: Ctx) -> Result<Response, Error> {
    ///     let notes = ctx.shared::<Notes>();
    ///     let text = notes.0.lock().expect("no panic").join("\n");
    ///     Ok(Response::text(text))
    /// }
    ///
    /// let app = App::new()
    ///     .shared(Notes::default())
    ///     .get("/notes", read)
    ///     .post("/notes", write);
    /// # app.check().unwrap();
    /// ```
    #[must_use]
    pub fn shared<S: Send + Sync + 'static>(self, value: S) -> Self {
        let value = Arc::new(value);
        self.state(move |_shard| {
            let value = value.clone();
            async move { Ok(value) }
        })
    }
}

impl Ctx {
    /// The process's value of type `S`, as [`App::shared`] has it.
    ///
    /// # Panics
    /// When the app has none of that type: a mistake of the program, told at the
    /// first request.
    pub fn shared<S: Send + Sync + 'static>(&self) -> Arc<S> {
        match self.find_state::<Arc<S>>() {
            Some(value) => Arc::clone(&value),
            None => panic!(
                "the app shares nothing of type {}; add App::shared",
                type_name::<S>()
            ),
        }
    }
}
