# Sourced by the scripts: the environment, numbered headings with the time passed, and the steps that several of them share.
# shellcheck shell=bash
# shellcheck source-path=SCRIPTDIR source=env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

step_total=0 # set by the scripts
step_number=0
step_began=$SECONDS

# [2/5] What happens now (1m12s so far)
step() {
  step_number=$((step_number + 1))
  local passed=$((SECONDS - step_began)) bold='' plain=''
  if [ -t 2 ]; then bold=$'\033[1;36m' plain=$'\033[0m'; fi
  printf '%s[%d/%d] %s%s (%dm%02ds so far)\n' "$bold" "$step_number" "$step_total" "$1" "$plain" $((passed / 60)) $((passed % 60)) >&2
}

note() { printf '      %s\n' "$*" >&2; }

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# `npm ci` costs seconds, so it runs only when the lock file is not the one that was installed from.
npm_install() { # folder
  if cmp -s "$1/package-lock.json" "$1/node_modules/.installed-lock"; then return; fi
  note "npm ci"
  (cd "$1" && npm ci --no-audit --no-fund)
  cp "$1/package-lock.json" "$1/node_modules/.installed-lock"
}

# Two steps.
set_up() {
  step "Rust toolchain"
  command -v cc >/dev/null || fail "there is no C compiler (cc): install one (Debian: build-essential), then run this again"
  "$root/scripts/toolchain.sh"
  # shellcheck source-path=SCRIPTDIR source=env.sh
  source "$root/scripts/env.sh"
  note "$(rustc --version)"

  step "Tools from npm: Tailwind, wasm-opt, esbuild"
  command -v npm >/dev/null || fail "npm is missing: install Node 20 or newer, then run this again"
  npm_install "$root"
}

# Two steps. The browser's and the server's crates go to different folders below the target folder, each with a lock of
# its own, so cargo can build both at the same time: long single-threaded stretches of one (surrealdb-core, link-time
# optimisation) are filled by the other.
build() { # flags for the server's build, like --release
  step "Build steps of our own (cargo xtask)"
  cargo build -p xtask

  step "Browser side and server"
  set -m # each in a process group, so that a failure of one can end the other with its compilers
  (CARGO_TERM_PROGRESS_WHEN=never cargo xtask browser 2>&1 | while IFS= read -r line; do printf ' browser | %s\n' "$line"; done) >&2 </dev/null &
  local browser=$!
  cargo build -p gatehouse-server --bin gatehouse "$@" </dev/null &
  local server=$!
  set +m
  # shellcheck disable=SC2064 # the numbers of now
  trap "kill -- -$browser -$server 2>/dev/null; exit 130" INT TERM
  while kill -0 "$browser" 2>/dev/null && kill -0 "$server" 2>/dev/null; do sleep 0.2; done
  # Whichever ended first tells whether the other is still wanted.
  if ! kill -0 "$browser" 2>/dev/null; then
    wait "$browser" || { kill -- "-$server" 2>/dev/null; fail "the browser side did not build: see the lines marked 'browser |'"; }
    wait "$server" || fail "the server did not build"
  else
    wait "$server" || { kill -- "-$browser" 2>/dev/null; fail "the server did not build"; }
    wait "$browser" || fail "the browser side did not build: see the lines marked 'browser |'"
  fi
  trap - INT TERM
}

# What the server must be told about the build, unless the caller knows better.
server_environment() {
  export LEPTOS_SITE_ROOT=${LEPTOS_SITE_ROOT:-$CARGO_TARGET_DIR/site}
  export LEPTOS_HASH_FILES=${LEPTOS_HASH_FILES:-true}
  export GATEHOUSE_BIN=${GATEHOUSE_BIN:-$CARGO_TARGET_DIR/debug/gatehouse}
}
