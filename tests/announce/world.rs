//! The world: what happens when, and what everybody knows of it.
//!
//! The database carries out what it was sent in order of arrival and within
//! [`STATEMENT_MS`], unless it stands still; a write that is marked ours is told by
//! the shard, any other with its commit. The shard may die at any moment, and its
//! statements go on without it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use corelane_proto::announce::WrittenRow;

use crate::ended::Ended;
use corelane_proto::announce::{Announcer, Message, Output, Patience, Peers, Rows, Rules, Word};

/// How long a statement may take at the server, and a call in all.
const STATEMENT_MS: u64 = 4_000;
const CALL_MS: u64 = 5_000;
/// How long a message or its answer may be under way before its connection is
/// given up.
const TELLING_MS: u64 = 2_000;
/// When trouble and writes end, and when everything must have been told.
const BUSY_MS: u64 = 25_000;
const QUIET_MS: u64 = BUSY_MS + 30_000;
const ROWS: i64 = 3;
const MEMBER: &str = "writer.1";

/// What is to happen.
#[derive(Debug)]
enum Event {
    /// The shard begins a write, if it lives.
    Write,
    /// The server commits a write.
    Commit(Write),
    /// The answer of a write reaches the shard.
    Answered(Write),
    /// Its answer will not come any more.
    GivenUp(Write),
    /// A message of the shard reaches the server, over that connection of its.
    Arrive(Message, u64),
    /// Its answer reaches the shard.
    Sent(u64),
    /// It is given up.
    SendingLate(u64),
    Connect,
    Break,
    Leave,
    Die,
    /// A notification reaches the listener, over that connection of its.
    Hear(Told, u64),
    /// The listener's connection breaks, and it listens anew.
    ListenerLost,
    Listen,
    Read(i64),
    Freeze,
    /// The shard's thread stands still.
    Stall,
    Tick,
}

#[derive(Debug, Clone, Copy)]
struct Write {
    id: i64,
    is_ours: bool,
}

#[derive(Debug, Clone)]
enum Told {
    Word(Word),
    Rows(Rows),
}

struct World<R> {
    start: Instant,
    now_ms: u64,
    random: u64,
    /// By time, and in the order of being planned.
    events: BTreeMap<(u64, u64), Event>,
    planned: u64,
    ended: Ended,
    // The database.
    versions: BTreeMap<i64, u64>,
    frozen_until_ms: u64,
    /// The last word of the shard that the server has shown to who begins to listen.
    is_shown: bool,
    // The shard.
    announcer: Announcer<R>,
    is_alive: bool,
    is_leaving: bool,
    stalled_until_ms: u64,
    /// The number of its connection, odd while it is there.
    connection: u64,
    // The listener.
    peers: Peers<R>,
    listening: u64,
    is_listening: bool,
    cached: BTreeMap<i64, u64>,
    /// Rows whose commit the server tells of now, to keep one order.
    last_told_ms: u64,
    late: BTreeSet<u64>,
}

pub(crate) fn run<R: Rules>(seed: u64) -> Ended {
    let mut world = World::<R>::new(seed);
    world.plan();
    while let Some(((at_ms, _), event)) = world.events.pop_first() {
        if at_ms > QUIET_MS {
            break;
        }
        world.now_ms = at_ms;
        world.happen(event);
        world.ask_shard();
    }
    world.ended.stale = world.stale();
    world.ended
}

impl<R: Rules> World<R> {
    fn new(seed: u64) -> Self {
        let start = Instant::now();
        let patience = Patience {
            call: Duration::from_millis(CALL_MS),
            statement: Duration::from_millis(STATEMENT_MS),
        };
        Self {
            start,
            now_ms: 0,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            events: BTreeMap::new(),
            planned: 0,
            ended: Ended::default(),
            versions: (1..=ROWS).map(|id| (id, 1)).collect(),
            frozen_until_ms: 0,
            is_shown: false,
            announcer: Announcer::new(patience, start),
            is_alive: true,
            is_leaving: false,
            stalled_until_ms: 0,
            connection: 0,
            peers: Peers::new("listener", STATEMENT_MS),
            listening: 0,
            is_listening: false,
            cached: BTreeMap::new(),
            last_told_ms: 0,
            late: BTreeSet::new(),
        }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.now_ms)
    }

    /// A number below `most`.
    fn below(&mut self, most: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % most.max(1)
    }

    fn at(&mut self, at_ms: u64, event: Event) {
        self.planned += 1;
        self.events.insert((at_ms, self.planned), event);
    }

    fn after(&mut self, delay_ms: u64, event: Event) {
        self.at(self.now_ms + delay_ms, event);
    }

    /// The work and the trouble of a run.
    fn plan(&mut self) {
        self.at(0, Event::Listen);
        self.at(1, Event::Connect);
        for _ in 0..4 + self.below(30) {
            let at_ms = self.below(BUSY_MS);
            self.at(at_ms, Event::Write);
        }
        for _ in 0..60 {
            let (at_ms, id) = (self.below(BUSY_MS), 1 + self.below(ROWS as u64) as i64);
            self.at(at_ms, Event::Read(id));
        }
        for _ in 0..self.below(4) {
            let at_ms = self.below(BUSY_MS);
            self.at(at_ms, Event::Break);
        }
        for _ in 0..self.below(4) {
            let at_ms = self.below(BUSY_MS);
            self.at(at_ms, Event::ListenerLost);
        }
        for _ in 0..self.below(3) {
            let at_ms = self.below(BUSY_MS);
            self.at(at_ms, Event::Freeze);
        }
        if self.below(4) == 0 {
            let at_ms = self.below(BUSY_MS);
            self.at(at_ms, Event::Stall);
        }
        let at_ms = self.below(BUSY_MS);
        match self.below(3) {
            0 => self.at(at_ms, Event::Die),
            1 => self.at(at_ms, Event::Leave),
            _ => {}
        }
        for tick in 0..QUIET_MS / 100 {
            self.at(tick * 100, Event::Tick);
        }
    }

    fn happen(&mut self, event: Event) {
        // A server that stands still does nothing; it does it later, in order.
        let is_servers = matches!(
            event,
            Event::Commit(_) | Event::Arrive(..) | Event::Connect | Event::Listen | Event::Read(_)
        );
        if is_servers && self.now_ms < self.frozen_until_ms {
            return self.at(self.frozen_until_ms, event);
        }
        let is_shards = matches!(
            event,
            Event::Write
                | Event::Answered(_)
                | Event::GivenUp(_)
                | Event::Sent(_)
                | Event::SendingLate(_)
                | Event::Leave
        );
        if is_shards && self.now_ms < self.stalled_until_ms {
            return self.at(self.stalled_until_ms, event);
        }
        match event {
            Event::Write => self.begin_write(),
            Event::Commit(write) => self.commit(write),
            Event::Answered(write) => self.answered(write),
            Event::GivenUp(write) => self.given_up(write),
            Event::Arrive(message, connection) => self.arrive(message, connection),
            Event::Sent(connection) if connection == self.connection && self.is_alive => {
                self.late.remove(&connection);
                self.announcer.sent();
            }
            Event::SendingLate(connection) if self.late.contains(&connection) => {
                if connection == self.connection && self.is_alive {
                    self.break_off();
                }
            }
            Event::Connect => self.connect(),
            Event::Break => self.break_off(),
            Event::Leave if self.is_alive => {
                self.is_leaving = true;
                self.announcer.leave();
            }
            Event::Die => self.die(),
            Event::Hear(told, listening) if listening == self.listening => self.hear(told),
            Event::ListenerLost => self.lose_listener(),
            Event::Listen => self.listen(),
            Event::Read(id) => self.read(id),
            Event::Freeze => {
                self.ended.freezes += 1;
                self.frozen_until_ms = self.now_ms + self.below(8_000);
            }
            Event::Stall => self.stall(),
            Event::Tick => self.tick(),
            Event::Sent(_) | Event::SendingLate(_) | Event::Leave | Event::Hear(..) => {}
        }
    }

    // The shard.

    fn begin_write(&mut self) {
        if !self.is_alive || self.is_leaving {
            return;
        }
        let id = 1 + self.below(ROWS as u64) as i64;
        let is_ours = self.announcer.may_tell(self.now());
        self.announcer.count(false, is_ours);
        let write = Write { id, is_ours };
        // Sent within the call, and begun by the server when it goes on.
        let sent_ms = self.now_ms + self.below(50);
        let begun_ms = sent_ms.max(self.frozen_until_ms);
        let committed_ms = match self.below(4) {
            0 => begun_ms + self.below(STATEMENT_MS),
            _ => begun_ms + self.below(20),
        };
        self.at(committed_ms, Event::Commit(write));
    }

    fn answered(&mut self, write: Write) {
        if !self.is_alive || !write.is_ours {
            return;
        }
        self.announcer.count(true, false);
        let version = self.versions.get(&write.id).map(|version| *version as i64);
        self.announcer.committed(WrittenRow {
            id: write.id,
            version,
        });
    }

    fn given_up(&mut self, write: Write) {
        if !self.is_alive || !write.is_ours {
            return;
        }
        self.ended.unknown += 1;
        self.announcer.doubt(Some(write.id), self.now());
        self.announcer.count(true, false);
    }

    /// Sends what there is to send.
    fn ask_shard(&mut self) {
        let is_stalled = self.now_ms < self.stalled_until_ms;
        if !self.is_alive || is_stalled || self.connection.is_multiple_of(2) {
            return;
        }
        match self.announcer.poll_output(self.now()) {
            Output::Send(message) => {
                let connection = self.connection;
                self.late.insert(connection);
                let delay_ms = match self.below(30) {
                    0 => self.below(2 * TELLING_MS),
                    1 => {
                        let broken_ms = self.below(20);
                        self.after(broken_ms, Event::Break);
                        self.below(40)
                    }
                    _ => self.below(20),
                };
                self.after(delay_ms, Event::Arrive(message, connection));
                self.after(TELLING_MS, Event::SendingLate(connection));
            }
            Output::Wait(_) => {}
            Output::Left => {
                self.ended.goodbyes += 1;
                self.is_alive = false;
            }
        }
    }

    fn connect(&mut self) {
        if self.is_alive && self.connection.is_multiple_of(2) {
            self.connection += 1;
            self.announcer.connected(self.now());
        }
    }

    fn break_off(&mut self) {
        if self.is_alive && !self.connection.is_multiple_of(2) {
            self.ended.breaks += 1;
            self.connection += 1;
            // The server sees its end too, and shows it no more.
            self.is_shown = false;
            self.announcer.lost();
            let longest_ms = if self.below(2) == 0 { 200 } else { 3_000 };
            let pause_ms = 50 + self.below(longest_ms);
            self.after(pause_ms, Event::Connect);
        }
    }

    fn die(&mut self) {
        if self.is_alive {
            self.ended.deaths += 1;
            self.is_alive = false;
            self.is_shown = false;
        }
    }

    /// What happens to it meanwhile it learns of afterwards, writes first.
    fn stall(&mut self) {
        self.ended.stalls += 1;
        self.stalled_until_ms = self.now_ms + self.below(15_000);
        self.at(self.now_ms, Event::Write);
        if self.below(2) == 0 {
            let at_ms = self.stalled_until_ms + self.below(100);
            self.at(at_ms, Event::Die);
        }
    }

    // The database.

    fn commit(&mut self, write: Write) {
        *self.versions.entry(write.id).or_default() += 1;
        if write.is_ours {
            self.ended.told_here += 1;
        } else {
            self.ended.told_by_trigger += 1;
            let row = WrittenRow {
                id: write.id,
                version: None,
            };
            self.tell(Told::Rows(Rows::These(vec![row])));
        }
        match self.below(5) {
            0 => self.after(CALL_MS, Event::GivenUp(write)),
            _ => {
                let delay_ms = self.below(20);
                self.after(delay_ms, Event::Answered(write));
            }
        }
    }

    fn arrive(&mut self, message: Message, connection: u64) {
        // What was under way when its connection broke may arrive or not.
        let is_there = connection == self.connection;
        if !is_there && self.below(2) == 0 {
            return;
        }
        if is_there {
            self.is_shown = message.is_present && self.is_alive;
        }
        let Message { word, rows, .. } = message;
        word.into_iter()
            .for_each(|word| self.tell(Told::Word(word)));
        rows.into_iter()
            .for_each(|rows| self.tell(Told::Rows(rows)));
        let delay_ms = self.below(20);
        self.after(delay_ms, Event::Sent(connection));
    }

    /// In one order to all who listen.
    fn tell(&mut self, told: Told) {
        if self.is_listening {
            let delay_ms = self.below(30);
            self.last_told_ms = self.last_told_ms.max(self.now_ms + delay_ms);
            self.at(self.last_told_ms, Event::Hear(told, self.listening));
        }
    }

    // The listener.

    fn hear(&mut self, told: Told) {
        match told {
            Told::Word(word) => {
                let text = format!("{MEMBER} {}", word.text());
                self.peers.hear(&text, self.now());
            }
            Told::Rows(Rows::Any) => self.cached.clear(),
            Told::Rows(Rows::These(rows)) => {
                for row in rows {
                    self.cached.remove(&row.id);
                }
            }
        }
    }

    fn lose_listener(&mut self) {
        if self.is_listening {
            self.ended.losses += 1;
            self.is_listening = false;
            self.listening += 1;
            self.cached.clear();
            let pause_ms = 50 + self.below(4_000);
            self.after(pause_ms, Event::Listen);
        }
    }

    fn listen(&mut self) {
        self.peers.listen_anew(self.now());
        self.is_listening = true;
        if self.is_shown {
            self.hear(Told::Word(Word::Beat));
        }
    }

    fn read(&mut self, id: i64) {
        if self.is_listening {
            self.ended.reads += 1;
            let version = self.versions.get(&id).copied().unwrap_or_default();
            self.cached.insert(id, version);
        }
    }

    fn tick(&mut self) {
        // A server that stands still answers nobody: who listens notices.
        if self.is_listening && self.now_ms + 3_000 < self.frozen_until_ms {
            return self.lose_listener();
        }
        if self.is_listening && self.peers.have_doubts(self.now()) {
            self.ended.doubts += 1;
            self.cached.clear();
        }
    }

    fn stale(&self) -> Option<(i64, u64, u64)> {
        let mut cached = self.cached.iter();
        cached.find_map(|(id, cached)| {
            let there = self.versions.get(id).copied().unwrap_or_default();
            (there != *cached).then_some((*id, *cached, there))
        })
    }
}
