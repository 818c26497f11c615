// The real parts that all workers share: a target over HTTPS with a private authority, Squid with and without
// authentication, a slow and a silent proxy, and a web server that is no proxy. Playwright runs this once, before everything.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createHttps } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";

import { folder, freePort, Program, removeFolder } from "./processes";

/** What a test needs to know of them. */
export interface Parts {
  /** Answers with the address of whoever asks. Only the proxies know its name. */
  target: string;
  /** The authority that the target's certificate comes from. */
  ca: string;
  /** Squid that lets everybody through. */
  openProxy: number;
  /** Squid that wants Basic authentication as `jo` with `secret`. */
  basicProxy: number;
  /** Takes two seconds to answer CONNECT. */
  slowProxy: number;
  /** Takes the connection and says nothing. */
  silentProxy: number;
  /** A web server, and no proxy. */
  webServer: number;
  /** Nobody listens there. */
  closedPort: number;
  /** An analysis service that answers as VirusTotal documents, below `/api/v3`. Only the proxies know its name. */
  engine: string;
}

/** The key that the analysis service accepts. */
export const ENGINE_KEY = "good-key";

export const USER = "jo";
export const PASSWORD = "secret";

/** Milliseconds until the slow proxy answers. */
export const SLOW = 2_000;

const TARGET_NAME = "whoami.example.test";
const ENGINE_NAME = "engine.example.test";

export default async function start(): Promise<() => Promise<void>> {
  const place = folder("parts");
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const one of stops.reverse()) await one();
    removeFolder(place);
  };
  try {
    const serve = (server: Server) =>
      new Promise<number>((resolve, reject) => {
        server.once("error", reject);
        server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
        stops.push(async () => {
          server.closeAllConnections();
          server.close();
        });
      });

    const { ca, cert, key } = certificates(place);
    const targetPort = await serve(
      createHttps({ cert, key }, (request, response) => {
        response.setHeader("content-type", "text/plain");
        response.end(`${request.socket.remoteAddress}\n`);
      }),
    );
    const enginePort = await serve(createHttps({ cert, key }, analyse));
    const tunnels = createHttp((_, response) => response.writeHead(400).end());
    tunnels.on("connect", (_request, client, head) => {
      const wait = setTimeout(() => {
        const server = connect(targetPort, "127.0.0.1", () => {
          client.write("HTTP/1.1 200 Connection established\r\n\r\n");
          server.write(head);
          server.pipe(client);
          client.pipe(server);
        });
        for (const [one, other] of [[server, client], [client, server]] as const) one.on("error", () => other.destroy());
      }, SLOW);
      client.once("close", () => clearTimeout(wait));
      client.once("error", () => clearTimeout(wait));
    });
    const silent = createHttp();
    silent.on("connect", (_request, client) => client.on("error", () => client.destroy()));
    const web = createHttp((_, response) => response.end("<h1>It works!</h1>"));
    web.on("connect", (_request, client) => {
      client.end("HTTP/1.1 405 Method Not Allowed\r\nserver: web\r\nallow: GET, HEAD\r\ncontent-length: 0\r\n\r\n");
    });

    const parts: Parts = {
      target: `https://${TARGET_NAME}:${targetPort}/`,
      ca,
      openProxy: await squid(place, "open", false, stops),
      basicProxy: await squid(place, "basic", true, stops),
      slowProxy: await serve(tunnels),
      silentProxy: await serve(silent),
      webServer: await serve(web),
      closedPort: await freePort(),
      engine: `https://${ENGINE_NAME}:${enginePort}/api/v3`,
    };
    process.env.GATEHOUSE_E2E_PARTS = JSON.stringify(parts);
    return stop;
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The parts that were started before everything. */
export function parts(): Parts {
  return JSON.parse(process.env.GATEHOUSE_E2E_PARTS ?? "null") as Parts;
}

/** Answers as VirusTotal's documents say: what holds `evil` is malicious, `unknown` is not known, `slow` takes its time. */
function analyse(request: IncomingMessage, response: ServerResponse): void {
  const answer = (status: number, body: unknown) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  };
  if (request.headers["x-apikey"] !== ENGINE_KEY) {
    answer(401, { error: { code: "WrongCredentialsError", message: "Wrong API key" } });
    return;
  }
  const [, kind, encoded = ""] = /^\/api\/v3\/([a-z_]+)\/(.*)$/.exec(request.url ?? "") ?? [];
  const value = kind === "urls" ? Buffer.from(encoded, "base64url").toString() : decodeURIComponent(encoded);
  if (kind === "users") answer(200, { data: { type: "user", id: "jo" } });
  else if (value.includes("unknown")) answer(404, { error: { code: "NotFoundError" } });
  else {
    const malicious = value.includes("evil") ? 7 : 0;
    const stats = { malicious, suspicious: 0, undetected: 20, harmless: 65, timeout: 0 };
    setTimeout(() => answer(200, { data: { attributes: { last_analysis_stats: stats } } }), value.includes("slow") ? 3_000 : 0);
  }
}

function certificates(place: string): { ca: string; cert: string; key: string } {
  const at = (name: string) => join(place, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
  const ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const authority = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"];
  const end = "basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n";
  writeFileSync(at("names.cnf"), `subjectAltName=DNS:${TARGET_NAME},DNS:${ENGINE_NAME},IP:127.0.0.1\n${end}`);
  openssl("req", "-x509", ...ec, "-keyout", at("ca.key"), "-out", at("ca.pem"), "-days", "2", "-subj", "/CN=Example Corp Test CA", ...authority);
  openssl("req", ...ec, "-keyout", at("target.key"), "-out", at("target.csr"), "-subj", `/CN=${TARGET_NAME}`);
  const signed = ["-CA", at("ca.pem"), "-CAkey", at("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", at("names.cnf")];
  openssl("x509", "-req", "-in", at("target.csr"), "-out", at("target.pem"), ...signed);
  const text = (name: string) => readFileSync(at(name), "utf8");
  return { ca: text("ca.pem"), cert: text("target.pem"), key: text("target.key") };
}

async function squid(place: string, name: string, asks: boolean, stops: (() => Promise<void>)[]): Promise<number> {
  const program = "/usr/sbin/squid";
  if (!existsSync(program)) throw new Error(`${program} is missing: install the Debian package squid (scripts/test-deps.sh does)`);
  const port = await freePort();
  const write = (file: string, text: string) => {
    const path = join(place, `${name}-${file}`);
    writeFileSync(path, text);
    chmodSync(path, 0o644);
    return path;
  };
  const isRoot = process.getuid?.() === 0;
  const config = [
    `http_port 127.0.0.1:${port}`,
    "visible_hostname squid.test",
    "pid_filename none",
    "coredump_dir none",
    "netdb_filename none",
    "pinger_enable off",
    "shutdown_lifetime 0 seconds",
    "cache deny all",
    "cache_log /dev/null",
    "access_log none",
    `hosts_file ${write("hosts", `127.0.0.1 localhost ${TARGET_NAME} ${ENGINE_NAME}\n`)}`,
    "dns_nameservers 127.0.0.1",
    "dns_timeout 1 seconds",
    ...(isRoot ? ["cache_effective_user proxy"] : []),
  ];
  if (asks) {
    const users = write("users", "");
    execFileSync("htpasswd", ["-bm", users, USER, PASSWORD], { stdio: ["ignore", "ignore", "pipe"] });
    config.push(
      `auth_param basic program /usr/lib/squid/basic_ncsa_auth ${users}`,
      "auth_param basic children 2 startup=1 idle=1",
      "auth_param basic realm Example",
      "auth_param basic casesensitive on",
      "acl known proxy_auth REQUIRED",
      "http_access allow known",
      "http_access deny all",
    );
  } else {
    config.push("http_access allow all");
  }
  const running = new Program(program, ["-N", "-f", write("squid.conf", `${config.join("\n")}\n`)], { cwd: place });
  stops.push(() => running.stop());
  await running.listens(port);
  return port;
}
