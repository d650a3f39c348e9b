//! may_minihttp, the server of stackful coroutines that leads several public
//! tables of constant answers: one worker per core, one coroutine a connection.
//!
//! Fair: pinned workers, static header lines as in the crate's own benchmark
//! program, users as bytes that live as long as the process. Unfair to
//! corelane: no router, cache, limits, deadlines or log. What the crate does
//! not do, and so this rival does not serve: it ignores `Connection: close`
//! (no churn), sets no NODELAY and gives no way to, has no gzip.

use std::io;

use contract::{Item, ItemsBody, Start};
use may_minihttp::{HttpServer, HttpService, Request, Response};

/// Of a coroutine, words: serialising an answer needs more than the default.
const STACK_WORDS: usize = 0x2000;

/// What all connections read; lives as long as the process.
struct World {
    users: Vec<User>,
    items: Vec<Item>,
}

struct User {
    body: String,
    etag: String,
    /// The header line: the crate takes lines that live for ever.
    etag_line: String,
}

#[derive(Clone)]
struct Service(&'static World);

fn main() {
    let start = Start::from_environment();
    contract::confine(&start.cores);
    let config = may::config();
    config
        .set_workers(start.cores.len())
        .set_stack_size(STACK_WORDS);
    let users = start.users();
    let users = users.iter().map(|user| User {
        body: user.body.clone(),
        etag: user.etag.clone(),
        etag_line: format!("ETag: {}", user.etag),
    });
    let world = Box::leak(Box::new(World {
        users: users.collect(),
        items: start.items(),
    }));
    let server = HttpServer(Service(world)).start(start.address);
    let server = server.expect("the address is free");
    start.say_listening();
    server.join().expect("serves until it is ended");
}

impl HttpService for Service {
    fn call(&mut self, request: Request, response: &mut Response) -> io::Result<()> {
        let path = request.path();
        if path == "/constant" {
            response.header("Content-Type: text/plain; charset=utf-8");
            response.body("Hello, World!");
        } else if let Some(id) = path.strip_prefix("/api/users/") {
            self.user(id, &request, response);
        } else if let Some(count) = path.strip_prefix("/json/") {
            self.json(count, response);
        } else {
            not_found(response);
        }
        Ok(())
    }
}

impl Service {
    fn user(&self, id: &str, request: &Request, response: &mut Response) {
        let world: &'static World = self.0;
        let index = id.parse::<usize>().ok().and_then(|id| id.checked_sub(1));
        let Some(user) = index.and_then(|index| world.users.get(index)) else {
            not_found(response);
            return;
        };
        response.header(&user.etag_line);
        let mut headers = request.headers().iter();
        let known = headers.find(|header| header.name.eq_ignore_ascii_case("if-none-match"));
        if known.is_some_and(|known| names(known.value, user.etag.as_bytes())) {
            response.status_code(304, "Not Modified");
        } else {
            response.header("Content-Type: application/json");
            response.body(&user.body);
        }
    }

    fn json(&self, count: &str, response: &mut Response) {
        let Ok(count) = count.parse() else {
            not_found(response);
            return;
        };
        response.header("Content-Type: application/json");
        let items = ItemsBody::first(&self.0.items, count);
        response.body_vec(serde_json::to_vec(&items).expect("items are JSON"));
    }
}

fn not_found(response: &mut Response) {
    response.status_code(404, "Not Found");
    response.header("Content-Type: text/plain; charset=utf-8");
    response.body("not found");
}

/// Whether If-None-Match has this ETag, compared weakly.
fn names(known: &[u8], etag: &[u8]) -> bool {
    known.split(|byte| *byte == b',').any(|known| {
        let known = known.trim_ascii();
        known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == etag
    })
}
