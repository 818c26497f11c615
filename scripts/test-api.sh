#!/usr/bin/env bash
# make test-api: schemathesis against a server of its own: does every answer keep to the OpenAPI document? All of its checks, with a
# fixed seed. EXAMPLES=200 looks closer, SEED=2 elsewhere. GATEHOUSE_BIN takes another program than the one that is built.
#
# Four visitors: an owner by token, an owner by session (who may delete tokens without losing their own), an auditor, nobody.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"
version=4.32.5
tool=$GATEHOUSE_CACHE/tools/schemathesis
examples=${EXAMPLES:-50} seed=${SEED:-1}

if [ "${1:-}" != inside ]; then
  step_total=2
  if [ -n "${GATEHOUSE_BIN:-}" ]; then step_total=1; else
    "$root/scripts/toolchain.sh"
    # shellcheck source-path=SCRIPTDIR source=env.sh
    source "$root/scripts/env.sh"
    step "The server"
    cargo build -p gatehouse-server --bin gatehouse
  fi
  step "schemathesis $version"
  if [ "$(cat "$tool/.version" 2>/dev/null)" != "$version" ]; then
    rm -rf "$tool"
    python3 -m venv "$tool"
    "$tool/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
    echo "$version" >"$tool/.version"
  fi
  server_environment
  # Integrations of made-up values ask real services, and proxies of made-up names are looked up. Without a network they ask nobody,
  # and fail at once instead of after seconds.
  if command -v ip >/dev/null && unshare --user --map-root-user --net true 2>/dev/null; then
    exec unshare --user --map-root-user --net "$0" inside alone
  fi
  note "no network namespace here: requests with made-up values leave this machine"
  exec "$0" inside
fi

step_total=5
step "A server, and a target for its tests"
if [ "${2:-}" = alone ]; then ip link set lo up; fi
work=$(mktemp -d)
server='' target=''
end() {
  for process in $server $target; do kill "$process" 2>/dev/null || true; done
  wait
  rm -rf "$work"
}
trap end EXIT
listen=${GATEHOUSE_LISTEN:-127.0.0.1:3290}
python3 - "$work/target" <<'PYTHON' &
import http.server, os, sys

class Target(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Target)
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(server.server_port))
os.rename(sys.argv[1] + ".new", sys.argv[1])
server.serve_forever()
PYTHON
target=$!
for _ in $(seq 50); do [ -e "$work/target" ] && break; sleep 0.1; done
password=$(openssl rand -hex 16)
export GATEHOUSE_LISTEN=$listen GATEHOUSE_DATABASE=surrealkv://$work/data/gatehouse.db GATEHOUSE_SECRET_KEY_FILE=$work/key
export GATEHOUSE_GATEWAY_LISTEN=127.0.0.1:0 GATEHOUSE_ADMIN_EMAIL=owner@example.com GATEHOUSE_ADMIN_PASSWORD=$password
GATEHOUSE_TEST_TARGET=http://127.0.0.1:$(cat "$work/target")/
export GATEHOUSE_TEST_TARGET
cd "$work"
"$GATEHOUSE_BIN" serve >"$work/log" 2>&1 &
server=$!
for _ in $(seq 100); do
  if curl -fsS --noproxy '*' "http://$listen/readyz" >/dev/null 2>&1; then break; fi
  kill -0 "$server" 2>/dev/null || { cat "$work/log" >&2; fail "the server ended at once"; }
  sleep 0.2
done
owner=$("$GATEHOUSE_BIN" admin token --email owner@example.com)
"$GATEHOUSE_BIN" admin create --email auditor@example.com --password-stdin --role auditor <<<"$password" >/dev/null
auditor=$("$GATEHOUSE_BIN" admin token --email auditor@example.com)
curl -fsS --noproxy '*' -c "$work/cookies" -o /dev/null -H 'Content-Type: application/json' \
  -d "{\"email\": \"owner@example.com\", \"password\": \"$password\"}" "http://$listen/api/v1/sessions"
session=$(awk '$6 == "gatehouse_session" { print $7 }' "$work/cookies")

found=0
look() { # options of schemathesis
  SCHEMATHESIS_HOOKS=$root/scripts/test-api-hooks.py "$tool/bin/schemathesis" --config-file "$root/scripts/test-api.toml" run "http://$listen/api/v1/openapi.json" \
    --checks all --continue-on-failure --suppress-health-check all --request-timeout 60 --seed "$seed" --no-color "$@" || found=1
}
step "By token, an owner"
look --max-examples "$examples" -H "Authorization: Bearer $owner" --exclude-operation-id deleteToken
step "By session, an owner: tokens"
look --max-examples "$examples" -H "Cookie: gatehouse_session=$session" --include-tag tokens
step "By token, an auditor"
look --max-examples $((examples / 5 + 1)) -H "Authorization: Bearer $auditor" --exclude-operation-id deleteToken
step "Nobody"
look --max-examples $((examples / 5 + 1))
kill -0 "$server" 2>/dev/null || fail "the server has ended: $(tail -5 "$work/log")"
[ $found = 0 ] || {
  note "what the server said about it:"
  grep -aE "WARN|ERROR|panicked" "$work/log" | grep -av throttled | tail -20 >&2 || true
  fail "schemathesis has found something: see above"
}
