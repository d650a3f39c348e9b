//! Tasks of this shard that wait for an answer, and what must be given back
//! when they are gone.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Caches;
use super::part::PartHolder;
use crate::Error;
use crate::cache::Payload;
use crate::coherence::{Answer, LoadId, Outcome, WaitId, WriteId, WriteOutcome};
use crate::engine;
use crate::limits::CACHE_WAITS_MAX;

pub(super) type PartAnswer = Answer<Payload, Error>;

/// All waits of a shard, by small indexes with generations.
#[derive(Default)]
pub(super) struct CacheWaits {
    slots: Vec<WaitSlot>,
    free: Vec<u32>,
}

struct WaitSlot {
    generation: u32,
    state: WaitState,
}

enum WaitState {
    Free,
    Waiting(Option<Waker>),
    Answered(Box<PartAnswer>),
}

impl CacheWaits {
    fn open(&mut self) -> Option<WaitId> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots.len() < CACHE_WAITS_MAX => {
                self.slots.push(WaitSlot {
                    generation: 0,
                    state: WaitState::Free,
                });
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        let slot = &mut self.slots[index as usize];
        slot.state = WaitState::Waiting(None);
        Some(WaitId(u64::from(slot.generation) << 32 | u64::from(index)))
    }

    fn slot(&mut self, wait: WaitId) -> Option<&mut WaitSlot> {
        let slot = self.slots.get_mut(wait.0 as u32 as usize)?;
        (slot.generation == (wait.0 >> 32) as u32).then_some(slot)
    }

    /// Brings an answer to its wait; gives it back if nobody waits.
    pub(super) fn answer(&mut self, wait: WaitId, answer: PartAnswer) -> Option<PartAnswer> {
        let Some(slot) = self.slot(wait) else {
            return Some(answer);
        };
        let answered = WaitState::Answered(Box::new(answer));
        if let WaitState::Waiting(Some(waker)) = std::mem::replace(&mut slot.state, answered) {
            engine::wake(waker);
        }
        None
    }

    fn close(&mut self, wait: WaitId) -> WaitState {
        let Some(slot) = self.slot(wait) else {
            return WaitState::Free;
        };
        slot.generation = slot.generation.wrapping_add(1);
        let state = std::mem::replace(&mut slot.state, WaitState::Free);
        self.free.push(wait.0 as u32);
        state
    }
}

/// The future of one answer. Dropped early it gives back whatever it was
/// granted.
pub(super) struct CacheWait {
    caches: Rc<Caches>,
    cache: u16,
    id: WaitId,
    is_done: bool,
}

impl CacheWait {
    /// `None` when too many wait already.
    pub(super) fn open(caches: &Rc<Caches>, cache: u16) -> Option<Self> {
        let id = caches.waits.borrow_mut().open()?;
        Some(Self {
            caches: caches.clone(),
            cache,
            id,
            is_done: false,
        })
    }

    pub(super) fn id(&self) -> WaitId {
        self.id
    }
}

impl Future for CacheWait {
    type Output = PartAnswer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<PartAnswer> {
        let id = self.id;
        let mut waits = self.caches.waits.borrow_mut();
        if let Some(slot) = waits.slot(id)
            && matches!(slot.state, WaitState::Waiting(_))
        {
            slot.state = WaitState::Waiting(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        let state = waits.close(id);
        drop(waits);
        self.is_done = true;
        match state {
            WaitState::Answered(answer) => Poll::Ready(*answer),
            // Not reached: a wait that is open is waiting or answered.
            WaitState::Free | WaitState::Waiting(_) => Poll::Ready(Answer::TimedOut),
        }
    }
}

impl Drop for CacheWait {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let state = self.caches.waits.borrow_mut().close(self.id);
        match state {
            WaitState::Answered(answer) => {
                self.caches
                    .with_holder(self.cache, |holder, _| give_back(holder, *answer));
            }
            WaitState::Free | WaitState::Waiting(_) => {
                self.caches
                    .with_holder(self.cache, |holder, _| holder.cancel_wait(self.id));
            }
        }
    }
}

/// A load that this task leads. Dropped, the next in line loads.
pub(super) struct LoadGuard {
    caches: Rc<Caches>,
    cache: u16,
    load: Option<LoadId>,
}

impl LoadGuard {
    pub(super) fn new(caches: &Rc<Caches>, cache: u16, load: LoadId) -> Self {
        Self {
            caches: caches.clone(),
            cache,
            load: Some(load),
        }
    }

    pub(super) fn finish(mut self, outcome: Outcome<Payload, Error>) {
        if let Some(load) = self.load.take() {
            self.caches.finish_load(self.cache, load, outcome);
        }
    }
}

impl Drop for LoadGuard {
    fn drop(&mut self) {
        if let Some(load) = self.load.take() {
            self.caches
                .finish_load(self.cache, load, Outcome::Abandoned);
        }
    }
}

/// Write leases that are held. Dropped before the write has begun they go back
/// unused; after that the write is in doubt.
pub(super) struct WriteGuard {
    caches: Rc<Caches>,
    leases: Vec<(u16, WriteId)>,
    has_begun: bool,
}

impl WriteGuard {
    pub(super) fn new(caches: &Rc<Caches>) -> Self {
        Self {
            caches: caches.clone(),
            leases: Vec::new(),
            has_begun: false,
        }
    }

    pub(super) fn add(&mut self, cache: u16, write: WriteId) {
        self.leases.push((cache, write));
    }

    pub(super) fn begin(&mut self) {
        self.has_begun = true;
    }

    /// The write has ended like this, for all its keys.
    pub(super) fn finish(mut self, outcome: &WriteOutcome<Payload>) {
        for (cache, write) in std::mem::take(&mut self.leases) {
            self.caches.finish_write(cache, write, outcome.clone());
        }
    }
}

impl Drop for WriteGuard {
    fn drop(&mut self) {
        for (cache, write) in std::mem::take(&mut self.leases) {
            let outcome = match self.has_begun {
                true => WriteOutcome::InDoubt,
                false => WriteOutcome::Done(None),
            };
            self.caches.finish_write(cache, write, outcome);
        }
    }
}

/// Gives back what came with an answer that nobody waits for any more.
pub(super) fn give_back(holder: &mut PartHolder, answer: PartAnswer) {
    match answer {
        Answer::Lead { load, .. } => holder.finish_load(load, Outcome::Abandoned),
        Answer::Granted(write) => holder.finish_write(write, WriteOutcome::Done(None)),
        _ => {}
    }
}
