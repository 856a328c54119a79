"""Histograms of equal bins, as np.histogram makes them, for HBOS and LODA."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def equal_edges(low: Floats, high: Floats, bins: int) -> Floats:
    """The edges (d, bins + 1) of bins from `low` to `high`, each (d), with the rounding of np.histogram.

    A column of one value gets bins around it, a column as wide as float64 itself edges that are finite.
    """
    one = low == high
    low, high = np.where(one, low - 0.5, low), np.where(one, high + 0.5, high)
    with np.errstate(over="ignore"):
        unit = np.where(np.isinf(high - low), 0.25, 1.0)
    edges = np.linspace(low * unit, high * unit, bins + 1, axis=1) / unit[:, None]
    return np.ascontiguousarray(edges)


def count_bins(values: Floats, edges: Floats) -> NDArray[np.int64]:
    """How many of `values` (n) lie in each of the equal bins between `edges` (bins + 1): see `find_bins`."""
    from millstream.backend.histogram_kernels import find_bins

    found = np.empty(len(values), np.int64)
    find_bins(values, edges, found)
    return np.bincount(found, minlength=len(edges) - 1)


def optimal_bins(column: Floats) -> int:
    """The best number of bins by penalized likelihood (Birgé and Rozenholc 2006), below sqrt(n), as PyOD finds it."""
    n = len(column)
    column = column / max(1.0, np.abs(column).max() / 1e300)  # a width beyond float64 has no histogram
    candidates = np.arange(1, max(2, int(np.sqrt(n))))
    likelihood = np.full(len(candidates), -np.inf)
    for at, bins in enumerate(candidates):
        try:
            counts, _ = np.histogram(column, bins=bins)
        except ValueError:  # float64 has fewer numbers than bins between the lowest and the highest value
            break
        terms = counts * np.log(bins * counts / n + 1) - (bins - 1 + np.log(bins) ** 2.5)
        likelihood[at] = terms.sum()
    return int(candidates[likelihood.argmax()])
