//! One run: shards, lanes, databases and clients in virtual time, all from one
//! seed. Whatever goes wrong ends it, with `failure` saying what.
//!
//! `shards` is about messages and about shards that die and come; `clients`
//! begins operations; `reads`, `writes` and `chores` take them on.

use std::any::TypeId;

use corelane_proto::coherence::{Freshness, HeldCopy, Holder, Home, Idle, Replica, Rules, Sound};
use fastrand::Rng;

use crate::climate::Climate;
use crate::coverage::Coverage;
use crate::entry_store::SmallStore;
use crate::lanes::{LaneId, Lanes};
use crate::mutation::Mutation;
use crate::operation::{OperationId, Operations, Step};
use crate::register::Register;
use crate::schedule::{Event, Schedule};
use crate::shards::Shard;
use crate::trace::{Trace, trace};
use crate::zones::Moment;

pub(crate) type Key = u8;
/// Why a load failed.
pub(crate) type Fault = u8;
pub(crate) type SimHome<R> = Home<Key, Written, Fault, SmallStore<Idle<Written>>, R>;
pub(crate) type SimHolder<R> = Holder<Key, Written, Fault, SmallStore<HeldCopy<Written>>, R>;

/// A value: which write of which key it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Written {
    pub(crate) key: Key,
    pub(crate) number: u32,
}

/// Events of a run that has stopped beginning things; more, and something goes
/// in circles.
const WIND_DOWN_EVENTS_MAX: u64 = 3_000_000;

/// Virtual time without a new operation; more, and something is stuck.
const IDLE_US_MAX: u64 = 60_000_000;

#[derive(Debug)]
pub(crate) struct World<R: Rules> {
    pub(crate) climate: Climate,
    pub(crate) mutation: Mutation,
    pub(crate) rng: Rng,
    pub(crate) now_us: u64,
    /// When an operation last began.
    begun_us: u64,
    pub(crate) moment: Moment,
    pub(crate) schedule: Schedule,
    pub(crate) shards: Vec<Shard<R>>,
    pub(crate) lanes: Lanes,
    pub(crate) registers: Vec<Register>,
    pub(crate) operations: Operations,
    pub(crate) coverage: Coverage,
    /// No operations begin any more, nobody dies and nobody gives up.
    pub(crate) is_winding_down: bool,
    pub(crate) failure: Option<String>,
    pub(crate) trace: Trace,
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) coverage: Coverage,
    pub(crate) failure: Option<String>,
}

/// Runs the world of a seed to its end.
pub(crate) fn run<R: Rules>(seed: u64, mutation: Mutation, trace: Trace) -> Ended {
    let mut world = World::<R>::new(seed, mutation, trace);
    world.live();
    world.wind_down();
    world.judge();
    world.trace.finish(world.failure.as_deref());
    Ended {
        coverage: world.coverage,
        failure: world.failure,
    }
}

impl<R: Rules> World<R> {
    fn new(seed: u64, mutation: Mutation, trace: Trace) -> Self {
        let mut rng = Rng::with_seed(seed);
        let climate = Climate::draw(&mut rng);
        let (has_loose, has_shared) = (rng.u8(..3) == 0, rng.u8(..3) == 0);
        let registers = (0..climate.keys).map(|_| {
            let (is_loose, is_shared) = (has_loose && rng.bool(), has_shared && rng.bool());
            Register::new(is_loose, is_shared)
        });
        let registers = registers.collect();
        let mut world = Self {
            mutation,
            now_us: 0,
            begun_us: 0,
            moment: 0,
            schedule: Schedule::default(),
            shards: Vec::new(),
            lanes: Lanes::new(climate.shards),
            registers,
            operations: Operations::default(),
            coverage: Coverage::default(),
            is_winding_down: false,
            failure: None,
            trace,
            climate,
            rng,
        };
        trace!(world, None, "{:?}", world.climate);
        world.start_all();
        world
    }

    /// Until enough operations have begun.
    fn live(&mut self) {
        while self.coverage.operations < self.climate.operations && self.failure.is_none() {
            let begun = self.coverage.operations;
            if !self.next() || self.now_us > self.begun_us + IDLE_US_MAX {
                self.fail(None, self.describe("no client goes on"));
            }
            if self.coverage.operations > begun {
                self.begun_us = self.now_us;
            }
        }
        self.is_winding_down = true;
    }

    /// Until everything has been answered: all of it must, with nobody giving
    /// up any more.
    fn wind_down(&mut self) {
        trace!(self, None, "no more operations begin");
        let mut events = 0;
        while self.failure.is_none() && self.next() {
            events += 1;
            if events > WIND_DOWN_EVENTS_MAX {
                self.fail(None, self.describe("it never comes to rest"));
            }
        }
    }

    fn next(&mut self) -> bool {
        let Some((at_us, event)) = self.schedule.next() else {
            return false;
        };
        self.now_us = at_us;
        self.coverage.events += 1;
        match event {
            Event::Client {
                shard,
                client,
                incarnation,
            } => self.client(shard, client, incarnation),
            Event::Deliver(lane) => self.deliver(lane),
            Event::Step(id, step) => self.step(id, step),
            Event::LateCommit { key, number } => {
                self.coverage.late_commits += 1;
                self.write_to_database(key, number);
            }
            Event::Expire { key, number } => {
                let at = self.tick();
                self.registers[usize::from(key)].expire(number, at);
            }
            Event::Control {
                shard,
                incarnation,
                about,
            } => self.control(shard, incarnation, about),
            Event::Tick { shard, incarnation } => self.timeouts(shard, incarnation),
            Event::Kill => self.kill_one(),
            Event::Restart(shard) => self.restart(shard),
        }
        true
    }

    fn step(&mut self, id: OperationId, step: Step) {
        let Some(operation) = self.operations.find(id) else {
            return;
        };
        let shard = operation.shard;
        match step {
            Step::Query => self.query(id),
            Step::FinishLoad => self.finish_load(id),
            Step::Commit => self.commit(id),
            Step::FinishWrite => self.finish_write(id),
            Step::Purge => self.purge_outside(id),
            Step::Drop => self.drop_operation(id),
        }
        self.flush_output(shard);
    }

    /// At rest: nothing is left over, every copy is what the database says, and
    /// one order explains each register.
    fn judge(&mut self) {
        if self.failure.is_some() {
            return;
        }
        if self.operations.under_way().next().is_some() {
            return self.fail(None, self.describe("operations were never answered"));
        }
        for index in 0..self.shards.len() {
            if let Err(why) = self.shards[index].check_at_rest() {
                return self.fail(None, self.describe(&format!("shard {index}: {why}")));
            }
            self.check_copies(index);
        }
        for key in 0..self.registers.len() {
            if let Err(why) = self.registers[key].check() {
                return self.fail(Some(key as Key), format!("no order explains it: {why}"));
            }
        }
        for shard in &self.shards {
            self.coverage.add_counters(shard);
        }
    }

    /// What a shard could serve is what the database says, at any time: there
    /// are no copies while a write may take effect. Not looked at when the
    /// rules are broken, which clients shall notice.
    pub(crate) fn check_copies(&mut self, index: usize) {
        for key in 0..self.climate.keys {
            self.check_copy(index, key as Key);
        }
    }

    fn check_copy(&mut self, index: usize, key: Key) {
        let is_sound = TypeId::of::<R>() == TypeId::of::<Sound>();
        let register = &self.registers[usize::from(key)];
        if !is_sound || register.is_loose {
            return;
        }
        let (now_ms, value) = (self.now_ms(), register.value());
        let mut copies = self.shards[index].copies(key, now_ms);
        if let Some(wrong) = copies.find(|copy| copy.number != value) {
            drop(copies);
            let why = format!("shard {index} keeps {wrong:?}, the database says {value}");
            self.fail(Some(key), why);
        }
    }

    /// A write takes effect.
    pub(crate) fn write_to_database(&mut self, key: Key, number: u32) {
        trace!(self, Some(key), "commit of {number}");
        self.registers[usize::from(key)].commit(number);
        for index in 0..self.shards.len() {
            self.check_copy(index, key);
        }
    }

    fn describe(&self, what: &str) -> String {
        use std::fmt::Write;
        let mut text = what.to_owned();
        for operation in self.operations.under_way().take(5) {
            let _ = write!(text, "\n  {operation:?}");
        }
        text
    }

    pub(crate) fn fail(&mut self, key: Option<Key>, why: String) {
        if self.failure.is_none() {
            let of = key.map(|key| format!("key {key}: ")).unwrap_or_default();
            trace!(self, key, "FAILED: {why}");
            self.trace.about(key);
            self.failure = Some(format!("{of}{why}"));
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    /// The number of what happens now.
    pub(crate) fn tick(&mut self) -> Moment {
        self.moment += 1;
        self.moment
    }

    pub(crate) fn plan(&mut self, delay_us: u64, event: Event) {
        self.schedule.plan(self.now_us + delay_us, event);
    }

    /// Some time up to `most_us`, often short, at times much longer.
    pub(crate) fn delay_us(&mut self, most_us: u64) -> u64 {
        match self.rng.u8(..) {
            0..64 => self.rng.u64(..=most_us / 16),
            64..252 => self.rng.u64(..=most_us),
            252.. => self.rng.u64(..=8 * most_us),
        }
    }

    pub(crate) fn chance(&mut self, of_256: u8) -> bool {
        self.rng.u8(..) < of_256
    }

    pub(crate) fn plan_step(&mut self, id: OperationId, most_us: u64, step: Step) {
        let delay_us = self.delay_us(most_us);
        self.plan(delay_us, Event::Step(id, step));
    }

    pub(crate) fn plan_delivery(&mut self, id: LaneId) {
        let lane = self.lanes.lane(id);
        let most_us = lane.delay_us;
        if !std::mem::replace(&mut lane.is_scheduled, true) {
            let delay_us = self.delay_us(most_us);
            self.plan(delay_us, Event::Deliver(id));
        }
    }

    pub(crate) fn home_of(&self, key: Key) -> usize {
        usize::from(key) % self.climate.shards
    }

    pub(crate) fn random_key(&mut self) -> Key {
        self.rng.u8(..self.climate.keys as u8)
    }

    pub(crate) fn freshness(&mut self) -> Freshness {
        let fresh_until_ms = self.now_ms() + self.rng.u64(0..=self.climate.fresh_ms);
        Freshness {
            fresh_until_ms,
            stale_until_ms: fresh_until_ms + self.climate.stale_ms,
            error_until_ms: fresh_until_ms + self.climate.error_ms,
            era: 0,
        }
    }

    pub(crate) fn replica(&mut self, value: Written) -> Replica<Written> {
        let freshness = self.freshness();
        Replica { value, freshness }
    }
}
