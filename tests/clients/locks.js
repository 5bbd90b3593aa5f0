// node-redlock with one client, unchanged, over the keys that Circlet keeps as locks: locks.js PORT SCENARIO PROTOCOL
//
// Every scenario passes against a plain redis-server too.

import assert from 'node:assert/strict';
import Redis from 'ioredis';
import Redlock, { ExecutionError } from 'redlock';

const [port, scenario, protocol] = process.argv.slice(2);
const client = new Redis({ port: Number(port), ...(protocol === 'default' ? {} : { protocol: Number(protocol) }) });
const patient = new Redlock([client], { retryCount: 200, retryDelay: 50, retryJitter: 10 });
const hasty = new Redlock([client], { retryCount: 0 });
patient.on('error', () => {});
hasty.on('error', () => {});

const scenarios = {
  async acquireExtendRelease() {
    const lock = await hasty.acquire(['lock:orders'], 10_000);
    assert.equal(await client.get('lock:orders'), lock.value);
    assert((await client.pttl('lock:orders')) > 5_000);
    await assert.rejects(hasty.acquire(['lock:orders'], 10_000), ExecutionError);
    const longer = await lock.extend(30_000);
    assert((await client.pttl('lock:orders')) > 20_000);
    assert(longer.expiration > Date.now() + 20_000);
    await longer.release();
    assert.equal(await client.exists('lock:orders'), 0);
    await assert.rejects(longer.release(), ExecutionError);
    await assert.rejects(longer.extend(1_000), ExecutionError);
  },

  async waits() {
    const first = await patient.acquire(['lock:orders'], 20_000);
    const waiting = patient.acquire(['lock:orders'], 20_000);
    setTimeout(() => first.release(), 200);
    const second = await waiting;
    assert.notEqual(first.value, second.value);
    await second.release();
  },

  // The routine runs under a lock that is extended while it does.
  async using() {
    let extended = 0;
    const before = Date.now();
    await patient.using(['lock:orders'], 2_000, { automaticExtensionThreshold: 1_500 }, async (signal) => {
      while (Date.now() - before < 3_000) {
        assert.equal(signal.aborted, false, String(signal.error));
        extended = Math.max(extended, await client.pttl('lock:orders'));
        await new Promise((done) => setTimeout(done, 50));
      }
    });
    assert(extended > 0);
    assert.equal(await client.exists('lock:orders'), 0);
  },

  // Many routines, one counter: nothing is lost.
  async many() {
    let total = 0;
    const work = async () => {
      const lock = await patient.acquire(['lock:counter'], 20_000);
      const seen = total;
      await new Promise((done) => setTimeout(done, 2));
      total = seen + 1;
      await lock.release();
    };
    await Promise.all(Array.from({ length: 20 }, work));
    assert.equal(total, 20);
  },
};

await scenarios[scenario]();
client.disconnect();
