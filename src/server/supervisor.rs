//! Watches the shards: restarts one that died, with back-off, while the others
//! go on serving; ends when all have drained.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::handle::{Command, ExitReport, Fallbacks, ServerHandle, ShardSummary};
use super::listeners::{Listeners, ShardListeners};
use super::shard_thread::{self, Incarnation, ShardEvent, ShardPlan};
use super::{Engines, StartError};
use crate::backoff::Backoff;
use crate::engine::{EngineKind, EngineOptions};
use crate::limits::{
    BRIDGE_CLOSE_TIMEOUT_MS, DRAIN_END_MS, DRAIN_OVERDUE_MS, DRAIN_RETRY_MS, RING_ENTRIES_MIN,
};
use crate::metrics::ShardSnapshot;
use crate::peers::{ControlMessage, SendError};
use crate::topology::{Placement, ShardSlot, confine_current_thread};

/// What one shard has been through.
struct Watched {
    slot: ShardSlot,
    engine: EngineOptions,
    listeners: ShardListeners,
    restarts: u32,
    backoff: Backoff,
    state: State,
    /// It must drain, and its inbox was full when it should have been told.
    drain_untold: bool,
    last: Option<Box<ShardSnapshot>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    /// Died; starts again at this time.
    Waiting(Instant),
    /// Drained; ends when all others have.
    Drained,
    Ended,
}

pub(super) struct Supervisor {
    plan: ShardPlan,
    shards: Vec<Watched>,
    events: Sender<Command>,
    started: Instant,
    /// Since the drain began: when a shard that has not ended is given up.
    drain_deadline: Option<Instant>,
    report: ExitReport,
}

impl Supervisor {
    /// Starts every shard and waits until all accept.
    pub(super) fn start(
        plan: ShardPlan,
        placement: Placement,
        engines: Engines,
        listeners: Listeners,
    ) -> Result<ServerHandle, StartError> {
        let (commands, inbox) = channel();
        let summaries = summarise(&plan, &placement, &engines);
        let options = &plan.options;
        let watch =
            |((slot, engine), listeners): ((ShardSlot, EngineOptions), ShardListeners)| Watched {
                backoff: Backoff::new(
                    options.restart_delay_ms,
                    options.restart_delay_max_ms,
                    RESTART_FORGIVE_MS,
                ),
                slot,
                engine,
                listeners,
                restarts: 0,
                state: State::Running,
                drain_untold: false,
                last: None,
            };
        let mut slots: Vec<_> = placement.shards.into_iter().zip(engines.by_shard).collect();
        slots.extend((slots.len() < listeners.by_shard.len()).then(|| admin_slot(&plan)));
        let slots = slots.into_iter().zip(listeners.by_shard);
        let mut supervisor = Self {
            shards: slots.map(watch).collect(),
            plan: plan.clone(),
            events: commands.clone(),
            started: Instant::now(),
            drain_deadline: None,
            report: ExitReport {
                drained: true,
                connections_cut: 0,
                restarts: 0,
            },
        };
        supervisor.start_all(&inbox)?;
        let housekeeping = placement.housekeeping;
        let pinned = plan.pin;
        let thread = std::thread::Builder::new()
            .name("supervisor".to_owned())
            .spawn(move || {
                if pinned {
                    // Only a wish: the shards are pinned whatever happens here.
                    let _ = confine_current_thread(&housekeeping);
                }
                supervisor.watch(&inbox)
            })
            .map_err(StartError::Thread)?;
        Ok(ServerHandle {
            local_addr: listeners.local_addr,
            admin_addr: listeners.admin_addr,
            shards: summaries,
            fallbacks: Fallbacks::default(),
            plan,
            commands,
            supervisor: thread,
        })
    }

    fn start_all(&mut self, inbox: &Receiver<Command>) -> Result<(), StartError> {
        let mut living = 0;
        let mut failure = None;
        while living < self.shards.len() && failure.is_none() {
            match self.spawn(living) {
                Ok(()) => living += 1,
                Err(error) => failure = Some(StartError::Thread(error)),
            }
        }
        let mut starting = living;
        while starting > 0 && failure.is_none() {
            match inbox.recv() {
                Ok(Command::Shard(ShardEvent::Serving { .. })) => starting -= 1,
                Ok(Command::Shard(
                    ShardEvent::Failed { shard, message }
                    | ShardEvent::Died {
                        shard,
                        reason: message,
                        ..
                    },
                )) => {
                    living -= 1;
                    failure = Some(StartError::Shard { shard, message });
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let Some(failure) = failure else {
            return Ok(());
        };
        self.stop_started(inbox, living);
        self.close_bridge();
        Err(failure)
    }

    /// Ends the `living` shards of a server that does not start: those that
    /// serve already, and the others when they have come so far.
    fn stop_started(&mut self, inbox: &Receiver<Command>, mut living: usize) {
        self.drain();
        while living > 0 {
            let deadline = self.drain_deadline.unwrap_or_else(Instant::now);
            match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(Command::Shard(ShardEvent::Serving { shard })) => {
                    let _ = self.plan.peers.control.send(shard, ControlMessage::Drain);
                }
                Ok(Command::Shard(ShardEvent::Drained { shard, .. })) => {
                    let _ = self.plan.peers.control.send(shard, ControlMessage::End);
                }
                Ok(Command::Shard(_)) => living -= 1,
                Ok(Command::Drain) => {}
                Err(_) => return,
            }
        }
    }

    fn spawn(&mut self, index: usize) -> io::Result<()> {
        let watched = &mut self.shards[index];
        let incarnation = Incarnation {
            slot: watched.slot.clone(),
            engine: watched.engine.clone(),
            listeners: watched.listeners.try_clone()?,
            restarts: watched.restarts,
            // Kept for the next, should this one not even start.
            inherited: watched.last.clone(),
        };
        watched.state = State::Running;
        let plan = self.plan.clone();
        let events = self.events.clone();
        std::thread::Builder::new()
            .name(self.plan.thread_name(index))
            .spawn(move || {
                // Telling fails only when the supervisor is gone, and with it
                // the process.
                let tell = |event| drop(events.send(Command::Shard(event)));
                shard_thread::run(&plan, incarnation, tell);
            })?;
        Ok(())
    }

    /// Until every shard has ended.
    fn watch(mut self, inbox: &Receiver<Command>) -> ExitReport {
        while self.shards.iter().any(|shard| shard.state != State::Ended) {
            let command = match self.next_look() {
                Some(at) => inbox
                    .recv_timeout(at.saturating_duration_since(Instant::now()))
                    .ok(),
                None => inbox.recv().ok(),
            };
            match command {
                Some(Command::Drain) => self.drain(),
                Some(Command::Shard(event)) => self.on_event(event),
                None => {}
            }
            self.restart_due();
            self.press_drain();
            self.end_if_drained();
        }
        self.close_bridge();
        self.report
    }

    /// After the shards: whatever they waited for on it is done or dropped.
    fn close_bridge(&self) {
        let timeout = Duration::from_millis(BRIDGE_CLOSE_TIMEOUT_MS);
        self.plan.bridge.close(timeout);
    }

    fn drain(&mut self) {
        let timeout_ms = self.plan.options.drain_timeout_ms;
        let timeout = Duration::from_millis(timeout_ms.saturating_add(DRAIN_OVERDUE_MS));
        self.drain_deadline
            .get_or_insert_with(|| Instant::now() + timeout);
        for index in 0..self.shards.len() {
            self.tell_to_drain(index);
            if matches!(self.shards[index].state, State::Waiting(_)) {
                self.shards[index].state = State::Ended;
            }
        }
    }

    /// A shard that is still starting is told when it serves.
    fn tell_to_drain(&mut self, index: usize) {
        let told = self.plan.peers.control.send(index, ControlMessage::Drain);
        self.shards[index].drain_untold = told == Err(SendError::Full);
    }

    /// During a drain: tells who could not be told, and gives up who is stuck.
    fn press_drain(&mut self) {
        let Some(deadline) = self.drain_deadline else {
            return;
        };
        for index in 0..self.shards.len() {
            if self.shards[index].drain_untold {
                self.tell_to_drain(index);
            }
        }
        let now = Instant::now();
        if now >= deadline {
            // Those that have drained still have their end before them.
            self.give_up(
                |state| state != State::Drained,
                "a handler blocks its thread",
            );
        }
        if now >= deadline + END_TIMEOUT {
            self.give_up(|_| true, "what runs at its end blocks its thread");
        }
    }

    /// Leaves behind those in such a state that have not ended.
    fn give_up(&mut self, is_stuck: impl Fn(State) -> bool, why: &str) {
        for (index, shard) in self.shards.iter_mut().enumerate() {
            if shard.state != State::Ended && is_stuck(shard.state) {
                shard.state = State::Ended;
                self.report.drained = false;
                let errors = &self.plan.errors;
                let name = self.plan.name(index);
                errors.log(format!("{name} did not end: {why}; leaving it behind"));
            }
        }
    }

    /// Shards that have drained stay for those that have not, and the others for
    /// what the first does at shutdown.
    fn end_if_drained(&mut self) {
        let ready = |shard: &Watched| matches!(shard.state, State::Drained | State::Ended);
        if !self.shards.iter().all(ready) {
            return;
        }
        let first_has_ended = self.shards[0].state == State::Ended;
        for (index, shard) in self.shards.iter().enumerate() {
            if shard.state == State::Drained && (index == 0 || first_has_ended) {
                // Its inbox has room: it was told nothing else. Should it not,
                // the shard ends by itself a little later.
                let _ = self.plan.peers.control.send(index, ControlMessage::End);
            }
        }
    }

    fn on_event(&mut self, event: ShardEvent) {
        match event {
            // A drain that came while it was starting reached no inbox.
            ShardEvent::Serving { shard } if self.drain_deadline.is_some() => {
                self.tell_to_drain(shard);
            }
            ShardEvent::Serving { .. } => {}
            ShardEvent::Ended { shard } => self.shards[shard].state = State::Ended,
            ShardEvent::Drained { shard, cut } => {
                self.shards[shard].state = State::Drained;
                self.report.connections_cut += cut;
                self.report.drained &= cut == 0;
            }
            ShardEvent::Failed { shard, message } => self.on_death(shard, &message, None),
            ShardEvent::Died {
                shard,
                reason,
                last,
            } => self.on_death(shard, &reason, last),
        }
    }

    fn on_death(&mut self, index: usize, reason: &str, last: Option<Box<ShardSnapshot>>) {
        let now_ms = self.started.elapsed().as_millis() as u64;
        let shard = &mut self.shards[index];
        if last.is_some() {
            shard.last = last;
        }
        if self.drain_deadline.is_some() {
            shard.state = State::Ended;
            self.report.drained = false;
            return;
        }
        let delay_ms = shard.backoff.next_delay_ms(now_ms);
        shard.state = State::Waiting(Instant::now() + Duration::from_millis(delay_ms));
        let name = self.plan.name(index);
        self.plan.errors.log(format!(
            "{name} died ({reason}); restarting in {delay_ms} ms"
        ));
    }

    /// When there is something to do, even if nobody tells us anything.
    fn next_look(&self) -> Option<Instant> {
        let due = self.shards.iter().filter_map(|shard| match shard.state {
            State::Waiting(at) => Some(at),
            State::Running if shard.drain_untold => {
                Some(Instant::now() + Duration::from_millis(DRAIN_RETRY_MS))
            }
            _ => None,
        });
        due.chain(self.next_deadline()).min()
    }

    /// Of a drain: when it gives up who is stuck, then when it gives up all.
    fn next_deadline(&self) -> Option<Instant> {
        let deadline = self.drain_deadline?;
        let is_over = Instant::now() >= deadline;
        Some(deadline + if is_over { END_TIMEOUT } else { Duration::ZERO })
    }

    fn restart_due(&mut self) {
        let now = Instant::now();
        for index in 0..self.shards.len() {
            if !matches!(self.shards[index].state, State::Waiting(at) if at <= now) {
                continue;
            }
            self.shards[index].restarts += 1;
            self.report.restarts += 1;
            if let Err(error) = self.spawn(index) {
                self.on_death(index, &format!("no thread for it: {error}"), None);
            }
        }
    }
}

/// How long the ends of the shards may take after the last of them has drained or
/// was given up.
const END_TIMEOUT: Duration = Duration::from_millis(DRAIN_END_MS);

/// A shard that has run this long starts again with the first delay.
const RESTART_FORGIVE_MS: u64 = 60_000;

/// The thread of the admin listener: on epoll, since a few requests need no ring,
/// and one that cannot be had should not keep the operator out.
fn admin_slot(plan: &ShardPlan) -> (ShardSlot, EngineOptions) {
    let slot = ShardSlot {
        index: plan.count,
        cpu: plan.housekeeping.first().copied().unwrap_or(0),
        package: 0,
        numa_node: None,
        shares_core_with: None,
        engine: Some(EngineKind::Epoll),
        ring_entries: RING_ENTRIES_MIN,
        spin_us: 0,
    };
    let engine = EngineOptions {
        kind: EngineKind::Epoll,
        ring_entries: RING_ENTRIES_MIN,
    };
    (slot, engine)
}

fn summarise(plan: &ShardPlan, placement: &Placement, engines: &Engines) -> Vec<ShardSummary> {
    let shards = placement.shards.iter().zip(&engines.by_shard);
    let summary = |(slot, engine): (&ShardSlot, &EngineOptions)| ShardSummary {
        index: slot.index,
        cpu: plan.pin.then_some(slot.cpu),
        engine: engine.kind,
    };
    shards.map(summary).collect()
}
