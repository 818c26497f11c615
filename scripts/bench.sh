#!/usr/bin/env bash
# make bench: times the list page with 100 proxy settings against its budgets (xtask/budgets.toml): how fast it is answered with
# 10 connections at once (p99), and what a person feels of it in Chromium (LCP, CLS, INP).
# Builds nothing but what `make run` builds; GATEHOUSE_BIN times another program (an optimised one, say).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
rows=100 connections=10 requests=${REQUESTS:-2000}
page=${BENCH_PAGE:-/company/settings/proxies}
listen=${GATEHOUSE_LISTEN:-127.0.0.1:3190}
budget=$(sed -n '/^\[list-page\]/,/^\[/s/^p99_ms *= *//p' xtask/budgets.toml)

step_total=7
set_up
if [ -n "${GATEHOUSE_BIN:-}" ]; then step_total=5; else build; fi
server_environment

step "A server with $rows proxy settings"
command -v ab >/dev/null || "$root/scripts/test-deps.sh"
work=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; fi; rm -rf "$work"' EXIT
email=bench@example.com password=$(openssl rand -hex 16)
GATEHOUSE_LISTEN=$listen GATEHOUSE_DATABASE=surrealkv://$work/data/gatehouse.db GATEHOUSE_SECRET_KEY_FILE=$work/key \
  GATEHOUSE_ADMIN_EMAIL=$email GATEHOUSE_ADMIN_PASSWORD=$password \
  "$GATEHOUSE_BIN" serve >"$work/log" 2>&1 &
server=$!
for _ in $(seq 100); do
  if curl -fsS "http://$listen/readyz" >/dev/null 2>&1; then break; fi
  kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; fail "the server ended at once"; }
  sleep 0.2
done
post() { # path, JSON
  curl -fsS -b "$work/cookies" -c "$work/cookies" -H 'Content-Type: application/json' -H "Origin: http://$listen" -d "$2" "http://$listen$1" >/dev/null
}
post /api/v1/sessions "{\"email\": \"$email\", \"password\": \"$password\"}"
for number in $(seq "$rows"); do
  post /api/v1/proxies "{\"name\": \"Proxy $number\", \"host\": \"proxy-$number.example.com\", \"port\": 3128, \"scheme\": \"http\", \"authentication\": \"transparent\"}"
done
cookie=$(awk '!/^# / && NF >= 7 { print $6 "=" $7 }' "$work/cookies" | paste -sd ';' -)
url="http://$listen$page${BENCH_QUERY:-?limit=100}"
curl -fsS -b "$work/cookies" "$url" -o "$work/page.html"
shown=$(grep -o 'proxy-[0-9]*\.example\.com' "$work/page.html" | sort -u | wc -l)
[ "$shown" -ge "$rows" ] || fail "$url shows $shown of the $rows settings: name the page with BENCH_PAGE and BENCH_QUERY"

step "$requests requests of $page, $connections at once"
ab -q -n 200 -c "$connections" -C "$cookie" "$url" >/dev/null # warm
ab -q -n "$requests" -c "$connections" -C "$cookie" -e "$work/percentiles.csv" "$url" >"$work/ab.txt"
grep -E 'Failed requests|Non-2xx|Requests per second' "$work/ab.txt"
if grep -q 'Non-2xx' "$work/ab.txt"; then fail "not every answer was 200"; fi
at() { awk -F, -v percent="$1" '$1 == percent { print $2 }' "$work/percentiles.csv"; }
p99=$(at 99)
echo "list page, $rows rows, $connections connections: p50 $(at 50) ms, p95 $(at 95) ms, p99 $p99 ms (budget: $budget ms)"
over=
awk -v p99="$p99" -v budget="$budget" 'BEGIN { exit !(p99 <= budget) }' || over=yes

step "The page in Chromium"
PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm_install "$root/end2end"
vital() { sed -n "/^\[vitals\]/,/^\[/s/^$1 *= *//p" "$root/xtask/budgets.toml"; }
(cd "$root/end2end" && node bench/vitals.mjs "$url" "$cookie" "$(vital lcp_ms)" "$(vital cls)" "$(vital inp_ms)") || over=yes
[ -z "$over" ] || fail "over budget"
