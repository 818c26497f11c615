#!/usr/bin/env bash
# make lambda: the archive that deploy/lambda/template.yaml deploys: $LAMBDA_OUT (target/lambda)/gatehouse-lambda.zip, for the architecture
# of this machine. --no-build packs what is built (<target>/release/gatehouse, <target>/site).
# The same build gives the same archive, byte for byte: sorted names, the commit's time.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
umask 022
export LC_ALL=C
# Amazon Linux 2023, on which provided.al2023 runs the program. Its glibc has no newer symbols than these.
newest=2.34

case "$*" in
  '') step_total=5 ;;
  --no-build) step_total=1 ;;
  *) fail "what is '$*'? lambda.sh knows --no-build" ;;
esac
if [ $# = 0 ]; then
  set_up
  build --release
fi
program=$CARGO_TARGET_DIR/release/gatehouse
hashes=$CARGO_TARGET_DIR/release/hash.txt
site=$CARGO_TARGET_DIR/site
for file in "$program" "$hashes" "$site/pkg"; do
  [ -e "$file" ] || fail "$file is missing: run this without --no-build"
done

step "The archive"
glibc=$(objdump -T "$program" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
glibc=${glibc#GLIBC_}
if [ "$(printf '%s\n' "$glibc" "$newest" | sort -V | tail -1)" != "$newest" ]; then
  if [ -z "${LAMBDA_IMAGE:-}" ]; then
    fail "this program needs glibc $glibc, and provided.al2023 has $newest. Build it where glibc is older (Amazon Linux 2023, AlmaLinux 9, or a container of \
one of them), or deploy an image instead: docs/operator/lambda.md, 'An image'. LAMBDA_IMAGE=1 makes the archive all the same"
  fi
  note "needs glibc $glibc: not for provided.al2023, but for an image with its own"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/task"
strip --strip-all -o "$work/task/bootstrap" "$program"
chmod 0755 "$work/task/bootstrap"
install -m 0644 "$hashes" "$work/task/hash.txt"
cp -r "$site" "$work/task/site"
install -m 0644 LICENSE "$work/task/"
chmod -R u=rwX,go=rX "$work/task"
out=${LAMBDA_OUT:-$root/target/lambda}
mkdir -p "$out"
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
# Python is there wherever the AWS command line is; zip is not.
python3 - "$work/task" "$work/gatehouse-lambda.zip" "$epoch" <<'PYTHON'
import os, sys, time, zipfile

folder, archive, epoch = sys.argv[1], sys.argv[2], int(sys.argv[3])
names = sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, files in os.walk(folder) for name in files)
with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
    for name in names:
        path = os.path.join(folder, name)
        entry = zipfile.ZipInfo(name, time.gmtime(epoch)[:6])
        entry.external_attr = (0o100755 if os.access(path, os.X_OK) else 0o100644) << 16
        entry.create_system = 3  # Unix: the rights count
        entry.compress_type = zipfile.ZIP_DEFLATED
        with open(path, "rb") as file:
            made.writestr(entry, file.read(), compresslevel=9)
unpacked = sum(os.path.getsize(os.path.join(folder, name)) for name in names)
if unpacked > 250 * 1024 * 1024:
    sys.exit(f"error: {unpacked // 1024 // 1024} MB unpacked; Lambda takes 250 MB. Deploy an image instead: docs/operator/lambda.md")
PYTHON
mv "$work/gatehouse-lambda.zip" "$out/"
size() { numfmt --to=iec --suffix=B "$(stat -c %s "$1")"; }
note "bootstrap: $(size "$work/task/bootstrap"), needs glibc $glibc, $(uname -m)"
note "$out/gatehouse-lambda.zip: $(size "$out/gatehouse-lambda.zip")"
