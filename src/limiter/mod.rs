//! One shard's part in limiting rates: it judges the keys that are at home
//! here (`rate_limit`) and asks the home of the others, as a service of `peers`;
//! or, where there is a Redis, the one that all nodes have together.
//!
//! A key's state is on its home shard alone, so what all shards let through
//! together is exact. Where the home cannot judge in time, because it is dead or
//! busy or too much waits, the shard that has the request does in its place, by its
//! fair share of the quota: a judge who is late takes neither the service with it
//! nor the limit.

mod peer_limiter;
mod refusals;
#[cfg_attr(not(feature = "redis"), path = "shared_absent.rs")]
mod shared;
mod stats;

pub(crate) use peer_limiter::PeerLimiter;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::engine;
use crate::limits::{LIMITER_ANSWER_MS, LIMITER_KEYS_MAX, LIMITER_SWEEP_KEYS};
use crate::metrics::LimiterSnapshot;
use crate::peers::{LimitMessage, PeerMessage, Peers};
use crate::rate_limit::{KeyHash, Quota, QuotaVerdict};
use crate::redis::Redis;

use refusals::Refusals;
use shared::SharedLimiter;
use stats::RuleCounts;

/// What is limited by and where, for all rules of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimiterOptions {
    /// Keys that each shard remembers; about 150 bytes each. One more, and the
    /// key used longest ago is forgotten: its client has a whole burst again.
    pub keys_max: usize,
    /// IPv6 addresses with the same first bits are one client, 1 to 128. A
    /// subscriber has a /64 at least, and may use any address in it.
    pub ipv6_prefix_bits: u8,
    /// Count in the app's Redis, where there is one, for all nodes together;
    /// each process for itself while it does not answer.
    pub redis: bool,
}

impl Default for LimiterOptions {
    fn default() -> Self {
        Self {
            keys_max: LIMITER_KEYS_MAX,
            ipv6_prefix_bits: 64,
            redis: true,
        }
    }
}

/// What the limiters of all shards of a process have in common.
#[derive(Debug, Clone)]
pub(crate) struct LimiterPlan {
    pub(crate) options: LimiterOptions,
    /// Nobody outside can guess which keys share anything.
    pub(crate) seed: u64,
    /// Zero of the time scale that all shards share.
    pub(crate) origin: Instant,
}

/// A rule as the limiter knows it. Rules of the same name and quota are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LimiterRule {
    pub(crate) name: Arc<str>,
    pub(crate) quota: Quota,
    /// Tells its keys from those of other rules.
    identity: u64,
}

impl LimiterRule {
    /// `identity` tells it from rules of the same name; it must be the same on
    /// every node.
    pub(crate) fn new(name: &str, identity: &str, quota: Quota) -> Self {
        let window_ms = quota.window().as_millis();
        let (limit, burst) = (quota.limit(), quota.burst());
        let text = format!("{identity}\n{name}\n{limit}/{window_ms} {burst}");
        Self {
            name: name.into(),
            quota,
            identity: xxh3_64_with_seed(text.as_bytes(), 0),
        }
    }
}

/// What became of a request, and who said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) verdict: QuotaVerdict,
    /// Else of a shard that stood in for the home, and knows only its own share.
    pub(crate) is_of_home: bool,
}

/// One shard's limiter. Never leaves it.
pub(crate) struct Limiter {
    me: usize,
    shards: usize,
    plan: LimiterPlan,
    peer_limiter: Rc<PeerLimiter>,
    peers: Rc<Peers>,
    shared: Option<SharedLimiter>,
    refusals: RefCell<Refusals>,
    counts: RefCell<RuleCounts>,
}

impl Limiter {
    /// That of shard `me` of `shards`, over the part that `peers` brings
    /// messages to.
    pub(crate) fn new(
        plan: LimiterPlan,
        (me, shards): (usize, usize),
        peer_limiter: Rc<PeerLimiter>,
        peers: Rc<Peers>,
        redis: Option<Redis>,
        inherited: LimiterSnapshot,
    ) -> Self {
        let redis = redis.filter(|_| plan.options.redis);
        Self {
            shared: redis.map(SharedLimiter::new),
            me,
            shards,
            plan,
            peer_limiter,
            peers,
            refusals: RefCell::default(),
            counts: RefCell::new(RuleCounts::resume(inherited)),
        }
    }

    pub(crate) fn options(&self) -> &LimiterOptions {
        &self.plan.options
    }

    /// Judges one request of `key` and counts it if it is let through.
    pub(crate) async fn check(&self, rule: &LimiterRule, key: &[u8]) -> Judgement {
        let hash = self.hash(rule, key);
        let now_ns = self.peer_limiter.now_ns();
        let refused = self.refusals.borrow().find(hash, now_ns);
        let judged = match refused {
            Some(refused) => Some(refused),
            None => self.judge(rule, key, hash, now_ns).await,
        };
        let judgement = match judged {
            Some(verdict) => Judgement {
                verdict,
                is_of_home: true,
            },
            None => self.stand_in(&rule.quota, hash),
        };
        self.counts.borrow_mut().count(&rule.name, &judgement);
        judgement
    }

    /// In the place of the key's home, which is another shard: nothing else has
    /// this key here. Not remembered, so that the home is asked again.
    fn stand_in(&self, quota: &Quota, hash: KeyHash) -> Judgement {
        let share = quota.share_of(self.shards as u32);
        let now_ns = self.peer_limiter.now_ns();
        Judgement {
            verdict: self.peer_limiter.judge(hash, &share, now_ns),
            is_of_home: false,
        }
    }

    async fn judge(
        &self,
        rule: &LimiterRule,
        key: &[u8],
        hash: KeyHash,
        now_ns: u64,
    ) -> Option<QuotaVerdict> {
        if let Some(shared) = &self.shared {
            match shared.check(rule, key).await {
                Ok(verdict) => return Some(self.remember(hash, verdict)),
                Err(_) => self.counts.borrow_mut().of(&rule.name).fallbacks += 1,
            }
        }
        match self.home_of(hash) {
            home if home == self.me => Some(self.peer_limiter.judge(hash, &rule.quota, now_ns)),
            home => self.ask(home, hash, &rule.quota).await,
        }
    }

    /// The verdict of another shard; `None` when it has none in time.
    async fn ask(&self, home: usize, key: KeyHash, quota: &Quota) -> Option<QuotaVerdict> {
        let wait = self.peer_limiter.open_wait(home)?;
        let ask = LimitMessage::ask(wait.ticket(), key, *quota);
        let ask = PeerMessage::Limit(ask);
        let sent = self.peers.send(|lanes| lanes.send_request(home, ask));
        sent.ok()?;
        let patience = Duration::from_millis(LIMITER_ANSWER_MS);
        let verdict = engine::timeout(patience, wait).await.ok()??;
        Some(self.remember(key, verdict))
    }

    /// Until a refusal ends nobody need be asked again.
    fn remember(&self, key: KeyHash, verdict: QuotaVerdict) -> QuotaVerdict {
        if !verdict.is_allowed {
            let now_ns = self.peer_limiter.now_ns();
            self.refusals.borrow_mut().keep(key, &verdict, now_ns);
        }
        verdict
    }

    /// Forgets keys whose quota is whole. Once a second or so.
    pub(crate) fn sweep(&self) {
        self.peer_limiter.sweep(LIMITER_SWEEP_KEYS);
    }

    /// This shard's numbers.
    pub(crate) fn snapshot(&self) -> LimiterSnapshot {
        let (keys, evicted) = self.peer_limiter.keys();
        self.counts.borrow().snapshot(keys, evicted)
    }

    fn hash(&self, rule: &LimiterRule, key: &[u8]) -> KeyHash {
        KeyHash(xxh3_128_with_seed(key, rule.identity ^ self.plan.seed))
    }

    fn home_of(&self, key: KeyHash) -> usize {
        // The lower half places it in the home's table.
        ((key.0 >> 64) as u64 % self.shards as u64) as usize
    }
}
