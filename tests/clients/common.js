// What the scripts of both JavaScript clients share. They are run as: node SCRIPT PORT SCENARIO PROTOCOL
// PROTOCOL is `default`, `2` or `3`; a scenario is an exported function of the script and fails by an exception.
import { createInterface } from "node:readline";

export const port = Number(process.argv[2]);
export const protocol = process.argv[4] === "default" ? undefined : Number(process.argv[4]);

export async function play(scenarios) {
  await scenarios[process.argv[3]]();
  process.exit(0);
}

/** Has the test restart Circlet; done when it serves again. */
export async function restartCirclet() {
  const lines = createInterface({ input: process.stdin });
  console.log("RESTART");
  await new Promise((done) => lines.once("line", done));
  lines.close();
}

/** Asks `probe` again and again until it gives something; connections may break meanwhile. */
export async function until(probe) {
  const end = Date.now() + 20_000;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    if (Date.now() > end) throw new Error(`waited in vain for ${probe}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** Keys with every byte in them, and what looks like protocol. */
export function binaryKeys() {
  const keys = [];
  for (const first of [0, 10, 13, 36, 123, 125, 255]) {
    for (let second = 0; second < 256; second++) keys.push(Buffer.from([first, second]));
  }
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  keys.push(Buffer.alloc(0), all, Buffer.from("{"), Buffer.from("*1\r\n$4\r\nPING\r\n"), Buffer.alloc(70_000, "x"));
  return keys;
}

/** Messages `channel=text`, those of each channel in their order: between channels of several nodes there is none. */
export function byChannel(heard) {
  const channel = (line) => /([^:]*:\d+)=/.exec(line)[1];
  return heard.toSorted((one, other) => channel(one).localeCompare(channel(other)));
}

export const numbers = (count) => Array.from({ length: count }, (_, number) => number);

/** How many clients wait for data, as INFO counts them. */
export const blockedIn = (info) => Number(/^blocked_clients:(\d+)/m.exec(info)[1]);
