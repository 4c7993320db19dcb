#!/bin/sh
# Puts promtool and prometheus onto a Debian host or container, if they are missing. No server is
# started: the tests check rules with the one, and start the other by themselves on a free port.
set -eu
command -v promtool >/dev/null 2>&1 && command -v prometheus >/dev/null 2>&1 && exit 0

script="install-prometheus.sh" missing="prometheus" program="promtool"
. "$(dirname "$0")/from-debian.sh"
