"""The kernels of neighbour search: exact Euclidean distances to the nearest training rows. Importing this loads numba.

The tree is a heap of boxes, node 1 the root, node `leaves + i` the leaf i. A leaf holds up to LEAF points column by
column, so that distances to all of them are vector instructions; empty places are infinitely far. A search goes down to
the nearest leaf first and skips every box farther than the k-th point found. Rounding cannot make it miss one: a box's
bound and a point's distance are sums in the same order, and no term of the first exceeds that of the second.

With many columns boxes exclude nothing and a matrix product is the faster way to look at all points. Its float32 result
only chooses candidates, by a bound on its error; their distances are then computed as in the tree. Both ways give the
same bits. Distances are squared until the end; a place is the position of a point in the leaves.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Floats

LEAF = 16
_DEEPEST = 64
_BLOCK = 128  # bounds looked at together

_points = nb.types.Array(nb.float64, 3, "C", readonly=True)
_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)
_vector = nb.types.Array(nb.float64, 1, "C", readonly=True)
_floats = nb.float64[::1]
_ints = nb.int64[::1]
_places = nb.types.Array(nb.int64, 1, "C", readonly=True)
_products = nb.types.Array(nb.float32, 2, "C", readonly=True)
_product_row = nb.types.Array(nb.float32, 1, "C", readonly=True)
_lists = nb.float64[:, ::1]
_place_lists = nb.int64[:, ::1]


@nb.njit(nb.int64(_matrix, _ints, nb.int64, nb.int64, nb.int64, nb.int64), cache=True, nogil=True)
def split_at(rows: Floats, order: NDArray[np.int64], start: int, end: int, middle: int, j: int) -> int:
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


@nb.njit(nb.void(_matrix, nb.int64, _ints, _ints), cache=True, nogil=True)
def divide(rows: Floats, leaves: int, order: NDArray[np.int64], starts: NDArray[np.int64]) -> None:
    """Divide the rows into `leaves` (a power of 2) of equal size, halving the widest column; `starts` (leaves + 1)."""
    n = len(rows)
    starts[0], starts[leaves] = 0, n
    span = leaves
    while span > 1:
        for first in range(0, leaves, span):
            start, end = starts[first], starts[first + span]
            widest, width = 0, -1.0
            for j in range(rows.shape[1]):
                low, high = np.inf, -np.inf
                for i in range(start, end):
                    low, high = min(low, rows[order[i], j]), max(high, rows[order[i], j])
                if high - low > width:
                    widest, width = j, high - low
            starts[first + span // 2] = split_at(rows, order, start, end, (start + end) // 2, widest)
        span //= 2


@nb.njit(nb.float64(_points, nb.int64, _floats), cache=True, nogil=True)
def distance_to_box(boxes: Floats, node: int, query: Floats) -> float:
    """A lower bound of the distance to every point in the box (lowest and highest values, 2 x d)."""
    total = 0.0
    for j in range(len(query)):
        outside = max(boxes[node, 0, j] - query[j], query[j] - boxes[node, 1, j], 0.0)
        total += outside * outside
    return total


@nb.njit(nb.types.UniTuple(nb.float64, 2)(_points, nb.int64, _floats), cache=True, nogil=True)
def distances_to_children(boxes: Floats, node: int, query: Floats) -> tuple[float, float]:
    """`distance_to_box` of both children, side by side."""
    left, right = 0.0, 0.0
    at = np.uint64(2 * node)
    beside = at + np.uint64(1)
    for j in range(len(query)):
        value = query[j]
        one = max(boxes[at, 0, j] - value, value - boxes[at, 1, j], 0.0)
        other = max(boxes[beside, 0, j] - value, value - boxes[beside, 1, j], 0.0)
        left += one * one
        right += other * other
    return left, right


@nb.njit(nb.void(_points, nb.int64, _floats, _floats), cache=True, nogil=True)
def distances_in_leaf(points: Floats, leaf: int, query: Floats, distances: Floats) -> None:
    """Write the distances to all places of a leaf."""
    for lane in range(LEAF):
        distances[lane] = 0.0
    for j in range(len(query)):
        value = query[j]
        for lane in range(LEAF):
            away = points[leaf, j, lane] - value
            distances[lane] += away * away


@nb.njit(nb.void(_floats, _ints, nb.float64, nb.int64), cache=True, nogil=True)
def insert(distances: Floats, places: NDArray[np.int64], distance: float, place: int) -> None:
    """Put a point nearer than the last into the list of the nearest, ascending by distance, then by place."""
    at = len(distances) - 1
    while at > 0 and (distances[at - 1] > distance or (distances[at - 1] == distance and places[at - 1] > place)):
        distances[at], places[at] = distances[at - 1], places[at - 1]
        at -= 1
    distances[at], places[at] = distance, place


@nb.njit(nb.void(_points, _points, _floats, nb.int64, _floats, _ints, _ints, _floats, _floats), cache=True, nogil=True)
def find_nearest(
    points: Floats,
    boxes: Floats,
    query: Floats,
    skip: int,
    distances: Floats,
    places: NDArray[np.int64],
    waiting: NDArray[np.int64],
    bounds: Floats,
    in_leaf: Floats,
) -> None:
    """Fill `distances` and `places` with the nearest points, ascending, leaving out the one at place `skip`.

    `waiting` and `bounds` (_DEEPEST) and `in_leaf` (LEAF) are scratch.
    """
    leaves, last = len(points), len(distances) - 1
    distances[:] = np.inf
    places[:] = 0
    waiting[0], bounds[0], top = 1, 0.0, 1
    while top > 0:
        top -= 1
        node, bound = waiting[top], bounds[top]
        while node < leaves and bound < distances[last]:
            left, right = distances_to_children(boxes, node, query)
            far = 0 if left > right else 1
            waiting[top], bounds[top], top = 2 * node + far, max(left, right), top + 1
            node, bound = 2 * node + 1 - far, min(left, right)
        if bound >= distances[last]:
            continue
        leaf = node - leaves
        distances_in_leaf(points, leaf, query, in_leaf)
        for lane in range(LEAF):
            if in_leaf[lane] < distances[last] and leaf * LEAF + lane != skip:
                insert(distances, places, in_leaf[lane], leaf * LEAF + lane)


@nb.njit(nb.void(_points, _points, _matrix, _places, _lists, _place_lists), cache=True, nogil=True)
def search_tree(
    points: Floats,
    boxes: Floats,
    rows: Floats,
    skips: NDArray[np.int64],
    distances: Floats,
    places: NDArray[np.int64],
) -> None:
    """Fill the lists (n, k) of the points nearest to `rows`; `skips` (n) leaves one out for each, -1 none."""
    query, waiting = np.empty(rows.shape[1]), np.empty(_DEEPEST, np.int64)
    bounds, in_leaf = np.empty(_DEEPEST), np.empty(LEAF)
    for i in range(len(rows)):
        query[:] = rows[i]
        find_nearest(points, boxes, query, skips[i], distances[i], places[i], waiting, bounds, in_leaf)


@nb.njit(nb.int64(_product_row, _vector, nb.float64, nb.float64, _floats), cache=True, nogil=True)
def bound_block(products: NDArray[np.float32], norms: Floats, slack: float, limit: float, block: Floats) -> int:
    """Write bounds of |point|^2 - 2 product into `block`; how many may be below `limit`."""
    for lane in range(len(norms)):
        norm = norms[lane]
        block[lane] = norm * (norm + slack) - 2.0 * products[lane]
    below = 0
    for lane in range(len(norms)):
        below += 0 if block[lane] >= limit else 1  # an overflow says nothing: it may be
    return below


@nb.njit(
    nb.void(_points, _places, _vector, _products, nb.float64, _matrix, _places, _lists, _place_lists),
    cache=True,
    nogil=True,
)
def search_products(
    points: Floats,
    place_of: NDArray[np.int64],
    norms: Floats,
    products: NDArray[np.float32],
    precision: float,
    rows: Floats,
    skips: NDArray[np.int64],
    distances: Floats,
    places: NDArray[np.int64],
) -> None:
    """As `search_tree`, by the products (n, points) of rows and points in float32.

    With a point's length `norms` and a row's own, the product is off by at most `precision` times both. The k-th
    smallest upper bound of |point|^2 - 2 product is a limit no nearest point's lower bound exceeds.
    """
    d, last, n = rows.shape[1], distances.shape[1] - 1, len(norms)
    uppers, ignored, block = np.empty(last + 1), np.empty(last + 1, np.int64), np.empty(_BLOCK)
    for i in range(len(rows)):
        length = 0.0
        for j in range(d):
            length += rows[i, j] * rows[i, j]
        slack = 2.0 * precision * np.sqrt(length)
        uppers[:] = np.inf
        for start in range(0, n, _BLOCK):
            end = min(start + _BLOCK, n)
            if bound_block(products[i, start:end], norms[start:end], slack, uppers[last], block) == 0:
                continue
            for lane in range(end - start):
                if block[lane] < uppers[last] and place_of[start + lane] != skips[i]:
                    insert(uppers, ignored, block[lane], start + lane)
        nearest, at = distances[i], places[i]
        nearest[:] = np.inf
        at[:] = 0
        limit = np.nextafter(uppers[last], np.inf)
        for start in range(0, n, _BLOCK):
            end = min(start + _BLOCK, n)
            if bound_block(products[i, start:end], norms[start:end], -slack, limit, block) == 0:
                continue
            for lane in range(end - start):
                place = place_of[start + lane]
                if block[lane] >= limit or place == skips[i]:
                    continue
                leaf, column = place // LEAF, place % LEAF
                distance = 0.0
                for j in range(d):
                    away = points[leaf, j, column] - rows[i, j]
                    distance += away * away
                if distance < nearest[last]:
                    insert(nearest, at, distance, place)


@nb.njit(nb.void(_matrix, nb.int64, _floats), cache=True, nogil=True)
def reduce_distances(distances: Floats, method: int, scores: Floats) -> None:
    """Write the largest (0), mean (1) or median (2) distance of each list (n, k) of squares."""
    k = distances.shape[1]
    for i in range(len(distances)):
        if method == 0:
            scores[i] = np.sqrt(distances[i, k - 1])
        elif method == 1:
            total = 0.0
            for at in range(k):
                total += np.sqrt(distances[i, at])
            scores[i] = total / k
        else:
            scores[i] = (np.sqrt(distances[i, (k - 1) // 2]) + np.sqrt(distances[i, k // 2])) / 2


@nb.njit(nb.types.UniTuple(nb.float64, 2)(_floats, _ints, nb.int64, _vector, _vector), cache=True, nogil=True)
def average_list(
    distances: Floats, places: NDArray[np.int64], k: int, reaches: Floats, densities: Floats
) -> tuple[float, float]:
    """The mean reachability distance to, and the mean density of, the first `k` points of a list."""
    reach, density = 0.0, 0.0
    for at in range(k):
        reach += max(np.sqrt(distances[at]), reaches[places[at]])
        density += densities[places[at]]
    return reach / k, density / k


@nb.njit(
    nb.types.UniTuple(nb.float64, 2)(_points, _points, _floats, nb.int64, nb.float64, _vector, _vector),
    cache=True,
    nogil=True,
)
def average_ball(
    points: Floats, boxes: Floats, query: Floats, skip: int, radius: float, reaches: Floats, densities: Floats
) -> tuple[float, float]:
    """As `average_list`, of all points up to `radius` (squared) away, however many tie there."""
    leaves = len(points)
    reach, density, count = 0.0, 0.0, 0
    waiting, in_leaf = np.empty(_DEEPEST, np.int64), np.empty(LEAF)
    waiting[0], top = 1, 1
    while top > 0:
        top -= 1
        node = waiting[top]
        if distance_to_box(boxes, node, query) > radius:
            continue
        if node < leaves:
            waiting[top], waiting[top + 1], top = 2 * node + 1, 2 * node, top + 2
            continue
        leaf = node - leaves
        distances_in_leaf(points, leaf, query, in_leaf)
        for lane in range(LEAF):
            place = leaf * LEAF + lane
            if in_leaf[lane] <= radius and place != skip:
                reach += max(np.sqrt(in_leaf[lane]), reaches[place])
                density += densities[place]
                count += 1
    return reach / count, density / count


@nb.njit(
    nb.void(_points, _points, _matrix, _places, _lists, _place_lists, nb.int64, _vector, _vector, _floats, _floats),
    cache=True,
    nogil=True,
)
def average_neighborhoods(
    points: Floats,
    boxes: Floats,
    rows: Floats,
    skips: NDArray[np.int64],
    distances: Floats,
    places: NDArray[np.int64],
    k: int,
    reaches: Floats,
    densities: Floats,
    mean_reaches: Floats,
    mean_densities: Floats,
) -> None:
    """Write both averages over the `k` nearest points of each row, and over more where others tie with the k-th.

    Lists hold one point more than `k` if there is one, which shows whether it ties. `reaches` and `densities` are those
    of the points, by place.
    """
    query = np.empty(rows.shape[1])
    for i in range(len(rows)):
        radius = distances[i, k - 1]
        if distances.shape[1] > k and distances[i, k] == radius and np.isfinite(radius):
            query[:] = rows[i]
            means = average_ball(points, boxes, query, skips[i], radius, reaches, densities)
        else:
            means = average_list(distances[i], places[i], k, reaches, densities)
        mean_reaches[i], mean_densities[i] = means


@nb.njit(nb.void(_points, _points, _places, _points, _matrix, _lists), cache=True, nogil=True)
def score_factors(
    points: Floats, boxes: Floats, counts: NDArray[np.int64], known: Floats, rows: Floats, scores: Floats
) -> None:
    """Write the local outlier factors of `rows` for each of the `counts` of neighbours, (counts, n), with one search.

    `known` (counts, 2, places) are the reaches and densities of the points for each count.
    """
    k = counts.max()
    query, distances, places = np.empty(rows.shape[1]), np.empty(k + 1), np.empty(k + 1, np.int64)
    waiting, bounds, in_leaf = np.empty(_DEEPEST, np.int64), np.empty(_DEEPEST), np.empty(LEAF)
    for i in range(len(rows)):
        query[:] = rows[i]
        find_nearest(points, boxes, query, -1, distances, places, waiting, bounds, in_leaf)
        for at in range(len(counts)):
            radius = distances[counts[at] - 1]
            if distances[counts[at]] == radius and np.isfinite(radius):
                means = average_ball(points, boxes, query, -1, radius, known[at, 0], known[at, 1])
            else:
                means = average_list(distances, places, counts[at], known[at, 0], known[at, 1])
            scores[at, i] = means[1] * (means[0] + 1e-10)
