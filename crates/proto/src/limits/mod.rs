//! Every limit of the library in one place, with its unit in its name.
//!
//! A queue, buffer or wait without a line here does not exist. Values that an
//! operator may change are defaults of the matching `Options` and have a key
//! in `tuning/server.toml`; the others are structural.

mod announce;
mod postgres;

pub use announce::*;
pub use postgres::*;

/// Limits of one HTTP/1.1 connection and of one shard's set of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// Request line and header section together, bytes. Over it: 431 (414
    /// when the request line alone is over it).
    pub head_bytes_max: usize,
    /// Header fields per request. Over it: 431.
    pub headers_max: usize,
    /// Request body, bytes after chunked decoding. Over it: 413. A route may
    /// set its own.
    pub body_bytes_max: u64,
    /// An idle keep-alive connection is closed after this long.
    pub idle_timeout_ms: u64,
    /// The whole head must have arrived this long after its first byte
    /// (or after accept). Over it: 408 and close.
    pub head_timeout_ms: u64,
    /// A body must arrive at this rate, measured over `body_rate_grace_ms`
    /// and longer. Under it: the connection is closed.
    pub body_rate_min_bytes_per_s: u64,
    /// Grace before the body rate is judged.
    pub body_rate_grace_ms: u64,
    /// A response write that makes no progress for this long ends its
    /// connection. What the client takes out of the socket's buffer at
    /// `body_rate_min_bytes_per_s` or faster is progress.
    pub write_stall_timeout_ms: u64,
    /// Connections per shard. Over it: 503 with Retry-After, then close.
    pub connections_per_shard_max: usize,
    /// Connections that may wait to be accepted, per shard; the kernel caps it
    /// at `net.core.somaxconn`.
    pub backlog: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 * KIB,
            headers_max: 100,
            body_bytes_max: 1024 * KIB as u64,
            idle_timeout_ms: 75_000,
            head_timeout_ms: 10_000,
            body_rate_min_bytes_per_s: 240,
            body_rate_grace_ms: 5_000,
            write_stall_timeout_ms: 30_000,
            connections_per_shard_max: 65_536,
            backlog: 4_096,
        }
    }
}

const KIB: usize = 1024;

/// Longest request method, bytes. Over it: 501, since no server knows it.
pub const METHOD_BYTES_MAX: usize = 32;
/// Empty lines tolerated before a request line (RFC 9112 section 2.2); they
/// count towards the head's bytes.
pub const EMPTY_LINES_MAX: u8 = 1;
/// What an idle connection's head storage may keep, bytes.
pub const HEAD_KEEP_BYTES: usize = KIB;
/// Extensions of one chunk, bytes. Over it: 400.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 256;
/// Extensions of all chunks of one body, bytes. Over it: 400.
pub const CHUNK_EXTENSIONS_BYTES_MAX: usize = 4 * KIB;
/// Trailer section of a chunked body, bytes; it is checked and dropped.
/// Over it: 431.
pub const TRAILER_BYTES_MAX: usize = 16 * KIB;
/// Trailer fields of a chunked body. Over it: 431.
pub const TRAILERS_MAX: usize = 100;
/// Parameters of one route pattern. Over it: refused at start.
pub const ROUTE_PARAMS_MAX: usize = 8;

/// Shown in the access log of a request line that was refused, bytes.
pub const REFUSED_LINE_BYTES_MAX: usize = KIB;
/// First read buffer of a connection: what an idle keep-alive connection pins.
pub const READ_BUFFER_SMALL_BYTES: usize = KIB;
/// Read buffer of a connection whose requests do not fit the small one; it too
/// waits in the read.
pub const READ_BUFFER_MEDIUM_BYTES: usize = 4 * KIB;
/// Read buffer of a connection that fills the medium one; never held while
/// idle.
pub const READ_BUFFER_LARGE_BYTES: usize = 32 * KIB;
/// What is received at once from a database or Redis, per connection.
pub const CLIENT_READ_BUFFER_BYTES: usize = 16 * KIB;
/// What waits to be sent to a database or Redis, per connection; over it the
/// sender waits.
pub const CLIENT_WRITE_BUFFER_BYTES: usize = 64 * KIB;
/// Responses collected for one write; over it the connection writes early.
pub const WRITE_BATCH_BYTES: usize = 64 * KIB;
/// A body up to this size is copied behind its head and sent with it; a longer
/// one is sent from where it is, in a write of its own. Cached static files
/// over it are kept in sealed pages, a descriptor each, and not copied at all.
pub const WRITE_COPY_BYTES_MAX: usize = 32 * KIB;
/// Sent by one sendfile call before the other tasks of the shard get a turn.
pub const SENDFILE_BYTES_MAX: usize = 1024 * KIB;
/// A connection's output buffer at first: a short answer, so that it need not
/// grow to it in steps.
pub const WRITE_BUFFER_FIRST_BYTES: usize = 384;
/// A connection's output buffer is given back when it has grown over this.
pub const WRITE_BUFFER_KEEP_BYTES: usize = 16 * KIB;
/// An unread request body up to this size is read and dropped so that the
/// connection can go on; a longer one closes it.
pub const BODY_DRAIN_BYTES_MAX: u64 = 64 * KIB as u64;
/// How long the end of the process waits for the access log to be written.
pub const LOG_CLOSE_TIMEOUT_MS: u64 = 2_000;
/// How long the end of the process waits for what it says last on stderr, which
/// nobody may read.
pub const LAST_WORDS_MS: u64 = 200;
/// How long after the drain timeout the process waits for a shard that does
/// not end, because a handler blocks its thread; then it ends without it.
pub const DRAIN_OVERDUE_MS: u64 = 2_000;
/// How long what an app does at shutdown has at least, also when connections
/// took the whole drain timeout.
pub const SHUTDOWN_MS_MIN: u64 = 500;
/// How long what an app does at the end of a shard may take.
pub const SHARD_END_MS_MAX: u64 = 2_000;
/// How long the process waits, after all shards have drained or were given up,
/// for what the app does at shutdown, the end of the first shard, and that of
/// the others; and half a second for what each closes.
pub const DRAIN_END_MS: u64 = SHUTDOWN_MS_MIN + 2 * SHARD_END_MS_MAX + 500;
/// How often a shard whose inbox is full is told again to drain.
pub const DRAIN_RETRY_MS: u64 = 50;
/// Requests served in one go before the other tasks of the shard get a turn.
pub const REQUESTS_PER_TURN_MAX: u32 = 64;
/// Chunks of one response stream sent in one go before the other tasks of the
/// shard get a turn.
pub const CHUNKS_PER_TURN_MAX: u32 = 16;
/// Reads of one request body in one go before the other tasks of the shard get
/// a turn.
pub const BODY_READS_PER_TURN_MAX: u32 = 16;
/// Accepts that a listener has in flight under io_uring: connections
/// taken in one turn of the shard, however many wait.
pub const ACCEPTS_IN_FLIGHT_MAX: usize = 16;
/// Connections accepted in one go before the other tasks of the shard get a
/// turn.
pub const ACCEPTS_PER_TURN_MAX: u32 = 64;
/// 503 answers to connections over the limit under way at once, per shard;
/// past it such connections are closed without an answer.
pub const OVERLOAD_ANSWERS_MAX: usize = 64;
/// Connections through the admin listener, which have no part in
/// `connections_per_shard_max`: an operator gets in when the public side is
/// full, and cannot fill it. Over it: 503 with Retry-After, then close.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// Connections that may wait to be accepted by the admin listener.
pub const ADMIN_BACKLOG: u32 = 64;
/// Shortest admin token, bytes: 16 random ones cannot be guessed over a
/// network.
pub const ADMIN_TOKEN_BYTES_MIN: usize = 16;
/// Longest admin token, bytes; it must fit the smallest request head that can
/// be configured.
pub const ADMIN_TOKEN_BYTES_MAX: usize = 512;
/// How long accepting pauses when descriptors or memory have run out.
pub const ACCEPT_PAUSE_MS: u64 = 100;
/// How long a listener that stops waits for its accepts to end.
pub const LISTENER_STOP_MS_MAX: u64 = 1_000;
/// How often it cancels those that have not.
pub const LISTENER_STOP_RETRY_MS: u64 = 50;
/// How long a drain waits at least for the first request of a connection that
/// has just come; its bytes are likely under way.
pub const DRAIN_FRESH_GRACE_MS: u64 = 100;
/// How long a drain that has ended a connection without a request waits for its
/// client's end: so long a request that crossed ours on its way is not answered
/// with a reset.
pub const DRAIN_PARTING_MS: u64 = 300;
/// How long, and how much, a closing connection still reads so that its last
/// answer is not lost to a reset.
pub const LINGER_MS: u64 = 2_000;
/// See [`LINGER_MS`].
pub const LINGER_BYTES_MAX: u64 = 16 * 1024 * KIB as u64;
/// One read of a large file, bytes.
pub const FILE_CHUNK_BYTES: usize = 64 * KIB;
/// Of what was sent of a file that has grown meanwhile, so much is compared with
/// what it is then, bytes: some 10 ms of a blocking thread.
pub const FILE_COMPARED_BYTES_MAX: u64 = 32 * 1024 * KIB as u64;
/// Counters of generations of files, one for as many files as there are of each
/// hash: 32 KiB. With more of them fewer files share one.
pub const GENERATIONS: usize = 4_096;
/// Files that get a name with a fingerprint at start; more keep their plain one.
pub const ASSETS_MAX: usize = 4_096;
/// What is read of them then, bytes per shard: some 50 ms.
pub const ASSET_BYTES_MAX: u64 = 64 * 1024 * KIB as u64;
/// Decoded path of a static file, bytes. Over it: 404.
pub const STATIC_PATH_BYTES_MAX: usize = 1_024;
/// Ranges of one request. Over it: the `Range` field is ignored (RFC 9110
/// section 14.2).
pub const RANGES_MAX: usize = 16;

/// A second is over this long after its end, milliseconds: clocks that stamp
/// changes tick each 1 to 10 ms, and others' run a little behind.
pub const DATE_SETTLES_MS: i64 = 100;
/// Control messages waiting for a shard (metrics, drain). Full: the sender is
/// told at once.
pub const SHARD_INBOX_MESSAGES_MAX: usize = 256;
/// Messages one lane between two shards holds. Full: the sender keeps them in
/// order on its own side.
pub const LANE_MESSAGES_MAX: usize = 1_024;
/// See [`LANE_MESSAGES_MAX`]; what a lane holds on a machine of many shards.
pub const LANE_MESSAGES_MIN: usize = 16;
/// Messages that all lanes of a process hold together; past 181 shards
/// [`LANE_MESSAGES_MIN`] wins over it.
pub const LANES_TOTAL_MESSAGES_MAX: usize = 1 << 20;
/// Requests to one peer that wait at the sender because the lane is full. Over
/// it: refused at once.
pub const LANE_REQUESTS_WAITING_MAX: usize = 4_096;
/// Requests of other shards taken in one go before the shard's own work gets a
/// turn.
pub const LANE_REQUESTS_PER_POLL_MAX: usize = 256;
/// Replies of one shard that wait for room in a lane; over it the shard takes
/// no more requests from others until there is room.
pub const LANE_REPLIES_WAITING_MAX: usize = 4_096;
/// Polls of the lanes in a row before the other tasks of the shard get a turn.
pub const LANE_POLLS_IN_A_ROW_MAX: u32 = 4;
/// Requests of one shard that wait for an answer about a cache. Over it: 503.
pub const CACHE_WAITS_MAX: usize = 65_536;
/// Bytes of a cache's key. What has a longer one is loaded and not kept.
pub const CACHE_KEY_BYTES_MAX: usize = KIB;
/// How long a request waits for a cache's home or for another's load; a read
/// then loads for itself, a write is answered 503.
pub const CACHE_WAIT_MS: u64 = 5_000;
/// How long a key is kept nowhere after a write whose outcome is not known, and
/// all keys of a shard after it was restarted: as long as such a write could
/// still happen. Longer than the store waits for locks
/// (`store.busy_timeout_ms`) and than a shard takes to end.
pub const CACHE_DOUBT_MS: u64 = 10_000;
/// How long a write that is committed waits until no shard has a copy of what
/// it wrote, under whichever name; then its keys are in doubt and it is answered
/// 503, outcome unknown. As long, too, as one waits who has keys invalidated
/// that were changed elsewhere. A home that is restarted is back long before.
pub const CACHE_INVALIDATE_MS: u64 = 5_000;
/// How long copies of what was written lazily are asked back, which nobody waits
/// for; what is out then stays for its time to live.
pub const CACHE_INVALIDATE_LAZY_MS: u64 = 60_000;
/// How soon a request to the home of a key is repeated after the home died.
pub const CACHE_HOME_RETRY_MS: u64 = 20;
/// Dead values of one cache that a shard has forgotten in one sweep; the next one
/// goes on.
pub const CACHE_DEAD_PER_SWEEP_MAX: usize = 4_096;
/// Tokens of tags, replaced in one second, whose values are looked for. Over it:
/// those of the others go when their time is over.
pub const CACHE_DEAD_TOKENS_MAX: usize = 8_192;
/// Memory of the tags' tokens, for each shard, bytes: a few thousand tags. More
/// push each other out, which invalidates what depends on them.
pub const CACHE_TAGS_BYTES: u64 = 1024 * KIB as u64;
/// Shortest body that is compressed where nothing else is said: with its head
/// it fits one packet (1,460 bytes of TCP), and most of a millisecond of the
/// network is the packet.
pub const COMPRESS_BODY_BYTES_MIN: usize = KIB;
/// Longest body, and piece of a stream, that a shard compresses itself while
/// its other connections wait: 0.14 ms at level 1, 0.26 at 2, 0.64 at 6 (2, 4
/// and 10 ms for each MiB of JSON). Longer ones go to the computing threads.
pub const COMPRESS_INLINE_BYTES_MAX: usize = 64 * KIB;
/// Bodies of one shard on the computing threads or waiting for one. Over it:
/// sent as they are, which costs the network and no one's time.
pub const COMPRESS_JOBS_MAX: usize = 16;
/// Streams of one shard that are compressed at once, about 300 KiB each
/// however slowly they are read. Over it: sent as they are.
pub const COMPRESS_STREAMS_MAX: usize = 64;
/// Encoders a shard keeps between answers, about 300 KiB each.
pub const COMPRESS_ENCODERS_KEPT_MAX: usize = 4;
/// Compressed forms of cached answers that a shard keeps, with the answers
/// themselves, bytes: beside the cache's own memory. Over it: those least used
/// are compressed anew.
pub const COMPRESS_KEPT_BYTES: u64 = 8 * 1024 * KIB as u64;
/// Keys of rate limits that one shard remembers. Over it: the one used longest
/// ago is forgotten, and its client has a whole burst again.
pub const LIMITER_KEYS_MAX: usize = 65_536;
/// Keys looked at in a sweep, which forgets those whose quota is whole.
pub const LIMITER_SWEEP_KEYS: usize = 8_192;
/// Requests of one shard that wait for another's verdict. Over it: judged by the
/// shard's own share.
pub const LIMITER_WAITS_MAX: usize = 65_536;
/// How long a request waits for the verdict of another shard. Then: judged by the
/// shard's own share.
pub const LIMITER_ANSWER_MS: u64 = 100;
/// Refusals of other shards and of Redis that a shard remembers, so as not to
/// ask again before they end. Over it: it asks.
pub const LIMITER_REFUSALS_MAX: usize = 8_192;
/// Bytes of a rate limit's name.
pub const LIMITER_NAME_BYTES_MAX: usize = 64;
/// Jobs waiting for the blocking pool, process-wide. Full: 503.
pub const BLOCKING_QUEUE_JOBS_MAX: usize = 1_024;
/// Threads for work that computes for long, process-wide: password hashes.
pub const COMPUTING_THREADS: usize = 2;
/// Tasks on the tokio bridge, process-wide. Full: 503 with Retry-After.
pub const BRIDGE_TASKS_MAX: usize = 1_024;
/// Threads of the tokio bridge for blocking work of its tasks (names looked up,
/// files), started when they are needed.
pub const BRIDGE_BLOCKING_THREADS_MAX: usize = 4;
/// `Retry-After` of a request that found no place on the tokio bridge, seconds.
pub const BRIDGE_RETRY_AFTER_S: u32 = 1;
/// How long the end of the process waits for the tokio bridge.
pub const BRIDGE_CLOSE_TIMEOUT_MS: u64 = 2_000;
/// Commands to Redis without an answer, per shard. Over it: refused at once.
pub const REDIS_IN_FLIGHT_MAX: usize = 8_192;
/// Commands to Redis that are encoded and wait for the connection to take
/// them, per shard; over it their senders wait.
pub const REDIS_UNSENT_MAX: usize = 1_024;
/// A deadline of Redis is looked at in steps of this part of it.
pub const REDIS_DEADLINE_TICKS: u64 = 8;
/// Pieces of work that have an exclusive Redis connection or wait for one,
/// process-wide. Over it: refused at once.
pub const REDIS_EXCLUSIVE_WAITING_MAX: usize = 256;
/// `Retry-After` of a request that needs Redis and cannot have it, seconds.
pub const REDIS_RETRY_AFTER_S: u32 = 1;
/// How long a shard that ends waits for its connection to Redis to be closed.
pub const REDIS_CLOSE_TIMEOUT_MS: u64 = 1_000;
/// Header fields of an answer that is kept in Redis. Over it: not kept.
pub const ANSWER_HEADERS_MAX: usize = 64;
/// Names in `Vary` of an answer that is kept in Redis. Over it: not kept.
pub const ANSWER_VARY_NAMES_MAX: usize = 16;
/// Header fields of an answer kept in Redis, bytes; each has a length of two
/// bytes. Over it: not kept.
pub const ANSWER_HEADER_BYTES_MAX: usize = 16 * KIB;
/// Key of an answer in Redis, bytes, without its prefix; a longer one is hashed.
pub const ANSWER_KEY_BYTES_MAX: usize = 512;
/// What a shard is putting into Redis while nobody waits for it: answers of one
/// cache, or rows. Over it: not put, and counted.
pub const L2_PUTS_IN_FLIGHT_MAX: usize = 256;
/// Rows whose change Redis could not be told, process-wide. Over it everything
/// that is in Redis is given up instead, once it can be reached.
pub const L2_PENDING_MAX: usize = 4_096;
/// Of those, how many are tried again at once.
pub const L2_RETRIES_PER_TURN_MAX: usize = 64;
/// How soon that is tried once more, after it failed.
pub const L2_RETRY_MS: u64 = 50;
/// How long a shard relies on what it knows of the clock of Redis.
pub const L2_CLOCK_MS_MAX: u64 = 60_000;
/// A shard's access log lines go to the log writer when they are this many
/// bytes, or at the next sweep.
pub const ACCESS_LOG_BATCH_BYTES: usize = 16 * KIB;
/// Batches waiting for the log writer, process-wide. Full: lines are dropped
/// and counted.
pub const ACCESS_LOG_QUEUE_BATCHES_MAX: usize = 512;
/// Lines waiting for the error log's writer. Full: lines are dropped and
/// counted.
pub const ERROR_LOG_QUEUE_MAX: usize = 1_024;
/// How long `/metrics` waits for the other shards, milliseconds.
pub const METRICS_GATHER_TIMEOUT_MS: u64 = 1_000;
/// How long a shard may take to say that it turns, milliseconds; then `/health`
/// calls it stuck.
pub const SHARD_PING_TIMEOUT_MS: u64 = 500;
/// Shards that may be more than the cores, where that is allowed at all.
pub const OVERSUBSCRIBED_SHARDS_MAX: usize = 256;
/// How long a start waits for a port that somebody else has: a process that has
/// just ended lets go of its sockets some time later, when its ring is torn down.
pub const PORT_WAIT_MS: u64 = 1_000;
/// How often it looks whether the port is free.
pub const PORT_RETRY_MS: u64 = 20;
/// CPU ids a shard can be pinned to: 0 to this minus 1. The affinity mask of
/// `core_affinity` (and glibc's `cpu_set_t`) has this many bits and it aborts
/// over them.
pub const CPU_IDS_MAX: usize = 1_024;
/// Length of a core list such as `2-8,10`, bytes. Every second CPU of
/// [`CPU_IDS_MAX`] written out one by one still fits.
pub const CORE_LIST_BYTES_MAX: usize = 4 * KIB;
/// Submission entries of one shard's ring; the kernel wants a power of two, and
/// the reactor rounds less than this up to it.
pub const RING_ENTRIES_MIN: u32 = 256;
/// See [`RING_ENTRIES_MIN`]; the kernel's own limit (`IORING_MAX_ENTRIES`).
pub const RING_ENTRIES_MAX: u32 = 32_768;
/// How long a shard may spin before it parks, microseconds.
pub const SPIN_US_MAX: u32 = 10_000;
/// Session cookies of one request that are looked at. Over it: 400.
pub const SESSION_COOKIES_MAX: usize = 16;
/// Random bytes of a session id.
pub const SESSION_ID_BYTES: usize = 32;
/// Name of the session cookie, bytes.
pub const SESSION_COOKIE_NAME_BYTES_MAX: usize = 64;
/// How long a request waits for it to be written down that its session was
/// used; then it goes on, and the next one sees to it.
pub const SESSION_REFRESH_WAIT_MS: u64 = 1_000;
/// `Retry-After` of a request whose session cannot be had now, seconds.
pub const SESSION_RETRY_AFTER_S: u32 = 1;
/// Password hashes under way or waiting for a computing thread, process-wide.
/// Over it: 503 with Retry-After. Each takes some tens of milliseconds and 19
/// MiB of memory while it runs.
pub const PASSWORD_HASHES_MAX: usize = 16;
/// Shortest password that can be set, characters.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, bytes. Over it: refused when set, wrong at login.
pub const PASSWORD_BYTES_MAX: usize = KIB;

/// Cached static files of a process that have a descriptor and a mapping of their
/// own, at most, and at most one in so many descriptors that it may open. Over
/// it: they are copied into every answer.
pub const SEALED_FILES_MAX: usize = 8_192;
/// See [`SEALED_FILES_MAX`].
pub const SEALED_FILES_SHARE: u64 = 4;
/// A shard that is always busy lets its timers run so often: deadlines go by
/// them.
pub const TIMERS_LATE_MS: u64 = 100;

const _: () = assert!(
    PASSWORD_HASHES_MAX * 4 <= BLOCKING_QUEUE_JOBS_MAX,
    "logins leave the computing threads to others"
);
const _: () = assert!(
    1_000 + SHUTDOWN_MS_MIN < DRAIN_OVERDUE_MS,
    "connections are cut and the app shuts down before a shard is given up"
);
const _: () = assert!(READ_BUFFER_SMALL_BYTES < READ_BUFFER_MEDIUM_BYTES);
const _: () = assert!(READ_BUFFER_MEDIUM_BYTES < READ_BUFFER_LARGE_BYTES);
const _: () = assert!(
    16 * KIB <= READ_BUFFER_LARGE_BYTES,
    "a default head fits one large buffer"
);
const _: () = assert!(WRITE_BUFFER_KEEP_BYTES <= WRITE_BATCH_BYTES);
const _: () = assert!(ANSWER_HEADER_BYTES_MAX < u16::MAX as usize);
const _: () = assert!(ANSWER_VARY_NAMES_MAX <= u8::MAX as usize);
const _: () = assert!(L2_RETRIES_PER_TURN_MAX <= L2_PENDING_MAX);
const _: () = assert!(REDIS_UNSENT_MAX <= REDIS_IN_FLIGHT_MAX);
const _: () = assert!(
    2 * REDIS_EXCLUSIVE_WAITING_MAX <= BRIDGE_TASKS_MAX,
    "Redis alone cannot fill the bridge"
);
const _: () = assert!(WRITE_COPY_BYTES_MAX <= WRITE_BATCH_BYTES);
const _: () = assert!(CHUNK_EXTENSION_BYTES_MAX <= CHUNK_EXTENSIONS_BYTES_MAX);
const _: () = assert!(RING_ENTRIES_MIN.is_power_of_two() && RING_ENTRIES_MAX.is_power_of_two());
const _: () = assert!(ADMIN_TOKEN_BYTES_MIN < ADMIN_TOKEN_BYTES_MAX);
const _: () = assert!(ADMIN_TOKEN_BYTES_MAX <= KIB / 2, "a head of 1 KiB");
const _: () = assert!(RING_ENTRIES_MIN < RING_ENTRIES_MAX);
const _: () = assert!(0 < LANE_MESSAGES_MIN && LANE_MESSAGES_MIN <= LANE_MESSAGES_MAX);
const _: () = assert!(
    2 * 2 * 2 * LANE_MESSAGES_MAX <= LANES_TOTAL_MESSAGES_MAX,
    "two classes between two shards get full lanes"
);
const _: () = assert!(
    2 * 181 * 181 * LANE_MESSAGES_MIN <= LANES_TOTAL_MESSAGES_MAX,
    "the total holds for up to 181 shards"
);
const _: () = assert!(0 < LANE_REQUESTS_PER_POLL_MAX);
const _: () = assert!(CACHE_HOME_RETRY_MS < CACHE_INVALIDATE_MS);
const _: () = assert!(CACHE_INVALIDATE_MS < CACHE_INVALIDATE_LAZY_MS);
const _: () = assert!(
    LANE_MESSAGES_MAX <= LANE_REQUESTS_WAITING_MAX,
    "a sender outlasts a receiver that is one full lane behind"
);
const _: () = assert!(
    CPU_IDS_MAX / 2 * 5 <= CORE_LIST_BYTES_MAX,
    "every second id, each `1022,`"
);
