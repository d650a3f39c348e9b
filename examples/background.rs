//! Work beside the requests, and what is done when the server shuts down.
//!
//! Requests put jobs into a queue that all shards share; a task of the process does
//! them one after the other. On SIGTERM it finishes what is there, because a shutdown
//! waits for background tasks, and the hook after it says how much was done.
//!
//! ```text
//! cargo run --example background
//! curl -i -X POST http://127.0.0.1:8080/jobs/sweep
//! curl http://127.0.0.1:8080/done
//! ```

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use corelane::{App, Background, Ctx, Error, Response, Server};
use http::StatusCode;

/// Over it a client is told to come back.
const JOBS_MAX: usize = 1_000;

#[derive(Clone, Default)]
struct Jobs {
    waiting: Arc<Mutex<VecDeque<String>>>,
    done: Arc<AtomicU64>,
}

impl Jobs {
    fn add(&self, job: String) -> Result<(), Error> {
        let mut waiting = self.waiting.lock().expect("no panic");
        if waiting.len() >= JOBS_MAX {
            return Err(Error::unavailable("too many jobs wait", 5));
        }
        waiting.push_back(job);
        Ok(())
    }

    fn take(&self) -> Option<String> {
        self.waiting.lock().expect("no panic").pop_front()
    }
}

async fn add(ctx: Ctx) -> Result<Response, Error> {
    ctx.state::<Jobs>().add(ctx.param("job")?)?;
    Ok(Response::new(StatusCode::ACCEPTED))
}

async fn done(ctx: Ctx) -> Result<Response, Error> {
    let done = ctx.state::<Jobs>().done.load(Ordering::Relaxed);
    Ok(Response::text(format!("{done}\n")))
}

/// Once per process. A drain ends the sleep early, and waits for the jobs.
async fn work(shard: Background) {
    let jobs = shard.state::<Jobs>().expect("given in main");
    loop {
        while let Some(job) = jobs.take() {
            shard.log(format!("job {job}"));
            jobs.done.fetch_add(1, Ordering::Relaxed);
        }
        if shard.is_draining() {
            return;
        }
        shard.sleep(Duration::from_millis(500)).await;
    }
}

async fn report(shard: Background) {
    let jobs = shard.state::<Jobs>().expect("given in main");
    shard.log(format!("{} jobs done", jobs.done.load(Ordering::Relaxed)));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let jobs = Jobs::default();
    let app = App::new()
        .state(move |_shard| {
            let jobs = jobs.clone();
            async move { Ok(jobs) }
        })
        .post("/jobs/{job}", add)
        .get("/done", done)
        .background(work)
        .on_shutdown(report);
    let listen = std::env::args().nth(1);
    let listen: SocketAddr = listen.as_deref().unwrap_or("127.0.0.1:8080").parse()?;
    Server::new(app).listen(listen).run()?;
    Ok(())
}
