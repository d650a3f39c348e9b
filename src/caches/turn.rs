//! Taking what other shards have sent, and sending what is to be said.
//!
//! Homes and holders are only ever called from here and from the calls below;
//! each time they are, what they put out is carried on at once: to this shard's
//! own queue, to the lanes, to the waits. What has come is taken when the shard
//! is woken for it, and whenever it is awake anyway: at a yield, after a request.

use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::message::{Body, CacheMessage};
use super::part::PartHolder;
use super::waits::{PartAnswer, Wait};
use super::{Caches, Inner};
use crate::Error;
use crate::cache::Payload;
use crate::clock::Millis;
use crate::coherence::{
    Answer, HolderOutput, LoadId, Outcome, ShardSet, WaitId, WriteId, WriteOutcome,
};
use crate::engine::{self, ShardWaker};
use crate::limiter::LimitMessage;
use crate::limits::{CACHE_REPLIES_WAITING_MAX, CACHE_TURNS_IN_A_ROW_MAX};
use crate::peers::{Event, Left, Refused};

impl Caches {
    /// The task that carries messages. Ends never; its shard drops it.
    pub(crate) async fn carry_messages(self: Rc<Self>) {
        loop {
            self.rung.wait().await;
            let mut turns = 0;
            loop {
                turns += 1;
                match self.run_turn() {
                    Next::Wait => break,
                    Next::Later => engine::sleep(PAUSE).await,
                    Next::Again if turns % CACHE_TURNS_IN_A_ROW_MAX == 0 => {
                        engine::yield_now().await;
                    }
                    Next::Again => {}
                }
            }
        }
    }

    /// From now on looks at what has come when the shard is woken for it, and
    /// whenever it yields.
    pub(crate) fn look_when_woken(self: &Rc<Self>) {
        let on_wake = Rc::downgrade(self);
        let on_yield = on_wake.clone();
        let call = |caches: &Weak<Self>, look: fn(&Self)| {
            if let Some(caches) = caches.upgrade() {
                look(&caches);
            }
        };
        ShardWaker::on_wake(move || call(&on_wake, Self::run_turn_now));
        ShardWaker::on_yield(move || call(&on_yield, Self::glance));
    }

    /// Takes what has come and answers it, if anything has: for moments when
    /// the shard is awake anyway.
    pub(crate) fn glance(&self) {
        let has_arrivals = match self.inner.try_borrow() {
            Ok(inner) => inner.endpoint.has_arrivals(),
            Err(_) => false,
        };
        if has_arrivals {
            self.run_turn_now();
        }
    }

    /// A turn outside of the carrying task, which does what is left.
    pub(crate) fn run_turn_now(&self) {
        if !matches!(self.run_turn(), Next::Wait) {
            self.rung.notify();
        }
    }

    /// While the shard spins it looks at every yield: nobody need ring for it.
    pub(crate) fn stay_awake(&self, stays: bool) {
        self.stays_awake.set(stays);
        match stays {
            true => self.inner.borrow().endpoint.note_awake(),
            // The carrying task parks, or sees why not.
            false => self.rung.notify(),
        }
    }

    /// Takes and sends once.
    fn run_turn(&self) -> Next {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        inner.endpoint.note_awake();
        let takes_requests = takes_requests(inner);
        let left = self.receive(inner, takes_requests);
        inner.endpoint.flush();
        if left == Left::Requests && self::takes_requests(inner) {
            return Next::Again;
        }
        if self.stays_awake.get() {
            return Next::Wait;
        }
        match inner.endpoint.try_park() {
            true => Next::Wait,
            // Requests that wait for a peer's hello.
            false if left == Left::Requests => Next::Later,
            false => Next::Again,
        }
    }

    /// Takes what has come and works through it.
    fn receive(&self, inner: &mut Inner, takes_requests: bool) -> Left {
        let mut inbox = std::mem::take(&mut inner.inbox);
        let left = inner.endpoint.receive(&mut inbox, takes_requests);
        // Not before: who asks may know of an era that has just begun.
        self.enter_era(inner);
        let now_ms = self.now_ms();
        while let Some(event) = inbox.pop_front() {
            self.on_event(inner, event, now_ms);
        }
        inner.inbox = inbox;
        left
    }

    fn on_event(&self, inner: &mut Inner, event: Event<CacheMessage>, now_ms: Millis) {
        match event {
            Event::Reply { from, message } | Event::Request { from, message } => {
                self.on_message(inner, from, message, now_ms);
            }
            Event::PeerUp(peer) => {
                for part in &mut inner.parts {
                    part.home.peer_up(peer);
                    part.holder.peer_up(peer);
                }
                self.settle_inner(inner, now_ms);
            }
            Event::PeerDown(peer) => {
                self.desk.peer_down(peer);
                for part in &mut inner.parts {
                    part.holder.peer_down(peer, now_ms);
                    part.home.peer_down(peer, now_ms);
                }
                self.settle_inner(inner, now_ms);
                self.open_gate(inner, now_ms);
            }
        }
    }

    fn on_message(&self, inner: &mut Inner, from: usize, message: CacheMessage, now_ms: Millis) {
        self.take(inner, from, message, now_ms);
        self.take_own(inner, now_ms);
    }

    /// Takes what this shard has said to itself.
    fn take_own(&self, inner: &mut Inner, now_ms: Millis) {
        while let Some(message) = inner.loopback.pop_front() {
            self.take(inner, self.me, message, now_ms);
        }
    }

    /// Gives a message to whom it is for, and carries on what they say.
    fn take(&self, inner: &mut Inner, from: usize, message: CacheMessage, now_ms: Millis) {
        let CacheMessage { cache, body } = message;
        let body = match body {
            Body::Limit(message) => return self.take_limit(inner, from, message),
            body => body,
        };
        let Some(part) = inner.parts.get_mut(usize::from(cache)) else {
            return;
        };
        match body {
            Body::Request(request) if part.home.is_ready() => {
                part.home.on_request(from, request, now_ms);
            }
            // From other shards none is taken before all homes are ready.
            Body::Request(request) => inner.gated.push_back((cache, request)),
            Body::ToHome(message) => {
                let was_ready = part.home.is_ready();
                part.home.on_message(from, message, now_ms);
                if !was_ready && part.home.is_ready() {
                    self.open_gate(inner, now_ms);
                }
            }
            Body::FromHome(message) => part.holder.on_message(from, message, now_ms),
            Body::Limit(_) => {}
        }
        self.carry_on(inner, cache);
    }

    fn take_limit(&self, inner: &mut Inner, from: usize, message: LimitMessage) {
        let now_ns = self.plan.origin.elapsed().as_nanos() as u64;
        if let Some(answer) = self.desk.take(message, now_ns) {
            inner.endpoint.send_reply(from, CacheMessage::limit(answer));
        }
    }

    /// Asks another shard's limiter; false when that cannot be.
    pub(crate) fn ask_limit(&self, home: usize, ask: LimitMessage) -> bool {
        let mut inner = self.inner.borrow_mut();
        let sent = inner.endpoint.send_request(home, CacheMessage::limit(ask));
        // At once: a turn later costs the other side as much.
        inner.endpoint.flush();
        drop(inner);
        self.rung.notify();
        sent.is_ok()
    }

    /// Own requests that waited for the own home.
    fn open_gate(&self, inner: &mut Inner, now_ms: Millis) {
        let gated: VecDeque<_> = std::mem::take(&mut inner.gated);
        for (cache, request) in gated {
            let message = CacheMessage::request(cache, request);
            self.on_message(inner, self.me, message, now_ms);
        }
    }

    /// Sends and tells what a cache's home and holder have put out.
    fn carry_on(&self, inner: &mut Inner, cache: u16) {
        let part = &mut inner.parts[usize::from(cache)];
        loop {
            while let Some((to, message)) = part.home.poll_output() {
                let message = CacheMessage::from_home(cache, message);
                match to == self.me {
                    true => inner.loopback.push_back(message),
                    false => inner.endpoint.send_reply(to, message),
                }
            }
            let Some(output) = part.holder.poll_output() else {
                return;
            };
            match output {
                HolderOutput::Answer { wait, answer } => {
                    if let Some(answer) = self.waits.borrow_mut().answer(wait, answer) {
                        give_back(&mut part.holder, answer);
                    }
                }
                HolderOutput::Message { to, message } => {
                    let message = CacheMessage::to_home(cache, message);
                    match to == self.me {
                        true => inner.loopback.push_back(message),
                        false => inner.endpoint.send_reply(to, message),
                    }
                }
                HolderOutput::Request { to, request } => {
                    let message = CacheMessage::request(cache, request);
                    if to == self.me {
                        inner.loopback.push_back(message);
                    } else if let Err(refused) = inner.endpoint.send_request(to, message) {
                        self.refused(&mut part.holder, cache, refused);
                    }
                }
            }
        }
    }

    fn refused(&self, holder: &mut PartHolder, cache: u16, refused: Refused<CacheMessage>) {
        // A dead peer's end is about to be told, and settles its requests.
        if let Refused::Full(CacheMessage {
            body: Body::Request(request),
            ..
        }) = refused
        {
            self.count(cache, |counters| counters.refused += 1);
            holder.refuse(&request);
        }
    }

    fn settle_inner(&self, inner: &mut Inner, now_ms: Millis) {
        for cache in 0..inner.parts.len() {
            self.carry_on(inner, cache as u16);
        }
        self.take_own(inner, now_ms);
    }

    /// Carries on what all caches have put out.
    pub(super) fn settle_all(&self) {
        let now_ms = self.now_ms();
        self.settle_inner(&mut self.inner.borrow_mut(), now_ms);
        self.rung.notify();
    }

    /// Says hello to the shards that were there first.
    pub(super) fn greet(&self, peers: &ShardSet) {
        let mut inner = self.inner.borrow_mut();
        for part in &mut inner.parts {
            peers.iter().for_each(|peer| part.holder.peer_up(peer));
        }
        drop(inner);
        self.settle_all();
    }

    /// Calls a cache's holder and carries on what it says.
    pub(super) fn with_holder(&self, cache: u16, call: impl FnOnce(&mut PartHolder)) {
        let now_ms = self.now_ms();
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        self.enter_era(inner);
        call(&mut inner.parts[usize::from(cache)].holder);
        self.carry_on(inner, cache);
        self.take_own(inner, now_ms);
        // At once: a turn later costs the other side as much.
        inner.endpoint.flush();
        self.rung.notify();
    }

    /// Asks a cache's holder for something and waits for its answer.
    pub(super) async fn ask(
        self: &Rc<Self>,
        cache: u16,
        call: impl FnOnce(&mut PartHolder, WaitId, Millis),
    ) -> PartAnswer {
        match self.start_asking(cache, call) {
            Some(wait) => wait.await,
            None => Answer::TimedOut,
        }
    }

    /// Asks now; the answer may be waited for later. `None` when too many wait
    /// already.
    pub(super) fn start_asking(
        self: &Rc<Self>,
        cache: u16,
        call: impl FnOnce(&mut PartHolder, WaitId, Millis),
    ) -> Option<Wait> {
        let Some(wait) = Wait::open(self, cache) else {
            self.count(cache, |counters| counters.refused += 1);
            return None;
        };
        // What another shard reported before this was asked comes first, also
        // if the home is here. Requests that are left wait for the next turn,
        // which is rung for below.
        let _ = self.receive(&mut self.inner.borrow_mut(), false);
        let now_ms = self.now_ms();
        self.with_holder(cache, |holder| call(holder, wait.id(), now_ms));
        Some(wait)
    }

    /// Whether the result of a load will be kept, as things stand.
    pub(super) fn keeps(&self, cache: u16, load: LoadId) -> bool {
        let inner = self.inner.borrow();
        inner.parts[usize::from(cache)].holder.keeps(load)
    }

    /// The home is told at once, and so before the client is: whoever asks
    /// next, on whichever shard, finds what was loaded.
    pub(super) fn finish_load(&self, cache: u16, load: LoadId, outcome: Outcome<Payload, Error>) {
        self.with_holder(cache, |holder| holder.finish_load(load, outcome));
    }

    /// See [`finish_load`](Self::finish_load): whoever asks next does not find
    /// the lease still out.
    pub(super) fn finish_write(&self, cache: u16, write: WriteId, outcome: WriteOutcome<Payload>) {
        self.with_holder(cache, |holder| holder.finish_write(write, outcome));
    }
}

/// When to take and send again.
enum Next {
    /// When somebody rings.
    Wait,
    Again,
    /// In a little while; nobody will ring.
    Later,
}

/// While a home that has just started waits for its peers.
const PAUSE: Duration = Duration::from_millis(1);

/// A home that waits for its peers' hello takes none, and neither does one
/// whose replies find no room: so what it has to say is bounded.
fn takes_requests(inner: &Inner) -> bool {
    inner.endpoint.backlog() < CACHE_REPLIES_WAITING_MAX
        && inner.parts.iter().all(|part| part.home.is_ready())
}

/// Gives back what came with an answer that nobody waits for any more.
pub(super) fn give_back(holder: &mut PartHolder, answer: PartAnswer) {
    match answer {
        Answer::Lead { load, .. } => holder.finish_load(load, Outcome::Abandoned),
        Answer::Granted(write) => holder.finish_write(write, WriteOutcome::Done(None)),
        _ => {}
    }
}
