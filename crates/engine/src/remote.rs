//! Results from other threads, delivered to the shard that waits for them.
//!
//! [`remote`] makes a one-shot whose sender may go anywhere. A sent value is
//! queued for the shard and its doorbell is rung; one task on the shard (the
//! pump) takes all that has come and wakes the waiting tasks locally. So no
//! task waker ever crosses a thread, a burst costs one wake, and a value sent
//! to a shard that has died is dropped harmlessly.
//!
//! The queue is bounded by the number of one-shots a shard has open, and those
//! are bounded by the queues that accept the work.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::Write;
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

/// Opens a one-shot into the current shard.
///
/// # Panics
/// When called on a thread that runs no [`super::Runtime`].
pub fn remote<T: Send + 'static>() -> (RemoteSender<T>, RemoteReceiver<T>) {
    let port = Port::current();
    let ticket = port.open_slot();
    let sender = RemoteSender {
        mailbox: port.mailbox.clone(),
        ticket: Some(ticket),
        value: PhantomData,
    };
    let receiver = RemoteReceiver {
        port: Rc::downgrade(&port),
        ticket,
        value: PhantomData,
    };
    (sender, receiver)
}

/// The sending half; `Send`. Dropped unsent it completes the receiver with
/// [`Gone`].
#[derive(Debug)]
pub struct RemoteSender<T> {
    mailbox: Mailbox,
    ticket: Option<Ticket>,
    value: PhantomData<fn(T)>,
}

impl<T: Send + 'static> RemoteSender<T> {
    /// Delivers the value and wakes the shard if it sleeps. Never blocks.
    pub fn send(mut self, value: T) {
        if let Some(ticket) = self.ticket.take() {
            self.mailbox.post(ticket, Some(Box::new(value)));
        }
    }
}

impl<T> Drop for RemoteSender<T> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.mailbox.post(ticket, None);
        }
    }
}

/// The receiving half: a future on the shard that opened it.
#[derive(Debug)]
pub struct RemoteReceiver<T> {
    port: Weak<Port>,
    ticket: Ticket,
    value: PhantomData<T>,
}

impl<T: 'static> Future for RemoteReceiver<T> {
    type Output = Result<T, Gone>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(port) = self.port.upgrade() else {
            return Poll::Ready(Err(Gone));
        };
        let mut slots = port.slots.borrow_mut();
        let Some(slot) = slots.entry(self.ticket) else {
            return Poll::Ready(Err(Gone));
        };
        match std::mem::replace(&mut slot.state, SlotState::Taken) {
            SlotState::Arrived(value) => Poll::Ready(
                value
                    .and_then(|v| v.downcast::<T>().ok())
                    .map(|v| *v)
                    .ok_or(Gone),
            ),
            SlotState::Taken => Poll::Ready(Err(Gone)),
            SlotState::Empty | SlotState::Waiting(_) => {
                slot.state = SlotState::Waiting(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for RemoteReceiver<T> {
    fn drop(&mut self) {
        if let Some(port) = self.port.upgrade() {
            let slot = port.slots.borrow_mut().close(self.ticket);
            drop(slot);
        }
    }
}

impl<T> Unpin for RemoteReceiver<T> {}

/// The sender was dropped, or the shard is shutting down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the other side is gone")
    }
}

impl std::error::Error for Gone {}

/// Wakes a shard so that it looks at queues of its own. `Clone + Send + Sync`.
#[derive(Debug, Clone)]
pub struct ShardWaker {
    doorbell: Arc<Doorbell>,
}

impl ShardWaker {
    /// The waker of the current shard.
    ///
    /// # Panics
    /// When called on a thread that runs no [`super::Runtime`].
    pub fn current() -> Self {
        Self {
            doorbell: Port::current().mailbox.doorbell.clone(),
        }
    }

    /// Makes the shard run the callbacks registered with
    /// [`ShardWaker::on_wake`]. Cheap when the shard is about to look anyway.
    pub fn wake(&self) {
        self.doorbell.ring();
    }

    /// Registers a callback that runs on the current shard whenever a task
    /// yields: a busy shard sees there what others have sent, without being
    /// woken for it. It should be quick and must not yield.
    ///
    /// # Panics
    /// When called on a thread that runs no [`super::Runtime`].
    pub fn on_yield(callback: impl Fn() + 'static) {
        Port::current()
            .yield_callbacks
            .borrow_mut()
            .push(Rc::new(callback));
    }

    /// Registers a callback that runs on the current shard after every wake.
    ///
    /// # Panics
    /// When called on a thread that runs no [`super::Runtime`].
    pub fn on_wake(callback: impl Fn() + 'static) {
        Port::current()
            .callbacks
            .borrow_mut()
            .push(Rc::new(callback));
    }
}

/// A shard's end of all its one-shots.
#[derive(Debug)]
pub(super) struct Port {
    mailbox: Mailbox,
    arrivals: mpsc::Receiver<Arrival>,
    slots: RefCell<Slots>,
    callbacks: RefCell<Callbacks>,
    yield_callbacks: RefCell<Callbacks>,
    closed: Cell<bool>,
}

#[derive(Default)]
struct Callbacks(Vec<Rc<dyn Fn()>>);

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} callbacks", self.0.len())
    }
}

impl std::ops::Deref for Callbacks {
    type Target = Vec<Rc<dyn Fn()>>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for Callbacks {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Port>>> = const { RefCell::new(None) };
}

impl Port {
    /// A port and the stream its pump must read: one byte or more means look.
    pub(super) fn new() -> std::io::Result<(Rc<Self>, UnixStream)> {
        let (bell, listening) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let (sender, arrivals) = mpsc::channel();
        let doorbell = Arc::new(Doorbell {
            rung: AtomicBool::new(false),
            bell,
        });
        let port = Self {
            mailbox: Mailbox { sender, doorbell },
            arrivals,
            slots: RefCell::default(),
            callbacks: RefCell::default(),
            yield_callbacks: RefCell::default(),
            closed: Cell::new(false),
        };
        Ok((Rc::new(port), listening))
    }

    /// Makes this the port of the current thread until the guard is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> PortGuard {
        let previous = CURRENT.with(|current| current.borrow_mut().replace(self.clone()));
        PortGuard { previous }
    }

    /// Whether this thread runs a runtime just now.
    pub(super) fn is_entered() -> bool {
        CURRENT.with(|current| current.borrow().is_some())
    }

    fn current() -> Rc<Self> {
        CURRENT
            .with(|current| current.borrow().clone())
            .expect("this thread runs no corelane runtime")
    }

    /// Calls what [`ShardWaker::on_yield`] registered, if this is a shard.
    pub(super) fn note_yield() {
        let port = CURRENT.with(|current| current.borrow().clone());
        let Some(port) = port else { return };
        let count = port.yield_callbacks.borrow().len();
        for index in 0..count {
            let callback = port.yield_callbacks.borrow()[index].clone();
            callback();
        }
    }

    fn open_slot(&self) -> Ticket {
        self.slots.borrow_mut().open()
    }

    /// Ends the pump: nothing is delivered afterwards.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.mailbox.doorbell.ring();
    }

    /// Takes everything that has arrived and wakes who waits for it.
    pub(super) fn pump(&self) -> Pumped {
        if self.closed.get() {
            return Pumped::Closed;
        }
        // Cleared before looking: what arrives after this rings again.
        self.mailbox.doorbell.rung.store(false, Ordering::SeqCst);
        while let Ok(arrival) = self.arrivals.try_recv() {
            let waker = self.slots.borrow_mut().deliver(arrival);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        let callbacks: Vec<_> = self.callbacks.borrow().iter().cloned().collect();
        for callback in callbacks {
            callback();
        }
        Pumped::Open
    }
}

/// Whether there will be more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    Open,
    Closed,
}

/// Restores the thread's previous port.
pub(super) struct PortGuard {
    previous: Option<Rc<Port>>,
}

impl Drop for PortGuard {
    fn drop(&mut self) {
        let previous = self.previous.take();
        CURRENT.with(|current| *current.borrow_mut() = previous);
    }
}

/// Index and generation of a slot, so that a late arrival cannot hit the
/// slot's next owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticket {
    index: usize,
    generation: u64,
}

struct Arrival {
    ticket: Ticket,
    value: Option<Box<dyn Any + Send>>,
}

#[derive(Debug, Clone)]
struct Mailbox {
    sender: mpsc::Sender<Arrival>,
    doorbell: Arc<Doorbell>,
}

impl Mailbox {
    fn post(&self, ticket: Ticket, value: Option<Box<dyn Any + Send>>) {
        // Fails only when the shard is gone, and then nobody waits.
        if self.sender.send(Arrival { ticket, value }).is_ok() {
            self.doorbell.ring();
        }
    }
}

/// One byte through a socket pair; `rung` keeps it to one until it is read. An
/// eventfd is cheaper to write (230 ns instead of 580), but a round trip of two
/// parked shards, 110 to 250 us on a busy 2-core machine, is no different
/// beyond the noise on either driver.
#[derive(Debug)]
struct Doorbell {
    rung: AtomicBool,
    bell: UnixStream,
}

impl Doorbell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            // A full pipe means the shard has bytes to read: it will look.
            let _ = (&self.bell).write(&[1]);
        }
    }
}

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

struct Slot {
    generation: u64,
    state: SlotState,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({})", self.generation)
    }
}

enum SlotState {
    Empty,
    Waiting(Waker),
    Arrived(Option<Box<dyn Any + Send>>),
    Taken,
}

impl Slots {
    fn open(&mut self) -> Ticket {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index];
            slot.state = SlotState::Empty;
            return Ticket {
                index,
                generation: slot.generation,
            };
        }
        self.slots.push(Slot {
            generation: 0,
            state: SlotState::Empty,
        });
        Ticket {
            index: self.slots.len() - 1,
            generation: 0,
        }
    }

    fn entry(&mut self, ticket: Ticket) -> Option<&mut Slot> {
        self.slots
            .get_mut(ticket.index)
            .filter(|slot| slot.generation == ticket.generation)
    }

    fn deliver(&mut self, arrival: Arrival) -> Option<Waker> {
        let slot = self.entry(arrival.ticket)?;
        match std::mem::replace(&mut slot.state, SlotState::Arrived(arrival.value)) {
            SlotState::Waiting(waker) => Some(waker),
            _ => None,
        }
    }

    fn close(&mut self, ticket: Ticket) -> Option<SlotState> {
        let slot = self.entry(ticket)?;
        slot.generation += 1;
        let state = std::mem::replace(&mut slot.state, SlotState::Taken);
        self.free.push(ticket.index);
        Some(state)
    }
}
