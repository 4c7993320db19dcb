# Read by the scripts beside it: installs Debian packages, and says what to do where it cannot.
# Needs $script, $missing (packages) and $program (what must be there afterwards).

fail() {
    echo "$script: $1" >&2
    echo "$script: install by hand: $missing (Debian, Ubuntu: apt-get install $missing; macOS: brew install $missing)" >&2
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

# The tests start private servers; a package must not start one of its own on the usual port.
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
command -v "$program" >/dev/null 2>&1 || fail "$missing is installed but $program cannot be found"
echo "$script: installed $missing"
