#!/bin/sh
# Puts promtool and prometheus onto a Debian host or container, if they are missing. No server is
# started: the tests check rules with the one, and start the other by themselves on a free port.
set -eu
command -v promtool >/dev/null 2>&1 && command -v prometheus >/dev/null 2>&1 && exit 0

fail() {
    echo "install-prometheus.sh: $1" >&2
    echo "install-prometheus.sh: install by hand: prometheus (Debian, Ubuntu: apt-get install prometheus; macOS: brew install prometheus)" >&2
    exit 1
}

command -v apt-get >/dev/null 2>&1 || fail "there is no apt-get on this machine"
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    fail "root, or sudo without a password, is needed"
fi

# The package would start a server of its own on the usual port.
policy="/usr/sbin/policy-rc.d"
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi

install() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends prometheus
}
# The lists may be there already, or be old.
install >/dev/null 2>&1 || { $as_root apt-get update -qq && install >/dev/null; } || fail "apt-get failed"
command -v promtool >/dev/null 2>&1 || fail "prometheus is installed but promtool cannot be found"
echo "install-prometheus.sh: installed prometheus"
