//! A real Squid that asks for a user and a password, and the certificates of the replayed service.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// Who may use the proxy. The password holds what other products trip over.
pub const USER: &str = "gatehouse";
pub const PASSWORD: &str = "p@ss:w/rd#?%41&+";

/// All replayed services are `r<number>.<this>`: names that only Squid can resolve, so a request that arrives went through it.
pub const DOMAIN: &str = "engine.test";

/// A port that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A certificate for the replayed services, its key, and the authority that issued it; all PEM.
pub struct Certificates {
    pub authority: String,
    pub chain: String,
    pub key: String,
}

impl Certificates {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Gatehouse Replay CA");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);

        let mut params = CertificateParams::new(vec![format!("*.{DOMAIN}")]).unwrap();
        params.distinguished_name.push(DnType::CommonName, DOMAIN);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        Self { authority, chain: params.signed_by(&key, &issuer).unwrap().pem(), key: key.serialize_pem() }
    }
}

/// Where a program is. A folder of unpacked packages (`dpkg -x`) in `GATEHOUSE_TEST_PARTS` comes first.
fn program(path: &str, package: &str) -> PathBuf {
    let unpacked = env::var("GATEHOUSE_TEST_PARTS").unwrap_or_default();
    [format!("{unpacked}{path}"), path.to_string()]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{path} is missing: install the Debian package {package} (scripts/test-deps.sh does)"))
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

/// A running Squid.
pub struct Squid {
    child: Child,
    folder: TempDir,
    pub port: u16,
}

impl Squid {
    /// Starts one that resolves the names of `services` replayed services.
    pub fn start(services: usize) -> Self {
        let squid = program("/usr/sbin/squid", "squid-openssl");
        let helper = program("/usr/lib/squid/basic_ncsa_auth", "squid-openssl");
        let htpasswd = program("/usr/bin/htpasswd", "apache2-utils");
        let folder = tempfile::Builder::new().prefix("gatehouse-engines-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = free_port();
        let path = |name: &str| folder.path().join(name).display().to_string();

        let names: String = (0..services).map(|n| format!("127.0.0.1 r{n}.{DOMAIN}\n")).collect();
        let hosts = write(folder.path(), "hosts", &format!("127.0.0.1 localhost\n{names}"));
        let passwords = write(folder.path(), "passwords", "");
        let made = Command::new(htpasswd).arg("-bm").arg(&passwords).args([USER, PASSWORD]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let user = if is_root() { "cache_effective_user proxy\n" } else { "" };
        let config = format!(
            "pid_filename none\ncoredump_dir none\ncache deny all\npinger_enable off\nshutdown_lifetime 0 seconds\n\
             netdb_filename none\nvisible_hostname squid.test\ncache_log {}\naccess_log stdio:{}\nhosts_file {}\n\
             dns_nameservers 127.0.0.1\ndns_timeout 1 seconds\nconnect_timeout 5 seconds\nconnect_retries 0\n{user}\
             http_port 127.0.0.1:{port}\nauth_param basic program {} {}\nauth_param basic children 1\n\
             auth_param basic realm test\nauth_param basic casesensitive on\nacl known proxy_auth REQUIRED\n\
             http_access allow known\nhttp_access deny all\n",
            path("cache.log"),
            path("access.log"),
            hosts.display(),
            helper.display(),
            passwords.display(),
        );
        let config = write(folder.path(), "squid.conf", &config);
        if is_root() {
            let owned = Command::new("chown").args(["-R", "proxy:proxy"]).arg(folder.path()).status().unwrap();
            assert!(owned.success());
        }
        let mut command = Command::new(squid);
        // Its helpers go with it.
        command.arg("-N").arg("-f").arg(config).current_dir(folder.path()).process_group(0);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut squid = Self { child, folder, port };
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            let ended = squid.child.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(30),
                "Squid: {ended:?}\n{}",
                squid.read("cache.log")
            );
            thread::sleep(Duration::from_millis(20));
        }
        squid
    }

    fn read(&self, name: &str) -> String {
        fs::read(self.folder.path().join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The lines of the access log that tell of a tunnel to this host. Squid writes them when a tunnel closes.
    pub fn tunnels(&self, host: &str) -> Vec<String> {
        let to = format!(" CONNECT {host}:");
        self.read("access.log").lines().filter(|line| line.contains(&to)).map(ToString::to_string).collect()
    }
}

impl Drop for Squid {
    fn drop(&mut self) {
        // The whole group, by the number of the child that this handle started and has not yet waited for.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).stderr(Stdio::null()).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
