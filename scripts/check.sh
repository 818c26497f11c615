#!/usr/bin/env bash
# make check: everything that can be said about the code without running it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
step_total=9
set_up

step "Formatting"
for component in rustfmt clippy; do
  cargo "${component/rust/}" --version >/dev/null 2>&1 || rustup component add "$component"
done
cargo fmt --all --check

# Never in one go: leptos would get the features of both sides, and handlers panic.
step "Clippy: server side"
cargo clippy --workspace --exclude frontend --all-targets -- -D warnings
step "Clippy: browser side"
cargo clippy -p frontend --target wasm32-unknown-unknown -- -D warnings

step "Arrows between crates"
cargo xtask arrows
cargo xtask rebuilds

step "The example of gatehouse.toml"
cargo xtask settings

step "Licences and advisories of dependencies"
"$root/scripts/deny.sh"

step "Shell scripts"
if command -v shellcheck >/dev/null; then
  shellcheck --external-sources scripts/*.sh .ci/run deploy/systemd/nightly-backup deploy/container/root/usr/local/bin/gatehouse-healthy
else
  note "shell scripts: NOT CHECKED: shellcheck is not installed"
fi
