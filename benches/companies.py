#!/usr/bin/env python3
"""Many companies beside one: sign-in, list and save, p50 and p99, and memory, in one run.

    benches/companies.py --program /path/to/gatehouse [--companies 1000] [--settings 100] [--database ws://…]

Two servers of the cloud edition, each with an embedded database of its own: one with a single company, one with many. Everything is
made as a provider and the customers would make it, over the API: companies, invitations, people, proxy settings. Then the same requests
go to both in turn, so that whatever else the machine does meets both. Nothing but Python's standard library is needed.
"""

import argparse, concurrent.futures, http.client, json, os, random, subprocess, tempfile, threading, time, urllib.parse

PASSWORD = "correct horse battery staple"
KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"


class Server:
    def __init__(self, program, database):
        self.folder = tempfile.TemporaryDirectory(prefix="gatehouse-companies-")
        key = os.path.join(self.folder.name, "key")
        with open(key, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(KEY)
        self.env = {
            "PATH": os.environ["PATH"], "GATEHOUSE_EDITION": "cloud", "GATEHOUSE_SECRET_KEY_FILE": key, "GATEHOUSE_LISTEN": "127.0.0.1:0",
            "GATEHOUSE_DATABASE": database or f"surrealkv://{self.folder.name}/data/gatehouse.db", "GATEHOUSE_LOG": "warn",
            "GATEHOUSE_ADMIN_EMAIL": "first@example.com", "GATEHOUSE_ADMIN_PASSWORD": PASSWORD,
        }
        self.program = program
        self.process = subprocess.Popen([program, "serve"], env=self.env, cwd=self.folder.name, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("Gatehouse is ready: "):
                self.address = urllib.parse.urlsplit(line.split(": ", 1)[1].strip()).netloc
                break
        threading.Thread(target=lambda: [None for _ in self.process.stdout], daemon=True).start()
        self.local = threading.local()
        self.companies = []

    def call(self, method, path, body=None, token=None):
        if not hasattr(self.local, "connection"):
            self.local.connection = http.client.HTTPConnection(self.address, timeout=120)
        headers = {"content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self.local.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self.local.connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
        return (json.loads(text) if text else None), answer.getheader("set-cookie")

    def admin(self, *args, given=""):
        done = subprocess.run([self.program, "admin", *args], env=self.env, cwd=self.folder.name, input=given, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        return done.stdout.strip()

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) // 1024 for line in file if line.startswith("VmRSS"))

    def fill(self, companies, settings):
        self.admin("create", "--email", "provider@example.com", "--password-stdin", "--company", "Provider", "--role", "provider", given=PASSWORD)
        provider = self.admin("token", "--email", "provider@example.com")

        def one(number):
            email = f"owner{number}@example.com"
            company, _ = self.call("POST", "/api/v1/companies", {"name": f"Company {number}"}, provider)
            invited, _ = self.call("POST", f"/api/v1/companies/{company['id']}/invitations", {"email": email}, provider)
            secret = invited["link"].rsplit("/", 1)[1]
            _, cookie = self.call("POST", "/api/v1/invitations/accept", {"secret": secret, "name": "Owner", "password": PASSWORD})
            connection = http.client.HTTPConnection(self.address, timeout=120)
            connection.request("POST", "/api/v1/tokens", json.dumps({"name": "bench"}), {"cookie": cookie.split(";")[0]})
            token = json.loads(connection.getresponse().read())["token"]
            ids = []
            for place in range(settings):
                made, _ = self.call("POST", "/api/v1/proxies", {"name": f"Proxy {place}", "host": "proxy.example.com", "port": 3128}, token)
                ids.append(made["id"])
            return email, token, ids

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for done in pool.map(one, range(companies)):
                self.companies.append(done)
                if len(self.companies) % 100 == 0:
                    print(f"  {len(self.companies)} companies", flush=True)

    def timed(self, what):
        email, token, ids = random.choice(self.companies)
        if what == "sign-in":
            ask = ("POST", "/api/v1/sessions", {"email": email, "password": PASSWORD})
        elif what == "list":
            ask = ("GET", "/api/v1/proxies?limit=50", None, token)
        else:
            body = {"name": f"Proxy {random.randrange(10**9)}", "host": "proxy.example.com", "port": random.randrange(1, 65536)}
            ask = ("PUT", f"/api/v1/proxies/{random.choice(ids)}", body, token)
        begin = time.perf_counter()
        self.call(*ask)
        return (time.perf_counter() - begin) * 1000


def percentile(times, percent):
    return sorted(times)[min(len(times) * percent // 100, len(times) - 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--companies", type=int, default=1000)
    parser.add_argument("--settings", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--database", nargs=2, default=(None, None), help="two SurrealDB servers' addresses, in the place of embedded ones")
    args = parser.parse_args()
    servers = {"1 company": Server(args.program, args.database[0]), f"{args.companies} companies": Server(args.program, args.database[1])}
    time.sleep(5)
    idle = {name: server.memory() for name, server in servers.items()}
    for (name, server), count in zip(servers.items(), (1, args.companies)):
        begin = time.perf_counter()
        server.fill(count, args.settings)
        print(f"{name}, {args.settings} settings each: made in {time.perf_counter() - begin:.0f} s", flush=True)
    rows = {}
    for what, rounds in (("sign-in", max(args.rounds // 4, 20)), ("list", args.rounds), ("save", args.rounds)):
        for server in servers.values():
            server.timed(what)
        times = {name: [] for name in servers}
        for _ in range(rounds):
            for name, server in servers.items():
                times[name].append(server.timed(what))
        rows[what] = times
    print(f"\n{'':22}" + "".join(f"{name:>28}" for name in servers) + f"{'ratio':>10}")
    for what, times in rows.items():
        for label, percent in (("p50", 50), ("p99", 99)):
            values = [percentile(of, percent) for of in times.values()]
            print(f"{what + ' ' + label + ', ms':22}" + "".join(f"{value:28.2f}" for value in values) + f"{values[1] / values[0]:10.2f}")
    busy = {}
    for name, server in servers.items():
        end = time.time() + 10
        most = [0]

        def load():
            while time.time() < end:
                server.timed(random.choice(("list", "list", "list", "save")))

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            running = [pool.submit(load) for _ in range(10)]
            while not all(job.done() for job in running):
                most[0] = max(most[0], server.memory())
                time.sleep(0.2)
            [job.result() for job in running]
        busy[name] = most[0]
    for label, values in (("memory idle and empty, MiB", idle), ("memory busy, MiB", busy)):
        print(f"{label:26}" + "".join(f"{value:>24}    " for value in values.values()))
    for server in servers.values():
        server.process.terminate()
        server.process.wait()


if __name__ == "__main__":
    main()
