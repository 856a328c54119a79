"""How well `ms.Stream` detects on labelled real streams: one default for all, nothing set per file.

    nice python bench/quality.py                          # every corpus of ../shared/quality, and its scorer's verdict
    python bench/quality.py nab --backend hbos --data DIR --out DIR

Each series is replayed causally with the default backend and `background=False`; contamination is 0.003 for NAB, whose
anomalies are rare, and 0.1 for the corpora that are ranked by VUS-PR. Score files go to `--out` in the scorer's form.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import millstream as ms
import numpy as np
from millstream.warm_up import load_kernels

CORPORA = {"nab": 0.003, "wsd": 0.1, "aiops_kpi": 0.1, "ucr": 0.1, "skab": 0.1}
SHARED = Path(os.environ.get("MILLSTREAM_SHARED", Path(__file__).parents[2] / "shared"))


def main() -> int:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    for corpus in options.corpora or CORPORA:
        rows, seconds, files = replay(corpus, options)
        print(f"{corpus}: {rows} rows, {1e6 * seconds / rows:.2f} us CPU a row")
        for kind, path in files.items():
            print(f"  {kind}: {verdict(corpus, path, options.data)}", flush=True)
    return 0


def replay(corpus: str, options: argparse.Namespace) -> tuple[int, float, dict[str, Path]]:
    """Write the scores of every series, for NAB the alerts too; return the rows, their CPU seconds and the files."""
    archive = np.load(options.data / "data" / "dev" / "streams" / f"{corpus}.npz")
    names = sorted(key.removesuffix("::x") for key in archive.files if key.endswith("::x"))
    scores: dict[str, Any] = {}
    alerts: dict[str, Any] = {}
    rows, seconds = 0, 0.0
    load_kernels()
    for name in names:
        values = np.asarray(archive[f"{name}::x"], dtype=np.float64)
        stream = ms.Stream(backend=options.backend, contamination=CORPORA[corpus], background=False)
        start = time.process_time()
        results = stream.update_many(values.reshape(len(values), -1))
        seconds += time.process_time() - start
        rows += len(values)
        scores[name.replace("/", "|")] = np.nan_to_num(results.score)
        alerts[name.replace("/", "|")] = np.where(results.is_alert, results.score, 0.0)
    files = {"anomalies": options.out / f"{corpus}_{options.backend}.npz"}
    np.savez_compressed(files["anomalies"], **scores)
    if corpus == "nab":
        files["alerts"] = options.out / f"{corpus}_{options.backend}_alerts.npz"
        np.savez_compressed(files["alerts"], **alerts)
    return rows, seconds, files


def verdict(corpus: str, path: Path, data: Path) -> str:
    """What the scorer says: NAB's standard score at threshold 0.5, or VUS-PR."""
    task = ["nab", "dev", str(path), "--thr", "0.5"] if corpus == "nab" else ["stream", corpus, "dev", str(path)]
    done = subprocess.run([sys.executable, str(data / "score.py"), *task], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    if corpus == "nab":
        return f"NAB standard at 0.5: {found['standard_at_fixed_threshold']} (best threshold {found['standard']})"
    return (
        f"VUS-PR {found['vus_pr']}, event recall at one false alert per 1000 rows {found['event_recall_1FA_per_1000']}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Replay the labelled streams and score them.")
    parser.add_argument("corpora", nargs="*", choices=[*CORPORA, []], help="default: all")
    parser.add_argument("--backend", default="ecod")
    parser.add_argument("--data", type=Path, default=SHARED / "quality", help="folder with score.py and data/")
    parser.add_argument("--out", type=Path, default=Path("quality_scores"), help="folder for the score files")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
