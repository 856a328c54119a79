"""Isolation Forest: rows that few random splits separate from the rest (Liu, Ting and Zhou 2008).

scikit-learn grows the trees; they are then arrays, walked by a kernel of our own, 2e-16 from scikit-learn's scores. The
score is the paper's, 0 to 1, about 0.5 for normal rows. A plain forest gives any value beyond the training data the
score of the outermost training row and so misses far outliers; the range penalty of SCiForest (Liu, Ting and Zhou 2010)
mends this: a node whose split lies farther from the value than the node's whole range adds nothing to the row's depth.
Training rows lie inside every range they meet, so the penalty never touches their scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Backend, BackendInfo, Floats, Parameter, checked_array

_PARAMETERS = {
    "n_estimators": Parameter("int", 100, "number of trees", 1, 2_000),
    "max_samples": Parameter("int", 256, "rows each tree is grown on, at most those given", 2, 100_000),
    "max_features": Parameter("float", 1.0, "share of the columns each tree sees", 0.01, 1.0),
    "bootstrap": Parameter("bool", False, "draw the rows of a tree with replacement"),
    "range_penalty": Parameter("bool", True, "count values far outside a node's range as more anomalous"),
}
_LEAF = -1
_WIDEST = float(np.finfo(np.float32).max) / 4  # scikit-learn splits float32 values, and takes differences of them


class IsolationForest(Backend):
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

    @property
    def width(self) -> int:
        """Up to the last column that is split."""
        return int(self._links[:, 0].max(initial=_LEAF)) + 1

    def fit(self, rows: Floats) -> Floats:
        """Grow the trees with scikit-learn and take them over into arrays."""
        from sklearn.ensemble import IsolationForest as Forest

        rows = np.clip(rows, -_WIDEST, _WIDEST)
        options = {name: value for name, value in self.params.items() if name != "range_penalty"}
        options["max_samples"] = min(options["max_samples"], len(rows))
        forest = Forest(**options, random_state=self.context.seed, n_jobs=1).fit(rows)
        self.take(_forest_arrays(forest, rows))
        return self._walk(rows, penalty=False)

    def score(self, rows: Floats) -> Floats:
        """Scores from 0 to 1, about 0.5 for normal rows."""
        return self._walk(rows, penalty=self.params["range_penalty"])

    def _walk(self, rows: Floats, penalty: bool) -> Floats:
        from millstream.backend.isolation_forest_kernels import score_rows

        return np.asarray(score_rows(rows, self._links, self._splits, self._roots, self._normal[0], penalty))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All trees in one list of nodes: (feature, left, right), (threshold, low, high, leaf length)."""
        return {"links": self._links, "splits": self._splits, "roots": self._roots, "normal": self._normal}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The trees; children must come after their parents, so that every walk ends."""
        self._links = checked_array(arrays, "links", np.int32, 2)
        self._splits = checked_array(arrays, "splits", np.float64, 2)
        self._roots = checked_array(arrays, "roots", np.int64, 1)
        self._normal = checked_array(arrays, "normal", np.float64, 1)
        nodes = len(self._links)
        if self._links.shape != (nodes, 3) or self._splits.shape != (nodes, 4) or self._normal.shape != (1,):
            raise ValueError("the arrays of the trees do not fit together")
        inner = self._links[:, 0] != _LEAF
        children = self._links[inner, 1:]
        if (children <= np.flatnonzero(inner)[:, None]).any() or (children >= nodes).any():
            raise ValueError("a node's children do not come after it")
        if (
            not len(self._roots)
            or (self._roots < 0).any()
            or (self._roots >= nodes).any()
            or self._links[:, 0].min() < -1
        ):
            raise ValueError("a root is no node")


def _forest_arrays(forest: Any, rows: Floats) -> dict[str, NDArray[Any]]:
    parts = [
        _tree_arrays(tree.tree_, np.asarray(features), rows[samples][:, features])
        for tree, features, samples in zip(
            forest.estimators_, forest.estimators_features_, forest.estimators_samples_, strict=True
        )
    ]
    sizes = [len(links) for links, _ in parts]
    roots = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    for (links, _), root in zip(parts, roots, strict=True):
        links[links[:, 0] != _LEAF, 1:] += root
    links, splits = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    normal = len(parts) * average_path(np.array([forest._max_samples]))
    return {"links": links, "splits": splits, "roots": roots, "normal": normal}


def _tree_arrays(tree: Any, features: NDArray[np.int64], seen: Floats) -> tuple[NDArray[np.int32], Floats]:
    inner = tree.feature >= 0
    links = np.stack([np.where(inner, tree.feature, 0), tree.children_left, tree.children_right], axis=1)
    links = np.where(inner[:, None], links, _LEAF).astype(np.int32)
    links[inner, 0] = features[tree.feature[inner]]
    low, high = _ranges(tree, seen)
    width = high - low
    leaf = np.where(inner, 0.0, average_path(tree.n_node_samples))
    return links, np.stack([tree.threshold, tree.threshold - width, tree.threshold + width, leaf], axis=1)


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
