"""redis-py's clients of clusters against a Circlet that presents itself as one: cluster_mode.py PORT SCENARIO PROTOCOL

Every scenario passes against a real cluster of one node too: redis-server --cluster-enabled yes, with all slots.
"""

import asyncio
import sys

from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.cluster import ClusterNode, LoadBalancingStrategy, RedisCluster
from redis.crc import key_slot
from redis.exceptions import CrossSlotTransactionError, RedisError

PORT = int(sys.argv[1])
PROTOCOL = {} if sys.argv[3] == "default" else {"protocol": int(sys.argv[3])}


def connect(**more):
    return RedisCluster(host="127.0.0.1", port=PORT, decode_responses=True, **PROTOCOL, **more)


def heard(pubsub, wanted, how="get_message"):
    """The next messages, without confirmations."""
    messages = []
    while len(messages) < wanted:
        message = getattr(pubsub, how)(timeout=20)
        assert message, messages
        if message["type"].endswith("message"):
            messages.append((message["channel"], message["data"]))
    return messages


def commands():
    r = connect()
    assert r.ping()
    assert [(node.host, node.port, node.server_type) for node in r.get_nodes()] == [("127.0.0.1", PORT, "primary")]
    keys = [f"k{number}" for number in range(5_000)]
    assert len({key_slot(key.encode()) for key in keys}) > 4_000
    for at in range(0, len(keys), 500):
        assert r.mset_nonatomic({key: key for key in keys[at : at + 500]})
    assert r.mget_nonatomic([*keys, "nothing"]) == [*keys, None]
    assert [r.get(key) for key in keys[:300]] == keys[:300]
    assert sorted(r.scan_iter(count=1000)) == sorted(keys)
    assert r.dbsize() == 5_000
    assert r.delete(*keys) == 5_000
    assert r.hset("hash", mapping={"a": 1}) == 1 and r.hgetall("hash") == {"a": "1"}
    assert r.mset({"{t}a": 1, "{t}b": 2}) and r.mget("{t}a", "{t}b") == ["1", "2"]
    assert r.eval("return redis.call('GET', KEYS[1])", 1, "{t}a") == "1"
    script = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert script(keys=["n"], args=[5]) == 5
    with r.lock("lock", timeout=20):
        assert r.exists("lock")
    # It says READONLY then, for want of replicas to the master.
    reader = connect(load_balancing_strategy=LoadBalancingStrategy.ROUND_ROBIN)
    assert [reader.get("{t}a") for _ in range(3)] == ["1"] * 3


def administration():
    r = connect()
    assert r.cluster_info()["cluster_state"] == "ok"
    assert r.cluster_keyslot("foo") == 12182
    r.set("foo", "bar")
    assert r.cluster_countkeysinslot(12182) == 1
    assert r.cluster_get_keys_in_slot(12182, 10) == ["foo"]
    ((address, node),) = r.cluster_nodes().items()
    assert address == f"127.0.0.1:{PORT}", address
    assert node["slots"] == [["0", "16383"]] and node["flags"] == "myself,master" and node["connected"], node
    slots = r.cluster_slots()
    assert slots[(0, 16383)]["primary"] == ("127.0.0.1", PORT), slots
    assert r.cluster_myid(ClusterNode("127.0.0.1", PORT)) == node["node_id"]
    assert r.cluster_replicas(node["node_id"]) in ([], {})
    assert r.readonly() and r.readwrite()
    assert r.info()["cluster_enabled"] == 1
    assert r.client_list() and r.config_get("maxmemory")


def pipelines():
    r = connect()
    pipeline = r.pipeline()
    for number in range(2_000):
        pipeline.incr(f"n:{number % 70}")
    assert pipeline.execute() == [number // 70 + 1 for number in range(2_000)]
    pipeline = r.pipeline().set("string", "x").lpush("string", "y").get("string")
    replies = pipeline.execute(raise_on_error=False)
    assert replies[0] and isinstance(replies[1], RedisError) and replies[2] == "x", replies
    transaction = r.pipeline(transaction=True)
    transaction.incr("{t}n")
    transaction.incr("{t}n")
    transaction.get("{t}n")
    assert transaction.execute() == [1, 2, "2"]
    transaction = r.pipeline(transaction=True)
    try:
        transaction.set("a", 1)
        transaction.set("b", 2)
        transaction.execute()
        raise AssertionError("two slots in one transaction")
    except CrossSlotTransactionError:
        pass

    def transfer(pipe):
        value = int(pipe.get("{t}n"))
        pipe.multi()
        pipe.set("{t}n", value + 40)

    assert r.transaction(transfer, "{t}n") and r.get("{t}n") == "42"


def pub_sub():
    r = connect()
    pubsub = r.pubsub()
    pubsub.subscribe("news", "other")
    pubsub.psubscribe("p:*")
    while pubsub.get_message(timeout=20)["type"] != "psubscribe":
        pass
    r.publish("news", "one")
    assert heard(pubsub, 1) == [("news", "one")]
    r.publish("p:1", "two")
    assert heard(pubsub, 1) == [("p:1", "two")]
    assert r.pubsub_numsub("news") == [("news", 1)]
    pubsub.close()
    channels = [f"shard:{number}" for number in range(20)]
    sharded = r.pubsub()
    sharded.ssubscribe(*channels)
    for _ in channels:
        assert sharded.get_sharded_message(timeout=20)["type"] == "ssubscribe"
    for channel in channels:
        assert r.spublish(channel, channel) == 1
    got = heard(sharded, len(channels), "get_sharded_message")
    assert sorted(got) == sorted((channel, channel) for channel in channels)
    sharded.close()


def asynchronous():
    async def play():
        async with AsyncRedisCluster(host="127.0.0.1", port=PORT, decode_responses=True, **PROTOCOL) as r:
            # No more at once than it opens connections for.
            await asyncio.gather(*(r.set(f"k{number}", number) for number in range(50)))
            values = await asyncio.gather(*(r.get(f"k{number}") for number in range(50)))
            assert values == [str(number) for number in range(50)]
            for number in range(50, 500):
                await r.set(f"k{number}", number)
            pipeline = r.pipeline()
            for number in range(500):
                pipeline.get(f"k{number}")
            assert await pipeline.execute() == [str(number) for number in range(500)]
            assert (await r.cluster_info())["cluster_state"] == "ok"

    asyncio.run(play())


def reconnect():
    r = connect()
    r.set("k", 1)
    print("RESTART", flush=True)
    sys.stdin.readline()
    # It looks at the cluster again by itself.
    assert r.incr("k") == 2
    assert r.pipeline().get("k").get("other").execute() == ["2", None]


globals()[sys.argv[2]]()
