#!/usr/bin/env bash
# make bundle: one archive with everything an installation needs, for machines without a network or a toolchain:
#   $BUNDLE_OUT (target/bundle)/gatehouse-<version>-linux-<arch>.tar.gz, and its checksum beside it.
# --no-build packs what is built (<target>/release/gatehouse, <target>/site). gzip, because every Debian can read it.
# The same build gives the same archive, byte for byte: sorted names, the commit's time, owner 0.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
umask 022
export LC_ALL=C
[ "$(uname -s)" = Linux ] || fail "the archive is for Linux: make it there"

case "$*" in
  '') step_total=7 ;;
  --no-build) step_total=3 ;;
  *) fail "what is '$*'? bundle.sh knows --no-build" ;;
esac
if [ $# = 0 ]; then
  set_up
  build --release
else
  npm_install "$root" # for the licences of what is in the style sheet
fi
program=$CARGO_TARGET_DIR/release/gatehouse
hashes=$CARGO_TARGET_DIR/release/hash.txt
site=$CARGO_TARGET_DIR/site
for file in "$program" "$hashes" "$site/pkg"; do
  [ -e "$file" ] || fail "$file is missing: run this without --no-build"
done

step "What goes in"
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version *= *"\(.*\)"/\1/p' Cargo.toml)
built=$("$program" --version)
[ "$built" = "gatehouse $version" ] || fail "$program is of another version ($built, not $version): run this without --no-build"
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
arch=$(uname -m)
name=gatehouse-$version
out=${BUNDLE_OUT:-$root/target/bundle}
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
to=$work/$name
mkdir -p "$to/docs"

strip --strip-all -o "$to/gatehouse" "$program"
chmod 0755 "$to/gatehouse"
# A system without a toolchain has glibc and, with it, GCC's runtime. What else it had to have, nobody would expect.
needed=$(objdump -p "$program" | awk '$1 == "NEEDED" { print $2 }' | sort)
for library in $needed; do
  case $library in
    libc.so.6 | libm.so.6 | libgcc_s.so.1 | ld-linux*.so.*) ;;
    *) fail "the program needs $library, which a bare system may not have: which dependency brought it?" ;;
  esac
done
glibc=$(objdump -T "$program" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
glibc=${glibc#GLIBC_}

cp -r "$site" "$to/site"
install -m 0644 "$hashes" "$to/hash.txt"
while IFS=': ' read -r kind hash; do
  for ending in '' .br .gz; do
    file=pkg/gatehouse.$hash.$kind$ending
    [ -f "$to/site/$file" ] || fail "hash.txt names $file, which is not in $site: run this without --no-build"
  done
done <"$hashes"

cp -r deploy/systemd deploy/container deploy/compose deploy/lambda "$to/"
cp -r docs/operator docs/guide docs/api "$to/docs/"
install -m 0644 LICENSE deploy/gatehouse.toml.example "$to/"
install -m 0644 crates/gateway/examples/policy.toml "$to/policy.toml.example"
# Where the documents point into the sources, they point beside themselves here.
sed -i 's,\.\./\.\./crates/gateway/examples/policy\.toml,../../policy.toml.example,; s,crates/gateway/examples/policy\.toml,policy.toml.example,' \
  "$to/docs/operator/gateway-policy.md"
sed "s/@VERSION@/$version/g; s/@ARCH@/$arch/g; s/@GLIBC@/$glibc/g; s/@LIBRARIES@/$(echo "$needed" | paste -sd ' ' -)/g" \
  deploy/INSTALL.md >"$to/INSTALL.md"
(cd "$to" && find . -name '*.md' ! -name THIRD-PARTY.md | while read -r page; do
  grep -o ']([^)# ]*' "$page" | cut -c3- | grep -v '^[a-z]*:' | while read -r link; do
    [ -z "$link" ] || [ -e "$(dirname "$page")/$link" ] || echo "$page: $link"
  done || true
done) >"$work/dead-links"
[ ! -s "$work/dead-links" ] || fail "links of the documents that lead nowhere in the archive:"$'\n'"$(cat "$work/dead-links")"

step "What others wrote of it"
cargo xtask settings >&2
cargo xtask parts "$to" "$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)" >&2

step "The archive"
(cd "$to" && find . -type f | sort | sed 's,^\./,,' | xargs sha256sum) >"$work/sums"
mv "$work/sums" "$to/SHA256SUMS"
chmod -R u=rwX,go=rX "$to"
archive=$name-linux-$arch.tar.gz
tar -C "$work" --sort=name --format=ustar --mtime="@$epoch" --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -9n >"$work/$archive"
(cd "$work" && sha256sum "$archive" >"$archive.sha256")
mv "$work/$archive" "$work/$archive.sha256" "$out/"
size() { numfmt --to=iec --suffix=B "$(stat -c %s "$1")"; }
note "program: $(size "$program"), stripped $(size "$to/gatehouse"); needs glibc $glibc or newer ($(echo "$needed" | paste -sd ' ' -))"
note "site: $(du -sb "$site" | awk '{ printf "%d kB", $1 / 1000 }'); files in all: $(wc -l <"$to/SHA256SUMS")"
note "$out/$archive: $(size "$out/$archive")"
note "$(cat "$out/$archive.sha256")"
