//! Counts, for `/metrics` and for the end.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What has happened so far.
#[derive(Debug, Default)]
pub struct Metrics {
    connections: AtomicU64,
    refused_connections: AtomicU64,
    requests: [AtomicU64; 6],
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    failures: AtomicU64,
    compressed: AtomicU64,
    tunnels: Arc<AtomicU64>,
}

/// Counts one tunnel for as long as it is there.
#[derive(Debug)]
pub struct OpenTunnel(Arc<AtomicU64>);

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// A tunnel was opened.
    #[must_use]
    pub fn tunnel(&self) -> OpenTunnel {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
        OpenTunnel(self.tunnels.clone())
    }

    /// A connection was taken, or not.
    pub fn connection(&self, taken: bool) {
        let counter = if taken { &self.connections } else { &self.refused_connections };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A transaction is over.
    pub fn count(&self, status: u16, bytes_in: u64, bytes_out: u64, cause: Option<&str>) {
        self.requests[usize::from(status / 100).min(5)].fetch_add(1, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
        if cause.is_some() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// So many bytes less went to a client.
    pub fn compressed(&self, saved: u64) {
        self.compressed.fetch_add(saved, Ordering::Relaxed);
    }

    /// Tunnels that are open.
    #[must_use]
    pub fn tunnels(&self) -> u64 {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// In Prometheus' text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut counter =
            |name: &str, help: &str, kind: &str, lines: &[(String, u64)]| series(&mut text, name, help, kind, lines);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        counter(
            "connections_total",
            "Connections of clients.",
            "counter",
            &[("{taken=\"yes\"}".into(), read(&self.connections)), ("{taken=\"no\"}".into(), read(&self.refused_connections))],
        );
        let classes: Vec<_> =
            self.requests.iter().enumerate().map(|(class, count)| (format!("{{status=\"{class}xx\"}}"), read(count))).collect();
        counter("requests_total", "Requests and tunnels that are over, by status.", "counter", &classes);
        counter("failures_total", "Requests that failed or were refused.", "counter", &[(String::new(), read(&self.failures))]);
        let bytes = [("{way=\"in\"}".into(), read(&self.bytes_in)), ("{way=\"out\"}".into(), read(&self.bytes_out))];
        counter("client_bytes_total", "Bytes from and to clients.", "counter", &bytes);
        let saved = read(&self.compressed);
        counter(
            "compress_saved_bytes_total",
            "Bytes that clients did not get because text was compressed.",
            "counter",
            &[(String::new(), saved)],
        );
        counter("tunnels", "Tunnels that are open.", "gauge", &[(String::new(), self.tunnels())]);
        text
    }
}

/// Adds a series in Prometheus' text format.
pub fn series(text: &mut String, name: &str, help: &str, kind: &str, lines: &[(String, u64)]) {
    use std::fmt::Write as _;
    // Writing to a string does not fail.
    let _ = writeln!(text, "# HELP gatehouse_gateway_{name} {help}\n# TYPE gatehouse_gateway_{name} {kind}");
    for (labels, value) in lines {
        let _ = writeln!(text, "gatehouse_gateway_{name}{labels} {value}");
    }
}
