"""Replay a CSV through a stream: one line per alarm episode, and a summary against the labels when there are any.

    python examples/replay_csv.py examples/data/machine_temperature_system_failure.csv
    python examples/replay_csv.py FILE --url http://127.0.0.1:14345      # the same through the service

Every numeric column is watched. The first column that is not numeric is taken for the time; a column called `label` (or
the one named with `--labels`) holds 1 where something is known to be wrong and is never shown to the detector. Each row
is scored before anything after it is seen, as it would have been live.
"""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service import ServiceError, call

SETTINGS: dict[str, Any] = {"window_size": 1000, "retrain_interval": 100, "min_samples": 50, "quiet_rows": 100}
BATCH = 100


@dataclass
class Series:
    """The file: what is watched, and beside it the time and the label of each row."""

    columns: list[str]
    rows: list[list[float | None]]
    times: list[str]
    labels: list[bool] | None


@dataclass
class Episode:
    """An alert and the anomalies that followed it before the next."""

    first: int
    score: float
    rows: list[int] = field(default_factory=list)


def main() -> int:
    options = _options()
    try:
        series = read(options.file, options.labels)
        settings = {**SETTINGS, "backend": options.backend, "contamination": options.contamination}
        start = time.perf_counter()
        results = list(through_service(series, settings, options.url) if options.url else in_process(series, settings))
        seconds = time.perf_counter() - start
    except (ServiceError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    found = episodes(results)
    try:
        print(*(line(series, episode) for episode in found), summary(series, found, seconds), sep="\n", flush=True)
    except BrokenPipeError:  # whoever reads has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed there at the end
    return 0


def read(path: Path, label_column: str) -> Series:
    """Read the file whole; empty cells and `nan` are missing values."""
    with path.open(newline="") as file:
        reader = csv.reader(file)
        header, table = next(reader, []), [cells for cells in reader if cells]
    if not table or any(len(cells) != len(header) for cells in table):
        raise ValueError(f"{path} is no table: it wants a header line and rows of as many cells")
    numeric = [
        at for at, name in enumerate(header) if name != label_column and _is_numeric(cells[at] for cells in table)
    ]
    if not numeric:
        raise ValueError(f"{path} has no column of numbers to watch among {', '.join(header)}")
    others = [at for at, name in enumerate(header) if at not in numeric and name != label_column]
    return Series(
        columns=[header[at] for at in numeric],
        rows=[[_number(cells[at]) for at in numeric] for cells in table],
        times=[cells[others[0]] if others else f"row {at}" for at, cells in enumerate(table)],
        labels=[float(cells[header.index(label_column)]) > 0 for cells in table] if label_column in header else None,
    )


def in_process(series: Series, settings: dict[str, Any]) -> Iterator[tuple[float | None, bool, bool]]:
    """Score, is_anomaly and is_alert of every row from `ms.Stream`; the same figures at every run."""
    import millstream as ms

    stream = ms.Stream(**settings, columns=series.columns, background=False)
    for result in stream.update_many(series.rows):
        yield result.score, bool(result.is_anomaly), result.is_alert


def through_service(series: Series, settings: dict[str, Any], url: str) -> Iterator[tuple[float | None, bool, bool]]:
    """The same from the service, in batches, by a detector that is deleted at the end."""
    name = f"replay-{uuid.uuid4().hex[:12]}"
    try:
        for at in range(0, len(series.rows), BATCH):
            body = {"model": name, "data": series.rows[at : at + BATCH], **settings}
            for result in call(url, "POST", "/v1/ml/anomaly/stream", body)["results"]:
                yield result["score"], bool(result["is_anomaly"]), result["is_alert"]
    finally:
        call(url, "DELETE", f"/v1/ml/anomaly/stream/{name}")


def episodes(results: list[tuple[float | None, bool, bool]]) -> list[Episode]:
    """Group the anomalies by the alert they follow."""
    found: list[Episode] = []
    for at, (score, is_anomaly, is_alert) in enumerate(results):
        if score is None or not is_anomaly:
            continue
        if is_alert:
            found.append(Episode(at, score))
        found[-1].rows.append(at)
        found[-1].score = max(found[-1].score, score)
    return found


def line(series: Series, episode: Episode) -> str:
    """One episode for people: when it began, how long it lasted, how sure, and whether the labels agree."""
    values = "  ".join(
        f"{name} {value}" for name, value in zip(series.columns, series.rows[episode.first], strict=True)
    )
    verdict = ""
    if series.labels is not None:
        verdict = "labelled" if any(series.labels[at] for at in episode.rows) else "outside the labels"
    rows = f"{len(episode.rows)} row{'s' if len(episode.rows) > 1 else ''}"
    return f"{series.times[episode.first]}  ALARM  {rows:>9}  peak {episode.score:.4f}  {values}  {verdict}".rstrip()


def summary(series: Series, found: list[Episode], seconds: float) -> str:
    """What the replay came to."""
    total, alarmed = len(series.rows), [at for episode in found for at in episode.rows]
    text = [f"{total} rows in {seconds:.2f} s: {len(found)} alarm episodes, {len(alarmed)} rows alarmed"]
    if series.labels is not None:
        windows = _windows(series.labels)
        hit = sum(any(first <= at <= last for at in alarmed) for first, last in windows)
        outside = sum(not series.labels[at] for at in alarmed)
        normal = total - sum(series.labels)
        text.append(f"{hit} of {len(windows)} labelled windows alarmed")
        text.append(
            f"{outside} of {normal} rows outside the labelled windows alarmed ({100 * outside / max(1, normal):.2f} %)"
        )
    return "\n".join(text)


def _windows(labels: list[bool]) -> list[tuple[int, int]]:
    starts = [at for at, label in enumerate(labels) if label and (at == 0 or not labels[at - 1])]
    ends = [at for at, label in enumerate(labels) if label and (at + 1 == len(labels) or not labels[at + 1])]
    return list(zip(starts, ends, strict=True))


def _number(cell: str) -> float | None:
    """The value of a cell; an empty one, or `nan`, is missing."""
    value = float(cell) if cell else math.nan
    return None if math.isnan(value) else value


def _is_numeric(cells: Iterator[str]) -> bool:
    try:
        return len([float(cell) for cell in cells if cell]) > 0
    except ValueError:
        return False


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Replay a CSV through a millstream detector and print its alarms.")
    parser.add_argument("file", type=Path, help="a CSV with a header line")
    parser.add_argument("--url", help="send the rows to the service there; by default the library scores them here")
    parser.add_argument("--labels", default="label", help="column that is 1 where something is wrong (default: label)")
    parser.add_argument("--backend", default="ecod", help="algorithm (default: ecod)")
    parser.add_argument(
        "--contamination", type=float, default=0.003, help="share of rows that may alarm (default 0.003)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
