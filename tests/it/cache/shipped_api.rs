//! The shipped application in this process, over a database of the test's own.

use std::path::Path;

use corelane::server::ServerOptions;
use corelane_server::handlers::cached::ApiCacheOptions;
use corelane_server::handlers::{self, ApiOptions};
use corelane_server::store::{Database, StoreOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::tell_inside;
use crate::harness::{Client, Engine, InProcess, Response};

pub(super) struct Api {
    pub(super) server: InProcess,
    /// Dropped after the server.
    _folder: TempDir,
}

impl Api {
    pub(super) fn start(engine: Engine, shards: usize, cache: ApiCacheOptions) -> Self {
        Self::start_with(engine, shards, cache, |_| {})
    }

    pub(super) fn start_with(
        engine: Engine,
        shards: usize,
        cache: ApiCacheOptions,
        change: impl FnOnce(&mut ServerOptions),
    ) -> Self {
        let folder = TempDir::new().expect("a folder");
        let app = handlers::app(
            ApiOptions {
                cache,
                ..ApiOptions::default()
            },
            open(folder.path()),
        );
        let app = app.expect("good options").middleware(tell_inside);
        Self {
            server: InProcess::start_shards(engine, shards, app, change),
            _folder: folder,
        }
    }

    /// Users 1 to `count`, all named `v0`.
    pub(super) fn create_people(&self, count: usize) {
        let mut client = self.connect();
        for number in 1..=count {
            create(&mut client, number);
        }
    }

    /// A fresh connection, to whichever shard.
    pub(super) fn connect(&self) -> Client {
        self.server.connect()
    }

    pub(super) fn on_every_shard(&self, shards: usize) -> Vec<Client> {
        super::on_every_shard(&self.server, shards)
    }
}

fn open(folder: &Path) -> std::sync::Arc<Database> {
    // What a power cut would do is not asked here.
    let options = StoreOptions {
        durable: false,
        ..StoreOptions::sqlite(folder.join("test.db"))
    };
    Database::open(&options).expect("a database")
}

pub(super) fn person(number: usize) -> Value {
    json!({
        "name": "v0",
        "email": format!("person{number}@example.org"),
        "age": number % 100,
        "location": {"lat": 1.0, "lon": 5.0},
    })
}

pub(super) fn create(client: &mut Client, number: usize) -> Value {
    let created = client.send_json("POST", "/api/users", &[], &person(number));
    created.expect(201).json()
}

pub(super) fn rename(client: &mut Client, id: usize, name: &str) -> Response {
    let target = format!("/api/users/{id}");
    let patch = json!({"name": name});
    client.send_json("PATCH", &target, &[], &patch).expect(200)
}
