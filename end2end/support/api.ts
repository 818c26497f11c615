// The REST API, to put things in place before a test and to look at what came of it.

export interface Proxy {
  id: string;
  name: string;
  host: string;
  port: number;
  scheme: string;
  authentication: string;
  username: string | null;
  has_password: boolean;
  is_default: boolean;
  bypass: string[];
  ca_pem: string | null;
  timeout_s: number;
  last_test: { ok: boolean } | null;
}

export type Draft = Partial<Omit<Proxy, "id">> & { password?: string };

export class Api {
  constructor(
    private readonly url: string,
    private readonly token: string,
  ) {}

  async send(method: string, path: string, body?: unknown): Promise<Response> {
    const headers = { authorization: `Bearer ${this.token}`, "content-type": "application/json" };
    return fetch(`${this.url}/api/v1${path}`, { method, headers, body: body === undefined ? null : JSON.stringify(body) });
  }

  private async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.send(method, path, body);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text ? JSON.parse(text) : undefined) as T;
  }

  proxy(id: string): Promise<Proxy> {
    return this.call("GET", `/proxies/${id}`);
  }

  async proxies(): Promise<Proxy[]> {
    return (await this.call<{ items: Proxy[] }>("GET", "/proxies?limit=200")).items;
  }

  /** The one of this name. */
  async named(name: string): Promise<Proxy | undefined> {
    return (await this.proxies()).find((proxy) => proxy.name === name);
  }

  create(draft: Draft & { name: string }): Promise<Proxy> {
    return this.call("POST", "/proxies", { host: "proxy.example.com", port: 3128, ...draft });
  }

  replace(proxy: Proxy, changes: Draft): Promise<Proxy> {
    return this.call("PUT", `/proxies/${proxy.id}`, { ...proxy, ...changes });
  }

  test(id: string): Promise<{ ok: boolean }> {
    return this.call("POST", `/proxies/${id}/test`, {});
  }

  async deleteAll(): Promise<void> {
    await Promise.all((await this.proxies()).map((proxy) => this.call("DELETE", `/proxies/${proxy.id}`)));
  }
}
