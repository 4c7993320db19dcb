#!/bin/sh
# Puts systemd's own tools (systemd-analyze, systemd-escape, ...) onto a Debian host or container, if
# they are missing. Nothing is started: the tests only ask them to read units.
set -eu
command -v systemd-analyze >/dev/null 2>&1 && exit 0
run=""
[ "$(id -u)" -eq 0 ] || run="sudo"
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq
$run apt-get install -y -qq --no-install-recommends systemd procps
command -v systemd-analyze
