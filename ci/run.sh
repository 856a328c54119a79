#!/usr/bin/env bash
# What CI runs, on a clean clone: everything is installed by the set-up itself. On a bare Debian the tools it builds with
# come first, as far as the distribution has them; ci/tools.sh says what is still missing then.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! sh ci/tools.sh >/dev/null 2>&1 && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y python3 python3-venv gcc libc6-dev make
fi
make check
