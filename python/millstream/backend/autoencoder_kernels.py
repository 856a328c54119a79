"""The kernel of the autoencoder: one forward pass a row. Importing this loads numba."""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import WIDEST, Floats

IDENTITY, RELU, LEAKY_RELU, ELU, SIGMOID, TANH, SOFTPLUS, SOFTMAX = range(8)

_matrix = nb.types.Array(nb.float64, 2, "C", readonly=True)
_vector = nb.types.Array(nb.float64, 1, "C", readonly=True)
_sizes = nb.types.Array(nb.int64, 1, "C", readonly=True)
_scratch = nb.types.Array(nb.float64, 1, "C")


@nb.njit(nb.void(_scratch, nb.int64), cache=True, nogil=True)
def _softmax(units: Floats, count: int) -> None:
    """The first `count` units as shares of 1."""
    greatest, total = units[:count].max(), 0.0
    for o in range(count):
        units[o] = math.exp(units[o] - greatest)
        total += units[o]
    for o in range(count):
        units[o] /= total


@nb.njit(nb.void(_scratch, nb.int64, nb.int64), cache=True, nogil=True)
def _activate(units: Floats, count: int, kind: int) -> None:  # noqa: PLR0912 - one loop a kind: most run in SIMD lanes
    """The first `count` units, by torch's activation with its default constants."""
    if kind == RELU:
        for o in range(count):
            units[o] = max(units[o], 0.0)
    elif kind == LEAKY_RELU:
        for o in range(count):
            units[o] = max(units[o], 0.01 * units[o])
    elif kind == ELU:
        for o in range(count):
            units[o] = units[o] if units[o] > 0.0 else math.expm1(units[o])
    elif kind == SIGMOID:
        for o in range(count):
            units[o] = 1.0 / (1.0 + math.exp(-units[o]))
    elif kind == TANH:
        for o in range(count):
            units[o] = math.tanh(units[o])
    elif kind == SOFTPLUS:
        for o in range(count):
            units[o] = units[o] if units[o] > 20.0 else math.log1p(math.exp(units[o]))
    elif kind == SOFTMAX:
        _softmax(units, count)


@nb.njit(nb.void(_scratch, nb.int64, _vector, nb.int64, nb.int64, _scratch), cache=True, nogil=True)
def _linear(units: Floats, count: int, weights: Floats, at: int, outputs: int, into: Floats) -> None:
    """The next layer's `outputs` sums. Inputs are added one by one, outputs lie in SIMD lanes: one fixed order."""
    bias = weights[at + count * outputs : at + (count + 1) * outputs]
    for o in range(outputs):
        into[o] = bias[o]
    for k in range(count):
        value, row = units[k], weights[at + k * outputs : at + (k + 1) * outputs]
        for o in range(outputs):
            into[o] += value * row[o]


@nb.njit(nb.float64[::1](_matrix, _matrix, _sizes, _vector, nb.int64), cache=True, nogil=True)
def score_rows(rows: Floats, scale: Floats, sizes: NDArray[np.int64], weights: Floats, kind: int) -> Floats:
    """Distances between `rows` (n, d), standardized by `scale` (mean and spread), and what the network makes of them.

    `weights` holds, layer by layer, inputs times outputs and then the biases; the last layer has no activation.
    """
    d, layers = scale.shape[1], len(sizes) - 1
    scores, row = np.empty(len(rows)), np.empty(d)
    units, following = np.empty(sizes.max()), np.empty(sizes.max())
    for i in range(len(rows)):
        for j in range(d):
            row[j] = (max(-WIDEST, min(WIDEST, rows[i, j])) - scale[0, j]) / scale[1, j]
            units[j] = row[j]
        at = 0
        for layer in range(layers):
            count, outputs = sizes[layer], sizes[layer + 1]
            _linear(units, count, weights, at, outputs, following)
            if layer < layers - 1:
                _activate(following, outputs, kind)
            at += (count + 1) * outputs
            units, following = following, units
        total = 0.0
        for j in range(d):
            total += (row[j] - units[j]) * (row[j] - units[j])
        scores[i] = math.sqrt(total)
    return scores
