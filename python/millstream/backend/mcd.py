"""MCD: squared Mahalanobis distance from a centre and covariance that outliers cannot pull (Rousseeuw and Van Driessen
1999, the minimum covariance determinant).

scikit-learn's FastMCD finds the half of the rows with the tightest covariance; centre and precision are then arrays.
Directions in which that half has no spread count for nothing, as in PyOD, because the precision is a pseudo-inverse.
Where there is no such half, because most rows are equal or there are too few of them (PyOD fails there), a score is the
squared distance from the median in the scaled columns.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from millstream.backend.base import WIDEST, Backend, BackendInfo, Floats, Parameter
from millstream.backend.threads import one_thread

_PARAMETERS = {
    "store_precision": Parameter("bool", True, "taken for PyOD's sake; a model always holds its precision"),
    "assume_centered": Parameter("bool", False, "take the centre to be 0, the median of the scaled columns"),
    "support_fraction": Parameter(
        "float", None, "share of rows in the tightest part; null: (n + columns + 1) / 2 rows", 1e-3, 1.0
    ),
}


class Mcd(Backend):
    """A robust centre and d * d precision; a score costs d * d products."""

    info = BackendInfo(
        backend="mcd",
        name="MCD",
        description="Minimum covariance determinant: Mahalanobis distance from a centre that outliers cannot pull.",
        category="distance",
        speed="medium",
        memory="low",
        best_for="one cloud of normal rows with linearly related columns",
        parameter_info=_PARAMETERS,
    )
    fit_in = "process"

    @property
    def width(self) -> int:
        """One coordinate of the centre for each."""
        return len(self._location)

    def fit(self, rows: Floats) -> Floats:
        """Find centre and covariance with scikit-learn and take them over into arrays."""
        clipped = np.clip(rows, -WIDEST, WIDEST)
        self.take(self._robust(clipped) or _plain(clipped))
        return self.score(rows)

    def _robust(self, rows: Floats) -> dict[str, NDArray[Any]] | None:
        """Centre and precision by FastMCD; None where it finds none."""
        from sklearn.covariance import MinCovDet

        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"), one_thread():
                warnings.simplefilter("ignore")  # not of full rank, determinant grew: the result stands all the same
                found = MinCovDet(**self.params, random_state=self.context.seed).fit(rows)
                precision = found.get_precision()
        except (ValueError, np.linalg.LinAlgError):
            return None
        usable = np.isfinite(precision).all() and np.isfinite(found.location_).all() and precision.any()
        return {"location": found.location_, "precision": precision} if usable else None

    def score(self, rows: Floats) -> Floats:
        """Squared Mahalanobis distances."""
        from millstream.backend.mcd_kernels import score_rows

        return np.asarray(score_rows(rows, self._location, self._precision))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The centre (d) and the precision (d, d)."""
        return {"location": self._location, "precision": self._precision}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """The centre and the precision."""
        self._location = np.ascontiguousarray(arrays["location"], dtype=np.float64)
        self._precision = np.ascontiguousarray(arrays["precision"], dtype=np.float64)
        if self._location.ndim != 1 or self._precision.shape != (self.width, self.width):
            raise ValueError("centre and precision do not fit together")


def _plain(rows: Floats) -> dict[str, NDArray[Any]]:
    return {"location": np.median(rows, axis=0), "precision": np.eye(rows.shape[1])}
