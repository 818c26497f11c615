#!/usr/bin/env bash
# The programs that the tests use as real parts: proxies, a web server, a browser. Installs what is missing (Debian);
# no service is started by that, and none is left to start with the machine: every test runs its own, on ports of its own.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# squid-openssl is Squid with TLS (to clients, and for looking into it); it stands where squid would, and they exclude each other.
packages=(squid-openssl tinyproxy dante-server microsocks nginx-light haproxy apache2-utils chromium openssl curl wget git python3 python3-requests fonts-liberation iproute2 libfaketime)
services=(squid squid-openssl tinyproxy danted microsocks nginx haproxy apache-htcacheclean)

if ! command -v dpkg-query >/dev/null; then
  for program in squid tinyproxy microsocks nginx haproxy htpasswd chromium openssl curl wget git python3 ip unshare; do
    command -v "$program" >/dev/null || note "not here: $program (the tests that need it will say so)"
  done
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

note "installing ${missing[*]}"
# Debian starts a service when it is installed, unless this file says no. Whatever was there comes back.
policy=/usr/sbin/policy-rc.d
restore() {
  if [ -e "$policy.before-gatehouse" ]; then as_root mv "$policy.before-gatehouse" "$policy"; else as_root rm -f "$policy"; fi
}
if [ -e "$policy" ]; then as_root mv "$policy" "$policy.before-gatehouse"; fi
trap restore EXIT
printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
as_root chmod 0755 "$policy"
as_root apt-get update -qq
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
for service in "${services[@]}"; do
  [ -e "/etc/init.d/$service" ] || continue
  if [ -d /run/systemd/system ]; then
    as_root systemctl disable --now --quiet "$service" || note "could not disable $service: it may start with the machine"
  else
    as_root update-rc.d "$service" disable >/dev/null 2>&1 || note "could not disable $service: it may start with the machine"
  fi
done
