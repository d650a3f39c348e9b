//! Spinning before parking: while requests keep coming, the shard polls its
//! reactor instead of sleeping in it. Costs a busy core; buys the wake-up
//! latency. Off unless the core map says so.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::engine;
use crate::engine::LocalEvent;
use crate::peers::Peers;

/// When the shard was last busy, and for how long to spin after that.
pub(super) struct Spin {
    window: Duration,
    last_busy: Cell<Instant>,
    spinning: Cell<bool>,
    woken: LocalEvent,
}

impl Spin {
    pub(super) fn new(spin_us: u32) -> Self {
        Self {
            window: Duration::from_micros(spin_us.into()),
            last_busy: Cell::new(Instant::now()),
            spinning: Cell::new(false),
            woken: LocalEvent::default(),
        }
    }

    pub(super) fn is_on(&self) -> bool {
        !self.window.is_zero()
    }

    /// Notes that something happened at `now`.
    pub(super) fn note_busy(&self, now: Instant) {
        if self.is_on() {
            self.last_busy.set(now);
            if !self.spinning.get() {
                self.woken.notify();
            }
        }
    }
}

/// Keeps the reactor polling, fairly, for the spin window after the last
/// request; sleeps otherwise. Does not keep its shard alive.
pub(super) async fn spin_while_busy(spin: Rc<Spin>, peers: Rc<Peers>) {
    loop {
        spin.woken.wait().await;
        spin.spinning.set(true);
        peers.stay_awake(true);
        let until = Instant::now() + TIMERS_EVERY;
        while spin.last_busy.get().elapsed() < spin.window && Instant::now() < until {
            engine::yield_now().await;
        }
        peers.stay_awake(false);
        if Instant::now() >= until {
            // The reactor looks at its timers only when it parks.
            engine::sleep(Duration::from_millis(1)).await;
            spin.woken.notify();
        }
        spin.spinning.set(false);
    }
}

/// How long timers may wait for a shard that spins: the sweep, which ends what
/// takes too long, is one of them.
const TIMERS_EVERY: Duration = Duration::from_millis(100);
