#!/bin/sh
# All four steps, one after the other:  ./run_full_demo.sh
#
# Uses the service at MILLSTREAM_URL (http://127.0.0.1:14345) when one answers there. Otherwise it starts one of its own,
# on a free port and with a folder that goes when it ends, and stops it at the end.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
[ -x "$python" ] || python=python3
MILLSTREAM_URL=${MILLSTREAM_URL:-http://127.0.0.1:14345}
export MILLSTREAM_URL

answers() {
    "$python" -c "import urllib.request; urllib.request.urlopen('$MILLSTREAM_URL/health', timeout=2)" 2>/dev/null
}

if answers; then
    echo "Using the service at $MILLSTREAM_URL"
else
    folder=$(mktemp -d)
    "$python" -m millstream serve --port 0 --data-dir "$folder" 2>"$folder/log" &
    server=$!
    trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true; rm -rf "$folder"' EXIT
    trap 'exit 1' INT TERM
    until MILLSTREAM_URL=$(sed -n 's/.*running on \(http[^ ]*\).*/\1/p' "$folder/log") && [ -n "$MILLSTREAM_URL" ]; do
        kill -0 $server 2>/dev/null || { cat "$folder/log" >&2; echo "The service did not start." >&2; exit 1; }
        sleep 0.1
    done
    echo "Started a service at $MILLSTREAM_URL; it is stopped at the end"
fi

for step in 01_generate_training_data 02_train_model 03_streaming_detection 04_polars_features; do
    printf '\n=== %s ===\n' "$step"
    "$python" "$here/$step.py"
done
