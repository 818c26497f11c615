// Programs that the tests start, each with a folder and a port of its own, all ended with whoever started them.
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder that programs under other users may read. */
export function folder(name: string): string {
  const path = mkdtempSync(join(tmpdir(), `gatehouse-e2e-${name}-`));
  chmodSync(path, 0o755);
  return path;
}

export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

/** A port that nothing listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}

/** A running program and everything it has printed. */
export class Program {
  private readonly child: ChildProcess;
  private readonly ended: Promise<void>;
  private gone = false;
  output = "";

  constructor(
    private readonly command: string,
    args: string[],
    options: SpawnOptions,
  ) {
    this.child = spawn(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    const keep = (piece: Buffer) => (this.output += piece.toString());
    this.child.stdout?.on("data", keep);
    this.child.stderr?.on("data", keep);
    this.ended = new Promise((resolve) => {
      this.child.once("error", (error) => {
        this.output += `${error}\n`;
        this.gone = true;
        resolve();
      });
      this.child.once("close", () => {
        this.gone = true;
        resolve();
      });
    });
  }

  /** Waits until something is the case; says what the program printed when it is not in time. */
  async until<T>(what: string, found: () => T | undefined | Promise<T | undefined>, seconds = 30): Promise<T> {
    const end = Date.now() + seconds * 1000;
    for (;;) {
      const result = await found();
      if (result !== undefined) return result;
      if (this.gone || Date.now() > end) {
        const why = this.gone ? "ended" : `did not within ${seconds} s`;
        await this.stop();
        throw new Error(`${this.command}: waiting for ${what}, it ${why}:\n${this.output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  async listens(port: number): Promise<void> {
    await this.until(`port ${port}`, async () => ((await answers(port)) ? true : undefined));
  }

  async stop(): Promise<void> {
    if (!this.gone) this.child.kill("SIGTERM");
    const late = setTimeout(() => this.child.kill("SIGKILL"), 5_000);
    await this.ended;
    clearTimeout(late);
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
