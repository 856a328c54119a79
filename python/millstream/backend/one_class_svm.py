"""One-class SVM: the tightest boundary around most training rows (Schoelkopf et al. 2001).

LIBSVM finds the support vectors; they are then arrays, and a score is minus the decision function: positive outside the
boundary, negative inside. Training takes time that grows with the square of the rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import Backend, BackendInfo, Floats, Parameter
from millstream.errors import InvalidRequestError

_KERNELS = ("rbf", "linear", "poly", "sigmoid")  # in the order of the numbers of one_class_svm_kernels
_LIBSVM_MOST_STEPS = 10_000_000  # or 100 a row: the bound of LIBSVM itself, without which some fits never end

_PARAMETERS = {
    "kernel": Parameter("str", "rbf", "how similar two rows are", choices=_KERNELS),
    "degree": Parameter("int", 3, "degree of the kernel 'poly'", 1, 10),
    "gamma": Parameter(
        "float",
        "auto",
        "width of the kernels but 'linear': a number, 'auto' = 1 / columns, 'scale' = 1 / (columns * variance)",
        1e-9,
        1e9,
        choices=("auto", "scale"),
    ),
    "coef0": Parameter("float", 0.0, "constant term of the kernels 'poly' and 'sigmoid'", -1e6, 1e6),
    "tol": Parameter("float", 1e-3, "how exact the training is", 1e-12, 1.0),
    "nu": Parameter("float", None, "share of training rows outside the boundary; null: the contamination", 1e-6, 1.0),
    "shrinking": Parameter("bool", True, "the shortcut that leaves settled rows out of later steps"),
    "cache_size": Parameter("float", 200.0, "MB of kernel values kept while training", 1.0, 2_000.0),
    "max_iter": Parameter("int", -1, "most steps of training, -1: ten million, or 100 a row", -1, 1_000_000_000),
}


class OneClassSvm(Backend):
    """A boundary of support vectors: at least nu * n of them; a score costs one kernel value each."""

    info = BackendInfo(
        backend="one_class_svm",
        name="One-Class SVM",
        description="A tight boundary around most training rows: rows outside it are anomalous.",
        category="legacy",
        speed="slow",
        memory="medium",
        best_for="small data sets with a tight boundary around normal rows",
        parameter_info=_PARAMETERS,
        is_legacy=True,
    )
    fit_in = "process"

    @property
    def width(self) -> int:
        """The columns of the support vectors."""
        return len(self._columns)

    def fit(self, rows: Floats) -> Floats:
        """Find the support vectors with LIBSVM and take them over into arrays."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import OneClassSVM

        from millstream.backend.one_class_svm_kernels import WIDEST

        options = dict(self.params)
        options["nu"] = self.context.contamination if options["nu"] is None else options["nu"]
        if options["max_iter"] == -1:
            options["max_iter"] = max(_LIBSVM_MOST_STEPS, 100 * len(rows))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is the caller's choice
                svm = OneClassSVM(**options).fit(np.clip(rows, -WIDEST, WIDEST))
        except ValueError as error:  # scikit-learn checks that LIBSVM's sums stayed finite
            raise InvalidRequestError(
                f"'params' has kernel {options['kernel']!r} with gamma {options['gamma']!r}, whose values overflow on "
                "these rows; allowed is what can be added up; use a smaller gamma or degree, or the kernel 'rbf'.",
                loc=("params",),
            ) from error
        self.take(_svm_arrays(svm))
        return self.score(rows)

    def score(self, rows: Floats) -> Floats:
        """Minus the decision function."""
        from millstream.backend.one_class_svm_kernels import score_rows

        return np.asarray(score_rows(rows, self._columns, self._weights, *self._terms))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Support vectors by column (d, m), their weights (m), and (intercept, gamma)."""
        return {"support": self._columns, "weights": self._weights, "constants": self._constants}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The support vectors, filled up with ones of weight 0 to a multiple of the kernel's lanes."""
        self._columns = np.ascontiguousarray(arrays["support"], dtype=np.float64)
        self._weights = np.ascontiguousarray(arrays["weights"], dtype=np.float64)
        self._constants = np.ascontiguousarray(arrays["constants"], dtype=np.float64)
        vectors = len(self._weights)
        if self._columns.ndim != 2 or not self.width or self._columns.shape[1] != vectors or self._weights.ndim != 1:
            raise ValueError("the support vectors and their weights do not fit together")
        if vectors % 8 or self._constants.shape != (2,):
            raise ValueError("the support vectors are not whole blocks")
        intercept, gamma = self._constants.tolist()
        kind = _KERNELS.index(self.params["kernel"])
        self._terms = (intercept, kind, gamma, float(self.params["coef0"]), int(self.params["degree"]))


def _svm_arrays(svm: Any) -> dict[str, NDArray[Any]]:
    from millstream.backend.one_class_svm_kernels import BLOCK

    padding = -len(svm.support_) % BLOCK
    return {
        "support": np.pad(svm.support_vectors_, ((0, padding), (0, 0))).T,
        "weights": np.pad(svm.dual_coef_[0], (0, padding)),
        "constants": np.array([svm.intercept_[0], svm._gamma]),
    }
