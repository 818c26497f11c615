//! Programs that people use, through the gateway.

use std::{
    net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use gatehouse_gateway::Gateway;

use crate::bed::{OPEN, Origin, gateway, open};

/// Runs a program with the gateway as its proxy, and answers what it printed.
async fn run(program: &str, arguments: &[&str], proxy: &str, environment: &[(&str, &str)]) -> String {
    let (program, arguments, proxy) =
        (program.to_string(), arguments.iter().map(ToString::to_string).collect::<Vec<_>>(), proxy.to_string());
    let environment: Vec<(String, String)> = environment.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    tokio::task::spawn_blocking(move || {
        let output = Command::new(&program)
            .args(&arguments)
            .env("http_proxy", &proxy)
            .env("https_proxy", &proxy)
            .env_remove("no_proxy")
            .env_remove("NO_PROXY")
            .envs(environment)
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{program} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_with_its_options() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let proxy = format!("http://{}", gateway.addresses()[0]);
    let url = origin.url("/x");
    for options in [
        vec!["-x", &proxy],
        vec!["--proxy1.0", gateway.addresses()[0].to_string().leak()],
        vec!["-p", "-x", &proxy],
        vec!["--http1.0", "-x", &proxy],
        vec!["-x", &proxy, "--proxy-header", "X-Only-For: the-proxy"],
        vec!["-x", &proxy, "-H", "Transfer-Encoding: chunked", "-d", "body"],
        vec!["-x", &proxy, "-T", "/etc/hostname"],
        vec!["-x", &proxy, "-H", "Expect: 100-continue", "-d", "body"],
        vec!["-x", &proxy, "--compressed"],
    ] {
        let mut arguments = vec!["-sS", "-m", "10", "-f"];
        arguments.extend(options.iter().copied());
        arguments.push(&url);
        assert_eq!(run("curl", &arguments, "", &[]).await, "hello", "{options:?}");
    }
    // A file of a gigabyte's tenth, down and up.
    let large = origin.url("/large/100000000");
    assert_eq!(
        run("curl", &["-sS", "-f", "-x", &proxy, &large, "-o", "/dev/null", "-w", "%{size_download}"], "", &[]).await,
        "100000000"
    );
    assert_eq!(run("curl", &["-sS", "-I", "-x", &proxy, &url, "-o", "/dev/null", "-w", "%{http_code}"], "", &[]).await, "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn wget_python_node_and_git() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let proxy = format!("http://{}", gateway.addresses()[0]);
    let url = origin.url("/x");
    assert_eq!(run("wget", &["-q", "-O-", "-T", "10", &url], &proxy, &[]).await, "hello");
    let python = format!("import urllib.request as r; print(r.urlopen('{url}', timeout=10).read().decode(), end='')");
    assert_eq!(run("python3", &["-c", &python], &proxy, &[]).await, "hello");
    let node = format!(
        "require('http').get({{host:'{}',port:{},path:'{url}',headers:{{host:'{}'}}}},r=>{{r.on('data',d=>process.stdout.write(d))}})",
        gateway.addresses()[0].ip(),
        gateway.addresses()[0].port(),
        origin.address
    );
    assert_eq!(run("node", &["-e", &node], "", &[]).await, "hello");

    // A repository that Python serves, cloned through the gateway.
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let script = format!(
        "set -e; cd {0}; git init -q -b main work; cd work; git -c user.name=a -c user.email=a@example.com commit -q --allow-empty -m first; cd ..; \
         git clone -q --bare work bare.git; cd bare.git; git update-server-info",
        folder.path().display()
    );
    run("bash", &["-c", &script], "", &[]).await;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("python3")
        .args([
            "-m",
            "http.server",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--directory",
            &folder.path().display().to_string(),
        ])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    run("git", &["clone", "-q", &format!("http://127.0.0.1:{port}/bare.git"), &at("clone")], &proxy, &[]).await;
    let _ = server.kill();
    let _ = server.wait();
    assert!(run("git", &["-C", &at("clone"), "log", "--oneline"], "", &[]).await.contains("first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_find_the_way_by_a_script() {
    let gateway = gateway(&format!("[pac]\nbypass = ['.corp.example', 'one.example', '10.0.0.0/8']\n{OPEN}")).await;
    let address = gateway.addresses()[0];
    for path in ["proxy.pac", "wpad.dat"] {
        let script = run("curl", &["-sS", "-f", "--noproxy", "*", &format!("http://{address}/{path}")], "", &[]).await;
        // The functions of the standard, as browsers have them.
        let interpreter = format!(
            "{script}
            function isPlainHostName(host) {{ return !host.includes('.'); }}
            function dnsDomainIs(host, domain) {{ return host.endsWith(domain); }}
            function number(text) {{ return text.split('.').reduce((n, part) => n * 256 + Number(part), 0); }}
            function isInNet(host, net, mask) {{
              if (!/^[0-9.]+$/.test(host)) throw new Error('would be resolved: ' + host);
              return ((number(host) & number(mask)) >>> 0) === number(net);
            }}
            for (const host of process.argv.slice(1)) console.log(FindProxyForURL('http://' + host + '/', host));"
        );
        let hosts = [
            "www.example.com",
            "intranet",
            "a.corp.example",
            "corp.example",
            "xcorp.example",
            "one.example",
            "two.one.example",
            "10.1.2.3",
            "11.1.2.3",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "::1",
            "[2001:db8::1]",
            "WWW.CORP.EXAMPLE",
        ];
        let mut arguments = vec!["-e", interpreter.as_str()];
        arguments.extend(hosts);
        let said = run("node", &arguments, "", &[]).await;
        let proxy = format!("PROXY {address}");
        let expected = [
            &*proxy, "DIRECT", "DIRECT", "DIRECT", &proxy, "DIRECT", &proxy, "DIRECT", &proxy, "DIRECT", "DIRECT", "DIRECT",
            "DIRECT", &proxy, "DIRECT",
        ];
        for ((host, said), expected) in hosts.iter().zip(said.lines()).zip(expected) {
            assert_eq!(said, expected, "{host}: {script}");
        }
        assert_eq!(said.lines().count(), hosts.len());
    }
}

/// Whether a program can be started at all; said when not.
fn has(program: &str, arguments: &[&str]) -> bool {
    let found = Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("SKIPPED: there is no {program} {}", arguments.join(" "));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn python_requests() {
    if !has("python3", &["-c", "import requests"]) {
        return;
    }
    let (gateway, origin) = (open().await, Origin::start().await);
    let proxy = format!("http://{}", gateway.addresses()[0]);
    // One session, so that its connection is used again; a body of known and one of unknown length; an answer in chunks.
    let script = format!(
        "import requests\n\
         with requests.Session() as s:\n\
         \x20   print(s.get('{0}', timeout=10).text)\n\
         \x20   print(s.post('{1}', data=b'x' * 100000, timeout=10).text)\n\
         \x20   print(s.post('{1}', data=iter([b'x' * 1000] * 7), timeout=10).text)\n\
         \x20   print(s.get('{2}', timeout=10).text)\n\
         \x20   print(s.head('{0}', timeout=10).status_code)",
        origin.url("/x"),
        origin.url("/size"),
        origin.url("/chunked"),
    );
    assert_eq!(run("python3", &["-c", &script], &proxy, &[]).await, "hello\n100000\n7000\nhello world\n200\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn fetch_of_node() {
    let (gateway, origin) = (open().await, Origin::start().await);
    let proxy = format!("http://{}", gateway.addresses()[0]);
    let asks = format!(
        "const say = async (...a) => console.log(await (await fetch(...a)).text());
         await say('{}'); await say('{}', {{method: 'POST', body: 'x'.repeat(100000)}}); await say('{}');",
        origin.url("/x"),
        origin.url("/size"),
        origin.url("/chunked")
    );
    let version = run("node", &["-p", "process.versions.node.split('.')[0]"], "", &[]).await;
    let knows_environment = version.trim().parse::<u32>().is_ok_and(|version| version >= 24);
    let (script, environment) = if knows_environment {
        (format!("(async () => {{ {asks} }})()"), vec![("NODE_USE_ENV_PROXY", "1")])
    } else {
        // Of older ones fetch is the same undici, which npm brings along; it opens a tunnel for http too.
        let undici = format!("{}/npm/node_modules/undici", run("npm", &["root", "-g"], "", &[]).await.trim());
        if !has("node", &["-e", &format!("new (require('{undici}').EnvHttpProxyAgent)()")]) {
            return;
        }
        (
            format!(
                "const {{fetch, EnvHttpProxyAgent, setGlobalDispatcher}} = require('{undici}'); setGlobalDispatcher(new EnvHttpProxyAgent()); (async () => {{ {asks} }})()"
            ),
            vec![],
        )
    };
    assert_eq!(run("node", &["-e", &script], &proxy, &environment).await, "hello\n100000\nhello world\n");
    assert_eq!(origin.seen().len(), 3);
    // It did not go there by itself.
    assert!(origin.connections() <= 3);
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_over_http_and_https() {
    if !has("chromium", &["--version"]) || !has("openssl", &["version"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let log = at("access.log");
    let (gateway, origin) = (gateway(&format!("[log]\npath = '{log}'\nformat = 'json'\n{OPEN}")).await, Origin::start().await);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let certificate = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ];
    let (key, cert) = (at("key.pem"), at("cert.pem"));
    run("openssl", &[&certificate[..], &["-keyout", &key, "-out", &cert]].concat(), "", &[]).await;
    std::fs::write(at("page.html"), "<p id=secret>over TLS</p>").unwrap();
    let server = format!(
        "import http.server, ssl, os; os.chdir('{}'); s = http.server.ThreadingHTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler); \
         c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); c.load_cert_chain('{cert}', '{key}'); s.socket = c.wrap_socket(s.socket, server_side=True); s.serve_forever()",
        folder.path().display()
    );
    let _server = Running(Command::new("python3").args(["-c", &server]).stderr(Stdio::null()).spawn().unwrap());
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (proxy, profile) =
        (format!("--proxy-server=http://{}", gateway.addresses()[0]), format!("--user-data-dir={}", at("profile")));
    for (url, expected) in [(origin.url("/x"), "hello"), (format!("https://127.0.0.1:{port}/page.html"), "over TLS")] {
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--ignore-certificate-errors",
            // This machine is not asked directly either.
            "--proxy-bypass-list=<-loopback>",
            "--timeout=20000",
            &proxy,
            &profile,
            "--dump-dom",
            &url,
        ];
        let page = run("chromium", &arguments, "", &[]).await;
        assert!(page.contains(expected), "{url}: {page}");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains(&origin.url("/x")) && log.contains(&format!("127.0.0.1:{port}")), "{log}");
}

/// A gateway for the registries that this machine's tools are set up with. `None`, and said, when they can't be reached from here.
/// What they resolve to is opened: where a mirror stands in a private network, that is the network it stands in.
async fn to_registries(tool: &str, hosts: &[String], log: &str) -> Option<Gateway> {
    let mut open = Vec::new();
    for host in hosts {
        let host = host.split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
        let host = if host.contains(':') { host.to_string() } else { format!("{host}:443") };
        let found: Vec<SocketAddr> =
            tokio::task::spawn_blocking(move || host.to_socket_addrs().map(Iterator::collect)).await.unwrap().unwrap_or_default();
        open.extend(found.iter().map(|address| format!("'{}'", address.ip())));
        let is_there = found.iter().any(|address| {
            [address.port(), 80]
                .iter()
                .any(|port| TcpStream::connect_timeout(&SocketAddr::new(address.ip(), *port), Duration::from_secs(5)).is_ok())
        });
        if !is_there {
            eprintln!("SKIPPED: {tool} reaches no registry from here");
            return None;
        }
    }
    if open.is_empty() {
        eprintln!("SKIPPED: {tool} has no registry");
        return None;
    }
    open.sort_unstable();
    open.dedup();
    let policy = format!(
        "[log]\npath = '{log}'\nformat = 'json'\n[network]\nopen = [{}]\nconnect_ports = ['1-65535']\n[[rule]]\nname = 'all'\naction = 'allow'\n",
        open.join(", ")
    );
    Some(gateway(&policy).await)
}

/// What a tool did through the gateway: whether every transaction went well, and how many there were.
async fn went_through(tool: &str, log: &str) -> usize {
    tokio::time::sleep(Duration::from_millis(500)).await;
    let log = std::fs::read_to_string(log).unwrap();
    let statuses: Vec<u64> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["status"].as_u64().unwrap_or_default())
        .collect();
    eprintln!("{tool}: {} transactions, {statuses:?}", statuses.len());
    // Not the log itself: where the tools go is the machine's own business.
    assert!(!statuses.is_empty() && statuses.iter().all(|status| *status < 400), "{tool}: {statuses:?}");
    statuses.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn pip_downloads() {
    const HOSTS: &str = "from pip._internal.commands import create_command as c; from pip._internal.models.index import PyPI; \
                         print(c('download').parse_args([])[0].index_url); print(PyPI.file_storage_domain)";
    if !has("python3", &["-c", HOSTS]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (log, to) = (folder.path().join("log").display().to_string(), folder.path().join("to").display().to_string());
    let hosts: Vec<String> = run("python3", &["-c", HOSTS], "", &[]).await.lines().map(ToString::to_string).collect();
    let Some(gateway) = to_registries("pip", &hosts, &log).await else { return };
    let proxy = format!("http://{}", gateway.addresses()[0]);
    let arguments = ["-m", "pip", "download", "--no-cache-dir", "--no-deps", "-q", "-d", &to, "six"];
    run("python3", &arguments, &proxy, &[]).await;
    assert_eq!(std::fs::read_dir(&to).unwrap().count(), 1);
    went_through("pip", &log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn npm_looks_and_packs() {
    if !has("npm", &["--version"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let log = at("log");
    let hosts: Vec<String> = run("npm", &["config", "get", "registry"], "", &[]).await.lines().map(ToString::to_string).collect();
    let Some(gateway) = to_registries("npm", &hosts, &log).await else { return };
    let proxy = format!("http://{}", gateway.addresses()[0]);
    let cache = at("cache");
    assert_eq!(run("npm", &["--cache", &cache, "view", "left-pad@1.3.0", "version"], &proxy, &[]).await.trim(), "1.3.0");
    let to = folder.path().display().to_string();
    run("npm", &["--cache", &cache, "pack", "left-pad@1.3.0", "--pack-destination", &to], &proxy, &[]).await;
    assert!(folder.path().join("left-pad-1.3.0.tgz").exists());
    went_through("npm", &log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apt_updates() {
    if !has("apt-get", &["--version"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log").display().to_string();
    let hosts = run("apt-get", &["indextargets", "--format", "$(SITE)"], "", &[]).await;
    let hosts: Vec<String> = hosts.lines().filter(|site| site.starts_with("http")).map(ToString::to_string).collect();
    let Some(gateway) = to_registries("apt-get", &hosts, &log).await else { return };
    let proxy = format!("http://{}", gateway.addresses()[0]);
    // Lists of its own: nothing of the machine is changed, and everything is fetched.
    let options = [
        format!("Dir::State={}", folder.path().display()),
        format!("Dir::State::lists={}/lists", folder.path().display()),
        format!("Dir::Cache={}/cache", folder.path().display()),
        format!("Acquire::http::Proxy={proxy}"),
        format!("Acquire::https::Proxy={proxy}"),
        "APT::Sandbox::User=root".into(),
        "APT::Update::Error-Mode=any".into(),
    ];
    let mut arguments: Vec<&str> = options.iter().flat_map(|option| ["-o", option]).collect();
    arguments.extend(["-q", "update"]);
    run("apt-get", &arguments, &proxy, &[]).await;
    went_through("apt-get", &log).await;
}
