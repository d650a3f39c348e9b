//! One shard's connection to Redis: made, driven, given up and made again by
//! one task, for as long as the shard lives.
//!
//! The circuit is closed while there is a connection. It opens when the
//! connection ends, when too many commands in a row missed their deadline, or
//! when the server says that it is the wrong one; a new connection that answers
//! a `PING` in time closes it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, RedisResult, Value};

use super::RedisPlan;
use super::pending::Pending;
use crate::backoff::{Backoff, RetrySchedule};
use crate::engine::{self, ClientStream, LocalEvent};
use crate::ids::random_seed;
use crate::limits::{REDIS_CLOSE_TIMEOUT_MS, REDIS_UNSENT_MAX};
use crate::metrics::RedisCounters;

pub(super) struct Link {
    pub(super) plan: Arc<RedisPlan>,
    pub(super) pending: Pending,
    pub(super) counters: RefCell<RedisCounters>,
    state: RefCell<State>,
    outages: Cell<u64>,
    /// Deadlines missed since the last answer.
    late_in_a_row: Cell<u32>,
    /// A write was refused because the server was a replica: a new connection
    /// must lead to one that is none.
    wants_primary: Cell<bool>,
    /// Counted with the plan as a shard without.
    is_told: Cell<bool>,
    order: Cell<Order>,
    /// Told when `order` changes.
    ordered: LocalEvent,
    ended: Cell<bool>,
    end_told: LocalEvent,
    on_up: RefCell<Vec<Rc<dyn Fn()>>>,
}

enum State {
    Up(MultiplexedConnection),
    /// And why.
    Down(String),
}

/// What the keeping task is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Keep,
    /// Give the connection up and make another.
    Renew,
    End,
}

type Driver = Pin<Box<dyn Future<Output = ()>>>;

impl Link {
    /// Makes the first attempt, then goes on in the background.
    pub(super) async fn start(plan: Arc<RedisPlan>, inherited: RedisCounters) -> Rc<Self> {
        let link = Rc::new(Self {
            plan,
            pending: Pending::default(),
            counters: RefCell::new(inherited.inherited()),
            state: RefCell::new(State::Down("no connection yet".to_owned())),
            outages: Cell::new(0),
            late_in_a_row: Cell::new(0),
            wants_primary: Cell::new(false),
            is_told: Cell::new(false),
            order: Cell::new(Order::Keep),
            ordered: LocalEvent::default(),
            ended: Cell::new(false),
            end_told: LocalEvent::default(),
            on_up: RefCell::default(),
        });
        let turning = link.clone();
        let deadline = Duration::from_millis(link.plan.options.deadline_ms);
        engine::spawn_local(async move { turning.pending.turn(deadline).await });
        let tried = Rc::new(LocalEvent::default());
        engine::spawn_local(link.clone().keep(tried.clone()));
        tried.wait().await;
        link
    }

    /// The connection, if the circuit is closed; else why not.
    pub(super) fn connection(&self) -> Result<MultiplexedConnection, String> {
        match &*self.state.borrow() {
            State::Up(connection) => Ok(connection.clone()),
            State::Down(why) => Err(why.clone()),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }

    pub(super) fn outages(&self) -> u64 {
        self.outages.get()
    }

    pub(super) fn on_up(&self, callback: Rc<dyn Fn()>) {
        self.on_up.borrow_mut().push(callback);
    }

    /// The server has answered something.
    pub(super) fn note_answer(&self) {
        self.late_in_a_row.set(0);
    }

    /// A deadline was missed; too many in a row open the circuit.
    pub(super) fn note_late(&self) {
        let late = self.late_in_a_row.get() + 1;
        self.late_in_a_row.set(late);
        if late >= self.plan.options.circuit_failures && self.is_up() {
            self.counters.borrow_mut().trips += 1;
            self.go_down(format!(
                "{late} commands in a row were not answered in time"
            ));
            self.give(Order::Renew);
        }
    }

    /// The server has said that it is the wrong one: another connection is made,
    /// to whom the name of the address stands for by then.
    pub(super) fn leave(&self, why: String, wants_primary: bool) {
        self.wants_primary
            .set(self.wants_primary.get() || wants_primary);
        if self.is_up() {
            self.go_down(why);
            self.give(Order::Renew);
        }
    }

    /// This shard's numbers.
    pub(super) fn snapshot(&self) -> RedisCounters {
        RedisCounters {
            connected_shards: u64::from(self.is_up()),
            in_flight: self.pending.len() as u64,
            ..*self.counters.borrow()
        }
    }

    /// Ends the connection. Afterwards none of its operations is in flight.
    pub(super) async fn close(&self) {
        self.give(Order::End);
        self.pending.close();
        let patience = Duration::from_millis(REDIS_CLOSE_TIMEOUT_MS);
        if !self.ended.get() {
            let _ = engine::timeout(patience, self.end_told.wait()).await;
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    fn give(&self, order: Order) {
        if self.order.get() != Order::End {
            self.order.set(order);
        }
        self.ordered.notify();
    }

    /// The one task that makes connections.
    async fn keep(self: Rc<Self>, tried: Rc<LocalEvent>) {
        let options = &self.plan.options;
        let (first_ms, most_ms) = (options.reconnect_delay_ms, options.reconnect_delay_max_ms);
        // Neither shards nor nodes march in step.
        let backoff = Backoff::new(first_ms, most_ms, CALM_MS).with_seed(random_seed());
        let mut retry = RetrySchedule::new(backoff, Instant::now());
        while self.order.get() != Order::End {
            let Some(connected) = self.unless_ended(self.connect()).await else {
                break;
            };
            match connected {
                Ok((connection, driver)) => {
                    self.go_up(connection);
                    tried.notify();
                    self.drive(driver).await;
                    if self.is_up() && self.order.get() != Order::End {
                        self.go_down("the connection was lost".to_owned());
                    }
                }
                Err(why) => self.could_not_connect(why),
            }
            tried.notify();
            let pause = retry.failed(Instant::now());
            let _ = engine::timeout(pause, self.until(Order::End)).await;
        }
        tried.notify();
        self.forget();
        *self.state.borrow_mut() = State::Down("the server ends".to_owned());
        self.ended.set(true);
        self.end_told.notify();
    }

    /// A connection that has logged in and answers.
    async fn connect(&self) -> Result<(MultiplexedConnection, Driver), String> {
        let timeout_ms = self.plan.options.connect_timeout_ms;
        let connected = engine::timeout(Duration::from_millis(timeout_ms), self.log_in()).await;
        let (connection, mut driver) = match connected {
            Ok(connected) => connected?,
            Err(_) => return Err(format!("not connected within {timeout_ms} ms")),
        };
        let asking = async {
            let ping = self.ask_new(&connection, &mut driver, "PING").await?;
            if let Some(error) = ping.err().filter(|error| !says_it_lives(error.code())) {
                return Err(error.to_string());
            }
            if self.wants_primary.get() {
                let role = self.ask_new(&connection, &mut driver, "ROLE").await?;
                refuse_replica(&role)?;
            }
            Ok(())
        };
        let deadline_ms = self.plan.options.deadline_ms;
        match engine::timeout(Duration::from_millis(deadline_ms), asking).await {
            Ok(answered) => answered.map(|()| (connection, driver)),
            Err(_) => Err(format!("no answer within {deadline_ms} ms")),
        }
    }

    /// The answer of a connection that nobody else has yet, or that it was
    /// closed before.
    async fn ask_new(
        &self,
        connection: &MultiplexedConnection,
        driver: &mut Driver,
        name: &str,
    ) -> Result<RedisResult<Value>, String> {
        let (mut asked, command) = (connection.clone(), ::redis::cmd(name));
        let mut answer = pin!(command.query_async::<Value>(&mut asked));
        poll_fn(|cx| {
            // After its end the driver must not be polled again.
            let ended = driver.as_mut().poll(cx).is_ready();
            match answer.as_mut().poll(cx) {
                Poll::Ready(Err(error)) if error.is_io_error() => {
                    Poll::Ready(Err(error.to_string()))
                }
                _ if ended => Poll::Ready(Err("the connection was closed".to_owned())),
                Poll::Ready(answer) => Poll::Ready(Ok(answer)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    async fn log_in(&self) -> Result<(MultiplexedConnection, Driver), String> {
        let address = &self.plan.address;
        let stream = ClientStream::connect(&address.target).await;
        let stream = stream.map_err(|error| error.to_string())?;
        // The library's own timeouts want a tokio runtime.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(REDIS_UNSENT_MAX);
        let made = MultiplexedConnection::new_with_config(&address.login, stream, config).await;
        let (connection, driver) = made.map_err(|error| error.to_string())?;
        Ok((connection, Box::pin(driver)))
    }

    /// Until the connection ends or is to end. Dropped with the driver are the
    /// socket and the waiting ends of all commands, which fail.
    async fn drive(&self, mut driver: Driver) {
        let mut ordered = pin!(self.until(Order::Renew));
        poll_fn(|cx| {
            let ended = driver.as_mut().poll(cx).is_ready();
            match ended || ordered.as_mut().poll(cx).is_ready() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Waits for this order, or for the end.
    async fn until(&self, wanted: Order) {
        loop {
            let order = self.order.get();
            if order == Order::End || order == wanted {
                return;
            }
            self.ordered.wait().await;
        }
    }

    /// What comes of `work`; `None` when the end comes first.
    async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut end = pin!(self.until(Order::End));
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => end.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    fn go_up(&self, connection: MultiplexedConnection) {
        if self.order.get() == Order::Renew {
            self.order.set(Order::Keep);
        }
        self.late_in_a_row.set(0);
        *self.state.borrow_mut() = State::Up(connection);
        self.counters.borrow_mut().connects += 1;
        if self.is_told.replace(false) {
            self.plan.found();
        }
        let callbacks = self.on_up.borrow().clone();
        for callback in callbacks {
            callback();
        }
    }

    fn go_down(&self, why: String) {
        self.outages.set(self.outages.get() + 1);
        self.counters.borrow_mut().outages += 1;
        if self.order.get() != Order::End && !self.is_told.replace(true) {
            self.plan.lost(&why);
        }
        let before = self.state.replace(State::Down(why));
        drop(before);
    }

    /// Is no shard without it any more: it is none at all.
    fn forget(&self) {
        if self.is_told.replace(false) {
            self.plan.forget();
        }
    }

    fn could_not_connect(&self, why: String) {
        self.counters.borrow_mut().connect_failures += 1;
        if !self.is_told.replace(true) {
            self.plan.lost(&why);
        }
        *self.state.borrow_mut() = State::Down(why);
    }
}

/// For a shard that ends before its keeping task.
impl Drop for Link {
    fn drop(&mut self) {
        self.forget();
    }
}

/// What `ROLE` answers begins with the role. Who may not ask is believed.
fn refuse_replica(role: &RedisResult<Value>) -> Result<(), String> {
    let Ok(Value::Array(role)) = role else {
        return Ok(());
    };
    let is_replica = match role.first() {
        Some(Value::BulkString(role)) => matches!(&role[..], b"slave" | b"replica"),
        _ => false,
    };
    match is_replica {
        true => Err("READONLY: it is a replica, and writes were asked for".to_owned()),
        false => Ok(()),
    }
}

/// A server that refuses `PING` with anything else can still serve: to a user
/// who may not ping, say, or one whose disk is full.
fn says_it_lives(code: Option<&str>) -> bool {
    !matches!(
        code,
        None | Some("LOADING" | "NOAUTH" | "WRONGPASS" | "MASTERDOWN" | "CLUSTERDOWN")
    )
}

/// A connection that has held this long is well: the next loss is the first.
const CALM_MS: u64 = 10_000;
