// The archive, unpacked in a root without anything but the C library and in a network without anything but itself: it serves, a
// local Squid is tested from its console, it is backed up under load and restored elsewhere, equal.
// $BUNDLE_RUN runs the unpacked program there, as nobody in particular; $BUNDLE_FOLDER is where it is unpacked, seen from here.
import { execFile } from "node:child_process";
import { chownSync, copyFileSync, existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "@playwright/test";

import { Api, type Proxy } from "../support/api";
import { ENGINE_KEY, parts, PASSWORD as PROXY_PASSWORD, USER } from "../support/parts";
import { Program } from "../support/processes";
import { open, ready } from "../tests/fixtures";
import { basic, caPem, host, name, newProxy, openMore, optional, password, port, result, row, save, stage, testConnection, username } from "../tests/ui";

const run = process.env.BUNDLE_RUN ?? "";
const folder = process.env.BUNDLE_FOLDER ?? "";
const EMAIL = "ada@example.com";
const PASSWORD = "correct horse battery staple";

const settings = (more: Record<string, string>): Record<string, string> => ({
  PATH: process.env.PATH ?? "",
  GATEHOUSE_LISTEN: "127.0.0.1:0",
  ...more,
});

/** `gatehouse …`, to its end; gives what it printed. */
function gatehouse(more: Record<string, string>, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(run, args, { env: settings(more) }, (error, out, err) => {
      if (error) reject(new Error(`gatehouse ${args.join(" ")}: ${error.message}\n${out}${err}`));
      else resolve(out.trim());
    });
  });
}

class Server {
  private constructor(
    private readonly program: Program,
    readonly url: string,
  ) {}

  static async start(more: Record<string, string>): Promise<Server> {
    const program = new Program(run, ["serve"], { env: settings(more) });
    const url = await program.until("its address", () => program.output.match(/^Gatehouse is ready: (\S+)$/m)?.[1], 60);
    return new Server(program, url);
  }

  stop(): Promise<void> {
    return this.program.stop();
  }
}

/** What only tells when it was asked, or by whom. */
const VOLATILE = new Set(["last_used_at", "expires_at"]);

/** Every list and every single thing that the API answers without an identifier, by its own description. */
async function everything(url: string, token: string): Promise<Record<string, unknown>> {
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(url + path, { headers: { authorization: `Bearer ${token}` } });
    const text = await response.text();
    const json = /json(;|$)/.test(response.headers.get("content-type") ?? "");
    return response.ok ? (json ? JSON.parse(text, (key, value) => (VOLATILE.has(key) ? undefined : value)) : text) : response.status;
  };
  const described = (await get("/api/v1/openapi.json")) as { paths: Record<string, { get?: { parameters?: { name: string }[] } }> };
  const all: Record<string, unknown> = {};
  for (const [path, { get: how }] of Object.entries(described.paths)) {
    // Sessions are of a browser: the token that asks is none, and no backup holds one.
    if (!how || path.includes("{") || path.endsWith("/sessions")) continue;
    if (/\.(csv|jsonl)$/.test(path) || !how.parameters?.some((parameter) => parameter.name === "cursor")) {
      all[path] = await get(path);
      continue;
    }
    const items: unknown[] = [];
    let next: string | null = null;
    do {
      const page = (await get(`${path}?limit=200${next ? `&cursor=${encodeURIComponent(next)}` : ""}`)) as { items: unknown[]; next: string | null };
      if (!Array.isArray(page.items)) throw new Error(`${path} answers no list: ${JSON.stringify(page)}`);
      items.push(...page.items);
      next = page.next;
    } while (next);
    all[path] = items;
  }
  return all;
}

async function proxies(url: string, token: string): Promise<Map<string, Proxy>> {
  const items = (await everything(url, token))["/api/v1/proxies"] as Proxy[];
  return new Map(items.map((proxy) => [proxy.name, proxy]));
}

/** Writers that make one setting after the other until they are told to end, and what they know about each. */
class Load {
  private ending = false;
  private readonly writers: Promise<void>[];
  readonly began: string[] = [];
  readonly acknowledged: string[] = [];

  constructor(api: Api, writers: number) {
    const write = async (writer: number) => {
      for (let number = 0; !this.ending; number++) {
        const called = `load ${writer}-${String(number).padStart(5, "0")}`;
        this.began.push(called);
        await api.create({ name: called, host: `proxy-${number}.example.com`, authentication: "basic", username: "jo", password: `secret ${number}` });
        this.acknowledged.push(called);
      }
    };
    this.writers = Array.from({ length: writers }, (_, writer) => write(writer));
  }

  async end(): Promise<void> {
    this.ending = true;
    await Promise.all(this.writers);
  }
}

/** Restores into a folder of its own beside the first one. A backup does not hold the key: that is carried over by hand. */
async function restored(file: string, into: string): Promise<Record<string, string>> {
  const from = statSync(join(folder, "data"));
  mkdirSync(join(folder, into));
  chownSync(join(folder, into), from.uid, from.gid);
  copyFileSync(join(folder, "data/gatehouse.key"), join(folder, into, "gatehouse.key"));
  chownSync(join(folder, into, "gatehouse.key"), from.uid, from.gid);
  const database = { GATEHOUSE_DATABASE: `surrealkv://${into}/gatehouse.db` };
  const began = performance.now();
  await gatehouse(database, "restore", file);
  console.log(`restore ${file}: ${Math.round(performance.now() - began)} ms`);
  return database;
}

async function backup(file: string): Promise<void> {
  const began = performance.now();
  await gatehouse({}, "backup", file);
  console.log(`backup ${file}: ${Math.round(performance.now() - began)} ms, ${statSync(join(folder, file)).size} bytes`);
}

test.describe.configure({ mode: "serial" });

let server: Server;
let token: string;
const knows = async (command: string) => new RegExp(`^  ${command}\\b`, "m").test(await gatehouse({}, "--help"));

test.beforeAll(async () => {
  const began = performance.now();
  server = await Server.start({ GATEHOUSE_ADMIN_EMAIL: EMAIL, GATEHOUSE_ADMIN_PASSWORD: PASSWORD, GATEHOUSE_TEST_TARGET: parts().target });
  console.log(`first start: ready after ${Math.round(performance.now() - began)} ms at ${server.url}`);
  token = await gatehouse({}, "admin", "token", "--email", EMAIL);
});

test.afterAll(() => server.stop());

test("a local Squid is tested from the console", async ({ page }) => {
  const { basicProxy, ca, target } = parts();
  const outside: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(server.url) && !request.url().startsWith("data:")) outside.push(request.url());
  });
  await open(page, `${server.url}/sign-in`);
  await page.getByLabel("E-mail address", { exact: true }).fill(EMAIL);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Proxy Settings" }).click();
  await expect(page.getByRole("navigation", { name: "Breadcrumb" }).getByRole("listitem")).toHaveText(["Company", "Company Settings", "Proxy Settings"]);
  await newProxy(page).click();
  await ready(page);
  await name(page).fill("Squid");
  await host(page).fill("127.0.0.1");
  await port(page).fill(String(basicProxy));
  await basic(page).check();
  await username(page).fill(USER);
  await password(page).fill(PROXY_PASSWORD);
  await openMore(page);
  await caPem(page).fill(ca);
  // Without a word about another target: the one of the setting TEST_TARGET.
  await expect(optional(page, "Test target")).toHaveValue("");
  await testConnection(page).click();
  await expect(result(page)).toHaveAttribute("data-ok", "true");
  await expect(result(page)).toContainText("The connection works");
  await expect(result(page)).toContainText(target);
  await expect(stage(page, "target_tls")).toContainText("Example Corp Test CA");
  await page.setViewportSize({ width: 1280, height: 1400 });
  await page.screenshot({ path: `${process.env.BUNDLE_RESULTS}/test-connection.png` });
  await save(page).click();
  await expect(row(page, "Squid")).toBeVisible();
  expect(outside, "what the console asked of others").toEqual([]);
});

test("an indicator is analysed by a service of this network, through the Squid", async () => {
  const { ca, engine } = parts();
  const api = new Api(server.url, token);
  const proxy = { choice: "setting", id: (await api.named("Squid"))?.id };
  await api.integration({ name: "Own service", type: "virustotal", api_url: engine, api_key: ENGINE_KEY, ca_pem: ca, proxy });
  expect((await api.analyse({ url: "http://evil.example.com/" })).verdict).toBe("malicious");
});

test("it is backed up under load", async () => {
  test.skip(!(await knows("backup")), "this program has no `backup` yet");
  const load = new Load(new Api(server.url, token), 4);
  while (load.acknowledged.length < 100) await new Promise((resolve) => setTimeout(resolve, 20));
  const before = [...load.acknowledged];
  await backup("under-load.backup");
  const during = [...load.began];
  await load.end();
  console.log(`load: ${before.length} written before the backup, ${during.length - before.length} begun during it, ${load.began.length} in all`);
  expect(during.length, "the load went on meanwhile").toBeGreaterThan(before.length);

  const original = await proxies(server.url, token);
  const other = await Server.start(await restored("under-load.backup", "restored-load"));
  const copy = await proxies(other.url, token);
  await other.stop();
  // A moment between the beginning and the end of the backup: everything acknowledged before, nothing begun after, of each
  // writer nothing left out in between, and each as it is in the original.
  const kept = new Set([...copy.keys()].filter((called) => called.startsWith("load ")));
  expect(before.filter((called) => !kept.has(called)), "written before the backup, and not in it").toEqual([]);
  expect([...kept].filter((called) => !during.includes(called)), "begun after the backup, and in it").toEqual([]);
  for (let writer = 0; writer < 4; writer++) {
    const numbers = [...kept].filter((called) => called.startsWith(`load ${writer}-`)).map((called) => Number(called.slice(7)));
    expect(Math.max(...numbers), `writer ${writer} has a gap`).toBe(numbers.length - 1);
  }
  for (const [called, proxy] of copy) expect(proxy, called).toEqual(original.get(called));
});

test("restored elsewhere it is equal, and its secrets are there", async () => {
  test.skip(!(await knows("restore")), "this program has no `restore` yet");
  await backup("at-rest.backup");
  const before = await everything(server.url, token);
  const other = await Server.start({ ...(await restored("at-rest.backup", "restored")), GATEHOUSE_TEST_TARGET: parts().target });
  const after = await everything(other.url, token);
  expect(Object.keys(after)).toEqual(Object.keys(before));
  for (const [path, value] of Object.entries(before)) expect(after[path], path).toEqual(value);
  const count = Object.values(before).reduce((sum: number, value) => sum + (Array.isArray(value) ? value.length : 1), 0);
  console.log(`equal: ${Object.keys(before).length} addresses of the API, ${count} things`);
  // The stored password of the proxy, opened with the key that was carried over.
  const squid = (await proxies(other.url, token)).get("Squid");
  expect(await new Api(other.url, token).test(squid?.id ?? "")).toMatchObject({ ok: true });
  await other.stop();
});

test("it says what it finds", async () => {
  test.skip(!(await knows("doctor")), "this program has no `doctor` yet");
  // There is no internet, and it may say so: what counts here is that it ends in words.
  const said = await gatehouse({ GATEHOUSE_TEST_TARGET: parts().target }, "doctor").catch((error: Error) => error.message);
  console.log(said);
  expect(said).not.toMatch(/panicked/);
});

test("it needs nothing but what was unpacked and made in its folder", () => {
  expect(existsSync(join(folder, "data/gatehouse.db"))).toBe(true);
  expect(statSync(join(folder, "data/gatehouse.key")).mode & 0o777).toBe(0o600);
});
