//! Processes that a measurement is made of: descriptors are counted, and memory is told, a process.

use std::{
    env,
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

/// A process that ends with this one.
pub struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(dead_code, reason = "not every measurement needs all of it")]
impl Process {
    /// This program, in another part.
    pub fn part(arguments: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(env::current_exe()?).args(arguments).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?);
        Ok(Self { child, lines })
    }

    /// What it says next.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim().to_string())
    }

    pub fn address(&mut self) -> io::Result<SocketAddr> {
        self.line()?.parse().map_err(io::Error::other)
    }
}

/// The gateway, with a policy of its own.
pub struct Gateway {
    child: Child,
    pub address: SocketAddr,
    policy: PathBuf,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.policy);
    }
}

/// The rest of a policy that opens loopback, for as many as come.
pub const OPEN: &str = "
[clients]
max_connections = 20000
[network]
open = ['127.0.0.0/8']
connect_ports = ['1-65535']
http_ports = ['1-65535']
[[rule]]
name = 'all'
action = 'allow'
";

impl Gateway {
    /// The example of this name, from beside this program.
    pub fn start(policy: &str) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("gateway-{}.toml", std::process::id()));
        std::fs::write(&path, policy)?;
        let program = env::current_exe()?.with_file_name("gateway");
        let mut child = Command::new(&program)
            .arg("--policy")
            .arg(&path)
            .args(["--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::other(format!("{}: {error} (build the example gateway first)", program.display())))?;
        let mut said = BufReader::new(child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let address = line.split(['[', ']']).nth(1).and_then(|text| text.parse().ok());
        // What else it says is for whoever looks on.
        std::thread::spawn(move || io::copy(&mut said, &mut io::stderr()));
        Ok(Self { child, address: address.ok_or_else(|| io::Error::other(line))?, policy: path })
    }

    /// A line of its status, in KiB: `VmRSS`, `VmHWM`.
    pub fn memory(&self, name: &str) -> u64 {
        let Ok(file) = File::open(format!("/proc/{}/status", self.child.id())) else { return 0 };
        let line = BufReader::new(file).lines().map_while(Result::ok).find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1).and_then(|number| number.parse().ok())).unwrap_or_default()
    }
}
