# ruby-redis (redis-rb of Debian) against the port of a Circlet: ruby_redis.rb PORT SCENARIO
#
# A scenario is a method below; it fails by an exception. To have Circlet restarted it prints RESTART and waits for a line.
# Every scenario passes against a plain redis-server too.
require "redis"
require "timeout"

Redis.raise_deprecations = true
Thread.report_on_exception = false

def connect(**options)
  Redis.new(port: ARGV[0].to_i, reconnect_attempts: 0, **options)
end

def check(holds, what = nil)
  raise "not so: #{what.inspect} at #{caller(1, 1)[0]}" unless holds
end

def equal(got, expected)
  raise "#{got.inspect}, not #{expected.inspect}, at #{caller(1, 1)[0]}" unless got == expected
end

def fails(pattern)
  yield
rescue Redis::BaseError => error
  check(error.message.match?(pattern), error.message)
else
  raise "no error like #{pattern.inspect} at #{caller(1, 1)[0]}"
end

def until_true
  Timeout.timeout(20) { sleep 0.002 until yield }
end

def waiting(redis, count)
  until_true { redis.info("clients")["blocked_clients"].to_i == count }
end

def every_type
  redis = connect
  equal redis.ping, "PONG"
  equal redis.set("string", "wert"), "OK"
  equal redis.get("string"), "wert"
  equal redis.get("nothing"), nil
  equal redis.incr("counter"), 1
  equal redis.hset("hash", "a" => "1", "b" => "2"), 2
  equal redis.hgetall("hash"), { "a" => "1", "b" => "2" }
  equal redis.rpush("list", %w[a b]), 2
  equal redis.lrange("list", 0, -1), %w[a b]
  equal redis.sadd("set", %w[x y]), 2
  equal redis.smembers("set").sort, %w[x y]
  equal redis.zadd("zset", [[1.5, "a"], [2, "b"]]), 2
  equal redis.zrange("zset", 0, -1, with_scores: true), [["a", 1.5], ["b", 2.0]]
  entry = redis.xadd("stream", { "field" => "value" })
  equal redis.xrange("stream"), [[entry, { "field" => "value" }]]
  equal redis.mset(*(0...100).flat_map { |n| ["many:#{n}", n] }), "OK"
  equal redis.mget((0..100).map { |n| "many:#{n}" }), (0...100).map(&:to_s) + [nil]
  equal redis.del((0..100).map { |n| "many:#{n}" }), 100
  fails(/WRONGTYPE/) { redis.lpush("string", "x") }
  fails(/unknown command/i) { redis.call("nosuchcommand", "x") }
  equal redis.dbsize, 7
  binary = (0..255).map(&:chr).join.b
  equal redis.set(binary, binary), "OK"
  equal redis.get(binary).b, binary
  equal redis.scan_each.to_a.sort.length, 8
end

def names_and_databases
  redis = connect(db: 5, id: "the-name")
  redis.client(:setname, "the-name")
  redis.set("k", "five")
  equal redis.client(:getname), "the-name"
  equal redis.client(:list).select { |one| one["name"] == "the-name" }.map { |one| one["db"] }, ["5"]
  equal connect.get("k"), nil
end

def pipeline
  redis = connect
  replies = redis.pipelined { |pipe| 5_000.times { |n| pipe.set("k#{n}", "v#{n}"); pipe.get("k#{n}") } }
  equal replies, (0...5_000).flat_map { |n| ["OK", "v#{n}"] }
  wrong = nil
  fails(/not an integer/) { redis.pipelined { |pipe| pipe.set("k", "text"); wrong = pipe.incr("k") } }
  equal redis.get("k"), "text"
end

def blocking
  redis = connect
  redis.rpush("{q}there", %w[a b])
  equal redis.blpop("{q}none", "{q}there", timeout: 5), ["{q}there", "a"]
  equal redis.blpop("none", timeout: 0.01), nil
  12.times do |n|
    consumer = Thread.new { connect.blpop("jobs:#{n}", timeout: 20) }
    waiting(redis, 1)
    redis.rpush("jobs:#{n}", n)
    equal consumer.value, ["jobs:#{n}", n.to_s]
  end
  moved = Thread.new { connect.blmove("{m}from", "{m}to", "LEFT", "RIGHT", timeout: 20) }
  popped = Thread.new { connect.bzpopmin("zset", timeout: 20) }
  read = Thread.new { connect.xread("stream", "$", block: 20_000) }
  waiting(redis, 3)
  redis.lpush("{m}from", "x")
  redis.zadd("zset", 2, "y")
  redis.xadd("stream", { "f" => "v" }, id: "5-1")
  equal moved.value, "x"
  equal popped.value, ["zset", "y", 2.0]
  equal read.value, { "stream" => [["5-1", { "f" => "v" }]] }
end

def transactions
  redis = connect
  replies = redis.multi { |tx| tx.set("{t}a", 1); tx.incr("{t}a"); tx.lpush("{t}l", "x"); tx.get("{t}a") }
  equal replies, ["OK", 2, 1, "2"]
  fails(/wrong number|EXECABORT/) { redis.multi { |tx| tx.set("{t}a", "other"); tx.call("SET", "{t}a") } }
  fails(/not an integer/) { redis.multi { |tx| tx.set("{t}a", "text"); tx.incr("{t}a") } }
  equal redis.get("{t}a"), "text"
  threads = (0...8).map do |me|
    Thread.new do
      mine = connect
      10.times do |n|
        key = "counter:#{(me + n) % 4}"
        done = nil
        until done
          done = mine.watch(key) do
            value = mine.get(key).to_i
            mine.multi { |tx| tx.set(key, value + 1) }
          end
        end
      end
    end
  end
  threads.each(&:join)
  equal redis.mget((0...4).map { |n| "counter:#{n}" }).sum(&:to_i), 80
  redis.watch("{w}a")
  connect.set("{w}a", "disturbed")
  equal(redis.multi { |tx| tx.set("{w}b", "x") }, nil)
  equal redis.get("{w}b"), nil
  redis.watch("{w}a")
  equal redis.unwatch, "OK"
  connect.set("{w}a", "again")
  equal(redis.multi { |tx| tx.get("{w}a") }, ["again"])
end

def pub_sub
  redis = connect
  exact, fitting = [], []
  channels = (0...20).map { |n| "channel:#{n}" }
  ready = Queue.new
  listener = Thread.new do
    connect.subscribe(*channels) do |on|
      on.subscribe { |_channel, total| ready << total if total == 20 }
      on.message do |channel, text|
        exact << [channel, text]
        Thread.exit if exact.length == 20
      end
    end
  end
  patterns = Thread.new do
    connect.psubscribe("channel:1*") do |on|
      on.psubscribe { |_pattern, total| ready << total }
      on.pmessage do |_pattern, channel, text|
        fitting << [channel, text]
        Thread.exit if fitting.length == 11
      end
    end
  end
  Timeout.timeout(20) { 2.times { ready.pop } }
  equal redis.pubsub(:channels, "channel:*").sort, channels.sort
  equal redis.pubsub(:numpat), 1
  channels.each_with_index { |channel, n| equal redis.publish(channel, n), n == 1 || n >= 10 ? 2 : 1 }
  [listener, patterns].each { |thread| check thread.join(20) }
  # Between channels of several nodes there is no order.
  expected = channels.each_with_index.map { |channel, n| [channel, n.to_s] }
  equal exact.sort, expected.sort
  equal fitting.sort, expected.select { |channel, _| channel.start_with?("channel:1") }.sort
  # The connection goes on after its subscriptions.
  again = connect
  again.subscribe_with_timeout(20, "one") do |on|
    on.subscribe { redis.publish("one", "x") }
    on.message { again.unsubscribe }
  end
  equal again.set("k", "v"), "OK"
  until_true { redis.publish("one", "x").zero? }
end

def scripts
  redis = connect
  sha = redis.script(:load, "return redis.call('INCRBY', KEYS[1], ARGV[1])")
  30.times { |n| equal redis.evalsha(sha, ["k#{n}"], [n + 1]), n + 1 }
  equal redis.script(:exists, sha), true
  equal(redis.multi { |tx| tx.evalsha(sha, ["{t}a"], [2]); tx.eval("return KEYS[1]", ["{t}a"]) }, [2, "{t}a"])
  redis.script(:flush)
  fails(/NOSCRIPT/) { redis.evalsha(sha, ["k1"], [1]) }
end

def monitor
  redis = connect
  seen = Queue.new
  watching = Thread.new { connect.monitor { |line| seen << line } }
  equal Timeout.timeout(20) { seen.pop }, "OK"
  redis.set("k", "a value")
  line = Timeout.timeout(20) { loop { found = seen.pop; break found if found.include?('"set"') } }
  check line.end_with?('"set" "k" "a value"'), line
  watching.kill
end

def reconnect
  redis = connect(reconnect_attempts: 5, reconnect_delay: 0.1)
  redis.set("k", "before")
  puts "RESTART"
  $stdout.flush
  equal $stdin.gets, "done\n"
  equal redis.get("k"), "before"
  equal(redis.multi { |tx| tx.set("k", "after"); tx.get("k") }, %w[OK after])
end

send(ARGV[1])
