//! What Redis does in one step, as Lua. Every entry begins with a head of 38
//! bytes that `redis_codec::RedisEntry` describes; every script has the key of the
//! generation first, so that whatever was put in another one counts as not
//! there. `pcall`: somebody may have put another type under a key.

use ::redis::Script;

/// All of them; hashed once.
pub(super) struct Scripts {
    /// Names the generation, a new one if Redis is not the server it was named
    /// for: one that was restarted, or a replica that has taken over, may have
    /// lost the last it was told.
    pub(super) open: Script,
    /// Begins a new generation.
    pub(super) raise: Script,
    /// Puts a row that was read, unless something newer is there.
    pub(super) fill: Script,
    /// Puts a row that was written, or a tombstone.
    pub(super) put_written: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            open: Script::new(&format!("{CLOCK}{SERVER}{OPEN}")),
            raise: Script::new(&format!("{SERVER}{RAISE}")),
            fill: Script::new(&format!("{CLOCK}{THERE}{FILL}")),
            put_written: Script::new(&format!("{CLOCK}{THERE}{PUT_WRITTEN}")),
        }
    }
}

const CLOCK: &str = "
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function text(reply) return type(reply) == 'string' and reply or '' end
";

/// Which server this is: another number after each restart.
const SERVER: &str = "
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
";

/// KEYS: generation. ARGV: a name nobody has used.
/// Returns the generation's name and the time of the server, milliseconds.
const OPEN: &str = "
local there = text(redis.pcall('GET', KEYS[1]))
if #there < 17 or string.sub(there, 18) ~= server then
  there = ARGV[1] .. ':' .. server
  redis.call('SET', KEYS[1], there)
end
return {string.sub(there, 1, 16), now}
";

/// KEYS: generation. ARGV: a name nobody has used.
const RAISE: &str = "
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. server)
return 1
";

/// Of what is there in this generation: its kind and version, or nothing.
const THERE: &str = "
local generation = string.sub(text(redis.pcall('GET', KEYS[1])), 1, 16)
local head = text(redis.pcall('GETRANGE', KEYS[2], 0, 37))
local kind, version = '', ''
if #head == 38 and string.sub(head, 1, 1) == '1' and string.sub(head, 3, 18) == generation then
  kind, version = string.sub(head, 2, 2), string.sub(head, 19, 38)
end
";

/// KEYS: generation, entry. ARGV: the generation in which the load began, the
/// version, the row, its time to live, the last moment it may be put; the times
/// in milliseconds. Returns what was done and the time of the server.
const FILL: &str = "
if #generation ~= 16 or generation ~= ARGV[1] or now > tonumber(ARGV[5]) then
  return {-1, now}
end
if version > ARGV[2] or (version == ARGV[2] and kind == 't') then
  return {0, now}
end
redis.call('SET', KEYS[2], '1v' .. generation .. ARGV[2] .. ARGV[3], 'PX', ARGV[4])
return {1, now}
";

/// KEYS: generation, entry. ARGV: the generation in which the write began or
/// nothing, the version, the row or nothing, its time to live, the last moment
/// the row may be put, the time to live of a tombstone.
///
/// Without a generation everything is out of reach already. A tombstone that
/// is newer stays, and stays long enough for this write too; a row in this
/// version or a newer one is as good as what would be put.
const PUT_WRITTEN: &str = "
if #generation ~= 16 then return {3, now} end
if version > ARGV[2] or version == ARGV[2] then
  if kind == 't' and redis.call('PTTL', KEYS[2]) < tonumber(ARGV[6]) then
    redis.call('PEXPIRE', KEYS[2], ARGV[6])
  end
  return {0, now}
end
if ARGV[3] ~= '' and generation == ARGV[1] and now <= tonumber(ARGV[5]) then
  redis.call('SET', KEYS[2], '1v' .. generation .. ARGV[2] .. ARGV[3], 'PX', ARGV[4])
  return {1, now}
end
redis.call('SET', KEYS[2], '1t' .. generation .. ARGV[2], 'PX', ARGV[6])
return {2, now}
";

/// What `fill` has done.
pub(super) mod filled {
    pub(in crate::l2) const OLDER: i64 = 0;
    pub(in crate::l2) const PUT: i64 = 1;
}
