//! What an app does beside its requests, in the order of a shard's life: when a
//! shard starts, tasks of the process while it serves, when the server shuts
//! down, and when a shard ends.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{App, Background, ShardContext};
use crate::engine::{self, CatchUnwind, LocalEvent};
use crate::error_log::ErrorLog;
use crate::limits::SHARD_END_MS_MAX;

/// What runs on a shard and no request started.
type ShardTask = Arc<dyn Fn(Background) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;
/// The same, done when it returns.
type ShardCall = Arc<dyn Fn(&Background) + Send + Sync>;

/// Of an app, each in the order it was added.
#[derive(Clone, Default)]
pub(super) struct Lifecycle {
    shard_start: Vec<ShardCall>,
    background: Vec<ShardTask>,
    daemons: Vec<ShardTask>,
    shutdown: Vec<ShardTask>,
    shard_end: Vec<ShardTask>,
}

/// The order at the end: the server takes no new connection and `is_draining`
/// is true; open connections and [`background`](App::background) tasks end side
/// by side, within the drain timeout; when every shard has come so far the
/// first one does what [`on_shutdown`](App::on_shutdown) says, with caches, state
/// and Redis as ever; then each shard closes its Redis, does what
/// [`on_shard_end`](App::on_shard_end) says and drops its
/// [`daemon`](App::daemon)s and its state.
impl App {
    /// Calls `hook` on every shard, on its own thread, when its state is built
    /// and before it accepts: to give state what only the shard has, such as its
    /// Redis. Other shards wait for this one meanwhile, so it must be quick.
    #[must_use]
    pub fn on_shard_start(mut self, hook: impl Fn(&Background) + Send + Sync + 'static) -> Self {
        self.lifecycle.shard_start.push(Arc::new(hook));
        self
    }

    /// Runs `task` beside the requests, once per process: on the first shard,
    /// from when it serves until it ends. It runs again when that shard is
    /// restarted, and when it panics, which is logged, after a second.
    ///
    /// A server that shuts down waits for it, as long as for open connections:
    /// at most the drain timeout
    /// ([`drain_timeout_ms`](crate::server::ServerOptions::drain_timeout_ms)).
    /// So it should look whether the server [drains](Background::is_draining),
    /// and sleep with [`Background::sleep`], which a drain ends. One that nobody
    /// should wait for is a [`daemon`](Self::daemon).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use corelane::{App, Background};
    ///
    /// async fn tidy_up(shard: Background) {
    ///     while !shard.is_draining() {
    ///         shard.sleep(Duration::from_secs(60)).await;
    ///         let _ = shard.cache("reports").flush().await;
    ///     }
    ///     // Waited for as well.
    ///     shard.log("the reports are tidy");
    /// }
    ///
    /// let app = App::new()
    ///     .cache(corelane::cache::CacheOptions::new("reports"))
    ///     .background(tidy_up);
    /// # let server = corelane::Server::new(app).listen(([127, 0, 0, 1], 0)).shards(1).unpinned();
    /// # let server = server.start()?;
    /// # let since = std::time::Instant::now();
    /// # server.drain();
    /// # assert!(server.wait().drained);
    /// # assert!(since.elapsed() < Duration::from_secs(5), "the sleep is cut short");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn background<F, Fut>(mut self, task: F) -> Self
    where
        F: Fn(Background) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        self.lifecycle.background.push(boxed(task));
        self
    }

    /// As [`background`](Self::background), for a task that nobody waits for: it
    /// goes on while the last requests of all shards are finished, and is
    /// dropped with the first shard. For what feeds the caches, for example.
    #[must_use]
    pub fn daemon<F, Fut>(mut self, task: F) -> Self
    where
        F: Fn(Background) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        self.lifecycle.daemons.push(boxed(task));
        self
    }

    /// Runs `hook` once when the server shuts down: on the first shard, when no
    /// shard has a connection any more and the [`background`](Self::background)
    /// tasks have ended. State, caches and Redis are there as ever. Several run
    /// one after the other, in the order they were added.
    ///
    /// It has what is left of the drain timeout, together with the others, and
    /// at least [`SHUTDOWN_MS_MIN`](crate::limits::SHUTDOWN_MS_MIN); then it is
    /// dropped, which is logged. A process that is killed, or whose first shard
    /// has died at that moment, does without it.
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// use corelane::{App, Background, Ctx, Response};
    ///
    /// #[derive(Default)]
    /// struct Visits(Cell<u64>);
    ///
    /// let app = App::new()
    ///     .state(|_shard| async { Ok(Visits::default()) })
    ///     .get("/", async |ctx: Ctx| {
    ///         let visits = ctx.state::<Visits>();
    ///         visits.0.set(visits.0.get() + 1);
    ///         Ok(Response::text("hello\n"))
    ///     })
    ///     .on_shutdown(async |shard: Background| {
    ///         let visits = shard.state::<Visits>().expect("given above");
    ///         shard.log(format!("{} visits of the first shard", visits.0.get()));
    ///     });
    /// # app.check().unwrap();
    /// ```
    #[must_use]
    pub fn on_shutdown<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Background) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        self.lifecycle.shutdown.push(boxed(hook));
        self
    }

    /// Runs `hook` on every shard when nothing is left for it to do but to
    /// end: to let state of the shard say goodbye, for which it has
    /// [`SHARD_END_MS_MAX`](crate::limits::SHARD_END_MS_MAX). Other shards may
    /// have ended before, and Redis is closed. Not run on a shard that dies.
    #[must_use]
    pub fn on_shard_end<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Background) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        self.lifecycle.shard_end.push(boxed(hook));
        self
    }
}

fn boxed<F, Fut>(task: F) -> ShardTask
where
    F: Fn(Background) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    Arc::new(move |shard| Box::pin(task(shard)))
}

impl Lifecycle {
    /// Takes over what an inner app has.
    pub(super) fn extend(&mut self, inner: Self) {
        self.shard_start.extend(inner.shard_start);
        self.background.extend(inner.background);
        self.daemons.extend(inner.daemons);
        self.shutdown.extend(inner.shutdown);
        self.shard_end.extend(inner.shard_end);
    }
}

/// All that on one shard.
pub(crate) struct ShardLife {
    hooks: Lifecycle,
    world: Background,
    open_tasks: Rc<OpenTasks>,
}

/// Background tasks that have not ended.
#[derive(Default)]
struct OpenTasks {
    tasks: Cell<usize>,
    ended: LocalEvent,
}

impl ShardLife {
    /// What is once per process is the first shard's.
    pub(crate) fn new(app: &App, shard: &Rc<ShardContext>, errors: &ErrorLog) -> Self {
        let mut hooks = app.lifecycle.clone();
        if shard.info.index != 0 {
            hooks.background.clear();
            hooks.daemons.clear();
            hooks.shutdown.clear();
        }
        Self {
            hooks,
            world: Background::new(shard.clone(), errors.clone()),
            open_tasks: Rc::default(),
        }
    }

    /// See [`App::on_shard_start`].
    pub(crate) fn on_start(&self) {
        for hook in &self.hooks.shard_start {
            hook(&self.world);
        }
    }

    pub(crate) fn start_tasks(&self) {
        for task in &self.hooks.daemons {
            engine::spawn_local(run(task.clone(), self.world.clone()));
        }
        for task in &self.hooks.background {
            let run = run(task.clone(), self.world.clone());
            let running = Running::start(&self.open_tasks);
            engine::spawn_local(async move {
                run.await;
                drop(running);
            });
        }
    }

    /// Waits for the background tasks, which know of the drain.
    pub(crate) async fn finish_tasks(&self, deadline: Instant) {
        while self.open_tasks.tasks.get() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let ended = engine::timeout(left, self.open_tasks.ended.wait()).await;
            let count = self.open_tasks.tasks.get();
            if ended.is_err() && count > 0 {
                self.world.log(format!(
                    "{count} of the background tasks did not end within the drain timeout; \
                     leaving them behind"
                ));
                return;
            }
        }
    }

    /// See [`App::on_shutdown`].
    pub(crate) async fn shut_down(&self, deadline: Instant) {
        self.run_all(&self.hooks.shutdown, "at shutdown", deadline)
            .await;
    }

    /// See [`App::on_shard_end`].
    pub(crate) async fn end(&self) {
        let deadline = Instant::now() + Duration::from_millis(SHARD_END_MS_MAX);
        self.run_all(&self.hooks.shard_end, "at the end of a shard", deadline)
            .await;
    }

    /// One after the other; those after one that takes too long have no time.
    async fn run_all(&self, hooks: &[ShardTask], when: &str, deadline: Instant) {
        for hook in hooks {
            let left = deadline.saturating_duration_since(Instant::now());
            let done = CatchUnwind::start(|| hook(self.world.clone()));
            let done = match done {
                Ok(future) => engine::timeout(left, future).await,
                Err(panicked) => Ok(Err(panicked)),
            };
            match done {
                Ok(Ok(())) => {}
                Ok(Err(_)) => self.world.log(format!("what the app does {when} panicked")),
                Err(_) => self.world.log(format!(
                    "what the app does {when} was not done in time; leaving it undone"
                )),
            }
        }
    }
}

/// Until it ends without a panic, or panics during a drain.
async fn run(task: ShardTask, world: Background) {
    loop {
        let ended = match CatchUnwind::start(|| task(world.clone())) {
            Ok(future) => future.await,
            Err(panicked) => Err(panicked),
        };
        if ended.is_ok() {
            return;
        }
        if world.is_draining() {
            world.log("a background task panicked");
            return;
        }
        world.log("a background task panicked and is started again in a second");
        world.sleep(AGAIN).await;
        if world.is_draining() {
            return;
        }
    }
}

const AGAIN: Duration = Duration::from_secs(1);

/// Counted until it is dropped, also with the shard.
struct Running(Rc<OpenTasks>);

impl Running {
    fn start(open_tasks: &Rc<OpenTasks>) -> Self {
        open_tasks.tasks.set(open_tasks.tasks.get() + 1);
        Self(open_tasks.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.tasks.set(self.0.tasks.get() - 1);
        self.0.ended.notify();
    }
}
