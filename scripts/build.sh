#!/usr/bin/env bash
# make build: the browser side and the server, as `make run` starts them.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
step_total=4
set_up
build
note "built: $CARGO_TARGET_DIR/debug/gatehouse and $CARGO_TARGET_DIR/site"
