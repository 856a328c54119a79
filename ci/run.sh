#!/usr/bin/env bash
# What CI runs, on a clean clone: everything is installed by the set-up itself.
set -euo pipefail
cd "$(dirname "$0")/.."
make check
