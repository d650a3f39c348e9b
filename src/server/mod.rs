//! A process of shards: started together, watched, restarted, drained.
//!
//! The housekeeping thread (the caller's) holds the listening sockets; each
//! shard runs on a thread of its own that `shard_thread` pins, and so does the admin
//! listener, on a shard that has nothing else to do. A dead shard's socket stays
//! open, so connections that wait on it wait for the successor instead of being
//! reset.

mod admin;
mod error;
mod handle;
mod listeners;
mod options;
mod pinning;
mod port_owner;
mod shard_thread;
mod signals;
mod supervisor;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Barrier};
use std::time::Instant;

pub use admin::{AdminError, AdminOptions, check_token};
pub use error::StartError;
pub use handle::{ExitReport, ServerHandle, ShardSummary};
pub use listeners::{check_admin_listen, check_listen};
pub use options::{RequestIdMode, ServerOptions};
pub use signals::{ShutdownSignals, run_until_signal};

pub use crate::access_log::LogFormat;
pub use crate::limiter::LimiterOptions;
pub use crate::limits::HttpLimits;
pub use crate::log_sink::LogTarget;
pub use crate::semantics::TrustedProxies;
pub use crate::topology::{CoreMapOptions, CoreSelection, Machine, Placement, place};

use crate::app::{App, AppError};
use crate::bridge::Bridge;
use crate::cache::KeyHasher;
use crate::caches::CachePlan;
use crate::engine::{BlockingPool, BuildError, EngineKind, EngineOptions, Runtime, check_io_uring};
use crate::error_log::ErrorLog;
use crate::ids::{boot_id, random_seed};
use crate::limiter::LimiterPlan;
use crate::log_sink::AccessLogSink;
use crate::peers::{ControlInboxes, Mesh, PeersPlan, lane_messages_for};
use crate::redis::RedisPlan;
use crate::topology::{confine_current_thread, pin_current_thread};

use handle::Fallbacks;
use listeners::{Inherited, Listeners};
use shard_thread::ShardPlan;
use supervisor::Supervisor;

/// An app and what it takes to serve it.
///
/// ```no_run
/// use corelane::{App, Response, Server};
///
/// let app = App::new().get("/", async |_| Ok(Response::text("hello\n")));
/// Server::new(app).listen(([127, 0, 0, 1], 8080)).run()?;
/// # Ok::<(), corelane::server::StartError>(())
/// ```
#[derive(Debug)]
pub struct Server {
    app: App,
    options: ServerOptions,
    placement: Option<Placement>,
    cores: CoreSelection,
    pin: bool,
    log: Option<(LogFormat, LogTarget)>,
    inherited: Inherited,
}

impl Server {
    /// A server with default options and a shard on every core it may use.
    pub fn new(app: App) -> Self {
        Self {
            app,
            options: ServerOptions::default(),
            placement: None,
            cores: CoreSelection::All,
            pin: true,
            log: None,
            inherited: Inherited::default(),
        }
    }

    /// Sets the options.
    #[must_use]
    pub fn options(mut self, options: ServerOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the address and port; port 0 lets the kernel choose.
    #[must_use]
    pub fn listen(mut self, address: impl Into<SocketAddr>) -> Self {
        self.options.listen = address.into();
        self
    }

    /// Answers the routes of [`App::admin`] on a second listener, on this
    /// address and port; port 0 lets the kernel choose. See [`AdminOptions`],
    /// which has the token too.
    #[must_use]
    pub fn admin_listen(mut self, address: impl Into<SocketAddr>) -> Self {
        let address = address.into();
        match &mut self.options.admin {
            Some(admin) => admin.listen = address,
            admin => *admin = Some(AdminOptions::new(address)),
        }
        self
    }

    /// Serves from TCP sockets that somebody else has bound and listens on: a
    /// supervisor, or the process that this one follows. None of
    /// [`listen`](Self::listen) is bound then. Any number will do: a shard
    /// accepts from several, or several from one.
    ///
    /// Whoever handed them in keeps them: a drain only stops accepting, and
    /// connections that come afterwards wait for the next who does.
    #[must_use]
    pub fn adopt(mut self, sockets: impl IntoIterator<Item = OwnedFd>) -> Self {
        self.inherited.public.extend(sockets);
        self
    }

    /// As [`adopt`](Self::adopt), for the admin listener. The token, if it has
    /// one, is that of [`ServerOptions::admin`].
    #[must_use]
    pub fn adopt_admin(mut self, socket: OwnedFd) -> Self {
        self.inherited.admin = Some(socket);
        self
    }

    /// Starts this many shards, on the first cores there are, instead of one
    /// on every core. For more say in it, give a [`placement`](Self::placement).
    #[must_use]
    pub fn shards(mut self, count: usize) -> Self {
        self.cores = CoreSelection::Count(count);
        self
    }

    /// Sets which shards run on which CPUs, from a core map.
    #[must_use]
    pub fn placement(mut self, placement: Placement) -> Self {
        self.placement = Some(placement);
        self
    }

    /// Leaves the shards' threads to the scheduler. For tests and small
    /// shared machines; a pinned shard keeps its caches.
    #[must_use]
    pub fn unpinned(mut self) -> Self {
        self.pin = false;
        self
    }

    /// Writes an access log.
    #[must_use]
    pub fn access_log(mut self, format: LogFormat, target: LogTarget) -> Self {
        self.log = Some((format, target));
        self
    }

    /// Binds, builds every shard's state and starts serving. Returns when all
    /// shards accept.
    ///
    /// # Errors
    /// [`StartError`], which says what the operator can do; nothing is left
    /// running.
    pub fn start(self) -> Result<ServerHandle, StartError> {
        self.app.check().map_err(StartError::App)?;
        if let (Some(admin), true) = (&self.options.admin, self.inherited.is_empty()) {
            admin
                .check(self.options.listen)
                .map_err(StartError::Admin)?;
        }
        let placement = match self.placement {
            Some(placement) => placement,
            None => default_placement(self.cores)?,
        };
        let pinning = pinning::decide(&placement, self.pin, pin_current_thread)?;
        let cpus = pinning.pin.then_some(placement.housekeeping.as_slice());
        let background = Background::start(&self.options, self.log, cpus)?;
        let Background {
            pool,
            sink,
            errors,
            bridge,
        } = background;
        let redis = self.app.redis.clone();
        let redis = RedisPlan::new(redis, bridge.clone(), errors.clone());
        let redis = redis.map_err(|error| StartError::App(AppError::Redis(error)))?;
        let engines = choose_engines(&placement, &self.options, &pool)?;
        let count = placement.shards.len();
        let listeners = Listeners::open(&self.options, self.inherited, count)?;
        let peers = peers_plan(&self.options, listeners.by_shard.len());
        let always = match self.options.request_id {
            RequestIdMode::Always => true,
            RequestIdMode::Auto => sink.is_some(),
            RequestIdMode::Off => false,
        };
        let started = Instant::now();
        let caches = cache_plan(&self.app, &self.options, started);
        let limiter = LimiterPlan {
            options: self.options.rate_limit.clone(),
            seed: random_seed(),
            origin: started,
        };
        let plan = ShardPlan {
            app: Arc::new(self.app),
            options: self.options,
            count,
            housekeeping: placement.housekeeping.clone(),
            request_id_always: always,
            boot_id: boot_id(),
            server_started: started,
            caches,
            limiter,
            peers,
            pool,
            pin: pinning.pin,
            sink,
            errors,
            bridge,
            redis,
        };
        let fallbacks = Fallbacks {
            engine: engines.fallback.clone(),
            pinning: pinning.refused,
        };
        let mut handle = Supervisor::start(plan, placement, engines, listeners)?;
        handle.fallbacks = fallbacks;
        Ok(handle)
    }

    /// [`start`](Self::start), then serves until SIGTERM or SIGINT and drains:
    /// what a `main` ends with.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn run(self) -> Result<ExitReport, StartError> {
        let signals = ShutdownSignals::install().map_err(StartError::Thread)?;
        Ok(signals.run(self.start()?))
    }
}

fn peers_plan(options: &ServerOptions, shards: usize) -> PeersPlan {
    let lane_messages = match options.lane_messages {
        Some(messages) => messages.max(1),
        None => lane_messages_for(shards),
    };
    PeersPlan {
        mesh: Mesh::new(shards, lane_messages),
        control: Arc::new(ControlInboxes::new(shards)),
    }
}

fn cache_plan(app: &App, options: &ServerOptions, origin: Instant) -> CachePlan {
    CachePlan {
        options: app.caches().into(),
        hasher: KeyHasher::new(random_seed()),
        doubt_ms: options.cache_doubt_ms,
        feed: app.change_feed().cloned(),
        origin,
    }
}

fn default_placement(cores: CoreSelection) -> Result<Placement, StartError> {
    let machine = Machine::read().map_err(|error| StartError::Placement(error.to_string()))?;
    let options = CoreMapOptions {
        cores,
        ..CoreMapOptions::default()
    };
    place(&machine, &options).map_err(|error| StartError::Placement(error.to_string()))
}

/// The engine of each shard: as the core map says; where io_uring is refused
/// by the host, epoll for all and a reason to print, unless the options insist.
struct Engines {
    by_shard: Vec<EngineOptions>,
    fallback: Option<String>,
}

fn choose_engines(
    placement: &Placement,
    options: &ServerOptions,
    pool: &BlockingPool,
) -> Result<Engines, StartError> {
    let wanted = |slot: &crate::topology::ShardSlot| EngineOptions {
        kind: slot.engine.unwrap_or(EngineKind::IoUring),
        ring_entries: slot.ring_entries,
    };
    let mut by_shard: Vec<_> = placement.shards.iter().map(wanted).collect();
    let Err(error) = probe_rings(&by_shard, pool)? else {
        return Ok(Engines {
            by_shard,
            fallback: None,
        });
    };
    if options.require_io_uring {
        return Err(StartError::Engine(error));
    }
    for engine in &mut by_shard {
        engine.kind = EngineKind::Epoll;
    }
    Ok(Engines {
        by_shard,
        fallback: Some(error.to_string()),
    })
}

/// Makes the rings of all shards at once, which locked memory must suffice for, and
/// asks for what they will do. Each on a thread of its own: a ring belongs to the
/// thread that made it.
fn probe_rings(
    engines: &[EngineOptions],
    pool: &BlockingPool,
) -> Result<Result<(), BuildError>, StartError> {
    let rings = engines
        .iter()
        .filter(|engine| engine.kind == EngineKind::IoUring);
    let rings: Vec<_> = rings.cloned().collect();
    let all_made = Arc::new(Barrier::new(rings.len()));
    let probe = |(index, ring): (usize, EngineOptions)| {
        let (pool, all_made) = (pool.clone(), all_made.clone());
        std::thread::spawn(move || {
            let checked = if index == 0 { check_io_uring() } else { Ok(()) };
            let made = checked.and_then(|()| Runtime::build(&ring, pool));
            all_made.wait();
            made.map(drop)
        })
    };
    let probes: Vec<_> = rings.into_iter().enumerate().map(probe).collect();
    let mut found = Ok(());
    for probe in probes {
        let probed = probe
            .join()
            .map_err(|_| StartError::Thread(std::io::Error::other("the ring probe panicked")))?;
        found = found.and(probed);
    }
    Ok(found)
}

/// The threads beside the shards.
struct Background {
    pool: BlockingPool,
    sink: Option<AccessLogSink>,
    errors: ErrorLog,
    bridge: Bridge,
}

impl Background {
    /// Starts them on the housekeeping CPUs, so that they leave the shards'
    /// cores alone: a thread inherits the affinity of the one that starts it,
    /// so one that ends at once and is confined first starts them all.
    fn start(
        options: &ServerOptions,
        log: Option<(LogFormat, LogTarget)>,
        housekeeping: Option<&[usize]>,
    ) -> Result<Self, StartError> {
        let start = || {
            if let Some(cpus) = housekeeping {
                // Only a wish: the shards are pinned whatever happens here.
                let _ = confine_current_thread(cpus);
            }
            let errors = ErrorLog::start().map_err(StartError::Thread)?;
            let log = log.map(|(format, target)| start_log(format, target, errors.clone()));
            Ok(Self {
                pool: BlockingPool::start(options.blocking_threads).map_err(StartError::Thread)?,
                sink: log.transpose()?,
                errors,
                bridge: Bridge::start().map_err(StartError::Thread)?,
            })
        };
        std::thread::scope(|scope| {
            let starter = std::thread::Builder::new().spawn_scoped(scope, start);
            let starter = starter.map_err(StartError::Thread)?;
            starter.join().unwrap_or_else(|_| {
                let panicked = std::io::Error::other("starting the background threads panicked");
                Err(StartError::Thread(panicked))
            })
        })
    }
}

fn start_log(
    format: LogFormat,
    target: LogTarget,
    errors: ErrorLog,
) -> Result<AccessLogSink, StartError> {
    let path = match &target {
        LogTarget::File(path) => path.clone(),
        LogTarget::Stdout => PathBuf::from("stdout"),
        LogTarget::Stderr => PathBuf::from("stderr"),
    };
    AccessLogSink::start(target, format, errors).map_err(|source| StartError::Log { path, source })
}
