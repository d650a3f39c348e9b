//! Homes and holders at work: what other shards have sent is given to them, and
//! what they put out is sent.
//!
//! They are only ever called from here and from the calls below; each time they
//! are, what they put out is dispatched at once: to this shard's own queue, to the
//! lanes, to the waits.

use std::cell::RefMut;
use std::rc::Rc;

use super::part::PartHolder;
use super::waits::{CacheWait, PartAnswer, give_back};
use super::{CacheParts, Caches};
use crate::cache::Payload;
use crate::clock::Millis;
use crate::coherence::{
    Answer, HolderOutput, LoadId, Outcome, ShardSet, WaitId, WriteId, WriteOutcome,
};
use crate::error::Error;
use crate::limits::CACHE_WAIT_MS;
use crate::peers::{CacheMessage, CacheMessageBody, PeerLanes, PeerMessage, PeerService, Refused};

/// A shard's homes and holders, borrowed for one run of calls.
pub(crate) struct CacheService<'a> {
    caches: &'a Caches,
    inner: RefMut<'a, CacheParts>,
    now_ms: Millis,
}

impl PeerService for CacheService<'_> {
    type Message = CacheMessage;

    fn on_message(&mut self, from: usize, message: CacheMessage, lanes: &mut PeerLanes) {
        self.take(from, message, lanes);
        self.take_own(lanes);
    }

    fn peer_up(&mut self, peer: usize, lanes: &mut PeerLanes) {
        for part in &mut self.inner.parts {
            part.home.peer_up(peer);
            part.holder.peer_up(peer);
        }
        self.dispatch_all_outputs(lanes);
    }

    fn peer_down(&mut self, peer: usize, lanes: &mut PeerLanes) {
        for part in &mut self.inner.parts {
            part.holder.peer_down(peer, self.now_ms);
            part.home.peer_down(peer, self.now_ms);
        }
        self.dispatch_all_outputs(lanes);
        self.open_gate(lanes);
    }
}

impl CacheService<'_> {
    /// Takes what this shard has said to itself.
    fn take_own(&mut self, lanes: &mut PeerLanes) {
        while let Some(message) = self.inner.loopback.pop_front() {
            self.take(self.caches.me, message, lanes);
        }
    }

    /// Gives a message to whom it is for, and dispatches what they say.
    fn take(&mut self, from: usize, message: CacheMessage, lanes: &mut PeerLanes) {
        let now_ms = self.now_ms;
        let CacheMessage { cache, body } = message;
        let inner = &mut *self.inner;
        let Some(part) = inner.parts.get_mut(usize::from(cache)) else {
            return;
        };
        match body {
            CacheMessageBody::Request(request) if part.home.is_ready() => {
                part.home.on_request(from, request, now_ms);
            }
            // From other shards none is taken before all homes are ready.
            CacheMessageBody::Request(request) => inner.gated.push_back((cache, request)),
            CacheMessageBody::ToHome(message) => {
                let was_ready = part.home.is_ready();
                part.home.on_message(from, message, now_ms);
                if !was_ready && part.home.is_ready() {
                    self.open_gate(lanes);
                }
            }
            CacheMessageBody::FromHome(message) => part.holder.on_message(from, message, now_ms),
        }
        self.dispatch_outputs(cache, lanes);
    }

    /// Own requests that waited for the own home.
    fn open_gate(&mut self, lanes: &mut PeerLanes) {
        let gated = std::mem::take(&mut self.inner.gated);
        for (cache, request) in gated {
            let message = CacheMessage::request(cache, request);
            self.on_message(self.caches.me, message, lanes);
        }
    }

    /// Sends and tells what a cache's home and holder have put out.
    fn dispatch_outputs(&mut self, cache: u16, lanes: &mut PeerLanes) {
        let me = self.caches.me;
        let inner = &mut *self.inner;
        let part = &mut inner.parts[usize::from(cache)];
        loop {
            while let Some((to, message)) = part.home.poll_output() {
                let message = CacheMessage::from_home(cache, message);
                match to == me {
                    true => inner.loopback.push_back(message),
                    false => lanes.send_reply(to, PeerMessage::Cache(message)),
                }
            }
            let Some(output) = part.holder.poll_output() else {
                return;
            };
            match output {
                HolderOutput::Answer { wait, answer } => {
                    if let Some(answer) = self.caches.waits.borrow_mut().answer(wait, answer) {
                        give_back(&mut part.holder, answer);
                    }
                }
                HolderOutput::Message { to, message } => {
                    let message = CacheMessage::to_home(cache, message);
                    match to == me {
                        true => inner.loopback.push_back(message),
                        false => lanes.send_reply(to, PeerMessage::Cache(message)),
                    }
                }
                HolderOutput::Request { to, request } => {
                    let message = CacheMessage::request(cache, request);
                    if to == me {
                        inner.loopback.push_back(message);
                    } else if let Err(refused) = lanes.send_request(to, PeerMessage::Cache(message))
                    {
                        self.caches.refused(&mut part.holder, cache, refused);
                    }
                }
            }
        }
    }

    /// What all caches have put out.
    fn dispatch_all_outputs(&mut self, lanes: &mut PeerLanes) {
        for cache in 0..self.inner.parts.len() {
            self.dispatch_outputs(cache as u16, lanes);
        }
        self.take_own(lanes);
    }
}

impl Caches {
    /// Homes and holders, for a run of calls. They look at nothing themselves,
    /// and so are told of the era of the change feed here: not sooner, because
    /// who asks may know of one that has just begun.
    pub(crate) fn service(&self) -> CacheService<'_> {
        let mut inner = self.inner.borrow_mut();
        if let Some(feed) = &self.plan.feed {
            let era = feed.era();
            inner.parts.iter_mut().for_each(|part| part.enter_era(era));
        }
        CacheService {
            caches: self,
            inner,
            now_ms: self.now_ms(),
        }
    }

    /// Whether requests of other shards may be taken: all of them have said
    /// hello. It stays so.
    pub(crate) fn are_homes_ready(&self) -> bool {
        let inner = self.inner.borrow();
        inner.parts.iter().all(|part| part.home.is_ready())
    }

    /// Ends waits that have taken too long, and has dead values forgotten. Once a
    /// second or so.
    pub(crate) fn sweep(self: &Rc<Self>) {
        self.sweep_dead();
        let mut service = self.service();
        let now_ms = service.now_ms;
        for part in &mut service.inner.parts {
            part.holder.handle_timeout(CACHE_WAIT_MS, now_ms);
            part.home.handle_timeout(now_ms);
        }
        self.peers.send(|lanes| service.dispatch_all_outputs(lanes));
    }

    /// Says hello to the shards that were there first.
    pub(super) fn announce_self(&self, living: &ShardSet) {
        let mut service = self.service();
        for part in &mut service.inner.parts {
            living.iter().for_each(|peer| part.holder.peer_up(peer));
        }
        self.peers.send(|lanes| service.dispatch_all_outputs(lanes));
    }

    fn refused(&self, holder: &mut PartHolder, cache: u16, refused: Refused<PeerMessage>) {
        // A dead peer's end is about to be told, and settles its requests.
        if let Refused::Full(PeerMessage::Cache(CacheMessage {
            body: CacheMessageBody::Request(request),
            ..
        })) = refused
        {
            self.count(cache, |counters| counters.refused += 1);
            holder.refuse(&request);
        }
    }

    /// Calls a cache's holder and dispatches what it says.
    pub(super) fn with_holder(&self, cache: u16, call: impl FnOnce(&mut PartHolder, Millis)) {
        let mut service = self.service();
        let now_ms = service.now_ms;
        call(&mut service.inner.parts[usize::from(cache)].holder, now_ms);
        self.peers.send(|lanes| {
            service.dispatch_outputs(cache, lanes);
            service.take_own(lanes);
        });
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
    ) -> Option<CacheWait> {
        let Some(wait) = CacheWait::open(self, cache) else {
            self.count(cache, |counters| counters.refused += 1);
            return None;
        };
        // What another shard reported before this was asked comes first, also
        // if the home is here.
        self.peers.take_reports();
        self.with_holder(cache, |holder, now_ms| call(holder, wait.id(), now_ms));
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
        self.with_holder(cache, |holder, _| holder.finish_load(load, outcome));
    }

    /// See [`finish_load`](Self::finish_load): whoever asks next does not find
    /// the lease still out.
    pub(super) fn finish_write(&self, cache: u16, write: WriteId, outcome: WriteOutcome<Payload>) {
        self.with_holder(cache, |holder, _| holder.finish_write(write, outcome));
    }
}
