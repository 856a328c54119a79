"""Step 4: a buffer, rolling features and statistics, without any detector.

python 04_polars_features.py [URL]             # create the buffer, fill it, show its features
python 04_polars_features.py [URL] --show      # only show what an earlier run left
"""

from __future__ import annotations

import random
import sys

from demo import call, reading, run

# ---- configuration -------------------------------------------------------------------------------------------------
BUFFER = "factory-demo"
WINDOW_SIZE = 1000
ROLLING_WINDOWS = [5, 10, 20]
LAG_PERIODS = [1, 2, 3]
ROWS, BATCH = 300, 50
SEED = 4
# --------------------------------------------------------------------------------------------------------------------

POLARS = "/v1/ml/polars"


def main(url: str) -> None:
    if "--show" not in sys.argv:
        create(url)
        fill(url)
    show_features(url)
    show_statistics(url)


def create(url: str) -> None:
    """Create the buffer, after deleting that of an earlier run."""
    if any(buffer["buffer_id"] == BUFFER for buffer in call(url, "GET", POLARS + "/buffers")["data"]):
        call(url, "DELETE", f"{POLARS}/buffers/{BUFFER}")
    created = call(url, "POST", POLARS + "/buffers", {"buffer_id": BUFFER, "window_size": WINDOW_SIZE})
    print(f"Buffer {created['buffer_id']} {created['status']}, window_size {created['window_size']}")


def fill(url: str) -> None:
    chance = random.Random(SEED)
    for _ in range(ROWS // BATCH):
        rows = [reading(chance) for _ in range(BATCH)]
        appended = call(url, "POST", POLARS + "/append", {"buffer_id": BUFFER, "data": rows})
        print(f"Appended {appended['appended']} rows, {appended['buffer_size']} held")


def show_features(url: str) -> None:
    asked = {"buffer_id": BUFFER, "rolling_windows": ROLLING_WINDOWS, "lag_periods": LAG_PERIODS, "tail": 1}
    features = call(url, "POST", POLARS + "/features", asked)
    newest = features["data"][0]
    print(f"\n{len(features['columns'])} columns; of the newest row:")
    for name, value in newest.items():
        if name.startswith("temperature"):
            print(f"  {name:<28} {value:.3f}")


def show_statistics(url: str) -> None:
    print("\nThe buffer:")
    for name, value in call(url, "GET", f"{POLARS}/buffers/{BUFFER}").items():
        print(f"  {name}: {value}")


if __name__ == "__main__":
    run(main)
