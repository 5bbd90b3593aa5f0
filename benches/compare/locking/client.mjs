// Pairs of acquire and release by one Node client, as client.py does them: node client.mjs WAY SECONDS PORT...
// WAY is `lock` (the port is a Circlet's) or `redlock` (node-redlock over the nodes, one ioredis client each).
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.env.CIRCLET_NODE_MODULES + "/");
const Redis = require("ioredis").default ?? require("ioredis");
const Redlock = require("redlock").default;

const [way, seconds, ...ports] = process.argv.slice(2);
const ttl = 10_000;
// A command for a node that is down fails at once, instead of waiting for it.
const clients = ports.map((port) => new Redis(Number(port), "127.0.0.1", { enableOfflineQueue: false }));
await Promise.all(clients.map((client) => new Promise((done) => client.once("ready", done).once("error", done).on("error", () => {}))));
const redlock = new Redlock(clients, { retryCount: 0 });

const pairs = {
  async lock(name) {
    const granted = await clients[0].call("LOCK.ACQUIRE", name, ttl);
    if ((await clients[0].call("LOCK.RELEASE", name, granted[0])) !== 1) throw new Error("a lock was lost");
  },
  async redlock(name) {
    const held = await redlock.acquire([name], ttl);
    await held.release();
  },
};
const pair = pairs[way];

for (let number = 0; number < 200; number++) await pair(`warm-${number}`);
console.log("ready");
await new Promise((go) => createInterface({ input: process.stdin }).once("line", go));
const took = [];
const cpu = process.cpuUsage();
const begin = performance.now();
let last = begin;
while (last - begin < Number(seconds) * 1e3) {
  await pair(`${way}-${took.length}`);
  const now = performance.now();
  took.push((now - last) / 1e3);
  last = now;
}
const { user, system } = process.cpuUsage(cpu);
took.sort((a, b) => a - b);
console.log(JSON.stringify({
  pairs: took.length,
  seconds: (last - begin) / 1e3,
  cpu: (user + system) / 1e6,
  p50: took[took.length >> 1],
  p99: took[Math.floor(took.length * 0.99)],
}));
process.exit(0);
