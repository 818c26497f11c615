#!/usr/bin/env bash
# Makes sure one Rust toolchain can build both the server and the browser side (wasm32-unknown-unknown).
#
# First what every developer expects: `rustup target add`. Where no toolchain component can be downloaded (a closed
# network with only Debian's archive), Debian's own Rust with its library source takes over: one toolchain for server
# and browser, or shared crates would be built twice. Prints what it does; does nothing when there is nothing to do.
#
# Writes $GATEHOUSE_CACHE/toolchain.env, which scripts/env.sh reads. Remove that file to choose
# again. GATEHOUSE_TOOLCHAIN=debian takes the second way at once (with a GATEHOUSE_CACHE of its own, to try it).
set -euo pipefail
: "${GATEHOUSE_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/gatehouse}"
target=wasm32-unknown-unknown
env_file=$GATEHOUSE_CACHE/toolchain.env
mkdir -p "$GATEHOUSE_CACHE"

say() { printf '\033[1m[set-up]\033[0m %s\n' "$*"; }

has_std() { # toolchain
  local dir
  dir=$(RUSTUP_TOOLCHAIN=$1 rustc --print target-libdir --target "$target" 2>/dev/null) || return 1
  compgen -G "$dir/libstd-*.rlib" >/dev/null || return 1
  # One that we built is of no use to another compiler: Debian's may have been upgraded since.
  [ ! -f "$dir/made-by" ] || [ "$(cat "$dir/made-by")" = "$(RUSTUP_TOOLCHAIN=$1 rustc --version)" ]
}

if [ -f "$env_file" ]; then
  # shellcheck disable=SC1090
  toolchain=$(. "$env_file" && echo "${RUSTUP_TOOLCHAIN:-}")
  if [ -n "$toolchain" ] && has_std "$toolchain"; then exit 0; fi
fi

command -v rustup >/dev/null || { say "rustup is missing: install it from your distribution or rustup's site, then run this again"; exit 1; }
active=${RUSTUP_TOOLCHAIN:-$(rustup show active-toolchain 2>/dev/null | awk '{print $1; exit}')}

keep() { # toolchain
  echo "export RUSTUP_TOOLCHAIN=$1" >"$env_file"
}

add_target() {
  say "adding the target $target to $active"
  local impatient=()
  if command -v timeout >/dev/null; then impatient=(timeout 300); fi
  ${impatient[@]+"${impatient[@]}"} rustup target add --toolchain "$active" "$target" && has_std "$active"
}

if [ "${GATEHOUSE_TOOLCHAIN:-}" = debian ]; then
  say "GATEHOUSE_TOOLCHAIN=debian: not asking rustup"
elif [ -z "$active" ]; then
  say "rustup has no toolchain yet: run 'rustup default stable', then run this again"
  exit 1
elif has_std "$active" || add_target; then
  keep "$active"
  exit 0
fi

say "rustup cannot fetch $target here: using Debian's own Rust with its library source"
[ -f /etc/debian_version ] || { say "this is not Debian, so there is no fallback: make 'rustup target add $target' work, then run this again"; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
packages=(rustc-web cargo-web rust-web-src rust-web-clippy rustfmt-web lld-22)
if ! dpkg -s "${packages[@]}" >/dev/null 2>&1; then
  say "installing ${packages[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
rustup toolchain link debian-web /usr
rustc() { RUSTUP_TOOLCHAIN=debian-web command rustc "$@"; }
host_bin=/usr/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
as_root mkdir -p "$host_bin"
as_root ln -sf /usr/bin/lld-22 "$host_bin/rust-lld"

if ! has_std debian-web; then
  say "building the standard library for $target (about a minute, once for this machine)"
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  mkdir "$work/src"
  touch "$work/src/lib.rs"
  cat >"$work/Cargo.toml" <<TOML
[package]
name = "std-for-wasm"
version = "0.0.0"
edition = "2021"
[lib]
crate-type = ["cdylib"]
[profile.release]
panic = "abort"
TOML
  (cd "$work" && env -u CARGO_TARGET_DIR -u RUSTFLAGS RUSTUP_TOOLCHAIN=debian-web RUSTC_BOOTSTRAP=1 \
    cargo build --release -Zbuild-std=std,panic_abort --target "$target")
  lib=$(rustc --print target-libdir --target "$target")
  as_root rm -rf "$lib"
  as_root mkdir -p "$lib"
  as_root cp "$work/target/$target"/release/deps/*.rlib "$lib/"
  rustc --version | as_root tee "$lib/made-by" >/dev/null
fi
has_std debian-web || { say "the standard library for $target did not build"; exit 1; }
keep debian-web
say "ready: $(rustc --version), with $target"
