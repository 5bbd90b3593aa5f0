// The status page in a real browser. Run as: node page.js CHROMIUM ORIGIN SCENARIO [TOKEN]; a scenario fails by an exception.
// With SHOT=FILE the page is drawn into that file (the picture in the README).
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Browser } from "./browser.js";

const [program, origin, scenario, token] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Has the test do something; done when it says so. */
async function ask(what) {
  console.log(what);
  await lines.next();
}

/** The second node's name; in the picture one as usual. */
const SECOND = process.env.SHOT ? "cache-b" : "<script>alert(1)</script>";

/** Opens the page and waits until it has been drawn twice. */
async function open(page) {
  await page.send("Page.navigate", { url: `${origin}/` });
  await page.until("Number(document.body?.dataset.looks) >= 2");
}

function complainedOfNothing(page) {
  assert.deepEqual(page.complaints, []);
  for (const url of page.asked) assert.ok(url.startsWith(`${origin}/`), `it asked for ${url}`);
}

const row = (index) => `document.querySelectorAll("#node-rows tr")[${index}]`;
const text = (selector) => `document.querySelector(${JSON.stringify(selector)}).textContent`;

const scenarios = {
  /** Several pools are links; the one that is chosen is shown, and the address says which. */
  async pools(page) {
    await open(page);
    const shown = `${text("#pools [aria-current]")} + " " + ${text("#node-rows tr")}`;
    assert.match(await page.get(shown), /^one .*one-node/);
    assert.equal(await page.get(`document.querySelectorAll("#pools a").length`), 2);
    await page.get(`document.querySelector("#pools a:last-child").click()`);
    await page.until(`location.search === "?pool=two" && Number(document.body?.dataset.looks) >= 1`);
    assert.match(await page.get(shown), /^two .*two-node/);
    complainedOfNothing(page);
  },

  /** It is drawn, goes on by itself, and shows a node that dies and comes back. */
  async lives(page) {
    await open(page);
    assert.equal(await page.get(`document.querySelectorAll("#node-rows tr").length`), 3);
    assert.equal(await page.get(text("#state-text")), "Ready");
    assert.equal(await page.get(`document.querySelectorAll(".share").length`), 3);
    assert.equal(await page.get(`document.querySelectorAll(".slice").length`), 3);
    // A node's name is text, whatever it says.
    assert.ok((await page.get(`${row(1)}.textContent`)).includes(SECOND));
    assert.equal(await page.get(`document.querySelectorAll("script").length`), 1);
    await page.until(`/[1-9]/.test(${text(".big")})`);
    await page.until(`[...document.querySelectorAll("#frequent code")].some((one) => one.textContent === "GET")`);
    await page.until(`/user:hot/.test(document.querySelector("#hot").textContent)`);
    await page.until(`/MB|KB/.test(${row(0)}.textContent) && /7\\.|8\\.|9\\./.test(${row(0)}.lastChild.textContent)`);
    const curve = await page.get(`document.querySelector(".curve").getAttribute("d")`);
    await page.until(`document.querySelector(".curve").getAttribute("d") !== ${JSON.stringify(curve)}`);
    if (process.env.SHOT) await picture(page);
    await ask("KILL");
    await page.until(`${row(1)}.querySelector("[data-state=down]")`);
    await page.until(`document.title.startsWith("▲ 1 of 3 nodes down")`);
    await page.until(`[...document.querySelectorAll("#event-rows li")].some((one) => /node down/.test(one.textContent) && one.textContent.includes(${JSON.stringify(SECOND)}))`);
    assert.match(await page.get(`${row(1)}.textContent`), /refused|closed/);
    assert.match(await page.get(text("#news")), /is down/);
    assert.match(await page.get(`document.querySelectorAll(".share")[1].getAttribute("aria-label")`), /down$/);
    await ask("START");
    await page.until(`${row(1)}.querySelector("[data-state=up]") && document.title === "Circlet"`);
    complainedOfNothing(page);
  },

  /** It can be used without a mouse, in the dark, and on a phone. */
  async usable(page) {
    await open(page);
    const focus = () => page.get(`document.activeElement.id || document.activeElement.classList[0] || document.activeElement.tagName`);
    const met = [];
    for (let at = 0; at < 10; at++) {
      await page.press("Tab");
      met.push(await focus());
    }
    assert.deepEqual(met.slice(0, 5), ["skip", "hold", "share", "share", "share"]);
    assert.ok(met.includes("plot"), met);
    // Until it is seen: what is redrawn meanwhile takes the focus with it.
    const focused = `document.querySelectorAll(".share")[0].focus(), document.querySelectorAll(".share")[1].focus()`;
    await page.until(`(${focused}, ${row(1)}.classList.contains("on") && !${row(0)}.classList.contains("on"))`);
    await page.get(`document.querySelector(".plot").focus()`);
    await page.press("ArrowLeft");
    assert.match(await page.get(text("figcaption .at")), /^at \d\d:\d\d:\d\d$/);
    assert.match(await page.get(text("#news")), /^Requests: /);
    await page.press("p", "KeyP", "p");
    assert.equal(await page.get(`document.querySelector("#hold").getAttribute("aria-pressed")`), "true");
    const looks = await page.get("document.body.dataset.looks");
    await page.until(`${text("#fresh")}.startsWith("held at")`);
    await page.press("p", "KeyP", "p");
    await page.until(`Number(document.body.dataset.looks) > ${looks}`);
    // Everything that says something by colour has a name too.
    assert.equal(await page.get(`[...document.querySelectorAll("[role=img]")].every((one) => one.getAttribute("aria-label"))`), true);

    const paper = () => page.get("getComputedStyle(document.documentElement).backgroundColor");
    await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: "light" }] });
    const light = await paper();
    await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: "dark" }] });
    assert.notEqual(await paper(), light);
    for (const width of [320, 390, 768, 1280]) {
      await page.send("Emulation.setDeviceMetricsOverride", { width, height: 800, deviceScaleFactor: 1, mobile: width < 600 });
      const wide = await page.get("document.documentElement.scrollWidth");
      assert.ok(wide <= width, `${wide} wide on a screen of ${width}`);
    }
    complainedOfNothing(page);
  },

  /** With a token the browser asks for it once; who does not know it sees nothing. */
  async token(page, browser) {
    await logIn(page, "wrong");
    await page.send("Page.navigate", { url: `${origin}/` });
    await page.until(`/a token is needed/.test(document.body.textContent)`);
    const other = await browser.page();
    await logIn(other, token);
    await open(other);
    assert.equal(await other.get(`document.querySelectorAll("#node-rows tr").length`), 3);
    complainedOfNothing(other);
    assert.ok(![...other.asked].some((url) => url.includes(token)), "the token is in no address");
  },

  /** When Circlet ends, the page says so, and goes on when it is back. */
  async survives(page) {
    await open(page);
    await ask("STOP");
    await page.until(`!document.querySelector("#alarm").hidden && /does not answer since/.test(${text("#alarm")})`);
    await ask("START");
    await page.until(`document.querySelector("#alarm").hidden`);
  },
};

/** Gives `password` when the browser asks for one, as a person would, once. */
async function logIn(page, password) {
  let asked = 0;
  page.on("Fetch.requestPaused", ({ requestId }) => page.send("Fetch.continueRequest", { requestId }));
  page.on("Fetch.authRequired", ({ requestId }) => {
    const response = asked++ ? "CancelAuth" : "ProvideCredentials";
    const authChallengeResponse = { response, username: "me", password };
    page.send("Fetch.continueWithAuth", { requestId, authChallengeResponse });
  });
  await page.send("Fetch.enable", { handleAuthRequests: true });
}

async function picture(page) {
  const [width, height] = (process.env.SIZE ?? "1180x850").split("x").map(Number);
  const scheme = process.env.SCHEME ?? "light";
  await page.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  await page.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  await page.send("Emulation.setScrollbarsHidden", { hidden: true });
  await new Promise((done) => setTimeout(done, Number(process.env.AFTER ?? 3) * 1_000));
  writeFileSync(process.env.SHOT, await page.shot());
}

const browser = await Browser.start(program);
try {
  await scenarios[scenario](await browser.page(), browser);
} finally {
  await browser.close();
}
process.exit(0);
