//! The caches of a server as its clients see them, over sockets, on either
//! engine. The protocol itself is simulated and model-checked elsewhere; here
//! it is real shards, lanes, crashes and clients that hang up.
//!
//! `shipped` and `lists` are about the shipped API, `single_flight` about loads
//! that many wait for, `vocabulary`, `tags`, `ageing`, `bounds` and `loose`
//! about what a handler can say to a cache (by way of the app in `words`).
//! `linear` records what many clients see of hot keys (`history`) and proves
//! that one register could have answered so (`checker`); `narrow` and `deaths`
//! make it hard, and so does `in_doubt`.

mod ageing;
mod bounds;
mod checker;
mod deaths;
mod fed;
mod history;
mod hostile;
mod in_doubt;
mod linear;
mod lists;
mod loose;
mod narrow;
mod register;
mod shipped;
mod shipped_api;
mod single_flight;
mod status;
mod tags;
mod vocabulary;
mod words;

use std::time::{Duration, Instant};

use corelane::{Ctx, Error, Next, Response};
use http::{HeaderName, HeaderValue};

use crate::harness::{Client, InProcess};

/// Middleware that says which shard answered, in `x-shard`, and what only the
/// log would be told, in `x-log`.
async fn tell_inside(ctx: Ctx, next: Next) -> Result<Response, Error> {
    let shard = HeaderValue::from(ctx.shard().index);
    let name = HeaderName::from_static("x-shard");
    match next.run(ctx).await {
        Ok(mut response) => {
            response.insert_header(name, shard);
            Ok(response)
        }
        Err(error) => {
            let log = HeaderValue::try_from(error.log().unwrap_or_default().to_owned())?;
            let error = error.with_header(HeaderName::from_static("x-log"), log);
            Err(error.with_header(name, shard))
        }
    }
}

/// One connection to each shard of an app with [`tell_inside`], in order.
fn on_every_shard(server: &InProcess, shards: usize) -> Vec<Client> {
    let mut clients: Vec<Option<Client>> = (0..shards).map(|_| None).collect();
    for _ in 0..400 {
        let mut client = server.connect();
        let answer = client.get("/which-shard");
        let shard: usize = answer.must_have("x-shard").parse().expect("a shard");
        clients[shard].get_or_insert(client);
        if clients.iter().all(Option::is_some) {
            return clients.into_iter().flatten().collect();
        }
    }
    panic!("400 connections did not reach every shard");
}

/// Tries again until `look` finds something.
#[track_caller]
fn poll_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
