#!/bin/sh
# Installs the real parts that the tests talk to; `parts.sh bench` those that only `make bench`
# needs. What can't be had is said here; the tests that need it are then
# skipped on a laptop and fail where CI=true.
set -u
cd "$(dirname "$0")/.." || exit 1

missing() {
  echo "parts: $1 can't be had here: $2" >&2
}

install() { # what, the packages that bring it
  what=$1
  shift
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "parts: installing $what ..."
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
      >/tmp/leadwire-parts.log 2>&1 || missing "$what" "apt-get failed, see /tmp/leadwire-parts.log"
  else
    missing "$what" "install it with your system's packages: $*"
  fi
}

if [ "${1-}" = bench ]; then
  if [ ! -e bench/node-red/node_modules/.leadwire ] \
    || [ bench/node-red/package-lock.json -nt bench/node-red/node_modules/.leadwire ]; then
    echo "parts: installing Node-RED ..."
    if (cd bench/node-red && npm ci --silent) >/tmp/leadwire-npm.log 2>&1; then
      touch bench/node-red/node_modules/.leadwire
    else
      missing "Node-RED" "npm ci failed, see /tmp/leadwire-npm.log"
    fi
  fi
  exit 0
fi

# Azurite and axe, from npm
command -v npm >/dev/null || install "Node.js" nodejs npm
if command -v npm >/dev/null; then
  if [ ! -e node_modules/.leadwire ] || [ package-lock.json -nt node_modules/.leadwire ]; then
    echo "parts: installing Azurite and axe ..."
    if npm ci --silent >/tmp/leadwire-npm.log 2>&1; then
      touch node_modules/.leadwire
    else
      missing "Azurite and axe" "npm ci failed, see /tmp/leadwire-npm.log"
    fi
  fi
fi

# PostgreSQL: one that runs, or one that the tests can start
if ! command -v pg_isready >/dev/null && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
  install "PostgreSQL" postgresql
fi

# A browser: Debian's own. Playwright's are never downloaded.
[ -x /usr/bin/chromium ] || install "Chromium" chromium fonts-noto-core

# What the faults need: a shim is compiled, and system calls are watched
command -v cc >/dev/null || install "a C compiler" gcc libc6-dev
command -v strace >/dev/null || install "strace" strace

# What sends under load
command -v wrk >/dev/null || install "wrk" wrk
exit 0
