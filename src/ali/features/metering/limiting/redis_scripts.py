"""The limits' Lua scripts. Redis runs one at a time, so each is atomic; its clock is the only one.

A window is a hash: `t` the total, `f` and `n` the first and newest bucket, and each bucket's count under its number.
Streams are a sorted set of leases by the time at which they lapse. Numbers stay below 2^53, which Lua's doubles hold.
"""

from typing import Final

_CLOCK: Final = """
local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
"""

CHECK: Final = (
    """
local used, counts, firsts, newests, at, reset = {}, {}, {}, {}, {}, {}
local refusing, longest = 0, -1
"""
    + _CLOCK
    + """
for i, key in ipairs(KEYS) do
  local limit, width, amount = tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2]), tonumber(ARGV[3 * i + 3])
  if width == 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    used[i], reset[i] = redis.call('ZCARD', key), 0
  else
    local index = math.floor(now / width)
    local head = redis.call('HMGET', key, 't', 'f', 'n', index)
    local total, first, newest = tonumber(head[1] or 0), tonumber(head[2] or index), tonumber(head[3] or index)
    counts[i] = tonumber(head[4] or 0)
    if index < newest then
      index = newest
      counts[i] = tonumber(redis.call('HGET', key, index) or 0)
    end
    local oldest = index - %(buckets)d
    if newest < oldest then
      redis.call('DEL', key)
      total, first, newest = 0, index, index
    elseif first < oldest then
      local gone = {}
      for bucket = first, oldest - 1 do gone[#gone + 1] = bucket end
      for _, count in ipairs(redis.call('HMGET', key, unpack(gone))) do total = total - (tonumber(count) or 0) end
      redis.call('HDEL', key, unpack(gone))
      redis.call('HSET', key, 't', total, 'f', oldest)
      first = oldest
    end
    used[i], firsts[i], newests[i], at[i] = total, first, newest, index
    reset[i] = total == 0 and 0 or (newest + %(buckets)d + 1) * width - now
  end
  local excess = used[i] + amount - limit
  if excess > 0 then
    local wait = %(retry_us)d
    if width > 0 then
      wait = reset[i]
      local live = {}
      for bucket = firsts[i], newests[i] do live[#live + 1] = bucket end
      for offset, count in ipairs(redis.call('HMGET', key, unpack(live))) do
        excess = excess - (tonumber(count) or 0)
        if excess <= 0 then
          wait = (firsts[i] + offset + %(buckets)d) * width - now
          break
        end
      end
    end
    if wait > longest then refusing, longest = i, wait end
  end
end
if refusing == 0 then
  for i, key in ipairs(KEYS) do
    local width, amount = tonumber(ARGV[3 * i + 2]), tonumber(ARGV[3 * i + 3])
    used[i] = used[i] + amount
    if width == 0 then
      redis.call('ZADD', key, now + tonumber(ARGV[3]), ARGV[2])
      redis.call('PEXPIRE', key, math.ceil(ARGV[3] / 1000))
    else
      redis.call('HSET', key, 't', used[i], 'f', firsts[i], 'n', at[i], at[i], counts[i] + amount)
      redis.call('PEXPIRE', key, math.ceil(width * %(ttl)d / 1000))
      reset[i] = (at[i] + %(buckets)d + 1) * width - now
    end
  end
end
local answer = {now, refusing, longest}
for i = 1, #KEYS do
  answer[#answer + 1] = used[i]
  answer[#answer + 1] = reset[i]
end
return answer
"""
)
"""ARGV: now in µs (0: the server's), lease, its µs; then limit, width in µs (0: streams) and amount of each key."""

AMEND: Final = (
    _CLOCK
    + """
for i, key in ipairs(KEYS) do
  local width, delta = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local index = math.floor(now / width)
  if delta > 0 then
    local head = redis.call('HMGET', key, 't', 'f', 'n')
    local newest = math.max(index, tonumber(head[3] or index))
    redis.call('HSET', key, 't', (head[1] or 0) + delta, 'f', head[2] or newest, 'n', newest)
    redis.call('HINCRBY', key, newest, delta)
    redis.call('PEXPIRE', key, math.ceil(width * %(ttl)d / 1000))
  else
    local bucket = math.floor(ARGV[3 * i + 1] / width)
    local back = math.min(tonumber(redis.call('HGET', key, bucket) or 0), -delta)
    if back > 0 then
      redis.call('HINCRBY', key, bucket, -back)
      redis.call('HINCRBY', key, 't', -back)
    end
  end
end
"""
)
"""ARGV: now in µs (0: the server's); then width, delta and the µs at which it was counted, of each key."""

RENEW: Final = (
    _CLOCK
    + """
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + tonumber(ARGV[2]), ARGV[i + 2])
  redis.call('PEXPIRE', key, math.ceil(ARGV[2] / 1000))
end
"""
)
"""ARGV: now in µs (0: the server's), µs of a lease; then the lease of each key."""
