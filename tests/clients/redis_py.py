"""redis-py against the port of a Circlet: redis_py.py PORT SCENARIO PROTOCOL

PROTOCOL is `default`, `2` or `3`. A scenario is a function below; it fails by an exception. To have Circlet restarted it
prints RESTART and waits for a line. Every scenario passes against a plain redis-server too, 7.2 or later.
"""

import asyncio
import os
import sys
import threading

import redis
import redis.asyncio

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
