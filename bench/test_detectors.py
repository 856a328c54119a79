"""Scores, against the library the definitions come from."""

from __future__ import annotations

import millstream as ms
import numpy as np
from conftest import Compare
from pyod.models.ecod import ECOD


def test_score_one_row_with_ecod(compare: Compare) -> None:
    """One row on a model of 10,000 x 4. PyOD gets the scaled row, so it has less to do than we."""
    rng = np.random.default_rng(0)
    train, row = rng.normal(size=(10_000, 4)), rng.normal(size=(1, 4))
    median, low, high = np.median(train, axis=0), *np.percentile(train, [25, 75], axis=0)
    detector = ms.Detector("ecod").fit(train)
    pyod = ECOD().fit((train - median) / (high - low))
    scaled = (row - median) / (high - low)
    assert detector.raw_score(row)[0] == pyod.decision_function(scaled)[0]
    compare(lambda: detector.raw_score(row), lambda: pyod.decision_function(scaled), "pyod ECOD")
