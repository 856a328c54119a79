"""Step 1: readings of a factory's sensors while all is well, written to training_data.json.

python 01_generate_training_data.py
"""

from __future__ import annotations

import json
import random

from demo import NORMAL, TRAINING_DATA, reading

# ---- configuration -------------------------------------------------------------------------------------------------
SAMPLES = 1000
SEED = 1
# --------------------------------------------------------------------------------------------------------------------


def main() -> None:
    chance = random.Random(SEED)
    rows = [reading(chance) for _ in range(SAMPLES)]
    TRAINING_DATA.write_text(json.dumps(rows))
    print(f"{len(rows)} readings of {', '.join(NORMAL)} written to {TRAINING_DATA}")
    for name, (mean, spread) in NORMAL.items():
        values = [row[name] for row in rows]
        print(f"  {name:<12} {mean:g} +- {spread:g}   from {min(values):.1f} to {max(values):.1f}")


if __name__ == "__main__":
    main()
