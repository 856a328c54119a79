#!/bin/sh
# Says which of the tools a build needs are missing, and how to get each.
python=${1:-python3}
missing=0
need() { echo "millstream: $1" >&2; missing=1; }

if ! command -v "$python" >/dev/null; then
    need "'$python' was not found. Install Python 3.11 or newer (Debian: apt-get install python3 python3-venv)."
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    need "$("$python" --version) is too old. Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11 ..."
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    need "$("$python" --version) cannot make virtual environments. Debian: apt-get install python3-venv"
fi
if ! command -v cargo >/dev/null; then
    need "'cargo' was not found. Install Rust 1.89 or newer with rustup (https://rustup.rs) and open a new shell."
else
    version=$(rustc --version | cut -d' ' -f2)
    if [ "$(printf '1.89\n%s\n' "$version" | sort -V | head -n 1)" != 1.89 ]; then
        need "Rust $version is too old. Bring it to 1.89 or newer: rustup update stable (https://rustup.rs)"
    fi
fi
if ! command -v cc >/dev/null; then
    need "'cc', a C compiler to link with, was not found. Debian: apt-get install gcc libc6-dev"
fi
exit $missing
