#!/usr/bin/env bash
# Licences, sources and advisories of the dependencies, with cargo-deny (rules: deny.toml). Builds cargo-deny into the tool
# cache where the machine has none.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
version=0.20.2

if ! command -v cargo-deny >/dev/null; then
  note "building cargo-deny $version into $GATEHOUSE_CACHE/tools (a few minutes, once for this machine)"
  build=$GATEHOUSE_CACHE/tools/deny-build
  trap 'rm -rf "$build"' EXIT
  # It runs for seconds: what counts is how long it takes to build.
  CARGO_TARGET_DIR=$build CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_PANIC=unwind \
    cargo install cargo-deny --version "$version" --root "$GATEHOUSE_CACHE/tools"
fi

cargo deny --log-level error check --hide-inclusion-graph licenses bans sources

# The advisory database is a repository of its own. Where it cannot be had, say so and go on: a machine without the network
# shall not be a machine without checks.
impatient=()
if command -v timeout >/dev/null; then impatient=(timeout 120); fi
if GIT_TERMINAL_PROMPT=0 ${impatient[@]+"${impatient[@]}"} cargo deny --log-level off fetch db >/dev/null 2>&1; then
  cargo deny --log-level error check --disable-fetch advisories
else
  note "advisories: NOT CHECKED: the advisory database cannot be fetched from this machine"
fi
