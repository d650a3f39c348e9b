//! Carries out a step on the shards: what arrives is handed to the product's
//! code, and what that has to say goes on the lanes or to the clients.

use corelane_proto::coherence::{Answer, HolderOutput, Home, Rules, ShardSet, WaitId};

use crate::config::{Config, Fault};
use crate::entry_store::Room;
use crate::world::{Doing, HolderOf, HomeOf, Link, STEP_MS, Said, Shard, Stale, Value, World};

impl<R: Rules> World<R> {
    pub(crate) fn take_request(&mut self, from: usize, to: usize) {
        let (lane, now_ms) = (self.lane(from, to), self.now_ms);
        if let Some(request) = self.requests[lane].pop_front() {
            self.at_home(to, |home| home.on_request(from, request, now_ms));
        }
    }

    /// Takes the reply at `place` of a lane; the first, unless it is broken.
    pub(crate) fn take_reply(&mut self, from: usize, to: usize, place: usize) {
        let (lane, now_ms) = (self.lane(from, to), self.now_ms);
        match self.replies[lane].remove(place) {
            Some(Said::ByHome(message)) => {
                self.at_holder(to, |holder| holder.on_message(from, message, now_ms));
            }
            Some(Said::ByHolder(message)) => {
                self.at_home(to, |home| home.on_message(from, message, now_ms));
            }
            None => {}
        }
    }

    pub(crate) fn at_holder(&mut self, at: usize, act: impl FnOnce(&mut HolderOf<R>)) {
        let Some(shard) = &mut self.shards[at] else {
            return;
        };
        act(&mut shard.holder);
        while let Some(output) = self.shards[at]
            .as_mut()
            .and_then(|shard| shard.holder.poll_output())
        {
            match output {
                HolderOutput::Request { to, request } => {
                    if self.may_send(at, to) {
                        let lane = self.lane(at, to);
                        self.requests[lane].push_back(request);
                    }
                }
                HolderOutput::Message { to, message } => {
                    self.send(at, to, Said::ByHolder(message));
                }
                HolderOutput::Answer { wait, answer } => self.tell(wait, answer),
            }
        }
    }

    fn at_home(&mut self, at: usize, act: impl FnOnce(&mut HomeOf<R>)) {
        let Some(shard) = &mut self.shards[at] else {
            return;
        };
        act(&mut shard.home);
        while let Some((to, message)) = self.shards[at]
            .as_mut()
            .and_then(|shard| shard.home.poll_output())
        {
            self.send(at, to, Said::ByHome(message));
        }
    }

    fn send(&mut self, from: usize, to: usize, said: Said) {
        if self.may_send(from, to) {
            let lane = self.lane(from, to);
            self.replies[lane].push_back(said);
        }
    }

    /// What is sent to a dead shard is lost; its successor starts with lanes of
    /// its own, which others use once they know of it.
    fn may_send(&self, from: usize, to: usize) -> bool {
        self.shards[to].is_some() && self.link(from, to) == Link::Open
    }

    /// A client has its answer.
    fn tell(&mut self, wait: WaitId, answer: Answer<Value, ()>) {
        let Some(client) = self.clients.get_mut(&wait) else {
            return;
        };
        match (answer, client.doing) {
            (Answer::Lead { load, .. }, Doing::Read { floor }) => {
                client.doing = Doing::Lead {
                    floor,
                    load,
                    read: None,
                };
                return;
            }
            (Answer::Granted(id), Doing::Write { mode }) => {
                client.doing = Doing::Hold {
                    id,
                    mode,
                    written: None,
                };
                return;
            }
            (Answer::Value { replica, .. }, Doing::Read { floor }) => {
                let key = client.key;
                self.has_read(key, replica.value, floor);
            }
            (Answer::Invalidated(_) | Answer::Flushed, Doing::Forget { written }) => {
                let key = client.key;
                self.acknowledge(key, written);
            }
            (Answer::Invalidated(_), Doing::Touch) => {}
            (Answer::Failed(()) | Answer::Absent, Doing::Read { .. }) => {}
            (Answer::TimedOut | Answer::HomeGone, _) => {}
            (answer, doing) => unreachable!("{answer:?} to {doing:?}"),
        }
        self.clients.remove(&wait);
    }

    /// Whoever reads from now on sees no less.
    pub(crate) fn acknowledge(&mut self, key: u8, value: Value) {
        let floor = &mut self.floor[usize::from(key)];
        *floor = value.max(*floor);
    }

    /// A read has ended with a value.
    pub(crate) fn has_read(&mut self, key: u8, value: Value, floor: Value) {
        if value < floor {
            self.stale = Some(Stale { key, value, floor });
        }
        // A write elsewhere is no write of ours until it is purged: until then
        // some may see it and some not.
        if !self.written_elsewhere {
            self.acknowledge(key, value);
        }
    }

    /// `at` is told that `about` has died, or has started again.
    pub(crate) fn told(&mut self, at: usize, about: usize) {
        let now_ms = self.now_ms;
        let (next, is_death) = match self.link(at, about) {
            Link::DownUntold => (Link::Down, true),
            Link::DownAndUpUntold => (Link::UpUntold, true),
            Link::UpUntold => (Link::Open, false),
            Link::Open | Link::Down => return,
        };
        *self.link_mut(at, about) = next;
        if is_death {
            self.at_holder(at, |holder| holder.peer_down(about, now_ms));
            self.at_home(at, |home| home.peer_down(about, now_ms));
        } else {
            self.at_home(at, |home| home.peer_up(about));
            self.at_holder(at, |holder| holder.peer_up(about));
        }
    }

    /// All it was doing ends, except what the database was asked to do.
    pub(crate) fn die(&mut self, dead: usize) {
        self.shards[dead] = None;
        self.died.insert(dead);
        let until_ms = self.now_ms + STEP_MS;
        let gone = self.clients.iter().filter(|(_, c)| c.shard == dead);
        for id in gone.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(client) = self.clients.remove(&id)
                && let Doing::Hold { written: None, .. } = client.doing
            {
                self.late.push((client.key, until_ms));
            }
        }
        for other in 0..self.shards.len() {
            for lane in [self.lane(dead, other), self.lane(other, dead)] {
                self.requests[lane].clear();
                self.replies[lane].clear();
            }
            if other != dead {
                *self.link_mut(other, dead) = Link::DownUntold;
            }
        }
    }

    /// It knows who lives; they have yet to be told of it.
    pub(crate) fn restart(&mut self, config: &Config, me: usize) {
        let peers: ShardSet = self.living().map(|(peer, _)| peer).collect();
        let mut shard = Shard::new(config, me, peers.clone(), 1, self.now_ms);
        if config.fault == Fault::ServesBeforeHello {
            let entries = Room::for_entries(config.home_room);
            shard.home = Home::new(me, ShardSet::new(), 1, entries, STEP_MS, self.now_ms);
            peers.iter().for_each(|peer| shard.home.peer_up(peer));
        }
        self.shards[me] = Some(shard);
        for other in (0..self.shards.len()).filter(|other| *other != me) {
            *self.link_mut(me, other) = match peers.contains(other) {
                true => Link::Open,
                false => Link::Down,
            };
            let link = self.link_mut(other, me);
            *link = match *link {
                Link::DownUntold => Link::DownAndUpUntold,
                _ => Link::UpUntold,
            };
        }
    }
}
