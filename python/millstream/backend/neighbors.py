"""Exact nearest neighbours among training rows, for KNN and LOF."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import checked_array

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

_BOXES_HELP = 15  # columns up to which the tree is faster, times the share of the leaves a search in it looks at
_PROBES, _PROBED = 32, 11  # training rows whose neighbours are searched to see what it excludes, and how many
_FEW_ROWS = 8  # a matrix product pays from here on
_PRODUCTS = 1 << 22  # numbers in a block of products: 16 MiB
_LISTED = 1 << 22  # neighbours of a block of rows: 64 MiB


def checked_rows(arrays: Mapping[str, NDArray[Any]], least: int) -> Floats:
    """The training rows (n, d) from a file; ValueError when they are fewer than `least`, or no tree can hold them."""
    rows = checked_array(arrays, "rows", np.float64, 2)
    if len(rows) < least or not rows.size or not np.isfinite(rows).all():
        raise ValueError("the training rows are no matrix of numbers")
    return rows


class Neighbors:
    """The training rows (n, d) in a tree of boxes. Reads only once built, so any number of threads may search.

    Ties have no order: which of several points at the same distance fills the last place is arbitrary, but the
    distances are not.
    """

    def __init__(self, rows: Floats) -> None:
        from millstream.backend.lanes import FAMILY, LEAF
        from millstream.backend.tree_kernels import divide, fill

        n, d = rows.shape
        families = -(-n // (FAMILY * LEAF))
        leaves = families * FAMILY
        order, spans = np.arange(n), np.empty((2 * leaves, 2), dtype=np.int64)
        divide(rows, order, spans)
        self.place_of, self.points = np.empty(n, dtype=np.int64), np.empty((leaves, d, LEAF))
        boxes = np.empty((2 * leaves, 2, d))
        fill(rows, order, spans, self.place_of, self.points, boxes)
        # In the order in which a search reads them: the boxes of siblings side by side.
        boxes[0] = 0.0
        self.boxes = np.ascontiguousarray(boxes[: 2 * families].reshape(families, 2, 2, d).transpose(0, 3, 2, 1))
        self.leaf_boxes = np.ascontiguousarray(boxes[leaves:].reshape(families, FAMILY, 2, d).transpose(0, 3, 2, 1))
        self.tree = self.points, self.boxes, self.leaf_boxes
        self._products_pay = d > _BOXES_HELP and d * self._share_seen(rows) > _BOXES_HELP
        if self._products_pay:
            self._prepare_products(rows)

    def _share_seen(self, rows: Floats) -> float:
        """The share of its leaves a search looks at, for some of the rows; columns that hang together make it small."""
        from millstream.backend.tree_kernels import leaves_within

        some = np.ascontiguousarray(rows[:: max(1, len(rows) // _PROBES)])
        distances, _ = self._search_tree(some, min(_PROBED, len(rows)), np.full(len(some), -1))
        radii = np.nextafter(distances[:, -1], np.inf)
        return int(leaves_within(self.leaf_boxes, some, radii)) / (len(some) * len(self.points))

    def _prepare_products(self, rows: Floats) -> None:
        """float32 keeps 24 bits: a product of d terms is off by less than (d + 4) / 2^24 of both lengths."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._columns = np.ascontiguousarray(rows.T, dtype=np.float32)
            self._norms = np.sqrt((rows**2).sum(axis=1))
        self._precision = 2.0 * (rows.shape[1] + 4) / 2**24

    def by_place(self, values: Floats) -> Floats:
        """Values of the training rows (n) as values of the places; those of empty places are never read."""
        placed = np.zeros(self.points.shape[0] * self.points.shape[2])
        placed[self.place_of] = values
        return placed

    def by_product(self, rows: Floats) -> bool:
        """Whether a search for these rows looks at all points by a matrix product, not in the tree."""
        return self._products_pay and len(rows) >= _FEW_ROWS

    def blocks(self, rows: Floats, k: int) -> Iterator[slice]:
        """`rows` in blocks whose lists of `k` neighbours are of bounded size: those of a million rows need not fit."""
        step = max(1, _LISTED // k)
        return (slice(at, at + step) for at in range(0, len(rows), step))

    def search(self, rows: Floats, k: int, skips: Places | None = None) -> tuple[Floats, Places]:
        """Squared distances and places (n, k) of the `k` points nearest to `rows`, ascending.

        `skips` (n) leaves one place out for each row.
        """
        skips = np.full(len(rows), -1) if skips is None else skips
        if not self.by_product(rows):
            return self._search_tree(rows, k, skips)
        distances, places = np.empty((len(rows), k)), np.empty((len(rows), k), dtype=np.int64)
        step = max(1, _PRODUCTS // self._columns.shape[1])
        for at in range(0, len(rows), step):
            block = slice(at, at + step)
            self._search_products(rows[block], skips[block], distances[block], places[block])
        return distances, places

    def _search_tree(self, rows: Floats, k: int, skips: Places) -> tuple[Floats, Places]:
        from millstream.backend.tree_kernels import search_tree

        distances, places = np.empty((len(rows), k)), np.empty((len(rows), k), dtype=np.int64)
        search_tree(*self.tree, rows, skips, distances, places)
        return distances, places

    def _search_products(self, rows: Floats, skips: Places, distances: Floats, places: Places) -> None:
        from millstream.backend.product_kernels import search_products

        with np.errstate(over="ignore", invalid="ignore"):
            products = rows.astype(np.float32) @ self._columns
        search_products(
            self.points, self.place_of, self._norms, products, self._precision, rows, skips, distances, places
        )
