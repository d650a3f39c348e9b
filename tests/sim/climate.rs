//! What a run is like: drawn from its seed, then fixed.

use fastrand::Rng;

/// One run's parameters. Times are in microseconds of virtual time, but for
/// those the protocol takes in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Climate {
    pub(crate) shards: usize,
    pub(crate) keys: usize,
    pub(crate) clients_per_shard: usize,
    /// Operations after which no more begin.
    pub(crate) operations: u64,
    pub(crate) copies_max: usize,
    pub(crate) directory_max: usize,
    /// The slowest lane; each lane draws its own from below.
    pub(crate) lane_delay_us: u64,
    /// Lanes hold one message: more wait with their sender, which takes no
    /// requests meanwhile.
    pub(crate) has_tight_lanes: bool,
    /// Requests that wait in a lane; more are refused. None: any number.
    pub(crate) requests_max: Option<usize>,
    /// Each half of a load, and of a write.
    pub(crate) load_us: u64,
    pub(crate) write_us: u64,
    pub(crate) think_us: u64,
    pub(crate) fresh_ms: u64,
    /// How long after that a copy may be served; 0 for not at all.
    pub(crate) stale_ms: u64,
    pub(crate) error_ms: u64,
    pub(crate) doubt_ms: u64,
    /// None: nobody gives up waiting.
    pub(crate) wait_max_ms: Option<u64>,
    /// Mean time between deaths; None: nobody dies.
    pub(crate) death_us: Option<u64>,
    pub(crate) restart_us: u64,
    /// Operations that are dropped midway, of 256.
    pub(crate) drops: u8,
    /// Loads and writes that fail, of 256.
    pub(crate) faults: u8,
    /// Writes, of 256 operations, and of the rest what is no read.
    pub(crate) writes: u8,
    pub(crate) chores: u8,
}

impl Climate {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let sometimes = |rng: &mut Rng, times: u8, of: u8| rng.u8(..of) < times;
        let stale_ms = if rng.bool() { rng.u64(5..200) } else { 0 };
        let error_ms = if rng.bool() { rng.u64(5..400) } else { 0 };
        let has_deaths = sometimes(rng, 1, 2);
        let has_patience = sometimes(rng, 1, 3);
        let is_calm = sometimes(rng, 1, 3);
        let climate = Self {
            shards: rng.usize(2..=8),
            keys: rng.usize(1..=6),
            clients_per_shard: rng.usize(1..=4),
            operations: rng.u64(500..4_000),
            copies_max: rng.usize(0..=7),
            directory_max: rng.usize(0..=5),
            lane_delay_us: pick(rng, &[100, 1_000, 5_000, 30_000]),
            has_tight_lanes: sometimes(rng, 1, 3),
            requests_max: sometimes(rng, 1, 6).then(|| rng.usize(1..4)),
            load_us: pick(rng, &[200, 2_000, 20_000, 100_000]),
            write_us: pick(rng, &[200, 2_000, 20_000, 100_000]),
            think_us: pick(rng, &[100, 1_000, 10_000]),
            fresh_ms: pick(rng, &[3, 30, 300, 1_000_000]),
            stale_ms,
            error_ms,
            doubt_ms: rng.u64(5..200),
            wait_max_ms: (!has_patience).then(|| rng.u64(5..200)),
            death_us: has_deaths.then(|| pick(rng, &[20_000, 100_000, 500_000])),
            restart_us: pick(rng, &[1_000, 20_000, 100_000]),
            drops: if is_calm { 0 } else { rng.u8(1..40) },
            faults: if is_calm { 0 } else { rng.u8(1..60) },
            writes: rng.u8(1..80),
            chores: rng.u8(0..30),
        };
        match sometimes(rng, 1, 2) {
            true => climate.with_storm(rng),
            false => climate,
        }
    }

    /// Few shards that die again and again, quick loads, and writes that
    /// outlive the homes that granted them.
    fn with_storm(self, rng: &mut Rng) -> Self {
        Self {
            shards: rng.usize(2..=4),
            keys: rng.usize(1..=3),
            clients_per_shard: rng.usize(2..=5),
            lane_delay_us: pick(rng, &[100, 1_000]),
            load_us: pick(rng, &[200, 1_000]),
            write_us: pick(rng, &[10_000, 30_000, 100_000]),
            think_us: pick(rng, &[300, 3_000]),
            fresh_ms: 1_000_000,
            doubt_ms: rng.u64(10..60),
            death_us: Some(pick(rng, &[10_000, 30_000, 60_000])),
            restart_us: pick(rng, &[1_000, 5_000, 20_000]),
            drops: rng.u8(0..10),
            faults: rng.u8(0..60),
            ..self
        }
    }
}

fn pick(rng: &mut Rng, of: &[u64]) -> u64 {
    of[rng.usize(..of.len())]
}
