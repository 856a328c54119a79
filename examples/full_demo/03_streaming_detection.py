"""Step 3: a stream of readings, one request each, with anomalies among them; at the end, the truth.

    python 03_streaming_detection.py [URL]

The stream learns from its own first rows and trains itself anew as it goes; the model of step 2 is asked for a second
opinion on every anomaly.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from demo import Row, call, reading, run

# ---- configuration -------------------------------------------------------------------------------------------------
DETECTOR_CONFIG: dict[str, Any] = {
    "model": "factory-demo",
    "backend": "ecod",  # try: isolation_forest, hbos, loda
    "min_samples": 50,  # samples before the first training
    "retrain_interval": 100,  # samples between trainings
    "window_size": 1000,  # history kept
    "threshold": 0.5,  # scores above it are anomalies
    "contamination": 0.05,  # expected share of anomalies
}
QUIET_ROWS = 20  # an alert opens an episode; none follows within so many samples
SAMPLES = 800
INJECT_AFTER, INJECT_EVERY = 100, 50
BREAKDOWN: Row = {"temperature": 150.0, "humidity": 20.0, "pressure": 950.0, "motor_rpm": 4500.0}
SHOW_EVERY = 10  # of the normal samples
SEED = 3
# --------------------------------------------------------------------------------------------------------------------

ANOMALY = "/v1/ml/anomaly"


@dataclass
class Tally:
    """What happened, sample by sample."""

    scored: int = 0
    injected: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    false: list[int] = field(default_factory=list)
    alerts: list[int] = field(default_factory=list)
    confirmed: int = 0
    version: int = 0


def main(url: str) -> None:
    call(url, "POST", ANOMALY + "/load", {"model": DETECTOR_CONFIG["model"]})  # the second opinion has to be there
    forget(url)
    chance, tally = random.Random(SEED), Tally()
    for sample in range(1, SAMPLES + 1):
        row = reading(chance)
        if breaks_down(sample):
            row = BREAKDOWN
            tally.injected.append(sample)
            print(f"Injecting anomaly: temp={row['temperature']:.1f}")
        answer = call(url, "POST", ANOMALY + "/stream", {**DETECTOR_CONFIG, "quiet_rows": QUIET_ROWS, "data": row})
        tell(url, sample, row, answer, tally)
    show_detector(url)
    print(truth(tally))


def forget(url: str) -> None:
    """Delete the detector of an earlier run: this one starts cold."""
    detectors = call(url, "GET", ANOMALY + "/stream/detectors")["data"]
    if any(detector["model_id"] == DETECTOR_CONFIG["model"] for detector in detectors):
        call(url, "DELETE", f"{ANOMALY}/stream/{DETECTOR_CONFIG['model']}")


def breaks_down(sample: int) -> bool:
    """Whether an anomaly is injected into this sample."""
    return sample > INJECT_AFTER and sample % INJECT_EVERY == 0


def tell(url: str, sample: int, row: Row, answer: Any, tally: Tally) -> None:
    """Print what the stream says about one sample, and keep the tally."""
    result = answer["results"][0]
    if answer["model_version"] > tally.version:
        tally.version = answer["model_version"]
        word = "trained" if tally.version == 1 else "retrained"
        print(f"Model {word}: version {tally.version} (samples: {answer['samples_collected']})")
    if result["score"] is None:
        if sample % SHOW_EVERY == SHOW_EVERY // 2:
            print(f"Collecting... {answer['samples_until_ready']} samples until ready")
        return
    tally.scored += 1
    if result["is_alert"]:
        tally.alerts.append(sample)
    if result["is_anomaly"]:
        (tally.found if sample in tally.injected else tally.false).append(sample)
        tally.confirmed += second_opinion(url, row)
        print(f"ANOMALY at sample {sample}: score={result['score']:.2f}, is_anomaly=True ({meaning(result['score'])})")
    elif sample % SHOW_EVERY == 0:
        print(f"Sample {sample}: temp={row['temperature']:.1f}, score={result['score']:.2f}")


def second_opinion(url: str, row: Row) -> bool:
    """Whether the model of step 2 flags the row too."""
    body = {"model": DETECTOR_CONFIG["model"], "data": [row]}
    return bool(call(url, "POST", ANOMALY + "/detect", body)["data"])


def meaning(score: float) -> str:
    """A stream's score in words: score / (1 - score) says how many times rarer than the alarm level a row is."""
    times = score / (1 - score) if score < 1 else float("inf")
    return f"{times:.0f} times rarer than the alarm level" if times >= 2 else "just above the alarm level"


def show_detector(url: str) -> None:
    stats = call(url, "GET", f"{ANOMALY}/stream/{DETECTOR_CONFIG['model']}")
    print("\nThe detector:")
    for name in ("status", "model_version", "total_processed", "samples_collected", "samples_since_retrain"):
        print(f"  {name}: {stats[name]}")


def truth(tally: Tally) -> str:
    """What was injected, found, missed, and flagged without being injected."""
    normal = tally.scored - len(tally.injected)
    share, expected = len(tally.false) / normal, DETECTOR_CONFIG["contamination"]
    right = sum(sample in tally.injected for sample in tally.alerts)
    anomalies = len(tally.found) + len(tally.false)
    return f"""
The truth:
  injected: {len(tally.injected)}
  found: {len(tally.found)}
  missed: {len(tally.injected) - len(tally.found)}
  false alarms: {len(tally.false)} of {normal} normal samples ({share:.1%}; expected about {expected:.0%})
  alerts (the first anomaly after {QUIET_ROWS} samples without an alert): {len(tally.alerts)}, of them {right} injected
    at samples {", ".join(map(str, tally.alerts))}
  second opinion: the model of step 2 flags {tally.confirmed} of these {anomalies} anomalies too"""


if __name__ == "__main__":
    run(main)
