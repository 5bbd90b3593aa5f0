// ioredis; see common.js. Every scenario passes against a plain redis-server too, 7.2 or later.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Redis } from "ioredis";
import { binaryKeys, blockedIn, byChannel, numbers, play, port, protocol, restartCirclet, until } from "./common.js";

const connect = (options = {}) => new Redis({ port, host: "127.0.0.1", ...(protocol && { protocol }), ...options });

await play({
  async everyType() {
    const redis = connect();
    // Ready is what the INFO of its ready check says.
    await new Promise((ready, failed) => redis.once("ready", ready).once("error", failed));
    assert.equal(await redis.set("string", "wert"), "OK");
    assert.equal(await redis.get("string"), "wert");
    assert.equal(await redis.get("nothing"), null);
    assert.equal(await redis.incr("counter"), 1);
    assert.equal(await redis.hset("hash", { a: 1, b: 2 }), 2);
    assert.deepEqual(await redis.hgetall("hash"), { a: "1", b: "2" });
    assert.equal(await redis.rpush("list", "a", "b"), 2);
    assert.deepEqual(await redis.lrange("list", 0, -1), ["a", "b"]);
    assert.equal(await redis.sadd("set", "x", "y"), 2);
    assert.deepEqual((await redis.smembers("set")).sort(), ["x", "y"]);
    assert.equal(await redis.zadd("zset", 1.5, "a", 2, "b"), 2);
    assert.equal((await redis.zrange("zset", 0, -1, "WITHSCORES")).flat().join(), "a,1.5,b,2");
    const entry = await redis.xadd("stream", "*", "field", "value");
    assert.deepEqual(await redis.xrange("stream", "-", "+"), [[entry, ["field", "value"]]]);
    assert.equal(await redis.mset(Object.fromEntries(numbers(100).map((n) => [`many:${n}`, n]))), "OK");
    assert.deepEqual(await redis.mget(numbers(101).map((n) => `many:${n}`)), [...numbers(100).map(String), null]);
    assert.equal(await redis.del(numbers(101).map((n) => `many:${n}`)), 100);
    await assert.rejects(redis.lpush("string", "x"), /WRONGTYPE/);
    await assert.rejects(redis.call("nosuchcommand", "x"), /unknown command/i);
    assert.equal(await redis.ping(), "PONG");
  },

  async namesAndDatabases() {
    const redis = connect({ connectionName: "the-name", db: 5, keyPrefix: "p:" });
    await redis.set("k", "five");
    assert.equal(await redis.client("GETNAME"), "the-name");
    const mine = (await redis.client("LIST")).split("\n").filter((line) => line.includes(" name=the-name "));
    assert.equal(mine.length, 1);
    assert.match(mine[0], / db=5 .*lib-name=ioredis/);
    assert.match(mine[0], new RegExp(` resp=${protocol ?? 3}\\b`));
    assert.equal(await connect().get("p:k"), null);
    assert.equal(await connect({ db: 5 }).get("p:k"), "five");
    assert.equal(await new Redis(`redis://127.0.0.1:${port}/5`).get("p:k"), "five");
  },

  async pipelineOf10000() {
    const pipeline = connect().pipeline();
    for (const n of numbers(5_000)) pipeline.set(`k${n}`, `v${n}`).get(`k${n}`);
    const expected = numbers(5_000).flatMap((n) => [[null, "OK"], [null, `v${n}`]]);
    assert.deepEqual(await pipeline.exec(), expected);
  },

  async errorsInAPipeline() {
    const redis = connect();
    const replies = await redis.pipeline().set("k", "text").incr("k").get("k").call("nosuchcommand").echo("end").exec();
    assert.match(replies[1][0].message, /not an integer/);
    assert.match(replies[3][0].message, /unknown command/i);
    assert.deepEqual([replies[0][1], replies[2][1], replies[4][1]], ["OK", "text", "end"]);
  },

  async autoPipelining() {
    const redis = connect({ enableAutoPipelining: true });
    const set = await Promise.all(numbers(5_000).map((n) => redis.set(`k${n}`, n)));
    assert.ok(set.every((reply) => reply === "OK"));
    assert.deepEqual(await Promise.all(numbers(5_000).map((n) => redis.get(`k${n}`))), numbers(5_000).map(String));
  },

  async binary() {
    const redis = connect();
    const keys = binaryKeys();
    const value = (key) => Buffer.concat([key, Buffer.from("\r\n\0")]);
    const pipeline = redis.pipeline();
    for (const key of keys) pipeline.set(key, value(key));
    await pipeline.exec();
    (await redis.mgetBuffer(keys)).forEach((got, at) => assert.deepEqual(got, value(keys[at])));
    assert.equal(await redis.dbsize(), keys.length);
    assert.equal(await redis.del(keys), keys.length);
  },

  async valueOf100Mb() {
    const redis = connect();
    const value = Buffer.alloc(100 << 20, randomBytes(1 << 20));
    assert.equal(await redis.set("big", value), "OK");
    assert.equal(await redis.strlen("big"), value.length);
    assert.ok(value.equals(await redis.getBuffer("big")));
    assert.equal(await redis.del("big"), 1);
  },

  async scan() {
    const redis = connect();
    await redis.mset(Object.fromEntries(numbers(3_000).map((n) => [`s:${n}`, n])));
    await redis.hset("hash", { a: 1 });
    const found = [];
    for await (const keys of redis.scanStream({ match: "s:*", count: 50 })) found.push(...keys);
    assert.deepEqual(found.sort(), numbers(3_000).map((n) => `s:${n}`).sort());
  },

  async scripts() {
    const lua = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
    const redis = connect({ scripts: { add: { lua, numberOfKeys: 1 } } });
    for (const n of numbers(30)) assert.equal(await redis.add(`k${n}`, n + 1), n + 1);
    await redis.script("FLUSH");
    assert.equal(await redis.add("k1", 5), 7);
  },

  async blocking() {
    const redis = connect();
    const waiting = async (count) => until(async () => blockedIn(await redis.info("clients")) === count);
    await redis.rpush("{q}there", "a", "b");
    assert.deepEqual(await redis.blpop("{q}none", "{q}there", 5), ["{q}there", "a"]);
    assert.equal(await redis.blpop("none", 0.01), null);
    // Requests behind a blocking one of the same connection wait for it.
    const consumer = connect();
    const behind = Promise.all([consumer.blpop("first", 20), consumer.set("after", "yes"), consumer.blpop("second", 20)]);
    await waiting(1);
    assert.equal(await redis.get("after"), null);
    await redis.rpush("second", 2);
    await redis.rpush("first", 1);
    assert.deepEqual(await behind, [["first", "1"], "OK", ["second", "2"]]);
    const consumers = numbers(30).map(() => connect());
    const jobs = consumers.map((one, n) => one.brpop(`jobs:${n}`, 20));
    await waiting(30);
    await Promise.all(numbers(30).map((n) => redis.rpush(`jobs:${n}`, n)));
    assert.deepEqual(await Promise.all(jobs), numbers(30).map((n) => [`jobs:${n}`, `${n}`]));
    const entry = consumers[0].xread("BLOCK", 20_000, "STREAMS", "stream", "$");
    await waiting(1);
    await redis.xadd("stream", "5-1", "f", "v");
    assert.match(JSON.stringify(await entry), /"stream".*"5-1".*"f","v"/);
    await waiting(0);
  },

  async transactions() {
    const redis = connect();
    const replies = await redis.multi().set("{t}a", 1).incr("{t}a").lpush("{t}l", "x").get("{t}a").exec();
    assert.deepEqual(replies, [[null, "OK"], [null, 2], [null, 1], [null, "2"]]);
    assert.deepEqual(await redis.multi([["set", "{t}b", "x"], ["get", "{t}b"]]).exec(), [[null, "OK"], [null, "x"]]);
    const wrong = await redis.multi().set("{t}a", "text").incr("{t}a").get("{t}a").exec();
    assert.match(wrong[1][0].message, /not an integer/);
    assert.equal(wrong[2][1], "text");
    await assert.rejects(redis.multi().set("{t}a", "other").call("SET", "{t}a").exec(), /EXECABORT/);
    // Without a pipeline each reply is QUEUED.
    await redis.multi({ pipeline: false });
    assert.equal(await redis.set("{t}a", "3"), "QUEUED");
    assert.deepEqual(await redis.exec(), [[null, "OK"]]);
    await Promise.all(numbers(8).map(async (me) => {
      const mine = connect();
      for (const n of numbers(10)) {
        const key = `counter:${(me + n) % 4}`;
        for (let done = null; done === null; ) {
          await mine.watch(key);
          const value = Number(await mine.get(key));
          done = await mine.multi().set(key, value + 1).exec();
        }
      }
    }));
    const counters = await redis.mget(numbers(4).map((n) => `counter:${n}`));
    assert.equal(counters.reduce((sum, value) => sum + Number(value), 0), 80);
    await redis.watch("{w}a");
    await connect().set("{w}a", "disturbed");
    assert.equal(await redis.multi().set("{w}b", "x").exec(), null);
    assert.equal(await redis.get("{w}b"), null);
  },

  async pubSub() {
    const [listener, redis] = [connect(), connect()];
    const heard = [];
    listener.on("message", (channel, text) => heard.push(`${channel}=${text}`));
    listener.on("pmessage", (pattern, channel, text) => heard.push(`${pattern}:${channel}=${text}`));
    const channels = numbers(20).map((n) => `channel:${n}`);
    assert.equal(await listener.subscribe(...channels), 20);
    assert.equal(await listener.psubscribe("channel:1*"), 21);
    const expected = [];
    for (const [n, channel] of channels.entries()) {
      const both = n === 1 || n >= 10;
      assert.equal(await redis.publish(channel, n), both ? 2 : 1);
      expected.push(`${channel}=${n}`);
      if (both) expected.push(`channel:1*:${channel}=${n}`);
    }
    await until(() => heard.length >= expected.length);
    assert.deepEqual(byChannel(heard), byChannel(expected));
    assert.equal(await listener.unsubscribe(...channels), 1);
    assert.equal(await listener.punsubscribe("channel:1*"), 0);
    // Out of the mode again.
    assert.equal(await listener.set("k", "v"), "OK");
    assert.equal(await redis.publish("channel:1", "x"), 0);
    const sharded = connect();
    const shouted = new Promise((done) => sharded.on("smessage", (channel, text) => done([channel, text])));
    await sharded.ssubscribe("shard");
    assert.equal(await redis.spublish("shard", "x"), 1);
    assert.deepEqual(await shouted, ["shard", "x"]);
  },

  async subscriptionsAfterARestart() {
    const listener = connect();
    const heard = [];
    listener.on("message", (channel, text) => heard.push(`${channel}=${text}`));
    listener.on("error", () => {});
    await listener.subscribe("one", "two");
    await restartCirclet();
    const redis = connect();
    // It subscribes again by itself.
    await until(async () => (await redis.publish("one", "x")) === 1 && (await redis.publish("two", "y")) === 1);
    await until(() => heard.includes("two=y"));
  },

  async monitor() {
    const redis = connect();
    const monitor = await redis.monitor();
    const seen = new Promise((done) => monitor.on("monitor", (_time, args) => args[0] === "SET" && done(args)));
    await redis.call("SET", "k", "a value");
    assert.deepEqual(await seen, ["SET", "k", "a value"]);
    monitor.disconnect();
  },

  async reconnect() {
    const redis = connect();
    const errors = [];
    redis.on("error", (error) => errors.push(error.code));
    await redis.set("k", "before");
    let readies = 0;
    redis.on("ready", () => readies++);
    await restartCirclet();
    assert.equal(await until(() => redis.get("k")), "before");
    assert.equal(await redis.set("k", "after"), "OK");
    assert.equal(await redis.get("k"), "after");
    assert.equal(readies, 1);
    assert.ok(errors.every((code) => ["ECONNREFUSED", "ECONNRESET"].includes(code)), errors.join());
  },
});
