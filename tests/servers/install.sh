#!/bin/sh
# Install the servers that the tests run against, from Debian packages: Mosquitto.
# Quick when everything is there; says what to do where it cannot install.
set -eu

PATH="$PATH:/usr/sbin:/usr/local/sbin"
missing=""
command -v mosquitto >/dev/null 2>&1 && command -v mosquitto_passwd >/dev/null 2>&1 || missing="mosquitto"
[ -z "$missing" ] && exit 0

fail() {
    echo "install.sh: $1" >&2
    echo "install.sh: install by hand: $missing (Debian, Ubuntu: apt-get install $missing; macOS: brew install $missing)" >&2
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

# The tests start private brokers; the package must not start one of its own on the usual port.
policy="/usr/sbin/policy-rc.d"
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi

install() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing
}
# The lists may be there already, or be old.
install >/dev/null 2>&1 || { $as_root apt-get update -qq && install >/dev/null; } || fail "apt-get failed"
command -v mosquitto >/dev/null 2>&1 || fail "mosquitto is installed but cannot be found"
echo "install.sh: installed $missing"
