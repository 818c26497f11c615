//! Real programs, each with its own folder and port.

use std::{
    env, fs,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::certificates::{Authority, Identity};

/// A port that nothing listens on. Below those that the system gives to outgoing connections: one of the many that these
/// tests make could otherwise take it before the program does that it is meant for.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap();
    loop {
        let port = rand::random_range(10_000..32_000);
        if !given.contains(&port) && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            given.push(port);
            return port;
        }
    }
}

/// An address of this machine that is not loopback: the door reaches it through a proxy.
pub fn outside() -> IpAddr {
    // Nothing is sent: the system only chooses the address that it would send from.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).expect("this machine has a network interface besides loopback");
    socket.local_addr().unwrap().ip()
}

/// A folder that programs under other users may read.
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("gatehouse-outbound-").tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Writes a file that programs under other users may read.
pub fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

/// Where a program is; fails with the package to install. A folder of unpacked packages (`dpkg -x`) in
/// `GATEHOUSE_TEST_PARTS` comes first.
pub fn program(candidates: &[&str], package: &str) -> PathBuf {
    let unpacked = env::var("GATEHOUSE_TEST_PARTS").unwrap_or_default();
    [unpacked.as_str(), ""]
        .iter()
        .flat_map(|root| candidates.iter().map(move |path| PathBuf::from(format!("{root}{path}"))))
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!("{} is missing: install the Debian package {package} (scripts/test-deps.sh does)", candidates[0])
        })
}

pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

/// A running program and its folder.
pub struct Part {
    child: Child,
    folder: TempDir,
    pub port: u16,
}

impl Part {
    /// Starts a program in its folder, and waits until it accepts connections on the port.
    pub fn start(mut command: Command, folder: TempDir, port: u16) -> Self {
        let log = fs::File::create(folder.path().join("output.log")).unwrap();
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // Helpers of the program go with it.
            .process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut part = Self { child, folder, port };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = part.child.try_wait().unwrap();
            assert!(ended.is_none(), "{command:?} ended with {ended:?}:\n{}", part.log());
            assert!(begun.elapsed() < Duration::from_secs(30), "{command:?} does not listen on {port}:\n{}", part.log());
            thread::sleep(Duration::from_millis(20));
        }
        part
    }

    /// What the program wrote.
    pub fn log(&self) -> String {
        let mut text = String::new();
        for name in ["output.log", "cache.log", "access.log"] {
            if let Ok(mut file) = fs::File::open(self.folder.path().join(name)) {
                let mut bytes = Vec::new();
                let _ = file.read_to_end(&mut bytes);
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        text
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // The whole group, by the number of the child that this handle started and has not yet waited for.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// nginx with a private certificate authority: answers the address it sees on every path, over TLS and without.
pub struct WebServer {
    _part: Part,
    pub port: u16,
    pub tls_port: u16,
    pub authority: Authority,
}

impl WebServer {
    pub fn start() -> Self {
        let authority = Authority::new("Gatehouse Test Target CA");
        let identity = authority.issue(&["localhost", "127.0.0.1", "only-the-proxy-knows.test", &outside().to_string()]);
        Self::with(authority, &identity)
    }

    pub fn with(authority: Authority, identity: &Identity) -> Self {
        let nginx = program(&["/usr/sbin/nginx", "/usr/bin/nginx"], "nginx-light");
        let folder = folder();
        let (port, tls_port) = (free_port(), free_port());
        let cert = write(folder.path(), "cert.pem", &identity.chain);
        let key = write(folder.path(), "key.pem", &identity.key);
        let user = if is_root() { "user root;" } else { "" };
        let outside = outside();
        let config = format!(
            "{user} daemon off; master_process off; pid nginx.pid; error_log stderr;
            events {{ worker_connections 64; }}
            http {{
                access_log off;
                client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
                server {{
                    listen 127.0.0.1:{port};
                    listen 127.0.0.1:{tls_port} ssl;
                    listen {outside}:{port};
                    listen {outside}:{tls_port} ssl;
                    ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3;
                    default_type text/plain;
                    location / {{ return 200 \"$remote_addr\\n\"; }}
                    location /json {{ return 200 '{{\"origin\": \"$remote_addr\"}}'; }}
                    location /trace {{ return 200 \"fl=1\\nip=$remote_addr\\nts=1\\n\"; }}
                    location /moved {{ return 302 /; }}
                    location /missing {{ return 404; }}
                    location /unavailable {{ return 503; }}
                }}
            }}",
            cert.display(),
            key.display()
        );
        let config = write(folder.path(), "nginx.conf", &config);
        let mut command = Command::new(nginx);
        command.arg("-p").arg(folder.path()).arg("-c").arg(config).arg("-e").arg("stderr");
        Self { _part: Part::start(command, folder, tls_port), port, tls_port, authority }
    }

    pub fn https(&self) -> String {
        format!("https://127.0.0.1:{}/", self.tls_port)
    }

    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub fn ca(&self) -> &str {
        &self.authority.pem
    }
}

/// What Squid is to do.
#[derive(Default)]
pub struct Squid<'a> {
    /// Who may use it; everybody when there is none.
    pub users: &'a [(&'a str, &'a str)],
    /// Lines before `http_access allow`.
    pub rules: &'a str,
    /// Its own certificate: it is spoken to over TLS.
    pub tls: Option<&'a Identity>,
    /// It inspects TLS, with this authority.
    pub inspects_with: Option<&'a Authority>,
    /// It trusts this authority for targets.
    pub trusts: Option<&'a str>,
}

impl Squid<'_> {
    pub fn start(&self) -> Part {
        let squid = program(&["/usr/sbin/squid"], "squid-openssl");
        let folder = folder();
        let port = free_port();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut config = format!(
            "pid_filename none\ncoredump_dir none\ncache deny all\npinger_enable off\nshutdown_lifetime 0 seconds\nnetdb_filename none\n\
             visible_hostname squid.test\ncache_log {}\naccess_log stdio:{}\nhosts_file {}\n\
             dns_nameservers 127.0.0.1\ndns_timeout 1 seconds\nconnect_timeout 5 seconds\nconnect_retries 0\nforward_max_tries 1\n",
            path("cache.log"),
            path("access.log"),
            write(folder.path(), "hosts", "127.0.0.1 localhost only-the-proxy-knows.test\n").display(),
        );
        if is_root() {
            config.push_str("cache_effective_user proxy\n");
        }
        if let Some(identity) = self.tls {
            let cert = write(folder.path(), "proxy.pem", &format!("{}{}", identity.chain, identity.key));
            config.push_str(&format!("https_port 127.0.0.1:{port} tls-cert={}\n", cert.display()));
        } else if let Some(authority) = self.inspects_with {
            let cert = write(folder.path(), "inspect.pem", &format!("{}{}", authority.pem, authority.key));
            let helper = program(&["/usr/lib/squid/security_file_certgen"], "squid-openssl (in the place of squid)");
            let made = Command::new(&helper).args(["-c", "-s", &path("certificates"), "-M", "4MB"]).output().unwrap();
            assert!(made.status.success(), "{made:?}");
            config.push_str(&format!(
                "http_port 127.0.0.1:{port} ssl-bump tls-cert={} generate-host-certificates=on\nsslcrtd_program {} -s {} -M 4MB\nsslcrtd_children 1\nssl_bump bump all\n",
                cert.display(),
                helper.display(),
                path("certificates")
            ));
        } else {
            config.push_str(&format!("http_port 127.0.0.1:{port}\n"));
        }
        if let Some(ca) = self.trusts {
            config.push_str(&format!("tls_outgoing_options cafile={}\n", write(folder.path(), "target-ca.pem", ca).display()));
        }
        if !self.users.is_empty() {
            let helper = program(&["/usr/lib/squid/basic_ncsa_auth"], "squid-openssl");
            let htpasswd = program(&["/usr/bin/htpasswd"], "apache2-utils");
            let passwords = write(folder.path(), "passwords", "");
            for (user, password) in self.users {
                let made = Command::new(&htpasswd).arg("-bm").arg(&passwords).args([user, password]).output().unwrap();
                assert!(made.status.success(), "{made:?}");
            }
            config.push_str(&format!(
                "auth_param basic program {} {}\nauth_param basic children 1\nauth_param basic realm test\nauth_param basic casesensitive on\nacl known proxy_auth REQUIRED\n",
                helper.display(),
                passwords.display()
            ));
        }
        config.push_str(self.rules);
        config.push_str(if self.users.is_empty() {
            "\nhttp_access allow all\n"
        } else {
            "\nhttp_access allow known\nhttp_access deny all\n"
        });
        let config = write(folder.path(), "squid.conf", &config);
        if is_root() {
            let owned = Command::new("chown").args(["-R", "proxy:proxy"]).arg(folder.path()).status().unwrap();
            assert!(owned.success());
        }
        let mut command = Command::new(squid);
        command.arg("-N").arg("-f").arg(config);
        Part::start(command, folder, port)
    }
}

pub fn tinyproxy(extra: &str) -> Part {
    let tinyproxy = program(&["/usr/bin/tinyproxy"], "tinyproxy");
    let folder = folder();
    let port = free_port();
    let config = format!("Port {port}\nListen 127.0.0.1\nTimeout 20\nMaxClients 20\nAllow 127.0.0.1\n{extra}\n");
    let config = write(folder.path(), "tinyproxy.conf", &config);
    let mut command = Command::new(tinyproxy);
    command.arg("-d").arg("-c").arg(config);
    Part::start(command, folder, port)
}

pub fn microsocks(login: Option<(&str, &str)>) -> Part {
    let microsocks = program(&["/usr/bin/microsocks"], "microsocks");
    let folder = folder();
    let port = free_port();
    let mut command = Command::new(microsocks);
    command.args(["-i", "127.0.0.1", "-p", &port.to_string()]);
    if let Some((user, password)) = login {
        command.args(["-u", user, "-P", password]);
    }
    Part::start(command, folder, port)
}

/// Dante; `method` is `none` or `username`, `rules` stand before the one that lets everything through.
///
/// Its users are the system's. A user of the test's own (and a name that only this proxy knows) is put into copies of the system's files that only this process
/// sees, in a mount namespace.
pub fn dante(method: &str, user: Option<(&str, &str)>, rules: &str) -> Part {
    let danted = program(&["/usr/sbin/danted", "/usr/sbin/sockd"], "dante-server");
    let folder = folder();
    let port = free_port();
    let config = format!(
        "logoutput: stderr\ninternal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\nclientmethod: none\nsocksmethod: {method}\n\
         user.privileged: root\nuser.unprivileged: nobody\n\
         client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n{rules}\nsocks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n"
    );
    let config = write(folder.path(), "danted.conf", &config);
    let pid_file = folder.path().join("danted.pid");
    let run = format!("exec {} -N 1 -f {} -p {}", danted.display(), config.display(), pid_file.display());
    let mut command = match user {
        None => Command::new("sh"),
        Some((user, password)) => {
            let hashed =
                Command::new(program(&["/usr/bin/openssl"], "openssl")).args(["passwd", "-6", password]).output().unwrap();
            let hash = String::from_utf8(hashed.stdout).unwrap();
            let passwd = fs::read_to_string("/etc/passwd").unwrap();
            write(folder.path(), "passwd", &format!("{passwd}{user}:x:54321:65534::/nonexistent:/usr/sbin/nologin\n"));
            write(folder.path(), "hosts", "127.0.0.1 localhost only-the-proxy-knows.test\n");
            // Only this user's line: the system's own hashes are not copied.
            write(
                folder.path(),
                "shadow",
                &format!("root:*:19000::::::\nnobody:*:19000::::::\n{user}:{}:19000::::::\n", hash.trim()),
            );
            let mut command = Command::new("unshare");
            if !is_root() {
                command.arg("--map-root-user");
            }
            command.args(["--mount", "sh"]);
            command
        }
    };
    let mounts = match user {
        None => "",
        Some(_) => "mount --bind passwd /etc/passwd && mount --bind shadow /etc/shadow && mount --bind hosts /etc/hosts && ",
    };
    command.arg("-c").arg(format!("{mounts}{run}"));
    Part::start(command, folder, port)
}
