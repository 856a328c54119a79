"""Step 2: train, save, load and list models on the data of step 1, and try them.

python 02_train_model.py [URL]
"""

from __future__ import annotations

import json
from typing import Any

from demo import TRAINING_DATA, Row, call, run

# ---- configuration -------------------------------------------------------------------------------------------------
MODEL = "factory-demo"
BACKENDS = ("isolation_forest", "hbos", "ecod")  # all under one name; the last one trained answers for the name
CONTAMINATION = 0.05
TRIALS: dict[str, Row] = {  # to be scored
    "normal": {"temperature": 71.8, "humidity": 45.6, "pressure": 1012.0, "motor_rpm": 3010.0},
    "breakdown": {"temperature": 150.0, "humidity": 20.0, "pressure": 950.0, "motor_rpm": 4500.0},
}
# --------------------------------------------------------------------------------------------------------------------

ANOMALY = "/v1/ml/anomaly"


def main(url: str) -> None:
    rows = json.loads(TRAINING_DATA.read_text())
    for backend in BACKENDS:
        train(url, backend, rows)
    for backend in BACKENDS:
        save_and_load(url, backend)
    try_out(url)
    show_models(url)


def train(url: str, backend: str, rows: list[Row]) -> None:
    body: dict[str, Any] = {"model": MODEL, "backend": backend, "data": rows, "contamination": CONTAMINATION}
    fit = call(url, "POST", ANOMALY + "/fit", body | {"overwrite": True, "description": "full demo"})
    threshold = fit["model_params"]["threshold"]
    print(f"Trained {backend} on {fit['samples_fitted']} samples in {fit['training_time_ms']:.0f} ms, {threshold=:.3f}")


def save_and_load(url: str, backend: str) -> None:
    name = {"model": MODEL, "backend": backend}
    saved = call(url, "POST", ANOMALY + "/save", name)
    loaded = call(url, "POST", ANOMALY + "/load", name)
    print(f"Saved {saved['filename']} and loaded it again: {loaded['status']}")


def try_out(url: str) -> None:
    print("\nScores (0 to 1) of two readings:")
    for backend in BACKENDS:
        body = {"model": MODEL, "backend": backend, "data": list(TRIALS.values())}
        results = call(url, "POST", ANOMALY + "/score", body)["data"]
        told = (
            f"{name} {result['score']:.2f}{' ANOMALY' if result['is_anomaly'] else ''}"
            for name, result in zip(TRIALS, results, strict=True)
        )
        print(f"  {backend:<17} {', '.join(told)}")


def show_models(url: str) -> None:
    listed = call(url, "GET", ANOMALY + "/models")
    print(f"\n{listed['total']} models in {listed['models_dir']}:")
    for model in listed["data"]:
        print(f"  {model['filename']:<45} {model['size_bytes']:>8} bytes")


if __name__ == "__main__":
    run(main)
