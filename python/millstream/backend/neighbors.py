"""Exact nearest neighbours among training rows, for KNN and LOF."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_BOXES_HELP = 15  # columns up to which boxes exclude enough; scikit-learn draws the line here too
FEW_ROWS = 8  # a matrix product pays from here on
_PRODUCTS = 1 << 22  # numbers in a block of products: 16 MiB


class Neighbors:
    """The training rows (n, d) in a tree of boxes. Reads only once built, so any number of threads may search.

    Ties have no order: which of several points at the same distance fills the last place is arbitrary, but the
    distances are not.
    """

    def __init__(self, rows: Floats) -> None:
        from millstream.backend.neighbors_kernels import LEAF, divide

        n, d = rows.shape
        leaves = 1 << max(0, int(np.ceil(np.log2(n / LEAF))))
        order, starts = np.arange(n), np.zeros(leaves + 1, dtype=np.int64)
        divide(rows, leaves, order, starts)
        ordered = rows[order]
        leaf = np.repeat(np.arange(leaves), np.diff(starts))
        self.place_of = np.empty(n, dtype=np.int64)
        in_order = leaf * LEAF + np.arange(n) - starts[leaf]
        self.place_of[order] = in_order
        self.points = np.full((leaves, d, LEAF), np.inf)
        self.points[leaf, :, in_order % LEAF] = ordered
        self.boxes = _boxes(ordered, starts)
        self._by_product = d > _BOXES_HELP
        if self._by_product:
            self._prepare_products(ordered, in_order)

    def _prepare_products(self, ordered: Floats, in_order: Places) -> None:
        """float32 keeps 24 bits: a product of d terms is off by less than (d + 4) / 2^24 of both lengths."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._columns = np.ascontiguousarray(ordered.T, dtype=np.float32)
            self._norms = np.sqrt((ordered**2).sum(axis=1))
        self._in_order = in_order
        self._precision = 2.0 * (ordered.shape[1] + 4) / 2**24

    def by_place(self, values: Floats) -> Floats:
        """Values of the training rows (n) as values of the places; those of empty places are never read."""
        placed = np.zeros(self.points.shape[0] * self.points.shape[2])
        placed[self.place_of] = values
        return placed

    def search(self, rows: Floats, k: int, skips: Places | None = None) -> tuple[Floats, Places]:
        """Squared distances and places (n, k) of the `k` points nearest to `rows`, ascending.

        `skips` (n) leaves one place out for each row.
        """
        distances, places = np.empty((len(rows), k)), np.empty((len(rows), k), dtype=np.int64)
        skips = np.full(len(rows), -1) if skips is None else skips
        if self._by_product and len(rows) >= FEW_ROWS:
            step = max(1, _PRODUCTS // self._columns.shape[1])
            for at in range(0, len(rows), step):
                block = slice(at, at + step)
                self._search_products(rows[block], skips[block], distances[block], places[block])
        else:
            from millstream.backend.neighbors_kernels import search_tree

            search_tree(self.points, self.boxes, rows, skips, distances, places)
        return distances, places

    def _search_products(self, rows: Floats, skips: Places, distances: Floats, places: Places) -> None:
        from millstream.backend.neighbors_kernels import search_products

        with np.errstate(over="ignore", invalid="ignore"):
            products = rows.astype(np.float32) @ self._columns
        search_products(
            self.points, self._in_order, self._norms, products, self._precision, rows, skips, distances, places
        )


def _boxes(ordered: Floats, starts: Places) -> Floats:
    """Lowest and highest values of every node's points: (2 * leaves, 2, d), node 1 the root, node 0 unused."""
    leaves = len(starts) - 1
    boxes = np.empty((2 * leaves, 2, ordered.shape[1]))
    boxes[leaves:, 0] = np.minimum.reduceat(ordered, starts[:-1], axis=0)
    boxes[leaves:, 1] = np.maximum.reduceat(ordered, starts[:-1], axis=0)
    while leaves > 1:
        children = boxes[leaves : 2 * leaves]
        leaves //= 2
        boxes[leaves : 2 * leaves, 0] = np.minimum(children[0::2, 0], children[1::2, 0])
        boxes[leaves : 2 * leaves, 1] = np.maximum(children[0::2, 1], children[1::2, 1])
    boxes[0] = 0.0
    return boxes
