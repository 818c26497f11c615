// What every test gets: a Gatehouse of its worker's own, signed in, with no proxy settings; a watch on the console.
import { writeFileSync } from "node:fs";

import { type BrowserContext, type BrowserContextOptions, expect, type Page, test as base } from "@playwright/test";

import { Api } from "../support/api";
import { parts, type Parts } from "../support/parts";
import { EMAIL, Gatehouse, PASSWORD } from "../support/server";

/** What a page has no business saying. */
class Watch {
  private readonly said: string[] = [];
  private readonly allowed: RegExp[] = [];

  /** Refusals that a person can cause are told by the browser as failed loads; everything else is a defect. */
  private static readonly refusal = /^Failed to load resource: the server responded with a status of (401|409|422|429) /;

  constructor(js: boolean) {
    // Told of the browser side where nothing may ask for it.
    if (!js) this.allow(/^The resource \S+ was preloaded using link preload but not used/);
  }

  on(context: BrowserContext): void {
    context.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      const text = message.text();
      if (Watch.refusal.test(text) || this.allowed.some((pattern) => pattern.test(text))) return;
      this.said.push(`${message.type()} at ${message.location().url}: ${text}`);
    });
    context.on("weberror", (error) => this.said.push(`uncaught: ${error.error().stack ?? error.error()}`));
  }

  /** For tests that look at what goes wrong. */
  allow(pattern: RegExp): void {
    this.allowed.push(pattern);
  }

  check(): void {
    expect(this.said, "errors and warnings on the console").toEqual([]);
  }
}

interface TestFixtures {
  /** Whether the browser side runs. */
  js: boolean;
  /** Whether this is the narrow screen. */
  phone: boolean;
  watch: Watch;
  /** No proxy settings are there when a test begins. */
  api: Api;
  /** Another person's browser. */
  anotherContext: (options?: BrowserContextOptions) => Promise<BrowserContext>;
  /** An empty server of this test's own. */
  emptyServer: Gatehouse;
  /** A server with an administrator, of this test's own. */
  ownServer: Gatehouse;
  signedIn: boolean;
}

interface WorkerFixtures {
  gatehouse: Gatehouse;
  workerApi: Api;
  /** The cookie of the administrator's session. */
  session: string;
  parts: Parts;
}

export const test = base.extend<TestFixtures, WorkerFixtures>({
  parts: [async ({}, use) => use(parts()), { scope: "worker" }],

  gatehouse: [
    async ({}, use) => {
      const server = await Gatehouse.start();
      await use(server);
      await server.stop();
    },
    { scope: "worker", timeout: 90_000 },
  ],

  workerApi: [
    async ({ gatehouse }, use) => use(new Api(gatehouse.url, await gatehouse.admin("token", "--email", EMAIL))),
    { scope: "worker" },
  ],

  session: [async ({ gatehouse }, use) => use(await signIn(gatehouse.url)), { scope: "worker" }],

  signedIn: [true, { option: true }],

  baseURL: async ({ gatehouse }, use) => use(gatehouse.url),

  storageState: async ({ session, signedIn }, use) => use(signedIn ? state(session) : undefined),

  js: async ({ javaScriptEnabled }, use) => use(javaScriptEnabled !== false),

  phone: async ({ viewport }, use) => use((viewport?.width ?? 0) < 640),

  watch: async ({ js }, use) => {
    const watch = new Watch(js);
    await use(watch);
    watch.check();
  },

  context: async ({ context, watch }, use) => {
    watch.on(context);
    await use(context);
  },

  api: [
    async ({ workerApi, gatehouse }, use, info) => {
      await workerApi.deleteAll();
      const before = gatehouse.log.length;
      await use(workerApi);
      if (info.status !== info.expectedStatus) writeFileSync(info.outputPath("server.log"), gatehouse.log.slice(before));
    },
    { auto: true },
  ],

  anotherContext: async ({ browser, watch, baseURL, storageState, javaScriptEnabled, viewport }, use) => {
    const opened: BrowserContext[] = [];
    await use(async (options = {}) => {
      const context = await browser.newContext({ baseURL, storageState, javaScriptEnabled, viewport, ...options });
      watch.on(context);
      opened.push(context);
      return context;
    });
    for (const context of opened) await context.close();
  },

  emptyServer: async ({}, use) => {
    const server = await Gatehouse.start({ empty: true });
    await use(server);
    await server.stop();
  },

  ownServer: async ({}, use) => {
    const server = await Gatehouse.start();
    await use(server);
    await server.stop();
  },
});

export { expect };

/** Waits until a page that was loaded does what a person asks of it. */
export async function ready(page: Page): Promise<void> {
  const scripts = await page.evaluate(() => matchMedia("(scripting: enabled)").matches);
  if (scripts) await page.locator("html[data-ready]").waitFor({ state: "attached" });
}

/** Opens an address and waits until the page is alive. */
export async function open(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await ready(page);
}

/** The cookie of a new session. */
export async function signIn(url: string, email = EMAIL): Promise<string> {
  const response = await fetch(`${url}/api/v1/sessions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email, password: PASSWORD }),
  });
  const cookie = response.headers.get("set-cookie")?.match(/^gatehouse_session=([^;]+)/)?.[1];
  if (!cookie) throw new Error(`signing in: ${response.status} ${await response.text()}`);
  return cookie;
}

/** A browser that holds this cookie. */
export function state(session: string): Exclude<BrowserContextOptions["storageState"], string | undefined> {
  const cookie = { name: "gatehouse_session", value: session, domain: "127.0.0.1", path: "/", expires: -1 };
  return { cookies: [{ ...cookie, httpOnly: true, secure: false, sameSite: "Lax" as const }], origins: [] };
}
