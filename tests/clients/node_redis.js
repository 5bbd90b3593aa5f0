// node-redis; see common.js. Every scenario passes against a plain redis-server too, 7.2 or later.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createClient, createClientPool, defineScript, RESP_TYPES } from "redis";
import { binaryKeys, numbers, play, port, protocol, restartCirclet, until } from "./common.js";

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

  async reconnect() {
    const client = await connect();
    await client.set("k", "before");
    await restartCirclet();
    assert.equal(await until(() => client.get("k")), "before");
    assert.equal(await client.set("k", "after"), "OK");
    assert.equal(await client.get("k"), "after");
  },
});
