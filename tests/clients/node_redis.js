// node-redis; see common.js. Every scenario passes against a plain redis-server too, 7.2 or later.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { BasicClientSideCache, createClient, createClientPool, defineScript, RESP_TYPES, WatchError } from "redis";
import { binaryKeys, blockedIn, byChannel, numbers, play, port, protocol, restartCirclet, until } from "./common.js";

const options = (more = {}) => ({ url: `redis://127.0.0.1:${port}`, ...(protocol && { RESP: protocol }), ...more });

async function connect(more) {
  const client = createClient(options(more));
  const errors = [];
  client.on("error", (error) => errors.push(error));
  await client.connect();
  assert.deepEqual(errors, []);
  return client;
}

await play({
  async everyType() {
    const client = await connect();
    assert.equal(await client.set("string", "wert"), "OK");
    assert.equal(await client.get("string"), "wert");
    assert.equal(await client.get("nothing"), null);
    assert.equal(await client.incr("counter"), 1);
    assert.equal(await client.hSet("hash", { a: "1", b: "2" }), 2);
    assert.deepEqual({ ...(await client.hGetAll("hash")) }, { a: "1", b: "2" });
    assert.equal(await client.rPush("list", ["a", "b"]), 2);
    assert.deepEqual(await client.lRange("list", 0, -1), ["a", "b"]);
    assert.equal(await client.sAdd("set", ["x", "y"]), 2);
    assert.deepEqual([...(await client.sMembers("set"))].sort(), ["x", "y"]);
    assert.equal(await client.zAdd("zset", [{ score: 1.5, value: "a" }, { score: 2, value: "b" }]), 2);
    const scored = await client.zRangeWithScores("zset", 0, -1);
    assert.deepEqual(scored.map(({ value, score }) => [value, score]), [["a", 1.5], ["b", 2]]);
    const entry = await client.xAdd("stream", "*", { field: "value" });
    assert.equal((await client.xRange("stream", "-", "+"))[0].id, entry);
    assert.equal(await client.mSet(Object.fromEntries(numbers(100).map((n) => [`many:${n}`, `${n}`]))), "OK");
    assert.deepEqual(await client.mGet(numbers(101).map((n) => `many:${n}`)), [...numbers(100).map(String), null]);
    assert.equal(await client.del(numbers(101).map((n) => `many:${n}`)), 100);
    await assert.rejects(client.lPush("string", "x"), /WRONGTYPE/);
    await assert.rejects(client.sendCommand(["nosuchcommand", "x"]), /unknown command/i);
    assert.match(await client.info(), /redis_version:/);
    assert.equal(await client.ping(), "PONG");
  },

  async namesAndDatabases() {
    const client = await connect({ name: "the-name", database: 5 });
    await client.set("k", "five");
    assert.equal(await client.clientGetName(), "the-name");
    const mine = (await client.clientList()).filter(({ name }) => name === "the-name");
    assert.equal(mine.length, 1);
    assert.equal(mine[0].db, 5);
    assert.match(mine[0].libName, /^node-redis/);
    assert.equal(mine[0].resp, protocol ?? 3);
    assert.equal(await (await connect()).get("k"), null);
  },

  // Requests of one turn of the event loop go out as one pipeline.
  async pipelineOf10000() {
    const client = await connect();
    const requests = numbers(5_000).flatMap((n) => [client.set(`k${n}`, `v${n}`), client.get(`k${n}`)]);
    assert.deepEqual(await Promise.all(requests), numbers(5_000).flatMap((n) => ["OK", `v${n}`]));
  },

  async batchWithoutTransaction() {
    const client = await connect();
    const batch = client.multi();
    for (const n of numbers(100)) batch.set(`k${n}`, `${n}`).get(`k${n}`);
    assert.deepEqual([...(await batch.execAsPipeline())], numbers(100).flatMap((n) => ["OK", `${n}`]));
  },

  async binary() {
    const client = (await connect()).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    const keys = binaryKeys();
    const value = (key) => Buffer.concat([key, Buffer.from("\r\n\0")]);
    await Promise.all(keys.map((key) => client.set(key, value(key))));
    (await client.mGet(keys)).forEach((got, at) => assert.deepEqual(got, value(keys[at])));
    assert.equal(await client.dbSize(), keys.length);
    assert.equal(await client.del(keys), keys.length);
  },

  async valueOf100Mb() {
    const client = (await connect()).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    const value = Buffer.alloc(100 << 20, randomBytes(1 << 20));
    await client.set("big", value);
    assert.equal(await client.strLen("big"), value.length);
    assert.ok(value.equals(await client.get("big")));
    assert.equal(await client.del("big"), 1);
  },

  async scan() {
    const client = await connect();
    await client.mSet(Object.fromEntries(numbers(3_000).map((n) => [`s:${n}`, `${n}`])));
    await client.hSet("hash", "a", "1");
    const found = [];
    for await (const keys of client.scanIterator({ MATCH: "s:*", COUNT: 50 })) found.push(...keys);
    assert.deepEqual(found.sort(), numbers(3_000).map((n) => `s:${n}`).sort());
  },

  async pool() {
    const pool = createClientPool(options());
    await pool.connect();
    const values = await Promise.all(numbers(1_000).map((n) => pool.set(`k${n}`, `${n}`).then(() => pool.get(`k${n}`))));
    assert.deepEqual(values, numbers(1_000).map(String));
  },

  async scripts() {
    const add = defineScript({
      SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
      NUMBER_OF_KEYS: 1,
      parseCommand(parser, key, by) {
        parser.pushKey(key);
        parser.push(`${by}`);
      },
      transformReply: undefined,
    });
    const client = await connect({ scripts: { add } });
    for (const n of numbers(30)) assert.equal(await client.add(`k${n}`, n + 1), n + 1);
    await client.scriptFlush();
    assert.equal(await client.add("k1", 5), 7);
  },

  async blocking() {
    const client = await connect();
    const waiting = async (count) => until(async () => blockedIn(await client.info("clients")) === count);
    await client.rPush("{q}there", ["a", "b"]);
    assert.deepEqual({ ...(await client.blPop(["{q}none", "{q}there"], 5)) }, { key: "{q}there", element: "a" });
    assert.equal(await client.blPop("none", 0.01), null);
    const consumers = await Promise.all(numbers(30).map(() => connect()));
    const jobs = consumers.map((one, n) => one.blPop(`jobs:${n}`, 20));
    await waiting(30);
    await Promise.all(numbers(30).map((n) => client.rPush(`jobs:${n}`, `${n}`)));
    (await Promise.all(jobs)).forEach((job, n) => assert.equal(job.element, `${n}`));
    const popped = consumers[0].bzPopMin("zset", 20);
    const moved = consumers[1].blMove("{m}from", "{m}to", "LEFT", "RIGHT", 20);
    const read = consumers[2].xRead({ key: "stream", id: "$" }, { BLOCK: 20_000 });
    await waiting(3);
    await Promise.all([client.zAdd("zset", { score: 2, value: "x" }), client.rPush("{m}from", "x")]);
    await client.xAdd("stream", "5-1", { f: "v" });
    assert.equal((await popped).value, "x");
    assert.equal(await moved, "x");
    assert.match(JSON.stringify(await read), /"stream".*"5-1".*"v"/);
    const pool = createClientPool(options());
    await pool.connect();
    const isolated = pool.execute((one) => one.blPop("pooled", 20));
    await waiting(1);
    await pool.rPush("pooled", "x");
    assert.equal((await isolated).element, "x");
  },

  async transactions() {
    const client = await connect();
    const replies = await client.multi().set("{t}a", "1").incr("{t}a").lPush("{t}l", "x").get("{t}a").exec();
    assert.deepEqual([...replies], ["OK", 2, 1, "2"]);
    const aborted = client.multi().set("{t}a", "other").addCommand(["SET", "{t}a"]).exec();
    await assert.rejects(aborted, /wrong number|EXECABORT|aborted/i);
    const wrong = await client.multi().set("{t}a", "text").incr("{t}a").execTyped().catch((error) => error);
    assert.match(wrong.errors().next().value.message, /not an integer/);
    assert.equal(await client.get("{t}a"), "text");
    const mine = await Promise.all(numbers(8).map(() => connect()));
    await Promise.all(mine.map(async (one, me) => {
      for (const n of numbers(10)) {
        const key = `counter:${(me + n) % 4}`;
        for (let done = false; !done; ) {
          try {
            await one.watch(key);
            const value = Number(await one.get(key));
            done = await one.multi().set(key, `${value + 1}`).exec();
          } catch (error) {
            if (!(error instanceof WatchError)) throw error;
          }
        }
      }
    }));
    const counters = await client.mGet(numbers(4).map((n) => `counter:${n}`));
    assert.equal(counters.reduce((sum, value) => sum + Number(value), 0), 80);
    await client.watch("{w}a");
    await mine[0].set("{w}a", "disturbed");
    await assert.rejects(client.multi().set("{w}b", "x").exec(), WatchError);
    assert.equal(await client.get("{w}b"), null);
  },

  async pubSub() {
    const [listener, client] = [await connect(), await connect()];
    const heard = [];
    const channels = numbers(20).map((n) => `channel:${n}`);
    const listen = (text, channel) => heard.push(`${channel}=${text}`);
    await listener.subscribe(channels, listen);
    await listener.pSubscribe("channel:1*", (text, channel) => heard.push(`*:${channel}=${text}`));
    const expected = [];
    for (const [n, channel] of channels.entries()) {
      const both = n === 1 || n >= 10;
      assert.equal(await client.publish(channel, `${n}`), both ? 2 : 1);
      expected.push(`${channel}=${n}`);
      if (both) expected.push(`*:${channel}=${n}`);
    }
    await until(() => heard.length >= expected.length);
    assert.deepEqual(byChannel(heard), byChannel(expected));
    assert.match(await listener.ping(), /pong/i);
    // With RESP3 a connection that listens does everything else too.
    if (protocol !== 2) assert.equal(await listener.set("k", "v"), "OK");
    await listener.unsubscribe();
    await listener.pUnsubscribe();
    // In RESP2 this one comes as a buffer.
    assert.equal(`${await listener.set("k", "v")}`, "OK");
    assert.equal(await client.publish("channel:1", "x"), 0);
    const shouted = new Promise((done) => listener.sSubscribe("shard", done));
    await until(async () => (await client.sPublish("shard", "x")) === 1);
    assert.equal(await shouted, "x");
  },

  async subscriptionsAfterARestart() {
    const listener = createClient(options());
    listener.on("error", () => {});
    await listener.connect();
    const heard = [];
    await listener.subscribe(["one", "two"], (text, channel) => heard.push(`${channel}=${text}`));
    await restartCirclet();
    const client = await until(() => connect());
    // It subscribes again by itself.
    await until(async () => (await client.publish("one", "x")) === 1 && (await client.publish("two", "y")) === 1);
    await until(() => heard.includes("two=y"));
  },

  async monitor() {
    const [watching, client] = [await connect(), await connect()];
    const seen = new Promise((done) => watching.monitor((line) => `${line}`.includes('"SET"') && done(`${line}`)));
    await until(async () => {
      await client.set("k", "a value");
      return Promise.race([seen, new Promise((later) => setTimeout(later, 20))]);
    });
    assert.match(await seen, /"SET" "k" "a value"/);
  },

  async clientSideCache() {
    if (protocol === 2) return;
    const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 0 });
    const [client, other] = [await connect({ RESP: 3, clientSideCache: cache }), await connect()];
    const keys = numbers(60).map((n) => `k${n}`);
    await other.mSet(Object.fromEntries(keys.map((key) => [key, "before"])));
    for (const round of [0, 1]) {
      for (const key of keys) assert.equal(await client.get(key), "before");
      assert.equal(cache.stats().hitCount, round * 60);
    }
    await other.mSet(Object.fromEntries(keys.map((key) => [key, "after"])));
    for (const key of keys) await until(async () => (await client.get(key)) === "after");
    await other.flushAll();
    for (const key of keys) await until(async () => (await client.get(key)) === null);
  },

  async functions() {
    const client = await connect();
    const code = "#!lua name=lib\nredis.register_function('add', function(k, a) return redis.call('INCRBY', k[1], a[1]) end)";
    assert.equal(await client.functionLoad(code, { REPLACE: true }), "lib");
    for (const n of numbers(30)) assert.equal(await client.fCall("add", { keys: [`k${n}`], arguments: ["5"] }), 5);
    assert.equal((await client.functionList()).length, 1);
    await client.functionDelete("lib");
    await assert.rejects(client.fCall("add", { keys: ["k1"], arguments: ["5"] }), /Function not found/);
  },

  async reconnect() {
    const client = await connect();
    await client.set("k", "before");
    await restartCirclet();
    assert.equal(await until(() => client.get("k")), "before");
    assert.equal(await client.set("k", "after"), "OK");
    assert.equal(await client.get("k"), "after");
  },
});
