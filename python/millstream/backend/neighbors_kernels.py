"""What KNN and LOF make of the nearest rows. Importing this loads numba.

Sums over neighbours run in one order wherever the lists come from: ascending by distance, then by place; where points
tie at the last distance, in the order of the tree.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from millstream.backend.base import Floats
from millstream.backend.lanes import FAMILY, LEAF, bounds_of_children, bounds_of_family, lowest_bit, squares_below
from millstream.backend.tree_kernels import (
    DEEPEST,
    Places,
    boxes_t,
    clear_list,
    copy_list,
    find_nearest,
    floats_t,
    ints_t,
    lists_t,
    matrix_t,
    new_list,
    place_lists_t,
    places_t,
    points_t,
    vector_t,
)

_two_t = nb.types.UniTuple(nb.float64, 2)


@nb.njit(nb.void(matrix_t, nb.int64, floats_t), cache=True, nogil=True)
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


@nb.njit(_two_t(floats_t, ints_t, nb.int64, vector_t, vector_t), cache=True, nogil=True)
def average_list(distances: Floats, places: Places, k: int, reaches: Floats, densities: Floats) -> tuple[float, float]:
    """The mean reachability distance to, and the mean density of, the first `k` points of a list."""
    reach, density = 0.0, 0.0
    for at in range(k):
        reach += max(np.sqrt(distances[at]), reaches[places[at]])
        density += densities[places[at]]
    return reach / k, density / k


@nb.njit(_two_t(points_t, boxes_t, boxes_t, floats_t, nb.int64, nb.float64, vector_t, vector_t), cache=True, nogil=True)
def average_ball(
    points: Floats,
    boxes: Floats,
    leaf_boxes: Floats,
    query: Floats,
    skip: int,
    radius: float,
    reaches: Floats,
    densities: Floats,
) -> tuple[float, float]:
    """As `average_list`, of all points up to `radius` (squared) away, however many tie there."""
    families, beyond = len(leaf_boxes), np.nextafter(radius, np.inf)
    reach, density, count = 0.0, 0.0, 0
    waiting, of_family, in_leaf = np.empty(DEEPEST, np.int64), np.empty(FAMILY), np.empty(LEAF)
    waiting[0], top = 1, 1
    while top > 0:
        top -= 1
        node = waiting[top]
        if node < families:
            left, right = bounds_of_children(boxes, node, query)
            if right < beyond:
                waiting[top], top = 2 * node + 1, top + 1
            if left < beyond:
                waiting[top], top = 2 * node, top + 1
            continue
        bounds_of_family(leaf_boxes, node - families, query, of_family)
        for member in range(FAMILY):
            if of_family[member] >= beyond:
                continue
            leaf = (node - families) * FAMILY + member
            near = squares_below(points, leaf, query, beyond, in_leaf)
            while near != 0:
                lane = lowest_bit(near)
                near &= near - np.uint64(1)
                place = leaf * LEAF + lane
                if place != skip:
                    reach += max(np.sqrt(in_leaf[lane]), reaches[place])
                    density += densities[place]
                    count += 1
    return reach / count, density / count


@nb.njit(
    _two_t(points_t, boxes_t, boxes_t, floats_t, nb.int64, floats_t, ints_t, nb.int64, vector_t, vector_t),
    cache=True,
    nogil=True,
)
def average_neighborhood(
    points: Floats,
    boxes: Floats,
    leaf_boxes: Floats,
    query: Floats,
    skip: int,
    distances: Floats,
    places: Places,
    k: int,
    reaches: Floats,
    densities: Floats,
) -> tuple[float, float]:
    """Both averages over the `k` nearest points, and over more where others tie with the k-th.

    The list holds one point more than `k` if there is one, which shows whether it ties.
    """
    radius = distances[k - 1]
    if len(distances) > k and distances[k] == radius and np.isfinite(radius):
        reach, density = average_ball(points, boxes, leaf_boxes, query, skip, radius, reaches, densities)
    else:
        reach, density = average_list(distances, places, k, reaches, densities)
    return reach, density


@nb.njit(
    nb.void(
        points_t, boxes_t, boxes_t, matrix_t, places_t, lists_t, place_lists_t, nb.int64, matrix_t, floats_t, floats_t
    ),
    cache=True,
    nogil=True,
)
def average_neighborhoods(
    points: Floats,
    boxes: Floats,
    leaf_boxes: Floats,
    rows: Floats,
    skips: Places,
    distances: Floats,
    places: Places,
    k: int,
    known: Floats,
    mean_reaches: Floats,
    mean_densities: Floats,
) -> None:
    """Write both averages for each row. `known` (2, places) are the reaches and densities of the points."""
    query = np.empty(rows.shape[1])
    for i in range(len(rows)):
        query[:] = rows[i]
        mean_reaches[i], mean_densities[i] = average_neighborhood(
            points, boxes, leaf_boxes, query, skips[i], distances[i], places[i], k, known[0], known[1]
        )


@nb.njit(nb.void(points_t, boxes_t, boxes_t, places_t, points_t, matrix_t, lists_t), cache=True, nogil=True)
def score_factors(
    points: Floats, boxes: Floats, leaf_boxes: Floats, counts: Places, known: Floats, rows: Floats, scores: Floats
) -> None:
    """Write the local outlier factors of `rows` for each of the `counts` of neighbours, (counts, n), with one search.

    `known` (counts, 2, places) are the reaches and densities of the points for each count.
    """
    k = counts.max() + 1
    nearest, at = new_list(k)
    query, distances, places = np.empty(rows.shape[1]), np.empty(k), np.empty(k, np.int64)
    waiting, bounds, scratch = np.empty(DEEPEST, np.int64), np.empty(DEEPEST), np.empty(FAMILY + LEAF)
    for i in range(len(rows)):
        query[:] = rows[i]
        clear_list(nearest, at, k)
        find_nearest(points, boxes, leaf_boxes, query, -1, nearest, at, waiting, bounds, scratch)
        copy_list(nearest, at, distances, places)
        for one in range(len(counts)):
            reach, density = average_neighborhood(
                points, boxes, leaf_boxes, query, -1, distances, places, counts[one], known[one, 0], known[one, 1]
            )
            scores[one, i] = density * (reach + 1e-10)
