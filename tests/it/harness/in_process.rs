//! A library server inside the test: an app of the test's own, limits as small
//! as it needs, faults injected through the handle. Two shards, not pinned.

use std::net::SocketAddr;

use corelane::internals::topology::{Placement, ShardSlot};
use corelane::server::{ExitReport, ServerOptions, StartError};
use corelane::{App, Server, ServerHandle};

use super::{Client, Engine};

/// A running server; drained when dropped.
pub(crate) struct InProcess {
    handle: Option<ServerHandle>,
    address: SocketAddr,
}

const SHARDS: usize = 2;

/// Enough for any test's ring, little enough for many tests at once.
const RING_ENTRIES: u32 = 256;

impl InProcess {
    /// `app` on `engine` with default options.
    pub(crate) fn start(engine: Engine, app: App) -> Self {
        Self::start_with(engine, app, |_| {})
    }

    /// `app` on `engine`, options changed by the test.
    pub(crate) fn start_with(
        engine: Engine,
        app: App,
        change: impl FnOnce(&mut ServerOptions),
    ) -> Self {
        Self::start_shards(engine, SHARDS, app, change)
    }

    /// As `start_with`, with as many shards as the test says.
    pub(crate) fn start_shards(
        engine: Engine,
        shards: usize,
        app: App,
        change: impl FnOnce(&mut ServerOptions),
    ) -> Self {
        Self::try_start(engine, shards, app, change).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As `start_shards`, for a start that may fail.
    pub(crate) fn try_start(
        engine: Engine,
        shards: usize,
        app: App,
        change: impl FnOnce(&mut ServerOptions),
    ) -> Result<Self, StartError> {
        Self::start_built(engine, shards, app, change, |server| server)
    }

    /// As `try_start`, with what options do not say.
    pub(crate) fn start_built(
        engine: Engine,
        shards: usize,
        app: App,
        change: impl FnOnce(&mut ServerOptions),
        build: impl FnOnce(Server) -> Server,
    ) -> Result<Self, StartError> {
        let mut options = ServerOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            drain_timeout_ms: 500,
            // Clients of tests stay connected.
            keep_alive_grace_ms: 0,
            require_io_uring: engine == Engine::IoUring,
            restart_delay_ms: 10,
            ..ServerOptions::default()
        };
        change(&mut options);
        let server = Server::new(app)
            .options(options)
            .placement(placement(engine, shards));
        let handle = build(server).unpinned().start()?;
        let ran = handle
            .shards()
            .iter()
            .all(|shard| shard.engine == engine.kind());
        assert!(ran, "asked for {engine:?}, got {:?}", handle.shards());
        let address = handle.local_addr();
        Ok(Self {
            handle: Some(handle),
            address,
        })
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn handle(&self) -> &ServerHandle {
        self.handle.as_ref().expect("present until the end")
    }

    /// Drains and waits for the end.
    pub(crate) fn finish(mut self) -> ExitReport {
        let handle = self.handle.take().expect("present until the end");
        handle.drain();
        handle.wait()
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.drain();
            handle.wait();
        }
    }
}

fn placement(engine: Engine, shards: usize) -> Placement {
    let slot = |index| ShardSlot {
        index,
        cpu: 0,
        numa_node: None,
        package: 0,
        shares_core_with: None,
        engine: Some(engine.kind()),
        ring_entries: RING_ENTRIES,
        spin_us: 0,
    };
    Placement {
        shards: (0..shards).map(slot).collect(),
        housekeeping: vec![0],
        pinning: Default::default(),
        notes: Vec::new(),
    }
}
