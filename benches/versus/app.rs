//! corelane as a contestant: this executable, executed again as a server by
//! the environment every rival is started with.
//!
//! The shipped application with its defaults; the contract says where its data
//! is, how long the cache keeps, and how many connections it may have.

use std::net::SocketAddr;

use corelane::internals::topology::{CoreMapOptions, CoreSelection, EngineKind, Machine, place};
use corelane::server::{ServerOptions, ShutdownSignals};
use corelane::static_files::{self, StaticFiles, StaticOptions};
use corelane::{App, Compression, Ctx, Error, Response, Server};
use corelane_server::handlers::cached::ApiCacheOptions;
use corelane_server::handlers::{self, ApiOptions};
use corelane_server::store::{Database, StoreOptions};

/// Becomes the server if the arguments say `--serve ENGINE`, and ends with it.
pub(crate) fn serve_if_asked() {
    let args: Vec<String> = std::env::args().collect();
    let Some(at) = args.iter().position(|arg| arg == "--serve") else {
        return;
    };
    let engine = EngineKind::from_name(&args[at + 1]).expect("an engine");
    let cores: Vec<usize> = variable("CORES")
        .split(',')
        .map(|cpu| cpu.parse().expect("CORES: CPU ids"))
        .collect();
    let machine = Machine::read().expect("the machine");
    let map = CoreMapOptions {
        cores: CoreSelection::List(cores),
        engine: Some(engine),
        ..Default::default()
    };
    let placement = place(&machine, &map).expect("the CPUs exist");
    let address = format!("{}:{}", variable("HOST"), variable("PORT"));
    let listen: SocketAddr = address.parse().expect("HOST and PORT");
    let options = ServerOptions {
        listen,
        require_io_uring: engine == EngineKind::IoUring,
        ..Default::default()
    };
    let shards = placement.shards.len() as u32;
    let signals = ShutdownSignals::install().expect("signals");
    let server = Server::new(app(shards))
        .options(options)
        .placement(placement);
    let handle = server.start().unwrap_or_else(|error| panic!("{error}"));
    signals.run(handle);
    std::process::exit(0);
}

/// The shipped application, and what the contract asks for beside it.
fn app(shards: u32) -> App {
    let mut store = StoreOptions {
        url: variable("DATABASE_URL").parse().expect("DATABASE_URL"),
        shards,
        ..StoreOptions::default()
    };
    store.database.connections_max = number("DATABASE_MAX_CONN");
    let database = Database::open(&store).expect("the database");
    let cache = ApiCacheOptions {
        ttl_ms: number("CACHE_TTL_MS"),
        ..ApiCacheOptions::default()
    };
    let options = ApiOptions {
        cache,
        ..ApiOptions::default()
    };
    let files = StaticOptions {
        root: variable("STATIC_DIR").into(),
        ..StaticOptions::default()
    };
    let json = corelane::Route::new(http::Method::GET, "/json/{count}", items)
        .middleware(Compression::fastest());
    handlers::app(options, database)
        .expect("good options")
        .state(move |_| {
            let files = files.clone();
            async move { StaticFiles::new(files).map_err(Error::from) }
        })
        .state(|_| async { Ok(Dataset::read()) })
        .get("/static/{*path}", static_files::serve)
        .get("/constant", async |_| Ok(Response::text("Hello, World!")))
        .route(json)
}

/// `DATASET_FILE`.
struct Dataset(Vec<Item>);

#[derive(serde::Deserialize)]
struct Item {
    id: u64,
    name: String,
    category: String,
    price: f64,
    quantity: u32,
    active: bool,
    tags: Vec<String>,
    rating: Rating,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Rating {
    score: f64,
    count: u32,
}

/// What `/json/{count}` answers.
#[derive(serde::Serialize)]
struct Items<'a> {
    items: Vec<Totalled<'a>>,
    count: usize,
}

/// An item with what it costs in all, computed for each answer.
#[derive(serde::Serialize)]
struct Totalled<'a> {
    id: u64,
    name: &'a str,
    category: &'a str,
    price: f64,
    quantity: u32,
    active: bool,
    tags: &'a [String],
    rating: &'a Rating,
    total: f64,
}

impl<'a> Totalled<'a> {
    fn of(item: &'a Item) -> Self {
        Self {
            id: item.id,
            name: &item.name,
            category: &item.category,
            price: item.price,
            quantity: item.quantity,
            active: item.active,
            tags: &item.tags,
            rating: &item.rating,
            total: item.price * f64::from(item.quantity),
        }
    }
}

impl Dataset {
    fn read() -> Self {
        let text = std::fs::read_to_string(variable("DATASET_FILE")).expect("DATASET_FILE");
        Self(serde_json::from_str(&text).expect("an array of items"))
    }
}

async fn items(ctx: Ctx) -> Result<Response, Error> {
    let count: usize = ctx.param("count")?;
    let dataset = ctx.state::<Dataset>();
    let items: Vec<Totalled<'_>> = dataset.0.iter().take(count).map(Totalled::of).collect();
    let count = items.len();
    Response::json(&Items { items, count })
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn number<T: std::str::FromStr>(name: &str) -> T {
    let number = variable(name).parse();
    number.unwrap_or_else(|_| panic!("{name} is no number"))
}
