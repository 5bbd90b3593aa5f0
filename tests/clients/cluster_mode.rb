# ruby-redis's client of clusters against a Circlet that presents itself as one: cluster_mode.rb PORT
# It passes against a real cluster of one node too: redis-server --cluster-enabled yes, with all slots.
require "redis"

def check(expected, got)
  raise "#{got.inspect} instead of #{expected.inspect}" unless expected == got
end

port = ARGV[0].to_i
redis = Redis.new(cluster: ["redis://127.0.0.1:#{port}"])
(0...1000).each { |n| check("OK", redis.set("k#{n}", n)) }
check((0...1000).map(&:to_s), (0...1000).map { |n| redis.get("k#{n}") })
check("OK", redis.mset("{t}a", 1, "{t}b", 2))
check(%w[1 2], redis.mget("{t}a", "{t}b"))
check("5", redis.eval("return redis.call('GET', KEYS[1])", keys: ["k5"]))
check([1, 2], redis.pipelined { |pipe| 2.times { pipe.incr("{t}n") } })
check([3, "3"], redis.multi { |multi| multi.incr("{t}n"); multi.get("{t}n") })
check(1002 + 1, redis.dbsize)
check("ok", redis.cluster("info")["cluster_state"])
check(12182, redis.cluster("keyslot", "foo"))
# It says READONLY to where it reads.
check("7", Redis.new(cluster: ["redis://127.0.0.1:#{port}"], replica: true).get("k7"))
