//! The application on two shards, with files and a database of the test's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use arena::Settings;
use corelane::internals::topology::{EngineKind, Placement, ShardSlot};
use corelane::server::{ServerOptions, StartError};
use corelane::{Server, ServerHandle};
use serde_json::{Value, json};
use services::Database;
use tempfile::TempDir;

use crate::client::Client;

/// A running application; ended when dropped.
pub(crate) struct Arena {
    handle: Option<ServerHandle>,
    _folder: TempDir,
}

/// What a test may change of the settings.
pub(crate) type Change<'a> = &'a dyn Fn(&mut Settings);

impl Arena {
    pub(crate) fn start(engine: EngineKind) -> Self {
        Self::start_with(engine, &|_| {})
    }

    pub(crate) fn on_database(engine: EngineKind, database: &Database) -> Self {
        Self::start_with(engine, &|settings| {
            settings.database_url = Some(database.url());
        })
    }

    pub(crate) fn start_with(engine: EngineKind, change: Change<'_>) -> Self {
        Self::try_start(engine, change).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_start(engine: EngineKind, change: Change<'_>) -> Result<Self, StartError> {
        let folder = TempDir::new().expect("a folder");
        let dataset = folder.path().join("dataset.json");
        std::fs::write(&dataset, dataset_items().to_string()).expect("a dataset");
        let mut settings = Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            dataset,
            static_dir: None,
            database_url: None,
            database_connections_max: 8,
        };
        change(&mut settings);
        let options = ServerOptions {
            listen: settings.listen,
            drain_timeout_ms: 500,
            require_io_uring: engine == EngineKind::IoUring,
            ..ServerOptions::default()
        };
        let app = arena::build(&settings).unwrap_or_else(|error| panic!("{error}"));
        let server = Server::new(app).options(options);
        let handle = server.placement(two_shards(engine)).unpinned().start()?;
        assert!(handle.shards().iter().all(|shard| shard.engine == engine));
        Ok(Self {
            handle: Some(handle),
            _folder: folder,
        })
    }

    pub(crate) fn connect(&self) -> Client {
        let handle = self.handle.as_ref().expect("present until the end");
        Client::connect(handle.local_addr())
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.drain();
            handle.wait();
        }
    }
}

fn two_shards(engine: EngineKind) -> Placement {
    let slot = |index| ShardSlot {
        index,
        cpu: 0,
        numa_node: None,
        package: 0,
        shares_core_with: None,
        engine: Some(engine),
        ring_entries: 256,
        spin_us: 0,
    };
    Placement {
        shards: (0..2).map(slot).collect(),
        housekeeping: vec![0],
        pinning: Default::default(),
        notes: Vec::new(),
    }
}

/// Fifty items, no two alike.
pub(crate) fn dataset_items() -> Value {
    let item = |id: i64| {
        json!({"id": id, "name": format!("Thing \"{id}\""), "category": "tools",
               "price": 3 * id + 1, "quantity": 100 - id, "active": id % 3 > 0,
               "tags": ["new", format!("t{id}")], "rating": {"score": id, "count": 7 * id}})
    };
    (1..=50).map(item).collect()
}

/// A database with the table `items`: 400 rows, prices 1 to 400, every other
/// one of them in the category "electronics".
pub(crate) fn database_of_items() -> Database {
    let database = Database::new();
    fill(&database);
    database
}

/// Fills an empty database.
pub(crate) fn fill(database: &Database) {
    database.psql(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, category TEXT NOT NULL,
             price INTEGER NOT NULL, quantity INTEGER NOT NULL, active BOOLEAN NOT NULL,
             tags JSONB NOT NULL, rating_score INTEGER NOT NULL, rating_count INTEGER NOT NULL);
         INSERT INTO items SELECT id, 'Thing ' || id,
             CASE WHEN id % 2 = 0 THEN 'electronics' ELSE 'tools' END, id, id * 10, id % 3 > 0,
             jsonb_build_array('new', 't' || id), id % 50, id % 500
         FROM generate_series(1, 400) id",
    );
}

/// Writes a file with these bytes and gives its path.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("it can be written");
    path
}
