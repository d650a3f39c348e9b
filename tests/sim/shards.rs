//! Shards: what they send and take, how they die and come again.

use std::collections::VecDeque;

use corelane_proto::coherence::{
    Answer, EntryStore, FromHome, Holder, HolderOutput, Home, Rules, ShardSet, ToHome,
};

use crate::entry_store::SmallStore;
use crate::lanes::{Class, LaneId, Parcel};
use crate::mutation::Mutation;
use crate::operation::OperationId;
use crate::schedule::Event;
use crate::trace::trace;
use crate::world::{Fault, Key, SimHolder, SimHome, World, Written};

/// A shard through all its incarnations.
#[derive(Debug)]
pub(crate) struct Shard<R: Rules> {
    pub(crate) incarnation: u32,
    pub(crate) live: Option<Live<R>>,
    /// Which incarnation of each other shard it believes alive.
    seen: Vec<Option<u32>>,
    /// What it has still to learn of each, in order.
    news: Vec<VecDeque<News>>,
}

/// What runs while it is alive.
#[derive(Debug)]
pub(crate) struct Live<R: Rules> {
    pub(crate) home: SimHome<R>,
    pub(crate) holder: SimHolder<R>,
}

#[derive(Debug, Clone, Copy)]
enum News {
    Down,
    Up(u32),
}

/// Between two calls of `handle_timeout`.
const TICK_US: u64 = 7_000;

impl<R: Rules> Shard<R> {
    fn current(&self) -> Option<u32> {
        self.live.as_ref().map(|_| self.incarnation)
    }

    /// Nothing may be left when nothing is under way.
    pub(crate) fn check_at_rest(&self) -> Result<(), String> {
        let live = self.live.as_ref().ok_or("dead")?;
        if !live.holder.is_quiet() {
            return Err(format!("its holder is not quiet: {:?}", live.holder));
        }
        // What a home shows of its leases, it shows only so.
        let home = format!("{:?}", live.home);
        let is_clear = [
            "busy: {}",
            "loads: {}",
            "late: {}",
            "writes: {}",
            "flush: None",
        ]
        .iter()
        .all(|part| home.contains(part));
        if live.home.busy_count() > 0 || !live.home.is_ready() || !is_clear {
            return Err(format!("its home is not at rest: {home}"));
        }
        Ok(())
    }

    /// What it could serve of a key.
    pub(crate) fn copies(&self, key: Key, now_ms: u64) -> impl Iterator<Item = Written> {
        let live = self.live.as_ref();
        let own = live.and_then(|live| live.holder.look_up(&key, now_ms));
        let own = own.map(|(_, replica)| replica.value);
        let kept = live.and_then(|live| live.home.entries().find(&key));
        let kept = kept.map(|idle| &idle.replica);
        let kept = kept.filter(|replica| replica.freshness.is_usable(now_ms));
        own.into_iter().chain(kept.map(|replica| replica.value))
    }
}

impl<R: Rules> World<R> {
    pub(crate) fn live_at(&mut self, shard: usize) -> Option<&mut Live<R>> {
        self.shards[shard].live.as_mut()
    }

    /// The first incarnations, all at once.
    pub(crate) fn start_all(&mut self) {
        let count = self.climate.shards;
        for from in 0..count {
            for to in 0..count {
                for class in [Class::Requests, Class::Replies] {
                    let delay_us = match from == to {
                        true => self.rng.u64(..20),
                        false => self.rng.u64(..=self.climate.lane_delay_us),
                    };
                    self.lanes.lane(LaneId { from, to, class }).delay_us = delay_us;
                }
            }
        }
        for me in 0..count {
            let live =
                Some(self.new_live(me, 0, (0..count).filter(|shard| *shard != me).collect()));
            self.shards.push(Shard {
                incarnation: 0,
                live,
                seen: vec![Some(0); count],
                news: vec![VecDeque::new(); count],
            });
        }
        for me in 0..count {
            for peer in (0..count).filter(|peer| *peer != me) {
                if let Some(live) = self.live_at(me) {
                    live.holder.peer_up(peer);
                }
            }
            self.flush_output(me);
            self.start_clients(me);
        }
        if self.climate.death_us.is_some() {
            self.plan_death();
        }
    }

    fn new_live(&mut self, me: usize, incarnation: u32, peers: ShardSet) -> Live<R> {
        let directory = SmallStore::new(self.rng.usize(..=self.climate.directory_max));
        let copies = SmallStore::new(self.rng.usize(..=self.climate.copies_max));
        let (doubt_ms, now_ms) = (self.climate.doubt_ms, self.now_ms());
        let mut home_peers = peers.clone();
        if self.mutation == Mutation::ServeBeforeHello && incarnation > 0 {
            home_peers = ShardSet::new();
        }
        let mut home = Home::new(me, home_peers, incarnation, directory, doubt_ms, now_ms);
        for peer in peers.iter() {
            home.peer_up(peer);
        }
        let holder = Holder::new(me, self.climate.shards, peers, copies);
        Live { home, holder }
    }

    fn start_clients(&mut self, shard: usize) {
        let incarnation = self.shards[shard].incarnation;
        for client in 0..self.climate.clients_per_shard {
            let delay_us = self.delay_us(self.climate.think_us);
            self.plan(
                delay_us,
                Event::Client {
                    shard,
                    client,
                    incarnation,
                },
            );
        }
        self.plan(TICK_US, Event::Tick { shard, incarnation });
    }

    /// Sends what a shard's machines have to say, and tells its operations.
    pub(crate) fn flush_output(&mut self, shard: usize) {
        let homes_first = self.rng.bool();
        loop {
            let Some(live) = self.shards[shard].live.as_mut() else {
                return;
            };
            let mut said = None;
            if homes_first {
                said = live.home.poll_output();
            }
            if said.is_none() {
                match live.holder.poll_output() {
                    Some(HolderOutput::Request { to, request }) => {
                        let requests = LaneId {
                            from: shard,
                            to,
                            class: Class::Requests,
                        };
                        let waiting = self.lanes.lane(requests).queue.len();
                        if self
                            .climate
                            .requests_max
                            .is_some_and(|most| waiting >= most)
                        {
                            live.holder.refuse(&request);
                            self.coverage.refused += 1;
                            continue;
                        }
                        self.send(shard, to, Parcel::Request(request));
                        continue;
                    }
                    Some(HolderOutput::Message { to, message }) => {
                        self.send(shard, to, Parcel::ToHome(message));
                        continue;
                    }
                    Some(HolderOutput::Answer { wait, answer }) => {
                        self.answered(OperationId::of(wait), answer);
                        continue;
                    }
                    None => said = live.home.poll_output(),
                }
            }
            match said {
                Some((to, message)) => self.send(shard, to, Parcel::FromHome(message)),
                None => return,
            }
        }
    }

    fn answered(&mut self, id: OperationId, answer: Answer<Written, Fault>) {
        let Some(operation) = self.operations.find(id) else {
            return self.fail(None, format!("{answer:?} for an operation that is over"));
        };
        if !std::mem::replace(&mut operation.is_waiting, false) {
            return self.fail(None, format!("{answer:?} for one who does not wait"));
        }
        self.take_answer(id, answer);
    }

    fn send(&mut self, from: usize, to: usize, parcel: Parcel) {
        if from != to && self.shards[from].seen[to] != self.shards[to].current() {
            trace!(self, None, "{from} -> {to} lost with its lane: {parcel:?}");
            return;
        }
        match (self.mutation, &parcel) {
            (Mutation::LoseInvalidations, Parcel::FromHome(FromHome::Invalidate { .. }))
            | (Mutation::LoseReleases, Parcel::ToHome(ToHome::Released { .. }))
                if self.rng.u8(..) < 8 =>
            {
                return;
            }
            (Mutation::IgnoreInvalidations, Parcel::FromHome(FromHome::Invalidate { key }))
                if from != to && self.rng.u8(..) < 8 =>
            {
                let ack = Parcel::ToHome(ToHome::Ack { key: *key });
                return self.send(to, from, ack);
            }
            _ => {}
        }
        if let Parcel::ToHome(ToHome::Hello { writes }) = &parcel {
            self.coverage.hellos_with_writes += u64::from(!writes.is_empty());
        }
        trace!(self, None, "{from} -> {to} sent: {parcel:?}");
        let class = parcel.class();
        let lane = LaneId { from, to, class };
        self.lanes.push(lane, parcel);
        self.plan_delivery(lane);
    }

    /// Takes what has come out of a lane, if its receiver takes such a thing
    /// now.
    pub(crate) fn deliver(&mut self, id: LaneId) {
        let LaneId { from, to, class } = id;
        self.lanes.lane(id).is_scheduled = false;
        if from != to && self.shards[to].seen[from] != self.shards[from].current() {
            // It goes on when the receiver has heard of this incarnation.
            return;
        }
        let Some(live) = self.shards[to].live.as_ref() else {
            return;
        };
        let is_unready = !live.home.is_ready() && class == Class::Requests;
        let waits_for_room = class == Class::Requests || self.mutation == Mutation::RepliesWait;
        let is_full = self.climate.has_tight_lanes && waits_for_room && self.lanes.has_outbox(to);
        if is_unready || is_full {
            if self.lanes.lane(id).queue.is_empty() {
                return;
            }
            self.coverage.waits_for_hello += u64::from(is_unready);
            self.coverage.waits_for_room += u64::from(is_full);
            self.lanes.lane(id).is_scheduled = true;
            return self.plan(300, Event::Deliver(id));
        }
        let most = match self.climate.has_tight_lanes {
            true => 1,
            false => 1 + self.rng.usize(..4),
        };
        for _ in 0..most {
            let mut at = 0;
            if self.mutation == Mutation::ReorderReplies && class == Class::Replies {
                let count = self.lanes.lane(id).queue.len();
                at = if count > 1 { self.rng.usize(..2) } else { 0 };
            }
            let Some(parcel) = self.lanes.take(id, at) else {
                break;
            };
            self.accept(from, to, parcel);
            if self.rng.bool() {
                self.flush_output(to);
            }
        }
        self.flush_output(to);
        if !self.lanes.lane(id).queue.is_empty() {
            self.plan_delivery(id);
        }
    }

    fn accept(&mut self, from: usize, to: usize, parcel: Parcel) {
        trace!(self, None, "{from} -> {to} taken: {parcel:?}");
        let now_ms = self.now_ms();
        self.coverage.messages += 1;
        let Some(live) = self.shards[to].live.as_mut() else {
            return;
        };
        match parcel {
            Parcel::Request(request) => live.home.on_request(from, request, now_ms),
            Parcel::FromHome(message) => {
                if matches!(message, FromHome::Uncached { .. }) {
                    self.coverage.answers_uncached += 1;
                }
                live.holder.on_message(from, message, now_ms);
            }
            Parcel::ToHome(message) => live.home.on_message(from, message, now_ms),
        }
    }

    pub(crate) fn timeouts(&mut self, shard: usize, incarnation: u32) {
        if self.is_winding_down || self.shards[shard].current() != Some(incarnation) {
            return;
        }
        let (now_ms, wait_max_ms) = (self.now_ms(), self.climate.wait_max_ms);
        if let Some(live) = self.live_at(shard) {
            live.home.handle_timeout(now_ms);
            if let Some(wait_max_ms) = wait_max_ms {
                live.holder.handle_timeout(wait_max_ms, now_ms);
            }
        }
        self.flush_output(shard);
        self.check_copies(shard);
        self.plan(TICK_US, Event::Tick { shard, incarnation });
    }

    fn plan_death(&mut self) {
        let mean_us = self.climate.death_us.unwrap_or(u64::MAX / 4);
        let delay_us = self.rng.u64(..2 * mean_us);
        self.plan(delay_us, Event::Kill);
    }

    pub(crate) fn kill_one(&mut self) {
        if self.is_winding_down {
            return;
        }
        let dead = self.rng.usize(..self.climate.shards);
        if self.shards[dead].live.is_some() {
            self.kill(dead);
        }
        self.plan_death();
    }

    fn kill(&mut self, dead: usize) {
        trace!(self, None, "shard {dead} dies");
        self.coverage.deaths += 1;
        let others_dead = self.shards.iter().any(|shard| shard.live.is_none());
        self.coverage.deaths_overlapping += u64::from(others_dead);
        self.coverage.add_counters(&self.shards[dead]);
        let live = self.shards[dead].live.take();
        if live.is_some_and(|live| !live.home.is_ready()) {
            self.coverage.deaths_unready += 1;
        }
        self.lanes.cut(dead);
        for news in &mut self.shards[dead].news {
            news.clear();
        }
        for id in self.operations.of_shard(dead) {
            self.lose(id);
        }
        self.announce(dead, News::Down);
        let delay_us = self.delay_us(self.climate.restart_us);
        self.plan(delay_us, Event::Restart(dead));
    }

    /// Each living peer learns it in its own time, in order.
    fn announce(&mut self, about: usize, news: News) {
        for shard in (0..self.climate.shards).filter(|shard| *shard != about) {
            if self.shards[shard].live.is_none() {
                continue;
            }
            let queue = &mut self.shards[shard].news[about];
            queue.push_back(news);
            if queue.len() == 1 {
                self.plan_news(shard, about);
            }
        }
    }

    fn plan_news(&mut self, shard: usize, about: usize) {
        let incarnation = self.shards[shard].incarnation;
        let delay_us = self.delay_us(self.climate.restart_us);
        self.plan(
            delay_us,
            Event::Control {
                shard,
                incarnation,
                about,
            },
        );
    }

    pub(crate) fn control(&mut self, shard: usize, incarnation: u32, about: usize) {
        if self.shards[shard].current() != Some(incarnation) {
            return;
        }
        let Some(news) = self.shards[shard].news[about].pop_front() else {
            return;
        };
        trace!(self, None, "shard {shard} hears of {about}: {news:?}");
        let (now_ms, mutation) = (self.now_ms(), self.mutation);
        let told = &mut self.shards[shard];
        let Some(live) = told.live.as_mut() else {
            return;
        };
        match news {
            News::Down => {
                told.seen[about] = None;
                if mutation != Mutation::HomesNotTold {
                    live.home.peer_down(about, now_ms);
                }
                if mutation != Mutation::HoldersNotTold {
                    live.holder.peer_down(about, now_ms);
                }
            }
            News::Up(incarnation) => {
                told.seen[about] = Some(incarnation);
                live.home.peer_up(about);
                live.holder.peer_up(about);
                for class in [Class::Requests, Class::Replies] {
                    let (from, to) = (about, shard);
                    self.plan_delivery(LaneId { from, to, class });
                }
            }
        }
        self.flush_output(shard);
        if !self.shards[shard].news[about].is_empty() {
            self.plan_news(shard, about);
        }
    }

    pub(crate) fn restart(&mut self, me: usize) {
        let incarnation = self.shards[me].incarnation + 1;
        trace!(self, None, "shard {me} starts as incarnation {incarnation}");
        let seen: Vec<_> = self.shards.iter().map(Shard::current).collect();
        let peers = seen.iter().enumerate();
        let peers = peers
            .filter_map(|(peer, seen)| seen.map(|_| peer))
            .collect();
        let live = self.new_live(me, incarnation, peers);
        let shard = &mut self.shards[me];
        (shard.incarnation, shard.seen, shard.live) = (incarnation, seen, Some(live));
        self.announce(me, News::Up(incarnation));
        self.start_clients(me);
    }
}
