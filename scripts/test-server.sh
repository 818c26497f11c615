#!/usr/bin/env bash
# Fetches and builds a SurrealDB server into the tool cache, so that the store's tests can run against a real one.
#
# `surrealdb-server` on crates.io is a library (its `init` is the whole `surreal` program), so four lines of Rust make the
# program. Only what the tests need is compiled in: memory and SurrealKV storage, WebSocket. Optimised a little (level 1),
# because the unoptimised server needs more stack than a thread has for deep queries; no LTO, as many codegen units as
# possible, because nobody measures this server.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
version=3.3.5
program=$GATEHOUSE_CACHE/tools/bin/surreal
marker=$program.version

if [ -x "$program" ] && [ "$(cat "$marker" 2>/dev/null)" = "$version" ]; then
  note "surrealdb-server $version is in $program"
  exit 0
fi

step_total=2
step "Rust toolchain"
"$root/scripts/toolchain.sh"
# shellcheck source-path=SCRIPTDIR source=env.sh
source "$root/scripts/env.sh"

step "Building surrealdb-server $version (about 25 minutes on two cores, once for this machine)"
work=$GATEHOUSE_CACHE/tools/surreal-build
rm -rf "$work"
mkdir -p "$work/src" "$GATEHOUSE_CACHE/tools/bin"
trap 'rm -rf "$work"' EXIT
cat >"$work/Cargo.toml" <<TOML
[package]
name = "surreal"
version = "$version"
edition = "2024"
[dependencies]
surrealdb-core = { version = "=$version", default-features = false }
surrealdb-server = { version = "=$version", default-features = false, features = ["storage-mem", "storage-surrealkv"] }
[profile.release]
opt-level = 1
debug = false
lto = false
codegen-units = 256
strip = true
[workspace]
TOML
cat >"$work/src/main.rs" <<'RUST'
fn main() -> std::process::ExitCode {
    surrealdb_server::init(surrealdb_core::CommunityComposer())
}
RUST
# A target folder of its own, thrown away: gigabytes that would never be used again.
(cd "$work" && CARGO_TARGET_DIR=$work/target cargo build --release)
install -m 0755 "$work/target/release/surreal" "$program"
echo "$version" >"$marker"
note "ready: $program ($("$program" version 2>/dev/null | head -1))"
