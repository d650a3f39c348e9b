//! What a shard has to compress with: encoders to use again, places for the
//! bodies under way, and the compressed forms of what its caches hold.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::app::{PreparedResponse, ShardPart, SharedResponse};
use crate::compression::GzipEncoder;
use crate::engine;
use crate::limits::{
    COMPRESS_ENCODERS_KEPT_MAX, COMPRESS_INLINE_BYTES_MAX, COMPRESS_JOBS_MAX, COMPRESS_KEPT_BYTES,
    COMPRESS_STREAMS_MAX,
};
use crate::metrics::{CompressionCounters, ShardSnapshot};

/// One shard's.
pub(crate) struct ShardCompression {
    /// At rest, of whatever levels were asked for.
    encoders: RefCell<Vec<GzipEncoder>>,
    /// Bodies on the computing threads.
    jobs: Cell<usize>,
    streams: Cell<usize>,
    /// Bytes compressed here since others had a turn.
    since_turn: Cell<usize>,
    kept: RefCell<Cache<KeptKey, KeptPair, PairWeight>>,
    counters: Cell<CompressionCounters>,
    is_used: Cell<bool>,
}

/// The cached object by its address, and the level. An entry holds what it is
/// the compressed form of, so no other object can have that address.
type KeptKey = (usize, u8);

struct KeptPair {
    /// See [`KeptKey`].
    _plain: SharedResponse,
    coded: Rc<PreparedResponse>,
    bytes: u64,
}

#[derive(Clone)]
struct PairWeight;

impl Weighter<KeptKey, KeptPair> for PairWeight {
    fn weight(&self, _: &KeptKey, kept: &KeptPair) -> u64 {
        kept.bytes
    }
}

/// Of a typical pair of bodies, for the first size of the tables; they grow.
const KEPT_BYTES_TYPICAL: u64 = 8 * 1024;

impl ShardCompression {
    /// Goes on from what a predecessor counted.
    pub(crate) fn resume(died: Option<&ShardSnapshot>) -> Rc<Self> {
        let before = died.and_then(|died| died.compression);
        let pairs = (COMPRESS_KEPT_BYTES / KEPT_BYTES_TYPICAL) as usize;
        Rc::new(Self {
            encoders: RefCell::default(),
            jobs: Cell::new(0),
            streams: Cell::new(0),
            since_turn: Cell::new(0),
            kept: RefCell::new(Cache::with_weighter(pairs, COMPRESS_KEPT_BYTES, PairWeight)),
            counters: Cell::new(before.unwrap_or_default()),
            is_used: Cell::new(before.is_some()),
        })
    }

    pub(super) fn note_use(&self) {
        self.is_used.set(true);
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut CompressionCounters)) {
        let mut counters = self.counters.get();
        count(&mut counters);
        self.counters.set(counters);
    }

    /// Compresses a body: a short one here, a long one on a computing thread.
    /// `None` when it is to be sent as it is: it would not get shorter, or too
    /// many long ones are under way.
    pub(super) async fn encode(self: &Rc<Self>, level: u8, plain: Bytes) -> Option<Vec<u8>> {
        let plain_bytes = plain.len();
        let coded = match plain_bytes <= COMPRESS_INLINE_BYTES_MAX {
            true => {
                self.make_way(plain_bytes).await;
                let mut encoder = self.take_encoder(level);
                let coded = encoder.encode(&plain);
                self.put_back(encoder);
                coded
            }
            false => self.encode_elsewhere(level, plain).await?,
        };
        let coded = coded.ok().filter(|coded| coded.len() < plain_bytes)?;
        self.count(|counters| {
            counters.answers += 1;
            counters.plain_bytes += plain_bytes as u64;
            counters.coded_bytes += coded.len() as u64;
        });
        Some(coded)
    }

    /// Lets others have a turn when so much was compressed since the last.
    async fn make_way(&self, bytes: usize) {
        let since = self.since_turn.get() + bytes;
        self.since_turn.set(since);
        if since > COMPRESS_INLINE_BYTES_MAX {
            self.since_turn.set(bytes);
            engine::yield_now().await;
        }
    }

    async fn encode_elsewhere(
        self: &Rc<Self>,
        level: u8,
        plain: Bytes,
    ) -> Option<Result<Vec<u8>, crate::compression::GzipError>> {
        let _permit = CompressionPermit::take(self, PermitKind::Job)?;
        let mut encoder = self.take_encoder(level);
        let job = engine::compute(move || {
            let coded = encoder.encode(&plain);
            (encoder, coded)
        });
        let done = job.await;
        if done.is_err() {
            self.count(|counters| counters.busy += 1);
        }
        let (encoder, coded) = done.ok()?;
        self.put_back(encoder);
        Some(coded)
    }

    pub(super) fn start_stream(self: &Rc<Self>, level: u8) -> Option<StreamPlace> {
        let permit = CompressionPermit::take(self, PermitKind::Stream)?;
        self.count(|counters| counters.answers += 1);
        Some(StreamPlace {
            permit,
            level,
            encoder: None,
        })
    }

    /// The compressed form of exactly this object.
    pub(super) fn find(&self, plain: &SharedResponse, level: u8) -> Option<Rc<PreparedResponse>> {
        let kept = self.kept.borrow();
        let coded = kept.get(&(address_of(plain), level))?.coded.clone();
        self.count(|counters| counters.reused += 1);
        Some(coded)
    }

    pub(super) fn keep(&self, plain: SharedResponse, level: u8, coded: Rc<PreparedResponse>) {
        let bytes = plain.weight_bytes() + coded.weight_bytes() + size_of::<(KeptKey, KeptPair)>();
        let key = (address_of(&plain), level);
        let kept = KeptPair {
            _plain: plain,
            coded,
            bytes: bytes as u64,
        };
        self.kept.borrow_mut().insert(key, kept);
    }

    fn take_encoder(&self, level: u8) -> GzipEncoder {
        let mut encoders = self.encoders.borrow_mut();
        let of_level = encoders.iter().position(|encoder| encoder.level() == level);
        match of_level {
            Some(index) => encoders.swap_remove(index),
            None => GzipEncoder::new(level),
        }
    }

    fn put_back(&self, mut encoder: GzipEncoder) {
        encoder.reset();
        let mut encoders = self.encoders.borrow_mut();
        if encoders.len() == COMPRESS_ENCODERS_KEPT_MAX {
            // Not this one: its level was wanted last.
            encoders.remove(0);
        }
        encoders.push(encoder);
    }
}

fn address_of(response: &SharedResponse) -> usize {
    std::ptr::from_ref::<PreparedResponse>(response).addr()
}

impl ShardPart for ShardCompression {
    /// Nothing before the first request that came through the middleware.
    fn count(&self, snapshot: &mut ShardSnapshot) {
        snapshot.compression = self.is_used.get().then(|| self.counters.get());
    }
}

/// One of the bodies that may be under way; given back when it is dropped.
struct CompressionPermit {
    shard: Rc<ShardCompression>,
    kind: PermitKind,
}

#[derive(Clone, Copy)]
enum PermitKind {
    Job,
    Stream,
}

impl CompressionPermit {
    fn take(shard: &Rc<ShardCompression>, kind: PermitKind) -> Option<Self> {
        let (taken, max) = kind.of(shard);
        if taken.get() >= max {
            shard.count(|counters| counters.busy += 1);
            return None;
        }
        taken.set(taken.get() + 1);
        let shard = shard.clone();
        Some(Self { shard, kind })
    }
}

impl PermitKind {
    fn of(self, shard: &ShardCompression) -> (&Cell<usize>, usize) {
        match self {
            Self::Job => (&shard.jobs, COMPRESS_JOBS_MAX),
            Self::Stream => (&shard.streams, COMPRESS_STREAMS_MAX),
        }
    }
}

impl Drop for CompressionPermit {
    fn drop(&mut self) {
        let (taken, _) = self.kind.of(&self.shard);
        taken.set(taken.get() - 1);
    }
}

/// The permit of a stream, and its encoder once it has begun: the stream of a
/// HEAD never does.
pub(super) struct StreamPlace {
    permit: CompressionPermit,
    level: u8,
    encoder: Option<GzipEncoder>,
}

impl StreamPlace {
    pub(super) fn shard(&self) -> &ShardCompression {
        &self.permit.shard
    }

    pub(super) fn encoder(&mut self) -> &mut GzipEncoder {
        let (shard, level) = (&self.permit.shard, self.level);
        self.encoder
            .get_or_insert_with(|| shard.take_encoder(level))
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        if let Some(encoder) = self.encoder.take() {
            self.permit.shard.put_back(encoder);
        }
    }
}
