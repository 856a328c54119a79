"""What the four scripts share: the factory's sensors, the address of the service, and advice when something fails."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # for examples/service.py
from service import DEFAULT_URL, ServiceError, call

__all__ = ["NORMAL", "TRAINING_DATA", "Row", "call", "reading", "run"]

Row = dict[str, float]

# Mean and standard deviation of each sensor when all is well.
NORMAL = {
    "temperature": (72.0, 2.0),  # degrees Fahrenheit
    "humidity": (45.0, 3.0),  # percent
    "pressure": (1013.0, 5.0),  # hPa
    "motor_rpm": (3000.0, 50.0),
}
TRAINING_DATA = Path("training_data.json")  # in the folder the scripts are started from

ADVICE = {
    "no millstream answers": "Start the service with `make serve`, or let run_full_demo.sh start one.",
    "Model '": "Run the training script first: python 02_train_model.py",
    "Buffer '": "Create the buffer first: python 04_polars_features.py",
    TRAINING_DATA.name: "Generate the data first: python 01_generate_training_data.py",
}


def reading(chance: random.Random) -> Row:
    """One normal reading of all sensors."""
    return {name: round(chance.gauss(mean, spread), 2) for name, (mean, spread) in NORMAL.items()}


def run(script: Callable[[str], None]) -> None:
    """Run a script against the service at the first argument, `MILLSTREAM_URL`, or the default address."""
    given = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    url = given[0] if given else os.environ.get("MILLSTREAM_URL", DEFAULT_URL)
    try:
        script(url)
    except (ServiceError, FileNotFoundError) as error:
        print(f"\n{error}", file=sys.stderr)
        advice = [advice for sign, advice in ADVICE.items() if sign in str(error)]
        print("\n".join(advice), file=sys.stderr)
        sys.exit(1)
