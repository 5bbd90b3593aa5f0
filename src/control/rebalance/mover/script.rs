//! The scripts that run on the nodes: what must happen there at once.
//!
//! A script is atomic on its node, and so is what it writes to the node's AOF and replicas. Every command in them is
//! known since Redis 4.0. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::control::lua::Lua;

/// A script and the digest by which EVALSHA names it.
pub(super) type Script = Lua;

/// What RESTORE, RENAME and membership say of a set that the nonce is not in.
pub(super) const FENCED: &str = "FENCED";

/// What [`TAKE`] says per key.
pub(super) mod taken {
    /// It was restored just now.
    pub(crate) const RESTORED: i64 = 1;
    /// It was pulled before.
    pub(crate) const ALREADY: i64 = 2;
    /// There is nothing to restore; from now on nothing ever will be.
    pub(crate) const ABSENT: i64 = 3;
    /// There is a key of this name that should not be there.
    pub(crate) const CONFLICT: i64 = 4;
}

/// Keys as the source has them.
///
/// KEYS: the forward set if this is the way back, else any name; then the keys. ARGV: '1' on the way back; largest
/// MEMORY USAGE that is dumped; payload bytes after which the rest is left to the next call.
/// Reply: two values per key: payload and PTTL; or nil and -2: absent; MEMORY USAGE and 0: too big; nil and -3: was
/// never moved (the way back). DUMP stands before PTTL: a PTTL that belongs to a later moment is only ever too short.
pub(super) static GIVE: Script = Lua::new(
    "
local big, left, r, n = tonumber(ARGV[2]), tonumber(ARGV[3]), {}, 0
for i = 2, #KEYS do
  local k = KEYS[i]
  local value, ttl = false, -2
  if ARGV[1] == '1' and redis.call('SISMEMBER', KEYS[1], k) == 0 then
    ttl = -3
  else
    local size = redis.call('MEMORY', 'USAGE', k)
    if size and size > big then
      value, ttl = size, 0
    elseif size then
      value = redis.call('DUMP', k)
      if value then
        ttl = redis.call('PTTL', k)
        left = left - #value
        if ttl == -2 then value = false end
      end
    end
  end
  r[n + 1], r[n + 2] = value, ttl
  n = n + 2
  if left <= 0 then break end
end
return r",
);

/// Keys into the target, each at most once.
///
/// KEYS: the move's set, the keys. ARGV: nonce; what to do if the key is there ('stop', 'keep', 'replace'); '0' if
/// tombstones are off; then TTL and payload per key, the payload empty if the key is absent.
/// Reply: FENCED, or per key one of [`taken`] or the error line. The tombstone is set first, because whatever fails after
/// it can be undone, and a node out of memory refuses the first write of a script.
pub(super) static TAKE: Script = Lua::new(
    "
local set, busy = KEYS[1], ARGV[2]
if redis.call('SISMEMBER', set, ARGV[1]) == 0 then return {ok = 'FENCED'} end
local r = {}
for i = 2, #KEYS do
  local k, payload = KEYS[i], ARGV[2 * i + 1]
  local new = 1
  if ARGV[3] ~= '0' then new = redis.pcall('SADD', set, k) end
  if type(new) == 'table' then
    r[i - 1] = new.err
  elseif new == 0 then
    r[i - 1] = 2
  elseif payload == '' then
    if busy == 'replace' then redis.call('UNLINK', k) end
    r[i - 1] = 3
  else
    local done
    if busy == 'replace' then
      done = redis.pcall('RESTORE', k, ARGV[2 * i], payload, 'REPLACE')
    else
      done = redis.pcall('RESTORE', k, ARGV[2 * i], payload)
    end
    if not (type(done) == 'table' and done.err) then
      r[i - 1] = 1
    elseif string.find(done.err, '^-?BUSYKEY') and (busy == 'keep' or ARGV[3] == '0') then
      r[i - 1] = 2
    else
      redis.call('SREM', set, k)
      r[i - 1] = done.err
      if string.find(done.err, '^-?BUSYKEY') then r[i - 1] = 4 end
    end
  end
end
return r",
);

/// Which keys were pulled before. KEYS: the move's set, the keys. ARGV: nonce. Reply: FENCED, or 0 or 1 per key.
pub(super) static KNOWN: Script = Lua::new(
    "
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then return {ok = 'FENCED'} end
local r = {}
for i = 2, #KEYS do r[i - 1] = redis.call('SISMEMBER', KEYS[1], KEYS[i]) end
return r",
);

/// Opens the move's set in one more db, only where it is open in db 0. KEYS: the set. ARGV: nonce, db. Reply: FENCED or OK.
pub(super) static OPEN: Script = Lua::new(
    "
redis.call('SELECT', '0')
local open = redis.call('SISMEMBER', KEYS[1], ARGV[1])
redis.call('SELECT', ARGV[2])
if open == 0 then return {ok = 'FENCED'} end
redis.call('SADD', KEYS[1], ARGV[1])
return {ok = 'OK'}",
);

/// Gives a copy its name. KEYS: the move's set, the key, the copy. ARGV: as [`TAKE`]'s first three; TTL; the command that
/// tells the copy's length and the length, or '' and anything. Reply: as [`TAKE`] for one key, or BROKEN.
pub(super) static FINISH: Script = Lua::new(
    "
local set, k, copy, busy = KEYS[1], KEYS[2], KEYS[3], ARGV[2]
if redis.call('SISMEMBER', set, ARGV[1]) == 0 then return {ok = 'FENCED'} end
if redis.call('EXISTS', copy) == 0 then return {ok = 'BROKEN'} end
if ARGV[5] ~= '' and redis.call(ARGV[5], copy) ~= tonumber(ARGV[6]) then return {ok = 'BROKEN'} end
local new = 1
if ARGV[3] ~= '0' then new = redis.call('SADD', set, k) end
if new == 0 then
  redis.call('UNLINK', copy)
  return 2
end
if redis.call('EXISTS', k) == 1 then
  if busy == 'replace' then
    redis.call('UNLINK', k)
  else
    redis.call('UNLINK', copy)
    if busy == 'keep' or ARGV[3] == '0' then return 2 end
    redis.call('SREM', set, k)
    return 4
  end
end
redis.call('RENAME', copy, k)
if ARGV[4] == '0' then redis.call('PERSIST', k) else redis.call('PEXPIRE', k, ARGV[4]) end
return 1",
);

/// Entries into a stream. KEYS: the stream. ARGV: per entry its id, how many words follow, the words.
pub(super) static ADD_ENTRIES: Script = Lua::new(
    "
local i = 1
while i <= #ARGV do
  local n = tonumber(ARGV[i + 1])
  redis.call('XADD', KEYS[1], ARGV[i], unpack(ARGV, i + 2, i + 1 + n))
  i = i + 2 + n
end
return 1",
);

/// What is pending. KEYS: the stream. ARGV: the group; then id, consumer, idle ms and deliveries each.
pub(super) static CLAIM: Script = Lua::new(
    "
for i = 2, #ARGV, 4 do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[i + 1], '0', ARGV[i],
    'IDLE', ARGV[i + 2], 'RETRYCOUNT', ARGV[i + 3], 'FORCE', 'JUSTID')
end
return 1",
);

/// TTLs of a hash's fields. KEYS: the hash. ARGV: ms and field each.
pub(super) static EXPIRE_FIELDS: Script = Lua::new(
    "
for i = 1, #ARGV, 2 do redis.call('HPEXPIRE', KEYS[1], ARGV[i], 'FIELDS', '1', ARGV[i + 1]) end
return 1",
);

/// Puts a set aside. KEYS: the set, its new name.
pub(super) static SILENCE: Script = Lua::new(
    "
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end
return 1",
);
