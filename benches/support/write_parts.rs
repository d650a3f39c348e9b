//! CPU of each part of one strict write, with the real state machines of all
//! shards on one thread, every shard holding a copy.
//!
//! Each part is done for many keys in a row and timed as one, so that reading
//! the clock costs nothing; caches are warmer than a shard's are.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use corelane::internals::cache::{CacheKey, Payload};
use corelane::internals::coherence::{
    Answer, FromHome, HolderOutput, Request, ToHome, WaitId, WriteId, WriteMode, WriteOutcome,
};

use super::directory::{Directory, key_of, replica};

const KEYS: u64 = 256;
const ROUNDS: usize = 21;
const HOPS: f64 = 4.0;
/// Wait ids of [`Directory`] stay below.
const WAITS_FROM: u64 = 1 << 32;

/// CPU of one write, ns: medians over rounds.
pub(crate) struct Parts {
    shards: usize,
    /// Asking, being granted, releasing.
    writer: f64,
    /// Of `writer`, up to the grant.
    writer_until_grant: f64,
    /// Request, acks, release.
    home: f64,
    home_until_grant: f64,
    /// Each holder: dropping the copy, and its ack.
    holder: f64,
}

/// Times of one round, for all keys.
#[derive(Default)]
struct Round {
    ask: Duration,
    call_in: Duration,
    drop_copies: Duration,
    acks: Duration,
    granted: Duration,
    release: Duration,
    released: Duration,
}

impl Parts {
    /// Measures with so many shards.
    pub(crate) fn measure(shards: usize) -> Self {
        let keys: Vec<CacheKey> = (0..KEYS).map(key_of).collect();
        let mut directory = Directory::new(shards, 256 << 20);
        let rounds: Vec<Round> = (0..ROUNDS)
            .map(|_| {
                warm(&mut directory, &keys);
                write_all(&mut directory, &keys)
            })
            .collect();
        let median = |part: fn(&Round) -> Duration| -> f64 {
            let mut each: Vec<Duration> = rounds.iter().map(part).collect();
            each.sort();
            each[each.len() / 2].as_nanos() as f64 / KEYS as f64
        };
        let writer_until_grant = median(|r| r.ask) + median(|r| r.granted);
        let home_until_grant = median(|r| r.call_in) + median(|r| r.acks);
        Self {
            shards,
            writer: writer_until_grant + median(|r| r.release),
            writer_until_grant,
            home: home_until_grant + median(|r| r.released),
            home_until_grant,
            holder: median(|r| r.drop_copies) / shards as f64,
        }
    }

    /// What the writer waits for: the lane there, all the home does, one holder
    /// (they work at once), and the lanes between.
    fn latency_ns(&self, hop_ns: f64) -> f64 {
        self.writer_until_grant + self.home_until_grant + self.holder + HOPS * hop_ns
    }

    /// Write, Invalidate and Ack for each, Granted, Released.
    fn messages(&self) -> usize {
        2 * self.shards + 3
    }
}

fn warm(directory: &mut Directory, keys: &[CacheKey]) {
    let shards = directory.homes.len();
    for key in keys {
        for shard in 0..shards {
            directory.read(shard, key, 0, || replica(Payload::of(7_u64), u64::MAX));
        }
    }
}

/// One write of every key, part by part. The writer is the shard after the
/// home, so that nothing is spared by being at home.
fn write_all(directory: &mut Directory, keys: &[CacheKey]) -> Round {
    let shards = directory.homes.len();
    let (homes, holders) = (&mut directory.homes, &mut directory.holders);
    let home_of = |key: &CacheKey| key.as_ref().home(shards);
    let writer_of = |home: usize| (home + 1) % shards;
    let mut round = Round::default();

    let started = Instant::now();
    let mut requests: Vec<(usize, Request<CacheKey>)> = Vec::with_capacity(keys.len());
    for (key, wait) in keys.iter().zip(WAITS_FROM..) {
        let home = home_of(key);
        let writer = &mut holders[writer_of(home)];
        writer.write(key.clone(), home, WriteMode::Exclusive, WaitId(wait), 0);
        if let Some(HolderOutput::Request { to, request }) = writer.poll_output() {
            requests.push((to, request));
        }
    }
    round.ask = started.elapsed();

    let started = Instant::now();
    let mut invalidations = Vec::with_capacity(keys.len() * shards);
    for (home, request) in requests {
        homes[home].on_request(writer_of(home), request, 0);
        while let Some((to, message)) = homes[home].poll_output() {
            invalidations.push((home, to, message));
        }
    }
    round.call_in = started.elapsed();
    assert_eq!(invalidations.len(), keys.len() * shards, "all hold a copy");

    let started = Instant::now();
    let mut acks: Vec<(usize, usize, ToHome<CacheKey, Payload, ()>)> =
        Vec::with_capacity(invalidations.len());
    for (home, shard, message) in invalidations {
        holders[shard].on_message(home, message, 0);
        if let Some(HolderOutput::Message { to, message }) = holders[shard].poll_output() {
            acks.push((shard, to, message));
        }
    }
    round.drop_copies = started.elapsed();

    let started = Instant::now();
    let mut grants: Vec<(usize, usize, FromHome<CacheKey, Payload, ()>)> =
        Vec::with_capacity(keys.len());
    for (shard, home, message) in acks {
        homes[home].on_message(shard, message, 0);
        while let Some((to, message)) = homes[home].poll_output() {
            grants.push((home, to, message));
        }
    }
    round.acks = started.elapsed();
    assert_eq!(grants.len(), keys.len(), "each write is granted");
    finish(directory, grants, &mut round);
    round
}

/// The second half of [`write_all`]: from the grants to the releases.
fn finish(
    directory: &mut Directory,
    grants: Vec<(usize, usize, FromHome<CacheKey, Payload, ()>)>,
    round: &mut Round,
) {
    let (homes, holders) = (&mut directory.homes, &mut directory.holders);
    let started = Instant::now();
    let mut writes: Vec<(usize, WriteId)> = Vec::with_capacity(grants.len());
    for (home, writer, message) in grants {
        holders[writer].on_message(home, message, 0);
        if let Some(HolderOutput::Answer { answer, .. }) = holders[writer].poll_output()
            && let Answer::Granted(write) = answer
        {
            writes.push((writer, write));
        }
    }
    round.granted = started.elapsed();

    let started = Instant::now();
    let mut releases = Vec::with_capacity(writes.len());
    for (writer, write) in writes {
        holders[writer].finish_write(write, WriteOutcome::Done(None));
        if let Some(HolderOutput::Message { to, message }) = holders[writer].poll_output() {
            releases.push((writer, to, message));
        }
    }
    round.release = started.elapsed();

    let started = Instant::now();
    for (writer, home, message) in releases {
        homes[home].on_message(writer, message, 0);
    }
    round.released = started.elapsed();
}

/// The table, with a hop of so many ns.
pub(crate) fn describe(parts: &[Parts], hop_ns: f64) -> String {
    let mut text = format!(
        "## Simulated\n\nAll shards hold a copy, writer and home among them, the writer not being \
         the home. CPU of the state machines for one write, ns; lanes and wake-ups are in the hop, \
         {hop_ns:.0} ns. On the way to the grant are 4 hops: Write, Invalidate, Ack, Granted; the \
         release is not waited for. Wait = writer and home until the grant + one holder + 4 hops.\n\n\
         | shards | messages | writer | home | each holder | until the grant: writer | home | \
         4 hops | wait |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for part in parts {
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
            part.shards,
            part.messages(),
            part.writer,
            part.home,
            part.holder,
            part.writer_until_grant,
            part.home_until_grant,
            HOPS * hop_ns,
            part.latency_ns(hop_ns)
        );
    }
    text
}

/// The table without the model.
pub(crate) fn raw_csv(parts: &[Parts]) -> String {
    let mut csv = String::from(
        "shards,writer_ns,writer_until_grant_ns,home_ns,home_until_grant_ns,holder_ns\n",
    );
    for part in parts {
        let _ = writeln!(
            csv,
            "{},{:.1},{:.1},{:.1},{:.1},{:.1}",
            part.shards,
            part.writer,
            part.writer_until_grant,
            part.home,
            part.home_until_grant,
            part.holder
        );
    }
    csv
}
