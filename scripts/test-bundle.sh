#!/usr/bin/env bash
# make test-bundle: the archive (target/bundle, or the one named) where there is nothing: a root with the C library alone and
# a network namespace with nothing but `lo`. As root, because it makes both. What it does there: end2end/bundle/.
# Screenshot and traces: target/bundle-test (BUNDLE_RESULTS).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# ---- inside the namespaces ----
if [ "${1:-}" = --inside ]; then
  step_total=3 step_number=1
  bare=$BUNDLE_WORK/root unpacked=$2
  step "A network with nobody in it, a root with nothing in it"
  ip link set lo up
  [ "$(ip -o link | wc -l)" = 1 ] || fail "there is more than lo in this network: $(ip -br link)"
  [ -z "$(ip route)" ] || fail "there is a way out of this network: $(ip route)"
  note "network: $(ip -br addr)"
  mkdir -p "$bare/proc" "$bare/dev" "$bare/tmp"
  mount -t proc -o nosuid,nodev,noexec proc "$bare/proc"
  mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$bare/tmp"
  for device in null urandom; do
    touch "$bare/dev/$device"
    mount --bind "/dev/$device" "$bare/dev/$device"
  done
  note "root, besides what was unpacked:"
  (cd "$bare" && find . -xdev -not -type d -not -path "./srv/*" | sort | sed 's/^/        /') >&2

  # A user whom no file names, without groups, who can't become anybody else.
  cat >"$BUNDLE_WORK/run" <<SH
#!/bin/bash
exec setpriv --clear-groups --no-new-privs unshare --root "$bare" --wd "/srv/$unpacked" --setgid 54321 --setuid 54321 -- ./gatehouse "\$@"
SH
  chmod +x "$BUNDLE_WORK/run"
  chown -R 54321:54321 "$bare/srv/$unpacked"
  export BUNDLE_RUN=$BUNDLE_WORK/run BUNDLE_FOLDER=$bare/srv/$unpacked
  note "$("$BUNDLE_RUN" --version) runs there"

  step "Chromium, Squid and the program"
  cd end2end
  status=0
  npx playwright test --config playwright.bundle.config.ts || status=$?
  missing=$(for command in backup restore doctor; do
    "$BUNDLE_RUN" --help | grep -q "^  $command\b" || printf ' %s' "$command"
  done)
  if [ -n "$missing" ]; then
    printf '\n****\n**** NOT TESTED, because this program does not have it:%s\n****\n' "$missing" >&2
  fi
  exit "$status"
fi

# ---- outside ----
step_total=3
[ "$(id -u)" = 0 ] || fail "this makes namespaces and another user's processes: run it as root (sudo make test-bundle)"
for program in unshare setpriv ip mount node; do
  command -v "$program" >/dev/null || fail "$program is missing (Debian: util-linux, iproute2, nodejs)"
done
archive=${1:-}
if [ -z "$archive" ]; then
  archive=$(find "${BUNDLE_OUT:-$root/target/bundle}" -name "gatehouse-*-linux-$(uname -m).tar.gz" 2>/dev/null | sort -V | tail -1)
  [ -n "$archive" ] || fail "there is no archive: 'make bundle' makes it"
fi
archive=$(realpath "$archive")
"$root/scripts/test-deps.sh"
PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm_install "$root/end2end"
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1

step "What is in $(basename "$archive")"
BUNDLE_WORK=$(mktemp -d)
trap 'rm -rf "$BUNDLE_WORK"' EXIT
chmod 0755 "$BUNDLE_WORK"
export BUNDLE_WORK BUNDLE_RESULTS=${BUNDLE_RESULTS:-$root/target/bundle-test}
mkdir -p "$BUNDLE_RESULTS" "$BUNDLE_WORK/root/srv"
(cd "$(dirname "$archive")" && sha256sum --quiet -c "$(basename "$archive").sha256")
tar -C "$BUNDLE_WORK/root/srv" -xzf "$archive"
unpacked=$(ls "$BUNDLE_WORK/root/srv")
folder=$BUNDLE_WORK/root/srv/$unpacked
(cd "$folder" && sha256sum --quiet -c SHA256SUMS)
[ "$(cd "$folder" && find . -type f | wc -l)" = "$(($(wc -l <"$folder/SHA256SUMS") + 1))" ] || fail "SHA256SUMS does not list every file"
# shellcheck disable=SC2016 # JavaScript
node -e '
  const bill = JSON.parse(require("fs").readFileSync(process.argv[1]));
  const known = new Set(bill.components.map((part) => part["bom-ref"]).concat("gatehouse"));
  const dangling = bill.dependencies.flatMap((entry) => [entry.ref, ...entry.dependsOn]).filter((ref) => !known.has(ref));
  if (bill.bomFormat !== "CycloneDX" || known.size < 100 || dangling.length) throw new Error(`sbom.cdx.json: ${known.size} parts, unknown: ${dangling}`);
  console.error(`      sbom.cdx.json: ${known.size - 1} parts`);
' "$folder/sbom.cdx.json"
# As somebody does who begins with the example: everything in it is commented out.
cp "$folder/gatehouse.toml.example" "$folder/gatehouse.toml"
if command -v systemd-analyze >/dev/null; then
  # The units as they are, their programs where they are.
  units=$BUNDLE_WORK/units
  cp -r "$folder/systemd" "$units"
  sed -i "s,/opt/gatehouse/current/,$folder/," "$units"/*.service
  systemd-analyze verify "$units"/*.service "$units"/*.timer || fail "systemd does not take the units"
  systemd-analyze security --offline=true "$units"/*.service | sed -n 's/^→ /      /p' >&2
else
  note "units: NOT CHECKED: systemd-analyze is not installed"
fi

# The loader and the libraries that the program names, at the places where it looks for them.
ldd "$folder/gatehouse" | grep -o '/[^ ]*' | while read -r library; do
  install -D -m 0755 "$library" "$BUNDLE_WORK/root$library"
done
unshare --net --mount --pid --fork --kill-child --mount-proc --ipc -- "$root/scripts/test-bundle.sh" --inside "$unpacked"
note "screenshot: $BUNDLE_RESULTS/test-connection.png"
