#!/usr/bin/env bash
# make setup: what building needs, and nothing built.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
step_total=2
set_up
