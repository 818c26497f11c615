#!/usr/bin/env bash
# make test: everything. make test-unit: without a browser. make test-e2e: only with one.
# FILTER=word runs only the Rust tests whose name holds it (unit), or is handed to Playwright (e2e).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
what=${1:-all}
filter=()
[ -z "${FILTER:-}" ] || filter=("$FILTER")

test_server() {
  step "A SurrealDB server for the store's tests"
  if [ -n "${GATEHOUSE_SURREAL:-}" ] || [ "${GATEHOUSE_WITH_SERVER:-}" = 1 ]; then
    if [ -z "${GATEHOUSE_SURREAL:-}" ]; then
      "$root/scripts/test-server.sh"
      # shellcheck source-path=SCRIPTDIR source=env.sh
      source "$root/scripts/env.sh"
    fi
    note "${GATEHOUSE_SURREAL:-}"
  else
    note "not here: the tests against a server are SKIPPED. 'make test-server' fetches it (25 minutes, once)."
  fi
}

# `frontend` is for the browser: built together with the server, leptos would get the features of both sides. `xtask` goes
# by itself, or its features would be merged into the server's dependencies and make cargo build those a second time.
rust_tests() {
  step "Tests of the build steps"
  cargo test --quiet -p xtask
  step "Rust tests"
  if command -v cargo-nextest >/dev/null; then
    cargo nextest run --no-fail-fast --workspace --exclude frontend --exclude xtask ${filter[@]+"${filter[@]}"}
  else
    cargo test --workspace --exclude frontend --exclude xtask ${filter[@]+"${filter[@]}"}
  fi
}

case $what in
  unit) step_total=6 ;;
  e2e) step_total=6 ;;
  all) step_total=10 ;;
  *) fail "test what? unit, e2e or all; not: $what" ;;
esac
set_up
step "Programs the tests use"
"$root/scripts/test-deps.sh"
if [ "$what" != unit ]; then build; server_environment; fi
if [ "$what" != e2e ]; then test_server; rust_tests; fi
if [ "$what" = all ]; then
  step "Bundle sizes"
  cargo xtask sizes
fi
if [ "$what" != unit ]; then
  step "Browser tests"
  "$root/scripts/e2e.sh" ${filter[@]+"${filter[@]}"}
fi
