# Sourced by every script: one cache outside the checkout (a fresh clone starts warm), one toolchain, our npm tools first.
# Override GATEHOUSE_CACHE or CARGO_TARGET_DIR to put them elsewhere.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export GATEHOUSE_CACHE=${GATEHOUSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gatehouse}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$GATEHOUSE_CACHE/target}
case $CARGO_TARGET_DIR in /*) ;; *) CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;; esac
case ":$PATH:" in
  *":$root/node_modules/.bin:"*) ;;
  *) export PATH=$root/node_modules/.bin:$GATEHOUSE_CACHE/tools/bin:$PATH ;;
esac
# Cargo tells the crates of two checkouts apart by nothing but their files' times: in the older one it would take what was
# built from the newer for its own. So whoever comes from another checkout than the last forgets our crates (not the
# dependencies, which are what takes long).
if [ "$(cat "$CARGO_TARGET_DIR/checkout" 2>/dev/null)" != "$root" ]; then
  rm -rf "$CARGO_TARGET_DIR"/{,*/}*/.fingerprint/{gatehouse,frontend,xtask}-*
  mkdir -p "$CARGO_TARGET_DIR"
  printf '%s\n' "$root" >"$CARGO_TARGET_DIR/checkout"
fi
# The name of the browser bundle, compiled into the server where cargo-leptos does not set it.
export LEPTOS_OUTPUT_NAME=gatehouse
# A real database server for the store's tests, where `make test-server` put one.
if [ -z "${GATEHOUSE_SURREAL:-}" ] && [ -x "$GATEHOUSE_CACHE/tools/bin/surreal" ]; then
  export GATEHOUSE_SURREAL=$GATEHOUSE_CACHE/tools/bin/surreal
fi
# shellcheck disable=SC1091
if [ -f "$GATEHOUSE_CACHE/toolchain.env" ]; then . "$GATEHOUSE_CACHE/toolchain.env"; fi
