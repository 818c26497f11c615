#!/usr/bin/env bash
# make run: builds what is not built, then serves. Every GATEHOUSE_… setting reaches the server as it is, so several
# copies run side by side:  GATEHOUSE_LISTEN=127.0.0.1:3100 GATEHOUSE_DATABASE=mem:// make run
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
step_total=5
set_up
build
step "Serving"
server_environment
exec "$GATEHOUSE_BIN" serve "$@"
