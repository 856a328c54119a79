"""Bins of equal width, against a search."""

import numpy as np
import pytest
from millstream.backend.histogram import equal_edges
from millstream.backend.histogram_kernels import find_bins
from millstream.backend.loda_kernels import count_below


@pytest.mark.parametrize("bins", [2, 3, 10, 1_000])
@pytest.mark.parametrize("values", ["normal", "far apart", "close", "equal", "tiny", "widest"])
def test_a_value_lies_from_its_edge_up_to_the_next(bins: int, values: str) -> None:
    rng = np.random.default_rng(bins)
    column = {
        "normal": rng.normal(size=500),
        "far apart": np.append(rng.normal(size=499), 1e12),
        "close": 1e9 + rng.integers(0, 5, 500) * 1.2e-7,
        "equal": np.full(500, 7.0),
        "tiny": rng.integers(0, 9, 500) * 5e-324,
        "widest": rng.choice([-1.7e308, 0.0, 1.7e308], 500),
    }[values]
    edges = equal_edges(column.min(keepdims=True), column.max(keepdims=True), bins)[0]
    column = np.concatenate([column, edges])  # the edges themselves, where rounding would show
    found = np.empty(len(column), np.int64)
    find_bins(column, edges, found)
    assert found.tolist() == np.searchsorted(edges[1:-1], column, side="right").tolist()


@pytest.mark.parametrize("edges", [1, 24, 25, 500])
def test_edges_below_a_value_are_counted_as_a_search_finds_them(edges: int) -> None:
    rng = np.random.default_rng(edges)
    ascending = np.sort(rng.integers(0, 300, edges) / 8)  # ties among them
    values = np.concatenate([ascending, rng.normal(20, 10, 200), [np.inf, -np.inf]])
    assert [count_below(ascending, value) for value in values] == np.searchsorted(ascending, values).tolist()
