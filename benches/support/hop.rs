//! Messages over the lanes between two shards, timed: on one thread, between
//! two that spin, and between two that park. Shards run on epoll, pinned to
//! the first two CPUs where the machine lets them.
#![allow(dead_code)]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use corelane::internals::engine::{BlockingPool, EngineKind, EngineOptions, Runtime, ShardWaker};
use corelane::internals::peers::{Endpoint, Event, Mesh, lane_messages_for};

/// What a shard of [`round_trips`] does while nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// Looks again, without its reactor.
    Spins,
    /// Sleeps in its reactor until the doorbell rings.
    Parks,
}

/// Sends `messages` requests in batches from one endpoint to another on the
/// same thread, and receives them.
pub(crate) fn batches(messages: u64, batch: u64) -> Duration {
    on_shard(async {
        let mesh = Mesh::<Payload>::new(2, lane_messages_for(2));
        let (mut from, mut to) = (mesh.attach(0), mesh.attach(1));
        let mut events = VecDeque::new();
        let _ = (
            from.receive(&mut events, true),
            to.receive(&mut events, true),
        );
        events.clear();
        let started = Instant::now();
        let mut got = 0;
        while got < messages {
            for number in 0..batch {
                from.send_request(1, [number; 4]).expect("there is room");
            }
            from.flush();
            let _ = to.receive(&mut events, true);
            got += events.len() as u64;
            events.clear();
        }
        // The last batch may be more than was asked for.
        started
            .elapsed()
            .mul_f64(messages as f64 / got.max(1) as f64)
    })
}

/// A request there and a reply back, `rounds` times.
pub(crate) fn round_trips(rounds: u64, idle: Idle) -> Duration {
    let mesh = Mesh::<Payload>::new(2, lane_messages_for(2));
    let asked = mesh.clone();
    let other = thread::spawn(move || {
        pin(1);
        on_shard(answer(asked, rounds, idle));
    });
    pin(0);
    let took = on_shard(ask(mesh, rounds, idle));
    other.join().expect("the other shard ends well");
    took
}

/// A message of 32 bytes.
type Payload = [u64; 4];

async fn ask(mesh: Arc<Mesh<Payload>>, rounds: u64, idle: Idle) -> Duration {
    let mut end = End::attach(&mesh, 0, idle);
    while !matches!(end.next().await, Event::PeerUp(1)) {}
    let started = Instant::now();
    for number in 0..rounds {
        let sent = end.endpoint.send_request(1, [number; 4]);
        sent.expect("there is room");
        end.next().await;
    }
    started.elapsed()
}

async fn answer(mesh: Arc<Mesh<Payload>>, rounds: u64, idle: Idle) {
    let mut end = End::attach(&mesh, 1, idle);
    let mut answered = 0;
    while answered < rounds {
        if let Event::Request { from, message } = end.next().await {
            end.endpoint.send_reply(from, message);
            answered += 1;
        }
    }
    end.endpoint.flush();
}

/// An endpoint and how its shard waits.
struct End {
    endpoint: Endpoint<Payload>,
    events: VecDeque<Event<Payload>>,
    idle: Idle,
    bell: Bell,
}

impl End {
    fn attach(mesh: &Mesh<Payload>, index: usize, idle: Idle) -> Self {
        Self {
            bell: Bell::of_current_shard(),
            endpoint: mesh.attach(index),
            events: VecDeque::new(),
            idle,
        }
    }

    async fn next(&mut self) -> Event<Payload> {
        loop {
            self.endpoint.note_awake();
            let _ = self.endpoint.receive(&mut self.events, true);
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.endpoint.flush();
            match self.idle {
                Idle::Spins => std::hint::spin_loop(),
                Idle::Parks if self.endpoint.try_park() => self.bell.wait().await,
                Idle::Parks => {}
            }
        }
    }
}

/// Told when the doorbell of the current shard has been rung.
#[derive(Clone, Default)]
struct Bell(Rc<(Cell<bool>, RefCell<Option<Waker>>)>);

impl Bell {
    fn of_current_shard() -> Self {
        let bell = Self::default();
        let rung = bell.clone();
        ShardWaker::on_wake(move || {
            rung.0.0.set(true);
            if let Some(waker) = rung.0.1.borrow_mut().take() {
                waker.wake();
            }
        });
        bell
    }

    async fn wait(&self) {
        poll_fn(|cx| {
            if self.0.0.replace(false) {
                return Poll::Ready(());
            }
            *self.0.1.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

fn on_shard<T>(future: impl Future<Output = T>) -> T {
    let options = EngineOptions {
        kind: EngineKind::Epoll,
        ring_entries: 256,
    };
    let pool = BlockingPool::start(1).expect("a pool");
    let mut runtime = Runtime::build(&options, pool).expect("epoll");
    runtime.block_on(future)
}

fn pin(cpu: usize) {
    core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
}
