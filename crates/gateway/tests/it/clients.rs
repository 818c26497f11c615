//! Programs that people use, through the gateway.

use std::process::Command;

use crate::bed::{Origin, open};

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
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
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
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..100 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    run("git", &["clone", "-q", &format!("http://127.0.0.1:{port}/bare.git"), &at("clone")], &proxy, &[]).await;
    let _ = server.kill();
    let _ = server.wait();
    assert!(run("git", &["-C", &at("clone"), "log", "--oneline"], "", &[]).await.contains("first"));
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_find_the_way_by_a_script() {
    let gateway =
        crate::bed::gateway(&format!("[pac]\nbypass = ['.corp.example', 'one.example', '10.0.0.0/8']\n{}", crate::bed::OPEN))
            .await;
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
