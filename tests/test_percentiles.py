"""Percentiles, against np.percentile."""

import numpy as np
import pytest
from millstream.percentiles import percentiles

PERCENTS = [0, 0.3, 10, 25, 50, 62.5, 75, 90.0, 100 * (1 - 0.05), 99.99, 100]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 100, 1_001, 10_000])
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_percentiles_are_those_of_numpy_to_the_last_bit(n: int, scale: float) -> None:
    values = np.random.default_rng(n).normal(size=n) * scale
    assert percentiles(values, PERCENTS) == np.percentile(values, PERCENTS).tolist()


def test_percentiles_of_tied_values_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).poisson(2.0, 999) * 0.1
    assert percentiles(values, PERCENTS) == np.percentile(values, PERCENTS).tolist()


def test_percentiles_leave_the_values_as_they_are() -> None:
    values = np.array([3.0, 1.0, 2.0])
    percentiles(values, [50])
    assert values.tolist() == [3.0, 1.0, 2.0]
