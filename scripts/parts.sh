#!/bin/sh
# Installs the real parts that the tests talk to. What can't be had is said here; the tests that need it are then
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
exit 0
