//! The generic cell rate algorithm.
//!
//! All that is kept of a key is one moment, the theoretical arrival time (TAT):
//! when the quota will be whole again. Each request moves it on by the emission
//! interval, window / limit, and is let through if it is then no farther ahead
//! than a whole burst. Moments are counted in ticks, of which a nanosecond has
//! as many as the limit says, so that the interval is a whole number of them.

use std::fmt;
use std::time::Duration;

/// How many requests a key may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quota {
    limit: u32,
    burst: u32,
    window_ns: u64,
}

/// When a key's quota will be whole again, in ticks of its quota; zero is a key
/// that was never seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tat(u128);

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaVerdict {
    /// Whether it is let through.
    pub is_allowed: bool,
    /// Requests that would be let through at once after it.
    pub remaining: u32,
    /// Until the quota is whole again.
    pub reset_ns: u64,
    /// Until a request will be let through; 0 when this one was.
    pub retry_after_ns: u64,
}

/// A quota that means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidQuota(&'static str);

/// Longest window: a year, and it fits a microsecond clock of doubles.
const WINDOW_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
const WINDOW_MIN: Duration = Duration::from_millis(1);

impl Quota {
    /// `limit` requests in each `window`, all of them at once if need be: a key
    /// that was quiet has a whole burst of `limit`, then one more every
    /// `window` / `limit`. So no window ever sees more than limit + burst.
    ///
    /// # Errors
    /// [`InvalidQuota`]: a limit of 0; a window under a millisecond or over a
    /// year.
    pub fn new(limit: u32, window: Duration) -> Result<Self, InvalidQuota> {
        if limit == 0 {
            return Err(InvalidQuota("the limit is at least 1"));
        }
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&window) {
            return Err(InvalidQuota("the window is from a millisecond to a year"));
        }
        Ok(Self {
            limit,
            burst: limit,
            // Whole microseconds, which other stores count in.
            window_ns: window.as_micros() as u64 * 1_000,
        })
    }

    /// Lets through `burst` requests at once instead of `limit`.
    ///
    /// # Errors
    /// [`InvalidQuota`]: a burst of 0.
    pub fn with_burst(self, burst: u32) -> Result<Self, InvalidQuota> {
        match burst {
            0 => Err(InvalidQuota("the burst is at least 1")),
            burst => Ok(Self { burst, ..self }),
        }
    }

    /// The equal share of one of `judges` that count each for itself: so much that
    /// all of them together let through about as much as one who counts alone,
    /// and each at least one request.
    #[must_use]
    pub fn share_of(self, judges: u32) -> Self {
        let judges = judges.max(1);
        let window_ns = self.window_ns.saturating_mul(u64::from(judges));
        Self {
            burst: (self.burst / judges).max(1),
            window_ns: window_ns.min(WINDOW_MAX.as_nanos() as u64),
            ..self
        }
    }

    /// Requests in each window.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Requests at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The window.
    pub fn window(&self) -> Duration {
        Duration::from_nanos(self.window_ns)
    }

    /// Judges one request and counts it if it is let through. `now` must not
    /// go back; where it does, the quota comes back that much later.
    pub fn check(&self, tat: &mut Tat, now_ns: u64) -> QuotaVerdict {
        let now = self.ticks(now_ns);
        let whole_again = tat.0.max(now);
        let next = whole_again + self.interval();
        let is_allowed = next - now <= self.capacity();
        if is_allowed {
            *tat = Tat(next);
        }
        let ahead = if is_allowed { next } else { whole_again } - now;
        self.verdict(is_allowed, ahead)
    }

    /// The verdict that leaves a key's TAT this far ahead, told in units of
    /// which a microsecond has as many as the limit says: how a store that
    /// counts microseconds puts it.
    pub fn verdict_at_us(&self, is_allowed: bool, ahead_us: u64, remainder: u64) -> QuotaVerdict {
        let limit = u128::from(self.limit);
        let remainder = u128::from(remainder).min(limit - 1);
        let ahead = u128::from(ahead_us) * limit + remainder;
        self.verdict(is_allowed, ahead * NANOS_PER_MICRO)
    }

    /// Whether nothing need be kept of a key: it is as one never seen.
    pub fn is_whole(&self, tat: Tat, now_ns: u64) -> bool {
        tat.0 <= self.ticks(now_ns)
    }

    fn verdict(&self, is_allowed: bool, ahead: u128) -> QuotaVerdict {
        let free = self.capacity().saturating_sub(ahead);
        let missing = match is_allowed {
            true => 0,
            false => self.interval().saturating_sub(free),
        };
        QuotaVerdict {
            is_allowed,
            remaining: (free / self.interval()) as u32,
            reset_ns: self.nanos(ahead),
            retry_after_ns: self.nanos(missing),
        }
    }

    /// Ticks from one request to the next.
    fn interval(&self) -> u128 {
        u128::from(self.window_ns)
    }

    /// Ticks of a whole burst.
    fn capacity(&self) -> u128 {
        self.interval() * u128::from(self.burst)
    }

    fn ticks(&self, ns: u64) -> u128 {
        u128::from(ns) * u128::from(self.limit)
    }

    /// Rounded up: not a tick too early.
    fn nanos(&self, ticks: u128) -> u64 {
        let ns = ticks.div_ceil(u128::from(self.limit));
        u64::try_from(ns).unwrap_or(u64::MAX)
    }
}

const NANOS_PER_MICRO: u128 = 1_000;

impl fmt::Display for InvalidQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for InvalidQuota {}
