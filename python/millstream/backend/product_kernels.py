"""The search among all training rows by matrix products, for many columns, where boxes exclude nothing.

The float32 products of rows and points only choose candidates, by a bound on their error; the candidates' distances are
then computed as in the tree, and have the same bits. Importing this loads numba.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Floats
from millstream.backend.lanes import LEAF, insert
from millstream.backend.tree_kernels import (
    Places,
    clear_list,
    copy_list,
    floats_t,
    lists_t,
    matrix_t,
    new_list,
    place_lists_t,
    places_t,
    points_t,
    vector_t,
)

_BLOCK = 128  # bounds looked at together

_products_t = nb.types.Array(nb.float32, 2, "C", readonly=True)
_product_row_t = nb.types.Array(nb.float32, 1, "C", readonly=True)


@nb.njit(nb.int64(_product_row_t, vector_t, nb.float64, nb.float64, floats_t), cache=True, nogil=True)
def bound_block(products: NDArray[np.float32], norms: Floats, slack: float, limit: float, block: Floats) -> int:
    """Write bounds of |point|^2 - 2 product into `block`; how many may be below `limit`."""
    for lane in range(len(norms)):
        norm = norms[lane]
        block[lane] = norm * (norm + slack) - 2.0 * products[lane]
    below = 0
    for lane in range(len(norms)):
        below += 0 if block[lane] >= limit else 1  # an overflow says nothing: it may be
    return below


@nb.njit(nb.float64(points_t, nb.int64, matrix_t, nb.int64), cache=True, nogil=True)
def distance_to_place(points: Floats, place: int, rows: Floats, i: int) -> float:
    """The squared distance of one point from one row."""
    leaf, lane = place // LEAF, place % LEAF
    distance = 0.0
    for j in range(rows.shape[1]):
        away = points[leaf, j, lane] - rows[i, j]
        distance += away * away
    return distance


@nb.njit(
    nb.void(points_t, places_t, vector_t, _products_t, nb.float64, matrix_t, places_t, lists_t, place_lists_t),
    cache=True,
    nogil=True,
)
def search_products(
    points: Floats,
    place_of: Places,
    norms: Floats,
    products: NDArray[np.float32],
    precision: float,
    rows: Floats,
    skips: Places,
    distances: Floats,
    places: Places,
) -> None:
    """As `search_tree`, by the products (n, points) of rows and points in float32.

    With a point's length `norms` and a row's own, the product is off by at most `precision` times both. The k-th
    smallest upper bound of |point|^2 - 2 product is a limit no nearest point's lower bound exceeds.
    """
    k, n, block = distances.shape[1], len(norms), np.empty(_BLOCK)
    nearest, at = new_list(k)
    for i in range(len(rows)):
        length = 0.0
        for j in range(rows.shape[1]):
            length += rows[i, j] * rows[i, j]
        slack = 2.0 * precision * np.sqrt(length)
        clear_list(nearest, at, k)
        for start in range(0, n, _BLOCK):
            end = min(start + _BLOCK, n)
            if bound_block(products[i, start:end], norms[start:end], slack, nearest[0], block) == 0:
                continue
            for lane in range(end - start):
                if block[lane] < nearest[0] and place_of[start + lane] != skips[i]:
                    insert(nearest, at, block[lane], start + lane)
        limit = np.nextafter(nearest[0], np.inf)
        clear_list(nearest, at, k)
        for start in range(0, n, _BLOCK):
            end = min(start + _BLOCK, n)
            if bound_block(products[i, start:end], norms[start:end], -slack, limit, block) == 0:
                continue
            for lane in range(end - start):
                place = place_of[start + lane]
                if block[lane] >= limit or place == skips[i]:
                    continue
                distance = distance_to_place(points, place, rows, i)
                if distance < nearest[0]:
                    insert(nearest, at, distance, place)
        copy_list(nearest, at, distances[i], places[i])
