"""Isolation Forest: rows that few random splits separate from the rest (Liu, Ting and Zhou 2008).

scikit-learn grows the trees; they are then arrays, walked by a kernel of our own, 2e-16 from scikit-learn's scores. The
score is the paper's, 0 to 1, about 0.5 for normal rows. A plain forest gives any value beyond the training data the
score of the outermost training row and so misses far outliers; the range penalty of SCiForest (Liu, Ting and Zhou 2010)
mends this: a node whose split lies farther from the value than the node's whole range adds nothing to the row's depth.
Training rows lie inside every range they meet, so the penalty never touches their scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import BackendInfo, Floats, FusedBackend, Parameter, Scorer, checked_array
from millstream.scaling import Scaling

_PARAMETERS = {
    "n_estimators": Parameter("int", 100, "number of trees", 1, 2_000),
    "max_samples": Parameter(
        "int", "auto", "rows each tree is grown on, at most those given; 'auto': 256", 2, 100_000, choices=("auto",)
    ),
    "max_features": Parameter("float", 1.0, "share of the columns each tree sees", 0.01, 1.0),
    "bootstrap": Parameter("bool", False, "draw the rows of a tree with replacement"),
    "range_penalty": Parameter("bool", True, "count values far outside a node's range as more anomalous"),
}
_DTYPES: dict[str, type[np.generic]] = {
    "threshold": np.float32,
    "width": np.float32,
    "feature": np.int32,
    "left": np.int32,
    "length": np.float64,
    "roots": np.int64,
    "normal": np.float64,
}
_DEEPEST = 32  # levels: scikit-learn stops at log2 of max_samples, at most 17
_WIDEST = float(np.finfo(np.float32).max) / 4  # scikit-learn splits float32 values, and takes differences of them


class IsolationForest(FusedBackend):
    """Random trees. 100 trees of 256 rows by default; a score costs a walk down each."""

    info = BackendInfo(
        backend="isolation_forest",
        name="Isolation Forest",
        description="Random trees: rows that few random splits separate from the rest are anomalous.",
        category="legacy",
        speed="fast",
        memory="low",
        best_for="general purpose; many rows and columns, unknown kinds of anomalies",
        parameter_info=_PARAMETERS,
        is_legacy=True,
    )
    fit_in = "process"
    reads_every_column = False

    @property
    def width(self) -> int:
        """Up to the last column that is split."""
        return int(self._trees["feature"].max(initial=0)) + 1

    def fit(self, rows: Floats) -> Floats:
        """Grow the trees with scikit-learn and take them over into arrays."""
        from sklearn.ensemble import IsolationForest as Forest

        rows = np.clip(rows, -_WIDEST, _WIDEST)
        options = {name: value for name, value in self.params.items() if name != "range_penalty"}
        if options["max_samples"] != "auto":
            options["max_samples"] = min(options["max_samples"], len(rows))
        forest = Forest(**options, random_state=self.context.seed, n_jobs=1).fit(rows)
        self.take(_forest_arrays(forest, rows))
        scores = np.empty(len(rows))
        self._scorer(Scaling.identity(rows.shape[1]), penalty=False)(rows, scores)
        return scores

    def scorer(self, scaling: Scaling) -> Scorer:
        """What gives scores from 0 to 1, about 0.5 for normal rows."""
        return self._scorer(scaling, penalty=self.params["range_penalty"])

    def _scorer(self, scaling: Scaling, penalty: bool) -> Scorer:
        from millstream.backend.isolation_forest_kernels import ABREAST, LANES, NODE, score_rows

        count = len(self._trees["left"])
        nodes = np.zeros(count + 1, dtype=NODE)  # one more: a leaf of no length, the tree that fills up the last four
        nodes["threshold"], nodes["width"] = np.inf, np.inf
        nodes["left"] = np.arange(count + 1)
        nodes["threshold"][:count], nodes["left"][:count] = self._trees["threshold"], self._trees["left"]
        nodes["feature"][:count] = self._trees["feature"] * LANES
        if penalty:
            nodes["width"][:count] = self._trees["width"]
        lengths = np.append(self._trees["length"], 0.0)
        roots = self._trees["roots"]
        roots = np.concatenate([roots, np.full(-len(roots) % ABREAST, count)])
        return partial(score_rows, nodes, lengths, roots, self._steps, self._trees["normal"][0], scaling.packed())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The nodes of all trees, a value each: see isolation_forest_kernels. `length` is the depth a leaf stands for,
        `roots` are the first nodes of the trees, `normal` is what depths are divided by."""
        return dict(self._trees)

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The trees; children must come after their parents, so that every walk ends."""
        self._trees = {name: checked_array(arrays, name, dtype, 1) for name, dtype in _DTYPES.items()}
        left, roots = self._trees["left"].astype(np.int64), self._trees["roots"]
        count = len(left)
        if any(len(self._trees[name]) != count for name in ("threshold", "width", "feature", "length")):
            raise ValueError("the arrays of the trees do not fit together")
        leaf = left == np.arange(count)
        inner = np.flatnonzero(~leaf)
        if (left[inner] <= inner).any() or (left[inner] + 1 >= count).any() or self._trees["feature"].min() < 0:
            raise ValueError("a node's children do not come after it")
        if not np.isposinf(self._trees["threshold"][leaf]).all() or self._trees["normal"].shape != (1,):
            raise ValueError("a leaf splits")
        if not len(roots) or roots.min() < 0 or roots.max() >= count:
            raise ValueError("a root is no node")
        if not all(np.isfinite(self._trees[name]).all() for name in ("length", "normal")):
            raise ValueError("a depth is no number")
        self._steps = _deepest(left, roots)


def _deepest(left: NDArray[np.int64], roots: NDArray[np.int64]) -> int:
    """Steps of the longest walk; ValueError if no grown tree has one as long: the levels are looked at one by one."""
    level, steps = roots, 0
    while len(inner := level[left[level] != level]):
        if steps == _DEEPEST:
            raise ValueError("a tree is deeper than any that is grown")
        level, steps = np.unique(np.concatenate([left[inner], left[inner] + 1])), steps + 1
    return max(steps, 1)  # the first step is always taken; at a leaf it leads nowhere


def _forest_arrays(forest: Any, rows: Floats) -> dict[str, NDArray[Any]]:
    parts = [
        _tree_arrays(tree.tree_, np.asarray(features), rows[samples][:, features])
        for tree, features, samples in zip(
            forest.estimators_, forest.estimators_features_, forest.estimators_samples_, strict=True
        )
    ]
    roots = np.cumsum([0, *(len(part["left"]) for part in parts)])[:-1]
    for part, root in zip(parts, roots, strict=True):
        part["left"] += root
    trees = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    normal = len(parts) * average_path(np.array([forest._max_samples]))
    trees |= {"roots": roots, "normal": normal}
    return {name: trees[name].astype(dtype) for name, dtype in _DTYPES.items()}


def _tree_arrays(tree: Any, features: NDArray[np.int64], seen: Floats) -> dict[str, NDArray[Any]]:
    """A tree level by level, so that the children of a node stand side by side."""
    order, depths = _levels(tree)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    inner = tree.feature[order] >= 0
    low, high = _ranges(tree, seen)
    leaf_length = depths + average_path(tree.n_node_samples[order])
    return {
        "threshold": np.where(inner, _rounded_down(tree.threshold[order]), np.inf),
        "width": np.where(inner, (high - low)[order], np.inf),
        "feature": np.where(inner, features[np.maximum(tree.feature[order], 0)], 0),
        "left": np.where(inner, place[tree.children_left[order]], np.arange(len(order))),
        "length": np.where(inner, 0.0, leaf_length),
    }


def _levels(tree: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The nodes level by level, children of a node side by side, and their depths."""
    levels = [np.zeros(1, dtype=np.int64)]
    while len(inner := levels[-1][tree.feature[levels[-1]] >= 0]):
        levels.append(np.stack([tree.children_left[inner], tree.children_right[inner]], axis=1).ravel())
    depths = np.repeat(np.arange(len(levels)), [len(level) for level in levels])
    return np.concatenate(levels), depths


def _rounded_down(thresholds: Floats) -> NDArray[np.float32]:
    """As float32, so that a float32 value is above the one exactly when it is above the other."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _ranges(tree: Any, seen: Floats) -> tuple[Floats, Floats]:
    """The lowest and highest value of its column that each node saw."""
    path = tree.decision_path(seen.astype(np.float32))
    rows = np.repeat(np.arange(len(seen)), np.diff(path.indptr))
    nodes = path.indices
    split = tree.feature[nodes] >= 0
    rows, nodes = rows[split], nodes[split]
    values = seen[rows, tree.feature[nodes]]
    low, high = np.full(tree.node_count, np.inf), np.full(tree.node_count, -np.inf)
    np.minimum.at(low, nodes, values)
    np.maximum.at(high, nodes, values)
    missing = ~np.isfinite(low)
    low[missing], high[missing] = 0.0, 0.0
    return low, high


def average_path(rows: NDArray[Any]) -> Floats:
    """The mean depth of an unsuccessful search in a binary tree of that many rows: equation 1 of the paper."""
    n = np.asarray(rows, dtype=np.float64)
    lengths = np.zeros(len(n))
    lengths[n == 2] = 1.0
    more = n > 2
    lengths[more] = 2.0 * (np.log(n[more] - 1.0) + np.euler_gamma) - 2.0 * (n[more] - 1.0) / n[more]
    return lengths
