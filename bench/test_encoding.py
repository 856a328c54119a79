"""Rows with text into numbers, against pandas, whose columns are coded and looked up the same way."""

from __future__ import annotations

import hashlib
import random
import time
from typing import Any

import numpy as np
import pandas as pd
from conftest import Compare
from millstream import encoding
from millstream._core import read_rows
from ratio import SMOKE

ROWS = 2_000 if SMOKE else 100_000
SCHEMA = {"ms": "numeric", "agent": "hash", "ip": "hash", "method": "label", "path": "label"}
MOST_SECONDS = 0.5  # for 100,000 rows with 2 hash and 2 label columns, reading them included


def logs() -> list[dict[str, Any]]:
    """Requests from 500 kinds of clients and as many addresses as rows, to 50 paths."""
    chance = random.Random(1)
    return [
        {
            "ms": chance.random(),
            "agent": f"Mozilla/5.0 (client {chance.randrange(500)})",
            "ip": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}",
            "method": chance.choice(["GET", "POST", "PUT"]),
            "path": f"/api/{chance.randrange(50)}",
        }
        for n in range(ROWS)
    ]


def with_pandas(rows: list[dict[str, Any]]) -> Any:
    frame = pd.DataFrame(rows)
    columns = [frame["ms"].to_numpy()]
    for name in ("agent", "ip"):
        codes, texts = pd.factorize(frame[name])
        hashes = [int(hashlib.md5(text.encode()).hexdigest()[:8], 16) % 1_000_000 for text in texts]
        columns.append(np.array(hashes, dtype=float)[codes])
    columns += [pd.factorize(frame[name], sort=True)[0] + 1.0 for name in ("method", "path")]
    return np.column_stack(columns)


def test_encode_100_000_dicts_with_2_hash_and_2_label_columns(compare: Compare) -> None:
    """From dictionaries to the matrix a backend is fitted on."""
    rows = logs()

    def ours() -> Any:
        table = read_rows(rows, None, "text", encoding.text_columns(SCHEMA))
        return encoding.learn(table, SCHEMA).encode(table)

    assert np.array_equal(ours(), with_pandas(rows))
    start = time.process_time()
    ours()
    assert time.process_time() - start <= MOST_SECONDS
    compare(ours, lambda: with_pandas(rows), "pandas factorize")
