"""redis-py against the port of a Circlet: redis_py.py PORT SCENARIO PROTOCOL

PROTOCOL is `default`, `2` or `3`. A scenario is a function below; it fails by an exception. To have Circlet restarted it
prints RESTART and waits for a line. Every scenario passes against a plain redis-server too, 7.2 or later.
"""

import asyncio
import os
import sys
import threading
import time

import redis
import redis.asyncio
from redis.cache import CacheConfig

PORT = int(sys.argv[1])
PROTOCOL = {} if sys.argv[3] == "default" else {"protocol": int(sys.argv[3])}


def connect(**options):
    return redis.Redis(port=PORT, **PROTOCOL, **options)


def restart_circlet():
    print("RESTART", flush=True)
    assert sys.stdin.readline() == "done\n"


def every_type():
    r = connect(decode_responses=True)
    assert r.ping() is True
    assert r.set("string", "wert") is True and r.get("string") == "wert"
    assert r.get("nothing") is None
    assert r.set("string", "x", nx=True) is None and r.set("string", "neu", get=True) == "wert"
    assert r.incr("counter") == 1 and r.incrbyfloat("float", 2.5) == 2.5
    assert r.expire("counter", 100) is True and 0 < r.ttl("counter") <= 100
    assert r.hset("hash", mapping={"a": "1", "b": "2"}) == 2 and r.hgetall("hash") == {"a": "1", "b": "2"}
    assert r.rpush("list", "a", "b", "c") == 3 and r.lrange("list", 0, -1) == ["a", "b", "c"]
    assert r.sadd("set", "x", "y") == 2 and r.smembers("set") == {"x", "y"}
    assert r.zadd("zset", {"a": 1.5, "b": 2}) == 2
    assert [tuple(pair) for pair in r.zrange("zset", 0, -1, withscores=True)] == [("a", 1.5), ("b", 2.0)]
    assert r.zscore("zset", "a") == 1.5
    entry = r.xadd("stream", {"field": "value"})
    assert r.xrange("stream") == [(entry, {"field": "value"})]
    assert r.xinfo_stream("stream")["length"] == 1
    assert r.geoadd("geo", (13.4, 52.5, "Berlin")) == 1 and r.geodist("geo", "Berlin", "Berlin") == 0.0
    assert r.pfadd("hll", "a", "b") == 1 and r.pfcount("hll") == 2
    assert r.setbit("bits", 7, 1) == 0 and r.bitcount("bits") == 1
    assert r.object("encoding", "counter") == "int" and r.memory_usage("string") > 0
    assert r.type("zset") == "zset" and r.exists("string", "hash", "nothing") == 2
    assert r.mset({f"many:{n}": n for n in range(100)}) is True
    assert r.mget([f"many:{n}" for n in range(101)]) == [str(n) for n in range(100)] + [None]
    assert r.delete(*[f"many:{n}" for n in range(101)]) == 100
    try:
        r.lpush("string", "x")
        raise AssertionError("a list command on a string")
    except redis.ResponseError as error:
        assert str(error).startswith("WRONGTYPE"), error
    assert r.info()["redis_version"] and r.dbsize() == 11
    assert r.config_get("databases")["databases"] == "16"
    assert r.time()[0] > 1_600_000_000 and r.echo("hallo") == "hallo"
    assert r.command_count() > 200 and r.command_getkeys("MSET", "a", 1, "b", 2) == ["a", "b"]


def names_and_databases():
    r = connect(client_name="the-name", db=5)
    assert r.client_getname() in ("the-name", b"the-name")
    assert isinstance(r.client_id(), int)
    mine = [line for line in r.client_list() if line["name"] == "the-name"]
    assert len(mine) == 1 and mine[0]["lib-name"].startswith("redis-py") and mine[0]["db"] == "5", mine
    assert mine[0]["resp"] == str(PROTOCOL.get("protocol", 3)), "the protocol that was asked for"
    r.set("k", "five")
    assert connect().get("k") is None
    by_url = redis.Redis.from_url(f"redis://127.0.0.1:{PORT}/5", **PROTOCOL)
    assert by_url.get("k") == b"five"


def pipeline_of_10000():
    r = connect()
    pipe = r.pipeline(transaction=False)
    for n in range(5_000):
        pipe.set(f"k{n}", f"v{n}")
        pipe.get(f"k{n}")
    assert pipe.execute() == [reply for n in range(5_000) for reply in (True, b"v%d" % n)]


def errors_in_a_pipeline():
    r = connect()
    pipe = r.pipeline(transaction=False)
    pipe.set("k", "text").incr("k").get("k").execute_command("nosuchcommand", "x").echo("end")
    done, wrong, value, unknown, end = pipe.execute(raise_on_error=False)
    assert (done, value, end) == (True, b"text", b"end")
    assert "not an integer" in str(wrong), wrong
    assert "unknown command" in str(unknown).lower(), unknown
    assert r.get("k") == b"text"


def binary():
    r = connect()
    keys = [bytes([a, b]) for a in (0, 10, 13, 36, 123, 125, 255) for b in range(256)]
    keys += [b"", b"{", b"}", bytes(range(256)), b"*1\r\n$4\r\nPING\r\n", b"x" * 70_000]
    pipe = r.pipeline(transaction=False)
    for key in keys:
        pipe.set(key, key[::-1] + b"\r\n\0")
    assert all(pipe.execute())
    assert r.mget(keys) == [key[::-1] + b"\r\n\0" for key in keys]
    assert r.dbsize() == len(keys)
    assert set(r.scan_iter(count=100)) == set(keys)
    assert set(r.keys()) == set(keys)
    assert r.delete(*keys) == len(keys)


def value_of_100_mb():
    r = connect()
    value = os.urandom(1 << 20) * 100
    assert r.set("big", value) is True
    assert r.strlen("big") == len(value)
    assert r.get("big") == value
    assert r.delete("big") == 1


def scan():
    r = connect(decode_responses=True)
    pipe = r.pipeline(transaction=False)
    for n in range(3_000):
        pipe.set(f"s:{n}", n)
        pipe.hset(f"h:{n % 500}", str(n), n)
    pipe.execute()
    found = list(r.scan_iter(match="s:*", count=50))
    assert sorted(found) == sorted(f"s:{n}" for n in range(3_000))
    assert sorted(r.scan_iter(_type="hash")) == sorted(f"h:{n}" for n in range(500))
    assert len(list(r.hscan_iter("h:1"))) == 6
    assert r.randomkey()[:2] in ("s:", "h:")
    assert r.flushdb() is True and r.dbsize() == 0


def pool_of_threads():
    pool = redis.BlockingConnectionPool(max_connections=8, timeout=20, port=PORT, **PROTOCOL)
    r = redis.Redis(connection_pool=pool)
    wrong = []

    def work(me):
        try:
            for n in range(100):
                key, value = f"{me}:{n}", b"%d:%d" % (me, n)
                r.set(key, value)
                if r.get(key) != value or r.mget([key, "no"]) != [value, None]:
                    wrong.append(key)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert r.dbsize() == 2_400


def scripts():
    r = connect()
    script = r.register_script("return {redis.call('INCRBY', KEYS[1], ARGV[1]), ARGV[1]}")
    for n in range(30):
        assert script(keys=[f"k{n}"], args=[n + 1]) == [n + 1, b"%d" % (n + 1)]
    # A script is loaded where it is missing: redis-py does so at NOSCRIPT.
    r.script_flush()
    assert script(keys=["k1"], args=[5])[0] == 7
    assert r.script_exists(script.sha) == [True]
    assert r.eval("return ARGV[1]", 0, "x") == b"x"


def lock():
    r = connect()
    with r.lock("resource", timeout=10) as held:
        assert held.owned()
        assert r.lock("resource", blocking=False).acquire() is False
        assert held.extend(5) is True
    assert r.get("resource") is None


def asynchronous():
    async def main():
        r = redis.asyncio.Redis(port=PORT, decode_responses=True, **PROTOCOL)

        async def one(n):
            await r.set(f"k{n}", n)
            return await r.get(f"k{n}")

        assert await asyncio.gather(*(one(n) for n in range(100))) == [str(n) for n in range(100)]
        pipe = r.pipeline(transaction=False)
        for n in range(10_000):
            pipe.get(f"k{n % 100}")
        assert await pipe.execute() == [str(n % 100) for n in range(10_000)]
        await r.aclose()

    asyncio.run(main())


def until(holds):
    """Waits until `holds` gives something."""
    end = time.monotonic() + 20
    while not (found := holds()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.002)
    return found


class Task(threading.Thread):
    """Does something beside; `result` waits for it and gives what it gave."""

    def __init__(self, do):
        super().__init__(daemon=True)
        self.do, self.error, self.value = do, None, None
        self.start()

    def run(self):
        try:
            self.value = self.do()
        except Exception as error:
            self.error = error

    def result(self):
        self.join(20)
        assert not self.is_alive(), "still at it"
        if self.error:
            raise self.error
        return self.value


def blocking():
    r = connect(decode_responses=True)
    waiting = lambda: r.info("clients")["blocked_clients"]
    r.rpush("{q}there", "a", "b")
    assert tuple(r.blpop(["{q}none", "{q}there"], timeout=5)) == ("{q}there", "a")
    assert r.brpop("{q}there", timeout=5)[1] == "b"
    assert r.blpop("nothing", timeout=0.01) is None
    assert r.bzpopmin("nothing", timeout=0.01) is None
    assert r.xread({"nothing": "$"}, block=10) in ([], {}, None)
    # What another connection brings, to keys on all nodes.
    for n in range(12):
        task = Task(lambda: r.blpop(f"jobs:{n}", timeout=20))
        until(lambda: waiting() == 1)
        assert r.rpush(f"jobs:{n}", n) == 1
        assert tuple(task.result()) == (f"jobs:{n}", str(n))
    for wait, bring, key in [
        (lambda: r.blmove("{m}from", "{m}to", 20), lambda: r.lpush("{m}from", "x"), "x"),
        (lambda: r.bzpopmax("zset", timeout=20)[1:], lambda: r.zadd("zset", {"x": 2}), None),
        (lambda: r.blmpop(20, 2, "{m}a", "{m}b", direction="LEFT"), lambda: r.lpush("{m}b", "x"), None),
        (lambda: r.xread({"stream": "$"}, block=20_000), lambda: r.xadd("stream", {"f": "v"}, id="5-1"), None),
    ]:
        task = Task(wait)
        until(lambda: waiting() == 1)
        bring()
        got = task.result()
        assert got and (key is None or got == key), got
    r.xgroup_create("stream", "group", id="$")
    task = Task(lambda: r.xreadgroup("group", "me", {"stream": ">"}, block=20_000))
    until(lambda: waiting() == 1)
    r.xadd("stream", {"f": "w"}, id="6-1")
    assert "6-1" in str(task.result())
    # Ended from outside.
    for error in (False, True):
        other = connect()
        number = other.client_id()
        task = Task(lambda: other.blpop("never", timeout=0))
        until(lambda: waiting() == 1)
        assert r.client_unblock(number, error=error)
        try:
            assert task.result() is None and not error
        except redis.ResponseError as told:
            assert error and str(told).startswith("UNBLOCKED"), told
    assert waiting() == 0


def transactions():
    r = connect(decode_responses=True)
    pipe = r.pipeline()
    pipe.set("{t}a", 1).incr("{t}a").lpush("{t}l", "x", "y").get("{t}a").ping()
    assert pipe.execute() == [True, 2, 2, "2", True]
    # An error of one command leaves the others done.
    pipe.set("{t}a", "text").incr("{t}a").get("{t}a")
    done, wrong, value = pipe.execute(raise_on_error=False)
    assert (done, value) == (True, "text") and "not an integer" in str(wrong)
    # One that is wrong when it is queued ends it all.
    pipe.set("{t}a", "other").execute_command("SET", "{t}a")
    try:
        pipe.execute()
        raise AssertionError("executed")
    except redis.ResponseError as error:
        assert "wrong number of arguments" in str(error) or "EXECABORT" in str(error), error
    assert r.get("{t}a") == "text"
    assert r.pipeline().execute() == []
    # Ten that count, each again and again until nobody came between.
    counters = [f"counter:{n}" for n in range(5)]
    tries = []

    def count(me):
        mine = connect(decode_responses=True)
        for n in range(20):
            key = counters[(me + n) % 5]

            def step(pipe):
                tries.append(1)
                value = int(pipe.get(key) or 0)
                pipe.multi()
                pipe.set(key, value + 1)

            mine.transaction(step, key)

    for task in [Task(lambda me=me: count(me)) for me in range(10)]:
        task.result()
    assert sum(int(value) for value in r.mget(counters)) == 200
    # Once for certain.
    calls = []

    def disturbed(pipe):
        calls.append(pipe.get("{w}a"))
        if len(calls) == 1:
            r.set("{w}a", "disturbed")
        pipe.multi()
        pipe.set("{w}b", "done")

    assert r.transaction(disturbed, "{w}a", "{w}b") == [True]
    assert calls == [None, "disturbed"]
    with r.pipeline() as pipe:
        pipe.watch("{w}a")
        pipe.unwatch()
        r.set("{w}a", "again")
        pipe.multi()
        assert pipe.get("{w}a").execute() == ["again"]


def across_nodes():
    """A transaction has its keys on one node; the error says so, and the connection goes on. (Not so in a plain Redis.)"""
    r = connect()
    pipe = r.pipeline()
    for n in range(30):
        pipe.set(f"k{n}", n)
    try:
        pipe.execute()
        raise AssertionError("executed")
    except redis.RedisError as error:
        assert "CROSSSLOT" in str(error) or "same slot" in str(error), error
    assert r.dbsize() == 0
    assert r.pipeline().set("k", "v").get("k").execute() == [True, b"v"]


def next_message(pubsub):
    return until(lambda: pubsub.get_message(timeout=0.1))


def pub_sub():
    r = connect(decode_responses=True)
    pubsub = r.pubsub()
    channels = [f"channel:{n}" for n in range(30)]
    pubsub.subscribe(*channels)
    pubsub.psubscribe("channel:2*", "news.*")
    for number in range(32):
        told = next_message(pubsub)
        assert told["type"] == ("subscribe" if number < 30 else "psubscribe") and told["data"] == number + 1, told
    assert sorted(r.pubsub_channels("channel:*")) == sorted(channels)
    assert r.pubsub_numpat() == 2 and dict(r.pubsub_numsub("channel:3", "none")) == {"channel:3": 1, "none": 0}
    for n in range(30):
        receivers = r.publish(f"channel:{n}", f"message {n}")
        both = n == 2 or 20 <= n < 30
        assert receivers == 1 + both, (n, receivers)
        got = [next_message(pubsub) for _ in range(receivers)]
        assert sorted(one["type"] for one in got) == ["message", "pmessage"][: 1 + both], got
        assert all(one["data"] == f"message {n}" and one["channel"] == f"channel:{n}" for one in got), got
    assert r.publish("news.x", "y") == 1 and next_message(pubsub)["pattern"] == "news.*"
    assert r.publish("nobody", "hears") == 0
    if PROTOCOL.get("protocol") == 2:
        pubsub.ping("hello")
        told = next_message(pubsub)
        assert (told["type"], told["data"]) == ("pong", "hello"), told
    pubsub.unsubscribe()
    pubsub.punsubscribe()
    for _ in range(32):
        assert next_message(pubsub)["type"] in ("unsubscribe", "punsubscribe")
    assert r.publish("channel:1", "x") == 0
    # Messages of one publisher come in order.
    heard = []
    listener = r.pubsub()
    listener.subscribe(**{"stream": lambda message: heard.append(int(message["data"]))})
    thread = listener.run_in_thread(sleep_time=0.01, daemon=True)
    until(lambda: dict(r.pubsub_numsub("stream"))["stream"] == 1)
    pipe = r.pipeline(transaction=False)
    for n in range(2_000):
        pipe.publish("stream", n)
    assert pipe.execute() == [1] * 2_000
    until(lambda: len(heard) >= 2_000)
    thread.stop()
    thread.join()
    assert heard == list(range(2_000))


def sharded_pub_sub():
    r = connect(decode_responses=True)
    pubsub = r.pubsub()
    pubsub.ssubscribe("one", "two")
    assert next_message(pubsub)["type"] == next_message(pubsub)["type"] == "ssubscribe"
    assert r.execute_command("SPUBLISH", "one", "x") == 1
    told = pubsub.parse_response()
    assert told[0] == "smessage" and told[1:] == ["one", "x"], told
    assert sorted(r.pubsub_shardchannels()) == ["one", "two"]
    assert r.publish("one", "x") == 0


def keyspace_notifications():
    """The server was started with `notify-keyspace-events KEA`."""
    r = connect(decode_responses=True)
    pubsub = r.pubsub()
    pubsub.psubscribe("__keyspace@0__:*")
    assert next_message(pubsub)["type"] == "psubscribe"
    for n in range(20):
        r.set(f"k{n}", n)
        told = next_message(pubsub)
        assert (told["channel"], told["data"]) == (f"__keyspace@0__:k{n}", "set"), told


def client_side_caching():
    if PROTOCOL.get("protocol") == 2:
        return
    # Redis has what it takes since 6.0; redis-py asks for more, because of others.
    redis.connection.CacheProxyConnection.MIN_ALLOWED_VERSION = "6.0.0"
    r = redis.Redis(port=PORT, protocol=3, decode_responses=True, cache_config=CacheConfig(max_size=500))
    other = connect(decode_responses=True)
    keys = [f"k{n}" for n in range(60)]
    for key in keys:
        other.set(key, "before")
    assert [r.get(key) for key in keys] == ["before"] * 60
    assert r.get_cache().size == 60
    # From the cache now: the nodes are not asked.
    asked = lambda: int(other.info("stats")["keyspace_hits"])
    hits = asked()
    assert [r.get(key) for key in keys] == ["before"] * 60 and asked() == hits
    for key in keys:
        other.set(key, "after")
    for key in keys:
        assert until(lambda: r.get(key) == "after")
    assert r.mget("{m}a", "{m}b") == [None, None]
    other.mset({"{m}a": 1, "{m}b": 2})
    until(lambda: r.mget("{m}a", "{m}b") == ["1", "2"])
    other.flushall()
    until(lambda: r.get("k1") is None)


def functions():
    r = connect(decode_responses=True)
    code = "#!lua name=lib\nredis.register_function('add', function(k, a) return redis.call('INCRBY', k[1], a[1]) end)"
    assert r.function_load(code, replace=True) == "lib"
    for n in range(30):
        assert r.fcall("add", 1, f"k{n}", 5) == 5
    assert len(r.function_list()) == 1
    assert r.function_delete("lib") in (True, "OK")
    try:
        r.fcall("add", 1, "k1", 5)
        raise AssertionError("called")
    except redis.ResponseError as error:
        assert "Function not found" in str(error), error


def scripts_in_transactions():
    r = connect()
    script = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    pipe = r.pipeline()
    script(keys=["{t}a"], args=[1], client=pipe)
    script(keys=["{t}b"], args=[2], client=pipe)
    assert pipe.execute() == [1, 2]


def monitor():
    r, other = connect(decode_responses=True), connect(decode_responses=True, client_name="other")
    with r.monitor() as watch:
        # What comes before the monitor runs is not seen.
        commands = watch.listen()
        for n in range(5):
            other.set(f"k{n}", f"value {n}")
        seen = []
        while len(seen) < 5:
            told = next(commands)
            if told["command"].startswith("SET k"):
                seen.append(told["command"])
        assert seen == [f"SET k{n} value {n}" for n in range(5)], seen


def administration():
    r, other = connect(decode_responses=True), connect(client_name="victim")
    assert other.ping()
    line = next(line for line in r.client_list() if line["name"] == "victim")
    assert r.client_list(client_id=[line["id"]])[0]["addr"] == line["addr"]
    assert r.client_kill_filter(_id=line["id"]) == 1
    # Its pool makes a new connection.
    assert other.ping()
    assert r.client_no_evict("ON") in (True, "OK")
    assert r.slowlog_reset() in (True, "OK") and isinstance(r.slowlog_len(), int) and isinstance(r.slowlog_get(), list)
    assert r.config_set("slowlog-max-len", "128") is True
    assert r.config_get("slowlog-max-len") == {"slowlog-max-len": "128"}
    assert r.config_resetstat() in (True, "OK")
    assert r.acl_whoami() == "default"
    assert r.copy("{c}a", "{c}b") in (0, False) and r.sort("list") == []


def asynchronous_pub_sub_and_blocking():
    async def main():
        r = redis.asyncio.Redis(port=PORT, decode_responses=True, **PROTOCOL)
        async with r.pubsub() as pubsub:
            await pubsub.subscribe("one", "two")
            for _ in range(2):
                assert (await pubsub.get_message(timeout=20))["type"] == "subscribe"
            assert await r.publish("two", "x") == 1
            assert (await pubsub.get_message(timeout=20))["data"] == "x"
        waiting = [asyncio.create_task(r.blpop(f"jobs:{n}", timeout=20)) for n in range(50)]
        while (await r.info("clients"))["blocked_clients"] < 50:
            await asyncio.sleep(0.002)
        for n in range(50):
            await r.rpush(f"jobs:{n}", n)
        assert [tuple(got) for got in await asyncio.gather(*waiting)] == [(f"jobs:{n}", str(n)) for n in range(50)]
        async with r.pipeline(transaction=True) as pipe:
            assert await pipe.set("{t}a", 1).incr("{t}a").execute() == [True, 2]
        await r.aclose()

    asyncio.run(main())


def reconnect():
    r = connect()
    asleep = connect()
    r.set("k", "before")
    assert asleep.get("k") == b"before"
    restart_circlet()
    # Both connections are gone; redis-py's default retry makes new ones.
    assert r.get("k") == b"before"
    pipe = asleep.pipeline(transaction=False)
    assert pipe.set("k", "after").get("k").execute() == [True, b"after"]
    assert r.get("k") == b"after"


globals()[sys.argv[2]]()
