//! One shard's end of the road to the others: takes what has come to the
//! services it is for, and sends what they say.
//!
//! What has come is taken when the shard is woken for it, and whenever it is
//! awake anyway: at a yield, after a request, before a question. Between that
//! and the reactor's sleep stands one rule: a shard that may sleep has said so
//! to those who send, and rings at once if it may not.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::{ControlInboxes, ControlMessage};
use super::endpoint::{Event, Left};
use super::mesh::Mesh;
use super::message::PeerMessage;
use super::service::{PeerLanes, PeerServices};
use crate::coherence::ShardSet;
use crate::engine::{self, LocalEvent, RemoteSender, ShardWaker};
use crate::limits::{LANE_POLLS_IN_A_ROW_MAX, LANE_REPLIES_WAITING_MAX, METRICS_GATHER_TIMEOUT_MS};
use crate::metrics::MeshCounters;

/// What the shards of a process have in common.
#[derive(Debug, Clone)]
pub(crate) struct PeersPlan {
    /// The lanes.
    pub(crate) mesh: Arc<Mesh<PeerMessage>>,
    /// What shards are told from outside.
    pub(crate) control: Arc<ControlInboxes>,
}

/// One shard's end of the road. Never leaves it.
pub(crate) struct Peers {
    me: usize,
    shards: usize,
    control: Arc<ControlInboxes>,
    lanes: RefCell<PeerLanes>,
    /// What was received and not taken: of the attachment until the services
    /// are there, then empty between polls. Kept for its memory.
    inbox: RefCell<VecDeque<Event<PeerMessage>>>,
    /// Set once, by [`serve`](Self::serve). Whoever built them keeps them.
    services: OnceCell<Weak<dyn PeerServices>>,
    /// The services have said so, which they say for good.
    are_ready: Cell<bool>,
    /// Told when there is something to send or to take.
    rung: LocalEvent,
    /// The shard spins, and looks at what has come whenever it yields.
    stays_awake: Cell<bool>,
    /// What went through a predecessor's lanes.
    inherited: MeshCounters,
}

impl Peers {
    /// Joins shard `me` of `shards` to the others, and says who lives. On the
    /// shard's own thread. Nothing is taken before there are services.
    pub(crate) fn attach(
        plan: PeersPlan,
        (me, shards): (usize, usize),
        inherited: MeshCounters,
    ) -> (Rc<Self>, ShardSet) {
        let mut lanes = plan.mesh.attach(me);
        let mut inbox = VecDeque::new();
        let _ = lanes.receive(&mut inbox, false);
        let mut living = ShardSet::new();
        while let Some(Event::PeerUp(peer)) = inbox.front() {
            living.insert(*peer);
            inbox.pop_front();
        }
        let this = Rc::new(Self {
            me,
            shards,
            control: plan.control,
            lanes: RefCell::new(lanes),
            inbox: RefCell::new(inbox),
            services: OnceCell::new(),
            are_ready: Cell::new(false),
            rung: LocalEvent::default(),
            stays_awake: Cell::new(false),
            inherited,
        });
        (this, living)
    }

    /// From now on gives these services what comes, when the shard is woken for
    /// it and whenever it yields. Once in the life of a shard.
    pub(crate) fn serve<S: PeerServices + 'static>(self: &Rc<Self>, services: &Rc<S>) {
        let services: Rc<dyn PeerServices> = services.clone();
        let is_first = self.services.set(Rc::downgrade(&services)).is_ok();
        debug_assert!(is_first, "a shard has one set of services");
        let on_wake = Rc::downgrade(self);
        let on_yield = on_wake.clone();
        let call = |peers: &Weak<Self>, look: fn(&Self)| {
            if let Some(peers) = peers.upgrade() {
                look(&peers);
            }
        };
        ShardWaker::on_wake(move || call(&on_wake, Self::poll_now));
        ShardWaker::on_yield(move || call(&on_yield, Self::poll_arrivals));
    }

    /// The task that takes and sends as long as there is anything to. Ends never;
    /// its shard drops it, and the services with it.
    pub(crate) async fn pump(self: Rc<Self>, _services: Rc<impl PeerServices>) {
        loop {
            self.rung.wait().await;
            let mut polls = 0;
            loop {
                polls += 1;
                match self.poll() {
                    Next::Wait => break,
                    Next::Later => engine::sleep(PAUSE).await,
                    Next::Again if polls % LANE_POLLS_IN_A_ROW_MAX == 0 => {
                        engine::yield_now().await;
                    }
                    Next::Again => {}
                }
            }
        }
    }

    /// Takes what has come and answers it, if anything has: for moments when
    /// the shard is awake anyway.
    pub(crate) fn poll_arrivals(&self) {
        let has_arrivals = match self.lanes.try_borrow() {
            Ok(lanes) => lanes.has_arrivals(),
            Err(_) => false,
        };
        if has_arrivals {
            self.poll_now();
        }
    }

    /// Takes what other shards have reported, but no request of theirs: those
    /// wait for the next poll. For a service that is about to ask, because what
    /// was reported before comes first.
    pub(crate) fn take_reports(&self) {
        let _ = self.receive(&mut self.lanes.borrow_mut(), Takes::Replies);
    }

    /// Sends at once: a poll later costs the other side as much.
    pub(crate) fn send<T>(&self, send: impl FnOnce(&mut PeerLanes) -> T) -> T {
        let mut lanes = self.lanes.borrow_mut();
        let sent = send(&mut lanes);
        lanes.flush();
        self.rung.notify();
        sent
    }

    /// While the shard spins it looks at every yield: nobody need ring for it.
    pub(crate) fn stay_awake(&self, stays: bool) {
        self.stays_awake.set(stays);
        match stays {
            true => self.lanes.borrow().note_awake(),
            // The pump parks, or sees why not.
            false => self.rung.notify(),
        }
    }

    /// How many shards the road leads to, this one and that of the admin listener
    /// included.
    pub(crate) fn members(&self) -> usize {
        self.control.members()
    }

    /// What every other shard answers in time.
    pub(crate) async fn gather<T: Send + 'static>(
        &self,
        question: impl Fn(RemoteSender<T>) -> ControlMessage,
    ) -> Vec<T> {
        let mut waiting = Vec::new();
        for shard in (0..self.shards).filter(|shard| *shard != self.me) {
            let (sender, receiver) = engine::remote();
            if self.control.send(shard, question(sender)).is_ok() {
                waiting.push(receiver);
            }
        }
        let deadline = Instant::now() + Duration::from_millis(METRICS_GATHER_TIMEOUT_MS);
        let mut answers = Vec::with_capacity(waiting.len());
        for receiver in waiting {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = engine::timeout(left, receiver).await;
            answers.extend(answer.ok().and_then(Result::ok));
        }
        answers
    }

    /// What went through this shard's lanes, and its predecessors'.
    pub(crate) fn snapshot(&self) -> MeshCounters {
        let lanes = self.lanes.borrow();
        let counters = lanes.counters();
        let mut snapshot = MeshCounters {
            requests_sent: counters.requests_sent,
            requests_received: counters.requests_received,
            replies_sent: counters.replies_sent,
            replies_received: counters.replies_received,
            doorbells_rung: counters.doorbells_rung,
            requests_refused: counters.requests_refused_full,
            lane_full: counters.lane_full,
        };
        snapshot.add(&self.inherited);
        snapshot
    }

    /// A poll outside of the pump, which does what is left.
    fn poll_now(&self) {
        if !matches!(self.poll(), Next::Wait) {
            self.rung.notify();
        }
    }

    /// Takes and sends once.
    fn poll(&self) -> Next {
        let lanes = &mut *self.lanes.borrow_mut();
        lanes.note_awake();
        let takes = self.takes(lanes);
        let left = self.receive(lanes, takes);
        lanes.flush();
        if left == Left::Requests && self.takes(lanes) == Takes::All {
            return Next::Again;
        }
        if self.stays_awake.get() {
            return Next::Wait;
        }
        match lanes.try_park() {
            true => Next::Wait,
            // Requests that wait until the services are ready.
            false if left == Left::Requests => Next::Later,
            false => Next::Again,
        }
    }

    /// Takes what has come and has the services work through it.
    fn receive(&self, lanes: &mut PeerLanes, takes: Takes) -> Left {
        // They go with their shard; then nobody is there to take anything.
        let Some(services) = self.services() else {
            return Left::Nothing;
        };
        let mut inbox = self.inbox.take();
        let left = lanes.receive(&mut inbox, takes == Takes::All);
        if !inbox.is_empty() {
            services.take(&mut inbox, lanes);
        }
        self.inbox.replace(inbox);
        left
    }

    /// Services that wait for their peers take no requests, and neither does a
    /// shard whose replies find no room: so what it has to say is bounded.
    fn takes(&self, lanes: &PeerLanes) -> Takes {
        match lanes.backlog() < LANE_REPLIES_WAITING_MAX && self.are_ready() {
            true => Takes::All,
            false => Takes::Replies,
        }
    }

    fn are_ready(&self) -> bool {
        if !self.are_ready.get() {
            let services = self.services();
            self.are_ready
                .set(services.is_some_and(|all| all.are_ready()));
        }
        self.are_ready.get()
    }

    fn services(&self) -> Option<Rc<dyn PeerServices>> {
        self.services.get()?.upgrade()
    }
}

/// Which classes of messages are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    All,
    /// And invalidations and acknowledgements, which never wait.
    Replies,
}

/// When to take and send again.
enum Next {
    /// When somebody rings.
    Wait,
    Again,
    /// In a little while; nobody will ring.
    Later,
}

/// While services that have just started wait for their peers.
const PAUSE: Duration = Duration::from_millis(1);
