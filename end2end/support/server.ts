// One Gatehouse with a data folder and a port of its own.
import { execFile } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

import { folder, freePort, Program, removeFolder } from "./processes";
import { parts } from "./parts";

export const EMAIL = "ada@example.com";
export const PASSWORD = "correct horse battery staple";
export const COMPANY = "Example Corp";

// As scripts/env.sh has it.
const cache = process.env.GATEHOUSE_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "gatehouse");
const target = process.env.CARGO_TARGET_DIR || join(cache, "target");
const program = process.env.GATEHOUSE_BIN || join(target, "debug", "gatehouse");
const site = process.env.LEPTOS_SITE_ROOT || join(target, "site");

export class Gatehouse {
  private constructor(
    private readonly place: string,
    private readonly process: Program,
    private readonly env: Record<string, string>,
    /** Where it listens, without a slash at the end. */
    readonly url: string,
  ) {}

  /** With an administrator, or empty; on-premise, or in the cloud edition; with settings of one's own. */
  static async start({ empty = false, cloud = false, settings = {} as Record<string, string> } = {}): Promise<Gatehouse> {
    for (const [path, what] of [[program, "the program"], [join(site, "pkg"), "the browser's files"]] as const) {
      if (!existsSync(path)) throw new Error(`${path} is missing: 'make build' makes ${what}`);
    }
    const place = folder("server");
    // Nothing inherited: no proxy variables, no settings of whoever runs the tests.
    const env: Record<string, string> = {
      PATH: process.env.PATH ?? "",
      LEPTOS_SITE_ROOT: site,
      LEPTOS_HASH_FILES: process.env.LEPTOS_HASH_FILES || "true",
      GATEHOUSE_LISTEN: "127.0.0.1:0",
      GATEHOUSE_DATABASE: `surrealkv://${join(place, "data", "gatehouse.db")}`,
      GATEHOUSE_TEST_TARGET: parts().target,
    };
    if (cloud) {
      // Which wants to find a key.
      env.GATEHOUSE_EDITION = "cloud";
      env.GATEHOUSE_SECRET_KEY_FILE = join(place, "key");
      writeFileSync(env.GATEHOUSE_SECRET_KEY_FILE, `${Buffer.alloc(32, 7).toString("base64")}\n`);
    }
    if (!empty) {
      env.GATEHOUSE_ADMIN_EMAIL = EMAIL;
      env.GATEHOUSE_ADMIN_PASSWORD = PASSWORD;
      env.GATEHOUSE_ADMIN_COMPANY = COMPANY;
    }
    Object.assign(env, settings);
    const running = new Program(program, ["serve"], { cwd: place, env });
    const url = await running.until("its address", () => running.output.match(/^Gatehouse is ready: (\S+)$/m)?.[1], 60);
    return new Gatehouse(place, running, env, url);
  }

  /** The one-time link that an empty server prints. */
  setUpLink(): Promise<string> {
    return this.process.until("the set-up link", () => this.process.output.match(/^\s+(http\S+\/setup\/\S+)$/m)?.[1]);
  }

  /** `gatehouse admin …` beside the running server; gives what it printed. */
  admin(...args: string[]): Promise<string> {
    return this.adminWith("", ...args);
  }

  /** The same, with something to read. */
  adminWith(input: string, ...args: string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = execFile(program, ["admin", ...args], { cwd: this.place, env: this.env }, (error, out, err) => {
        if (error) reject(new Error(`gatehouse admin ${args.join(" ")}: ${err}`));
        else resolve(out.trim());
      });
      child.stdin?.end(input);
    });
  }

  /** What it has said so far. */
  get log(): string {
    return this.process.output;
  }

  async stop(): Promise<void> {
    await this.process.stop();
    removeFolder(this.place);
  }
}

/** A SurrealDB server, for several Gatehouses; undefined where its program is not there. */
export async function database(): Promise<{ settings: Record<string, string>; stop: () => Promise<void> } | undefined> {
  const surreal = process.env.GATEHOUSE_SURREAL || join(cache, "tools", "bin", "surreal");
  if (!existsSync(surreal)) return undefined;
  const place = folder("database");
  const port = await freePort();
  const args = ["start", "--no-banner", "--log", "error", "--user", "root", "--pass", "root", "--bind", `127.0.0.1:${port}`, "memory"];
  const running = new Program(surreal, args, { cwd: place, env: { PATH: process.env.PATH ?? "" } });
  await running.until("the database", async () => ((await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined))?.ok ? true : undefined));
  const settings = {
    GATEHOUSE_DATABASE: `ws://127.0.0.1:${port}`,
    GATEHOUSE_DATABASE_USER: "root",
    GATEHOUSE_DATABASE_PASSWORD: "root",
    // What both have besides the database: the first one makes it.
    GATEHOUSE_SECRET_KEY_FILE: join(place, "gatehouse.key"),
    GATEHOUSE_SHUTDOWN_DELAY: "0",
  };
  const stop = async () => {
    await running.stop();
    removeFolder(place);
  };
  return { settings, stop };
}
