//! The limiter that all nodes have in common: the algorithm of `rate_limit` as
//! one script in Redis, which has the only clock that counts.
//!
//! What is kept of a key is its moment in microseconds of the server's clock and
//! a remainder in parts of the limit, so that nothing drifts and every number
//! fits the script's doubles. A key expires when its quota is whole. A moment
//! further away than a burst is of another clock, one that was set back or whose
//! server has failed over: it counts as none, else it would shut a client out
//! for as long. Keys are hashes: a header may be a secret.

use ::redis::Script;
use sha2::{Digest, Sha256};

use super::LimiterRule;
use crate::rate_limit::{Quota, QuotaVerdict};
use crate::redis::{Redis, RedisFault};

/// KEYS: the key. ARGV: what one request takes and what a whole burst is, each
/// in microseconds and parts, and the parts of a microsecond. Gives back
/// whether it is let through, and how far ahead the key is then.
const SCRIPT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local step, step_rest = tonumber(ARGV[1]), tonumber(ARGV[2])
local burst, burst_rest = tonumber(ARGV[3]), tonumber(ARGV[4])
local parts = tonumber(ARGV[5])
local tat, rest = now, 0
local kept = redis.call('GET', KEYS[1])
if kept then
    local kept_tat, kept_rest = string.match(kept, '^(%d+) (%d+)$')
    kept_tat, kept_rest = tonumber(kept_tat), tonumber(kept_rest)
    if kept_tat and kept_tat >= now and kept_tat <= now + burst + 1 then
        tat, rest = kept_tat, kept_rest
    end
end
local next, next_rest = tat + step, rest + step_rest
if next_rest >= parts then
    next, next_rest = next + 1, next_rest - parts
end
local ahead = next - now
if ahead > burst or (ahead == burst and next_rest > burst_rest) then
    return {0, tat - now, rest}
end
redis.call('SET', KEYS[1], string.format('%.0f %.0f', next, next_rest),
    'PX', string.format('%.0f', math.ceil(ahead / 1000) + 1))
return {1, ahead, next_rest}
";

/// The script, with its hash.
pub(super) struct SharedLimiter {
    redis: Redis,
    script: Script,
}

impl SharedLimiter {
    pub(super) fn new(redis: Redis) -> Self {
        Self {
            redis,
            script: Script::new(SCRIPT),
        }
    }

    /// Judges one request, for all nodes.
    pub(super) async fn check(
        &self,
        rule: &LimiterRule,
        key: &[u8],
    ) -> Result<QuotaVerdict, RedisFault> {
        let quota = &rule.quota;
        let numbers = numbers(quota).map(|number| number.to_string());
        let arguments = numbers.each_ref().map(|number| number.as_bytes());
        let name = redis_key(rule, key);
        let keys = [name.as_bytes()];
        let answer = self.redis.script(&self.script, &keys, &arguments);
        let (is_allowed, ahead_us, rest): (u8, u64, u64) = answer.await?;
        Ok(quota.verdict_at_us(is_allowed == 1, ahead_us, rest))
    }
}

/// The interval and the burst, in microseconds and parts of them, and how many
/// parts a microsecond has.
fn numbers(quota: &Quota) -> [u128; 5] {
    let parts = u128::from(quota.limit());
    let interval = quota.window().as_micros();
    let burst = interval * u128::from(quota.burst());
    [
        interval / parts,
        interval % parts,
        burst / parts,
        burst % parts,
        parts,
    ]
}

/// Rules that differ in name, quota or place have keys of their own.
fn redis_key(rule: &LimiterRule, key: &[u8]) -> String {
    let hash = Sha256::digest(key);
    let mut half = [0; 16];
    half.copy_from_slice(&hash[..16]);
    let hash = u128::from_be_bytes(half);
    format!("corelane:rate_limit:{:016x}:{hash:032x}", rule.identity)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_number_of_the_script_is_rounded() {
        const EXACT: u128 = 1 << 53;
        // Today and a quota of a year at its largest burst.
        let year = Duration::from_secs(366 * 24 * 3_600);
        let quota = Quota::new(1, year).unwrap();
        let now_us: u128 = 4_000_000_000_000_000;
        let [interval, _, burst, _, _] = numbers(&quota);
        assert!(now_us + interval + burst < EXACT);
        let quota = Quota::new(7, Duration::from_secs(1)).unwrap();
        assert_eq!(numbers(&quota), [142_857, 1, 1_000_000, 0, 7]);
    }

    #[test]
    fn what_a_key_is_cannot_be_read_from_redis() {
        let quota = Quota::new(1, Duration::from_secs(1)).unwrap();
        let rule = LimiterRule::new("api", "", quota);
        let key = redis_key(&rule, b"secret");
        assert!(!key.contains("secret"), "{key}");
        let other = LimiterRule::new("api", "", quota.with_burst(2).unwrap());
        assert_ne!(redis_key(&other, b"secret"), key);
        assert_ne!(redis_key(&rule, b"secret2"), key);
    }
}
