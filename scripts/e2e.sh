#!/usr/bin/env bash
# The browser tests alone, on what is built (`make test-e2e` builds first). Arguments go to Playwright.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
if [ ! -f "$root/end2end/package.json" ]; then
  note "there is no end2end/package.json: no browser tests to run"
  exit 0
fi
# The browser is the system's (scripts/test-deps.sh); Playwright's own cannot be downloaded everywhere.
export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
npm_install "$root/end2end"
server_environment
cd "$root/end2end"
exec npx playwright test "$@"
