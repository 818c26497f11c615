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

export interface Integration {
  id: string;
  name: string;
  type: string;
  status: string;
  has_api_key: boolean;
  proxy: { choice: string; id?: string };
  tags: string[];
}

export interface Analysis {
  id: string;
  status: string;
  verdict: string | null;
  incomplete: boolean;
  results: { verdict: string | null; cause: string | null; route: unknown; integration: { name: string } }[];
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

  integration(draft: Record<string, unknown>): Promise<Integration> {
    return this.call("POST", "/integrations", draft);
  }

  async integrations(): Promise<Integration[]> {
    return (await this.call<{ items: Integration[] }>("GET", "/integrations?limit=200")).items;
  }

  /** Begins an analysis and waits for its end. */
  analyse(what: Record<string, unknown>, wait = 30): Promise<Analysis> {
    return this.call("POST", `/analyses?wait=${wait}`, what);
  }

  async deleteAll(): Promise<void> {
    await Promise.all((await this.integrations()).map(({ id }) => this.call("DELETE", `/integrations/${id}`)));
    await Promise.all((await this.proxies()).map((proxy) => this.call("DELETE", `/proxies/${proxy.id}`)));
  }
}
