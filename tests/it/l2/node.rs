//! One node of several that share a database file and a Redis: the shipped
//! application in this process.

use std::path::Path;

use corelane::redis::RedisOptions;
use corelane_server::handlers::cached::ApiCacheOptions;
use corelane_server::handlers::{self, ApiOptions};
use corelane_server::store::{Database, StoreOptions};
use serde_json::{Value, json};

use super::poll_for;
use crate::harness::{Client, Engine, InProcess, Response};

pub(super) struct Node {
    pub(super) server: InProcess,
}

impl Node {
    pub(super) fn start(engine: Engine, folder: &Path, redis: &str) -> Self {
        Self::start_with(engine, folder, redis, |_| {})
    }

    pub(super) fn start_with(
        engine: Engine,
        folder: &Path,
        redis: &str,
        change: impl FnOnce(&mut ApiOptions),
    ) -> Self {
        let redis = RedisOptions {
            deadline_ms: 100,
            ..RedisOptions::new(redis)
        };
        Self::start_at(engine, folder, redis, change)
    }

    pub(super) fn start_at(
        engine: Engine,
        folder: &Path,
        redis: RedisOptions,
        change: impl FnOnce(&mut ApiOptions),
    ) -> Self {
        // What a power cut would do is not asked here.
        let store = StoreOptions {
            durable: false,
            ..StoreOptions::sqlite(folder.join("test.db"))
        };
        let mut options = ApiOptions {
            cache: ApiCacheOptions::default(),
            ..ApiOptions::default()
        };
        change(&mut options);
        let database = Database::open(&store).expect("a database");
        let app = handlers::app(options, database).expect("good options");
        Self {
            server: InProcess::start(engine, app.redis(redis)),
        }
    }

    pub(super) fn connect(&self) -> Client {
        self.server.connect()
    }

    /// A counter of the users in Redis.
    pub(super) fn counted(&self, counter: &str) -> u64 {
        counted(&mut self.connect(), "users", counter)
    }

    #[track_caller]
    pub(super) fn wait_for(&self, counter: &str, at_least: u64) {
        let what = format!("{counter} at least {at_least}");
        poll_for(&what, || (self.counted(counter) >= at_least).then_some(()));
    }
}

/// A counter of a cache in Redis; 0 before its first event.
pub(super) fn counted(client: &mut Client, cache: &str, counter: &str) -> u64 {
    let metrics = client.get("/metrics").expect(200).json();
    let levels = metrics["secondLevels"].as_array().expect("a list").clone();
    let level = levels.iter().find(|level| level["name"] == cache);
    level.map_or(0, |level| level[counter].as_u64().expect("a counter"))
}

pub(super) fn create(client: &mut Client, number: usize) -> Value {
    let person = json!({
        "name": "v1",
        "email": format!("person{number}@example.org"),
        "age": number % 100,
    });
    let created = client.send_json("POST", "/api/users", &[], &person);
    created.expect(201).json()
}

/// Names a user after the version it will have, and returns that.
pub(super) fn write(client: &mut Client, id: usize, name: &str) -> u64 {
    let target = format!("/api/users/{id}");
    let written = client.send_json("PATCH", &target, &[], &json!({"name": name}));
    version(&written.expect(200))
}

pub(super) fn read(client: &mut Client, id: usize) -> Response {
    client.get(&format!("/api/users/{id}")).expect(200)
}

pub(super) fn version(response: &Response) -> u64 {
    response.json()["version"].as_u64().expect("a version")
}

/// The member of `Cache-Status` that Redis is.
pub(super) fn redis_said(response: &Response) -> &str {
    let status = response.must_have("cache-status");
    let members = status.split(", ");
    let said = members.filter_map(|member| member.strip_prefix("corelane-redis; "));
    said.last().unwrap_or("nothing")
}
