// ioredis's Cluster and node-redis's createCluster against a Circlet that presents itself as one; see common.js.
// Every scenario passes against a real cluster of one node too: redis-server --cluster-enabled yes, with all slots.
import assert from "node:assert/strict";
import { Cluster } from "ioredis";
import { createCluster } from "redis";
import { numbers, play, port, protocol, restartCirclet, until } from "./common.js";

async function ioredis(more = {}) {
  const cluster = new Cluster([{ port, host: "127.0.0.1" }], more);
  await new Promise((ready, failed) => cluster.once("ready", ready).once("error", failed));
  return cluster;
}

async function nodeRedis(more = {}) {
  const cluster = createCluster({
    rootNodes: [{ url: `redis://127.0.0.1:${port}` }],
    ...(protocol && { defaults: { RESP: protocol }, RESP: protocol }),
    ...more,
  });
  cluster.on("error", () => {});
  await cluster.connect();
  return cluster;
}

await play({
  async ioredisCommands() {
    const cluster = await ioredis();
    assert.deepEqual(cluster.nodes("master").map(({ options }) => [options.host, options.port]), [["127.0.0.1", port]]);
    await Promise.all(numbers(5_000).map((n) => cluster.set(`k${n}`, n)));
    assert.deepEqual(await Promise.all(numbers(5_000).map((n) => cluster.get(`k${n}`))), numbers(5_000).map(String));
    assert.equal(await cluster.mset({ "{t}a": 1, "{t}b": 2 }), "OK");
    assert.deepEqual(await cluster.mget("{t}a", "{t}b"), ["1", "2"]);
    assert.equal(await cluster.eval("return redis.call('GET', KEYS[1])", 1, "k5"), "5");
    assert.deepEqual(await cluster.pipeline().incr("{t}n").incr("{t}n").get("{t}n").exec(), [[null, 1], [null, 2], [null, "2"]]);
    assert.deepEqual(await cluster.multi().incr("{t}n").get("{t}n").exec(), [[null, 3], [null, "3"]]);
    assert.match(await cluster.cluster("INFO"), /cluster_state:ok/);
    // It says READONLY before it reads.
    assert.equal(await (await ioredis({ scaleReads: "all" })).get("k7"), "7");
    const pipelining = await ioredis({ enableAutoPipelining: true });
    assert.deepEqual(await Promise.all(numbers(500).map((n) => pipelining.get(`k${n}`))), numbers(500).map(String));
  },

  async ioredisPubSub() {
    const [listener, cluster] = [await ioredis(), await ioredis()];
    const heard = [];
    listener.on("message", (channel, text) => heard.push([channel, text]));
    listener.on("pmessage", (pattern, channel, text) => heard.push([pattern, channel, text]));
    assert.equal(await listener.subscribe("news"), 1);
    assert.equal(await listener.psubscribe("p:*"), 2);
    await cluster.publish("news", "one");
    await until(() => heard.length === 1);
    await cluster.publish("p:1", "two");
    await until(() => heard.length === 2);
    assert.deepEqual(heard, [["news", "one"], ["p:*", "p:1", "two"]]);
  },

  async ioredisReconnect() {
    const cluster = await ioredis();
    await cluster.set("k", 1);
    await restartCirclet();
    assert.equal(await until(() => cluster.get("k")), "1");
  },

  async nodeRedisCommands() {
    const cluster = await nodeRedis();
    assert.equal(cluster.masters.length, 1);
    assert.deepEqual([cluster.masters[0].host, cluster.masters[0].port], ["127.0.0.1", port]);
    await Promise.all(numbers(5_000).map((n) => cluster.set(`k${n}`, n.toString())));
    assert.deepEqual(await Promise.all(numbers(5_000).map((n) => cluster.get(`k${n}`))), numbers(5_000).map(String));
    assert.equal(await cluster.mSet({ "{t}a": "1", "{t}b": "2" }), "OK");
    assert.deepEqual(await cluster.mGet(["{t}a", "{t}b"]), ["1", "2"]);
    assert.equal(await cluster.eval("return redis.call('GET', KEYS[1])", { keys: ["k5"] }), "5");
    assert.deepEqual(await cluster.multi().incr("{t}n").incr("{t}n").exec(), [1, 2]);
    // It says READONLY to where it reads.
    assert.equal(await (await nodeRedis({ useReplicas: true })).get("k7"), "7");
  },

  async nodeRedisPubSub() {
    const cluster = await nodeRedis();
    const heard = [];
    const hear = (text, channel) => heard.push([channel, text]);
    await cluster.subscribe("news", hear);
    await cluster.pSubscribe("p:*", hear);
    await cluster.sSubscribe("shard", hear);
    for (const [at, channel] of ["news", "p:1"].entries()) {
      await cluster.publish(channel, "text");
      await until(() => heard.length === at + 1);
    }
    assert.equal(await cluster.sPublish("shard", "text"), 1);
    await until(() => heard.length === 3);
    assert.deepEqual(heard, [["news", "text"], ["p:1", "text"], ["shard", "text"]]);
  },

  async nodeRedisReconnect() {
    const cluster = await nodeRedis();
    await cluster.set("k", "1");
    await restartCirclet();
    assert.equal(await until(() => cluster.get("k")), "1");
  },
});
