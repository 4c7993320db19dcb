#!/bin/sh
# Install the servers that the tests run against, from Debian packages: Mosquitto.
# Quick when everything is there; says what to do where it cannot install.
set -eu

PATH="$PATH:/usr/sbin:/usr/local/sbin"
command -v mosquitto >/dev/null 2>&1 && command -v mosquitto_passwd >/dev/null 2>&1 && exit 0

script="install.sh" missing="mosquitto" program="mosquitto"
. "$(dirname "$0")/from-debian.sh"
