"""The tree of training rows and the search in it: exact Euclidean distances. Importing this loads numba.

The tree is a heap of boxes: node 1 is the root, the children of node i are 2i and 2i + 1, the last half are leaves. A
leaf holds up to LEAF points column by column; empty places are infinitely far, and so is a leaf of them. FAMILY leaves
that follow one another have one ancestor, and bounds of their boxes are taken together; above, those of two children.
So there are as many families as rows fill, not a power of two. A search goes down to the nearest leaf first and skips
every box farther than the k-th point found. Rounding cannot make it miss one: a box's bound and a point's distance are
sums in the same order, and no term of the first exceeds that of the second.

A list of the nearest is the farthest first: as many as are wanted, then -inf up to a multiple of STEP and one more.
Distances are squared until the end; a place is the position of a point in the leaves.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Floats
from millstream.backend.lanes import (
    FAMILY,
    LEAF,
    STEP,
    bounds_of_children,
    bounds_of_family,
    insert,
    least_of_family,
    lowest_bit,
    squares_below,
)

Places = NDArray[np.int64]
DEEPEST = 64

points_t = nb.types.Array(nb.float64, 3, "C", readonly=True)
boxes_t = nb.types.Array(nb.float64, 4, "C", readonly=True)
matrix_t = nb.types.Array(nb.float64, 2, "C", readonly=True)
places_t = nb.types.Array(nb.int64, 1, "C", readonly=True)
vector_t = nb.types.Array(nb.float64, 1, "C", readonly=True)
floats_t = nb.float64[::1]
ints_t = nb.int64[::1]
lists_t = nb.float64[:, ::1]
place_lists_t = nb.int64[:, ::1]


@nb.njit(nb.int64(matrix_t, ints_t, nb.int64, nb.int64, nb.int64, nb.int64), cache=True, nogil=True)
def split_at(rows: Floats, order: Places, start: int, end: int, middle: int, j: int) -> int:
    """Reorder `order[start:end]` so that no row before `middle` is above it in column `j`, and none after below."""
    low, high = start, end - 1
    while low < high:
        pivot = rows[order[(low + high) >> 1], j]
        i, k = low, high
        while i <= k:
            while rows[order[i], j] < pivot:
                i += 1
            while rows[order[k], j] > pivot:
                k -= 1
            if i <= k:
                order[i], order[k] = order[k], order[i]
                i += 1
                k -= 1
        if middle <= k:
            high = k
        elif middle >= i:
            low = i
        else:
            return middle
    return middle


@nb.njit(nb.int64(matrix_t, ints_t, nb.int64, nb.int64), cache=True, nogil=True)
def widest_column(rows: Floats, order: Places, start: int, end: int) -> int:
    """The column in which `order[start:end]` are farthest apart."""
    widest, width = 0, -1.0
    for j in range(rows.shape[1]):
        low, high = np.inf, -np.inf
        for i in range(start, end):
            low, high = min(low, rows[order[i], j]), max(high, rows[order[i], j])
        if high - low > width:
            widest, width = j, high - low
    return widest


@nb.njit(nb.void(matrix_t, ints_t, place_lists_t), cache=True, nogil=True)
def divide(rows: Floats, order: Places, spans: Places) -> None:
    """Divide the rows among the leaves, parting the widest column: `order[spans[i, 0]:spans[i, 1]]` are node i's.

    A node's children get rows as they have leaves below them. Rows that fit into one leaf stay together.
    """
    leaves = len(spans) // 2
    below = np.ones(2 * leaves, np.int64)
    for node in range(leaves - 1, 0, -1):
        below[node] = below[2 * node] + below[2 * node + 1]
    spans[1] = 0, len(rows)
    for node in range(1, leaves):
        start, end = spans[node]
        middle = end
        if end - start > LEAF:
            middle = start + (end - start) * below[2 * node] // below[node]
            split_at(rows, order, start, end, middle, widest_column(rows, order, start, end))
        spans[2 * node] = start, middle
        spans[2 * node + 1] = middle, end


@nb.njit(
    nb.void(matrix_t, ints_t, place_lists_t, ints_t, nb.float64[:, :, ::1], nb.float64[:, :, ::1]),
    cache=True,
    nogil=True,
)
def fill(rows: Floats, order: Places, spans: Places, place_of: Places, points: Floats, boxes: Floats) -> None:
    """Put the rows into the leaves; `boxes` (nodes, 2, columns) are the lowest and highest values of every node."""
    leaves, columns = len(points), rows.shape[1]
    points[:] = np.inf
    boxes[:, 0], boxes[:, 1] = np.inf, -np.inf
    for leaf in range(leaves):
        start, end = spans[leaves + leaf]
        for lane in range(end - start):
            row = order[start + lane]
            place_of[row] = leaf * LEAF + lane
            for j in range(columns):
                points[leaf, j, lane] = rows[row, j]
                boxes[leaves + leaf, 0, j] = min(boxes[leaves + leaf, 0, j], rows[row, j])
                boxes[leaves + leaf, 1, j] = max(boxes[leaves + leaf, 1, j], rows[row, j])
    for node in range(leaves - 1, 0, -1):
        for j in range(columns):
            boxes[node, 0, j] = min(boxes[2 * node, 0, j], boxes[2 * node + 1, 0, j])
            boxes[node, 1, j] = max(boxes[2 * node, 1, j], boxes[2 * node + 1, 1, j])


@nb.njit(nb.types.Tuple((floats_t, ints_t))(nb.int64), cache=True, nogil=True)
def new_list(k: int) -> tuple[Floats, Places]:
    """Room for a list of the nearest `k`."""
    length = (k + STEP - 1) // STEP * STEP + 1
    return np.empty(length), np.empty(length, np.int64)


@nb.njit(nb.void(floats_t, ints_t, nb.int64), cache=True, nogil=True)
def clear_list(distances: Floats, places: Places, k: int) -> None:
    """A list of `k` points infinitely far."""
    distances[:k] = np.inf
    distances[k:] = -np.inf
    places[:] = 0


@nb.njit(nb.void(floats_t, ints_t, floats_t, ints_t), cache=True, nogil=True)
def copy_list(distances: Floats, places: Places, into: Floats, into_places: Places) -> None:
    """Copy a list turned round: ascending by distance, then by place, whichever was found first."""
    k = len(into)
    for at in range(k):
        distance, place = distances[k - 1 - at], places[k - 1 - at]
        to = at
        while to > 0 and into[to - 1] == distance and into_places[to - 1] > place:
            into[to], into_places[to] = into[to - 1], into_places[to - 1]
            to -= 1
        into[to], into_places[to] = distance, place


@nb.njit(nb.void(points_t, nb.int64, floats_t, nb.int64, floats_t, ints_t, floats_t), cache=True, nogil=True)
def look_at_leaf(
    points: Floats, leaf: int, query: Floats, skip: int, distances: Floats, places: Places, in_leaf: Floats
) -> None:
    """Put those points of a leaf into the list that are nearer than its farthest, but not the one at place `skip`."""
    near = squares_below(points, leaf, query, distances[0], in_leaf)
    while near != 0:
        lane = lowest_bit(near)
        near &= near - np.uint64(1)
        if in_leaf[lane] < distances[0] and leaf * LEAF + lane != skip:
            insert(distances, places, in_leaf[lane], leaf * LEAF + lane)


@nb.njit(
    nb.void(points_t, boxes_t, boxes_t, floats_t, nb.int64, floats_t, ints_t, ints_t, floats_t, floats_t),
    cache=True,
    nogil=True,
)
def find_nearest(
    points: Floats,
    boxes: Floats,
    leaf_boxes: Floats,
    query: Floats,
    skip: int,
    distances: Floats,
    places: Places,
    waiting: Places,
    bounds: Floats,
    scratch: Floats,
) -> None:
    """Fill a cleared list with the points nearest to `query`, leaving out the one at place `skip` (-1: none).

    `waiting` and `bounds` (DEEPEST) and `scratch` (FAMILY + LEAF) need hold nothing.
    """
    families, of_family, in_leaf = len(leaf_boxes), scratch[:FAMILY], scratch[FAMILY:]
    waiting[0], bounds[0], top = 1, 0.0, 1
    while top > 0:
        top -= 1
        node, bound = waiting[top], bounds[top]
        while node < families and bound < distances[0]:
            left, right = bounds_of_children(boxes, node, query)
            far = 0 if left > right else 1
            waiting[top], bounds[top], top = 2 * node + far, max(left, right), top + 1
            node, bound = 2 * node + 1 - far, min(left, right)
        if bound >= distances[0]:
            continue
        bounds_of_family(leaf_boxes, node - families, query, of_family)
        nearest = least_of_family(of_family)
        while of_family[nearest] < distances[0]:
            of_family[nearest] = np.inf  # here: one number just written holds up a load of eight
            look_at_leaf(points, (node - families) * FAMILY + nearest, query, skip, distances, places, in_leaf)
            nearest = least_of_family(of_family)


@nb.njit(nb.int64(boxes_t, matrix_t, nb.float64[::1]), cache=True, nogil=True)
def leaves_within(leaf_boxes: Floats, rows: Floats, radii: Floats) -> int:
    """How many leaves lie nearer to rows than their `radii` (n, squared), all rows together."""
    count, bounds, query = 0, np.empty(FAMILY), np.empty(rows.shape[1])
    for i in range(len(rows)):
        query[:] = rows[i]
        for family in range(len(leaf_boxes)):
            bounds_of_family(leaf_boxes, family, query, bounds)
            for member in range(FAMILY):
                count += bounds[member] < radii[i]
    return count


@nb.njit(nb.void(points_t, boxes_t, boxes_t, matrix_t, places_t, lists_t, place_lists_t), cache=True, nogil=True)
def search_tree(
    points: Floats,
    boxes: Floats,
    leaf_boxes: Floats,
    rows: Floats,
    skips: Places,
    distances: Floats,
    places: Places,
) -> None:
    """Fill the lists (n, k) of the points nearest to `rows`, ascending; `skips` (n) leaves one out for each."""
    k = distances.shape[1]
    nearest, at = new_list(k)
    query, waiting = np.empty(rows.shape[1]), np.empty(DEEPEST, np.int64)
    bounds, scratch = np.empty(DEEPEST), np.empty(FAMILY + LEAF)
    for i in range(len(rows)):
        query[:] = rows[i]
        clear_list(nearest, at, k)
        find_nearest(points, boxes, leaf_boxes, query, skips[i], nearest, at, waiting, bounds, scratch)
        copy_list(nearest, at, distances[i], places[i])
