// A headless Chromium, driven through its DevTools protocol over a pipe: no package and no port is needed for that.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Longest wait for anything. */
const LIMIT = 40_000;

export class Browser {
  static async start(program) {
    const home = mkdtempSync(join(tmpdir(), "circlet-page-"));
    const flags = [
      "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
      "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
      `--user-data-dir=${home}`, "about:blank",
    ];
    const child = spawn(program, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], env: { ...process.env, HOME: home } });
    const browser = new Browser(child, home);
    child.on("error", (error) => browser.fail(error));
    child.on("exit", () => browser.fail(new Error(`${program} has ended`)));
    process.on("exit", () => child.kill("SIGKILL"));
    return browser;
  }

  /** Ends it and removes what it has left. */
  async close() {
    const ended = new Promise((done) => this.child.on("exit", done));
    this.send("Browser.close").catch(() => {});
    await ended;
    rmSync(this.home, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }

  constructor(child, home) {
    Object.assign(this, { child, home, next: 1, waiting: new Map(), listeners: new Map(), unread: "" });
    child.stdio[4].setEncoding("utf8");
    child.stdio[4].on("data", (text) => this.read(text));
  }

  fail(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }

  read(text) {
    const messages = (this.unread + text).split("\0");
    this.unread = messages.pop();
    for (const message of messages.map((one) => JSON.parse(one))) {
      const asked = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (message.error) asked?.reject(new Error(`${asked.method}: ${message.error.message}`));
      else if (asked) asked.resolve(message.result);
      else this.listeners.get(`${message.sessionId} ${message.method}`)?.(message.params);
    }
  }

  send(method, params = {}, sessionId = undefined) {
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, method });
      this.child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  /** A new page; everything that it complains of, and every address that it asks for, is kept. */
  async page() {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId);
    page.on("Runtime.exceptionThrown", ({ exceptionDetails }) => page.complaints.push(exceptionDetails.exception?.description ?? exceptionDetails.text));
    page.on("Runtime.consoleAPICalled", ({ type, args }) => {
      if (type === "error" || type === "warning") page.complaints.push(args.map((arg) => arg.value).join(" "));
    });
    page.on("Log.entryAdded", ({ entry }) => page.complaints.push(`${entry.text} ${entry.url ?? ""}`));
    page.on("Network.requestWillBeSent", ({ request }) => page.asked.add(request.url));
    for (const domain of ["Runtime", "Log", "Network", "Page"]) await page.send(`${domain}.enable`);
    return page;
  }
}

export class Page {
  constructor(browser, session) {
    Object.assign(this, { browser, session, complaints: [], asked: new Set() });
  }

  on(method, listener) {
    this.browser.listeners.set(`${this.session} ${method}`, listener);
  }

  send(method, params) {
    return this.browser.send(method, params, this.session);
  }

  /** The value of an expression in the page. */
  async get(expression) {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description}`);
    return result.value;
  }

  /** Waits until an expression is true. */
  async until(expression) {
    const end = Date.now() + LIMIT;
    while (!(await this.get(expression).catch(() => false))) {
      if (Date.now() > end) throw new Error(`waited in vain for ${expression}; the page says:\n${await this.get("document.body.innerText")}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  }

  async press(key, code = key, text = undefined) {
    const virtual = { Tab: 9, Enter: 13, ArrowLeft: 37, ArrowRight: 39, p: 80 }[key];
    const params = { key, code, windowsVirtualKeyCode: virtual, text };
    await this.send("Input.dispatchKeyEvent", { type: text ? "keyDown" : "rawKeyDown", ...params });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...params });
  }

  async shot() {
    const { data } = await this.send("Page.captureScreenshot", { format: "webp", quality: 90 });
    return Buffer.from(data, "base64");
  }
}
