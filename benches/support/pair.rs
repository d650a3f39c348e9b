//! Two shards in this process, pinned to two CPUs, and a connection to each.
//!
//! What is to be measured runs inside handlers, on the shards' own threads; the
//! benchmark's thread asks for it and sleeps meanwhile. Every handler of such an
//! app says with [`answer`] on which shard it ran.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use corelane::internals::topology::{CoreMapOptions, CoreSelection, EngineKind, Machine, place};
use corelane::{App, Ctx, Error, Response, Server, ServerHandle, engine};

use super::client::Client;

/// The server and its connections.
pub struct Pair {
    clients: Vec<Client>,
    handle: Option<ServerHandle>,
}

impl Pair {
    /// Starts two shards on CPUs 0 and 1 and connects to both.
    ///
    /// # Panics
    /// When the machine has no two CPUs, or the engine is refused.
    pub fn start(app: App, engine: EngineKind, spin_us: u32) -> Self {
        let machine = Machine::read().expect("the machine");
        let map = CoreMapOptions {
            cores: CoreSelection::List(vec![0, 1]),
            engine: Some(engine),
            spin_us,
            ..CoreMapOptions::default()
        };
        let placement = place(&machine, &map).expect("CPUs 0 and 1 exist");
        let app = app
            .state(|_| async { Ok(Busy::default()) })
            .get("/bench/busy", busy)
            .get("/bench/shard", async |ctx| Ok(answer(&ctx, String::new())));
        let server = Server::new(app)
            .listen(([127, 0, 0, 1], 0))
            .placement(placement);
        let handle = server.start().unwrap_or_else(|error| panic!("{error}"));
        let clients = connect_to_all(handle.local_addr().port());
        Self {
            clients,
            handle: Some(handle),
        }
    }

    /// The body of the answer of one shard.
    ///
    /// # Panics
    /// When it is not a 200.
    pub fn ask(&mut self, shard: usize, path: &str) -> String {
        let answer = self.clients[shard].ask(path, None);
        assert_eq!(answer.header("x-shard"), Some(&*shard.to_string()));
        answer.text().to_owned()
    }

    /// Starts or ends a task on each shard that works 2 us and yields, as a
    /// shard that serves requests does.
    pub fn keep_busy(&mut self, on: bool) {
        for shard in 0..self.clients.len() {
            self.ask(shard, &format!("/bench/busy?on={}", u64::from(on)));
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.clients.clear();
        if let Some(handle) = self.handle.take() {
            handle.drain();
            handle.wait();
        }
    }
}

/// The kernel spreads connections over the shards' listeners: until each shard
/// has been reached.
fn connect_to_all(port: u16) -> Vec<Client> {
    let mut clients: [Option<Client>; 2] = [None, None];
    for _ in 0..1_000 {
        let mut client = Client::connect(port);
        let said = client.ask("/bench/shard", None);
        let shard: usize = said
            .header("x-shard")
            .and_then(|value| value.parse().ok())
            .expect("x-shard");
        clients[shard].get_or_insert(client);
        if clients.iter().all(Option::is_some) {
            return clients.into_iter().flatten().collect();
        }
    }
    panic!("1,000 connections all went to one shard");
}

/// Whether this shard's task shall work on.
#[derive(Default)]
struct Busy(Cell<bool>);

/// One turn of it.
const WORK: Duration = Duration::from_micros(2);

async fn busy(ctx: Ctx) -> Result<Response, Error> {
    let on = query_number(&ctx, "on")? == 1;
    let busy: Rc<Busy> = ctx.state();
    if on && !busy.0.get() {
        let busy = busy.clone();
        engine::spawn_local(async move {
            while busy.0.get() {
                let started = Instant::now();
                while started.elapsed() < WORK {
                    std::hint::spin_loop();
                }
                engine::yield_now().await;
            }
        });
    }
    busy.0.set(on);
    Ok(answer(&ctx, String::new()))
}

/// An answer that says which shard gave it.
pub fn answer(ctx: &Ctx, text: String) -> Response {
    Response::text(text).header("x-shard", &ctx.shard().index.to_string())
}

/// A number in the query, `name=7`.
///
/// # Errors
/// 400 when it is not there.
pub fn query_number(ctx: &Ctx, name: &str) -> Result<u64, Error> {
    let pairs = ctx.query_string().unwrap_or("").split('&');
    let mut values = pairs.filter_map(|pair| pair.split_once('='));
    let value = values.find(|(n, _)| *n == name).map(|(_, value)| value);
    let number = value.and_then(|value| value.parse().ok());
    number.ok_or_else(|| Error::bad_request(format!("{name}=NUMBER is missing")))
}
