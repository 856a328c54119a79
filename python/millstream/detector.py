"""`ms.Detector`: encode, fill in, scale, score, normalize: the fitted pipeline around one backend."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from reprlib import repr as short
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from millstream import encoding, model_file, normalization, scaling
from millstream._core import Table, read_rows
from millstream.backend.base import Backend, FitContext, Scorer, integer
from millstream.backend.registry import backend_class, check_backend, fittable_class
from millstream.encoding import Encoder
from millstream.errors import InvalidRequestError, ModelFileError, NotFittedError, counted
from millstream.normalization import ScoreStatistics
from millstream.scaling import Scaling

Floats = NDArray[np.float64]
_ARRAY, _FLOAT64, _empty = np.ndarray, np.dtype(np.float64), np.empty  # looked up once: `raw_score` counts in ns
_WHOLE = (("seed", 0, 2**32 - 1), ("epochs", 1, 2**31 - 1), ("batch_size", 1, 2**31 - 1))


@dataclass(frozen=True)
class FitSettings:
    """Everything a detector is told before its rows. Plain data: it travels to the process that fits."""

    backend: str = "isolation_forest"
    contamination: float = 0.1
    normalization: str = "standardization"
    schema: Mapping[str, str] | None = None
    params: Mapping[str, Any] | None = None
    missing: Literal["reject", "median"] = "reject"
    seed: int = 0
    epochs: int = 100
    batch_size: int = 32

    def check(self) -> FitSettings:
        """These settings, or `InvalidRequestError` naming the first that is not allowed."""
        if not is_number(self.contamination) or not 0 < self.contamination <= 0.5:
            raise InvalidRequestError(
                f"'contamination' is {self.contamination!r}; allowed is above 0 and at most 0.5; correct it.",
                loc=("contamination",),
            )
        check_backend(self.backend)
        normalization.checked(self.normalization)
        if self.missing not in ("reject", "median"):
            raise InvalidRequestError(
                f"'missing' is {self.missing!r}; allowed are reject, median; choose one.", loc=("missing",)
            )
        if self.schema is not None:
            encoding.checked_schema(self.schema)
        whole: dict[str, Any] = {
            name: checked_integer(name, getattr(self, name), least, most) for name, least, most in _WHOLE
        }
        taken = self.new_backend().params
        params = None if self.params is None else {name: taken[name] for name in self.params}
        return replace(self, contamination=float(self.contamination), params=params, **whole)

    def new_backend(self) -> Backend:
        """An unfitted backend with these settings."""
        context = FitContext(self.contamination, self.seed, self.epochs, self.batch_size)
        return backend_class(self.backend)(self.params or {}, context)


@dataclass(frozen=True)
class Detection:
    """What a detector says about n rows: arrays of n. `imputed` (n, columns) marks missing values, None when none."""

    score: Floats
    raw_score: Floats
    is_anomaly: NDArray[np.bool_]
    threshold: float
    imputed: NDArray[np.bool_] | None
    columns: tuple[str, ...]
    named: bool


@dataclass(frozen=True)
class FitRows:
    """Training rows as numbers: what a fit needs of a table. Plain data: it travels to the process that fits."""

    values: Floats
    columns: tuple[str, ...]
    named: bool
    encoder: str | None


class Detector:
    """An anomaly detector: fitted once, then scoring rows one by one, each independent of the others.

    Parameters
    ----------
    backend : str
        Name of the algorithm; `ms.backends()` lists them.
    contamination : float
        Share of the training rows taken for anomalies, above 0 and at most 0.5: sets the learned thresholds.
    normalization : {"standardization", "zscore", "raw"}
        What scores mean unless a call says otherwise.
    schema : mapping, optional
        Encoding by column; inferred for rows with names when not given.
    params : mapping, optional
        The backend's own hyperparameters under PyOD's names.
    missing : {"reject", "median"}
        What a missing training value does: refuse the fit, or count as its column's median.
    seed, epochs, batch_size : int
        The seed of random backends; epochs and batch size of those that train.

    Notes
    -----
    Inputs are scaled per column by (x - median) / IQR. Scoring reads only and is safe from many threads.
    """

    def __init__(
        self,
        backend: str = "isolation_forest",
        contamination: float = 0.1,
        normalization: str = "standardization",
        schema: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        missing: Literal["reject", "median"] = "reject",
        seed: int = 0,
        epochs: int = 100,
        batch_size: int = 32,
    ) -> None:
        given = FitSettings(backend, contamination, normalization, schema, params, missing, seed, epochs, batch_size)
        self.settings = given.check()
        self._backend: Backend | None = None
        self._score_values: Scorer = _not_fitted
        self._by_position = False

    def __repr__(self) -> str:
        told = f"{self.settings.backend}, contamination {self.settings.contamination}"
        if self._backend is None:
            return f"<Detector: {told}, not fitted>"
        return f"<Detector: {told}, fitted on {counted(len(self.training_raw_scores), 'row')}>"

    @property
    def normalization(self) -> str:
        """What scores mean unless a call says otherwise."""
        return self.settings.normalization

    @property
    def params(self) -> dict[str, Any]:
        """The backend's hyperparameters, defaults included."""
        return self.settings.new_backend().params

    @property
    def encoder(self) -> Encoder | None:
        """How named columns become numbers; None for rows without names."""
        return self._fitted()._encoder

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers the backend sees."""
        return self._fitted()._columns

    @property
    def scaling(self) -> Scaling:
        """How its inputs are scaled."""
        return self._fitted()._scaling

    @property
    def fitted_backend(self) -> Backend:
        """The backend behind the scaling, fitted."""
        backend = self._fitted()._backend
        assert backend is not None
        return backend

    @property
    def training_raw_scores(self) -> Floats:
        """The raw scores of the training rows (n)."""
        return self._fitted()._training_raw_scores

    def fit(self, data: object) -> Detector:
        """Fit on a 2-D array, rows, mappings or any Arrow table, and return the detector.

        Raises
        ------
        InvalidRequestError
            With the place of the first value that is not allowed.
        """
        return self._fit(prepare(self.settings, as_table(data, self.settings.schema)))

    def _fit(self, rows: FitRows) -> Detector:
        values = rows.values
        encoder = Encoder.from_json(rows.encoder) if rows.encoder is not None else None
        backend = self.settings.new_backend()
        _check_enough(backend, values)
        learned = scaling.learn(values)
        raw = _finite(backend.fit(learned.apply(learned.impute(values)[0])))
        statistics = normalization.learn(raw, self.settings.contamination)
        self._become(backend, encoder, rows.columns, learned, statistics, raw)
        return self

    def _become(
        self,
        backend: Backend,
        encoder: Encoder | None,
        columns: tuple[str, ...],
        scaling: Scaling,
        statistics: ScoreStatistics,
        training_raw_scores: Floats,
    ) -> None:
        """Score with these from now on. Nothing has changed before, so a fit that fails leaves the earlier one."""
        scorer = backend.scorer(scaling)
        self._backend, self._score_values = backend, scorer
        self._encoder, self._columns, self._scaling = encoder, columns, scaling
        self._statistics = statistics
        self._training_raw_scores = training_raw_scores.view()
        self._training_raw_scores.flags.writeable = False
        self._by_position = encoder is None or not encoder.text_columns

    def raw_score(self, data: object) -> Floats:
        """The backend's own scores (n), higher = more anomalous; missing values count as the training median."""
        if type(data) is _ARRAY and self._by_position and data.dtype is _FLOAT64 and data.ndim == 2:
            flags = data.flags
            if flags.carray or (flags.c_contiguous and flags.aligned):  # the first holds for most and says both
                scores = _empty(len(data))
                if self._score_values(data, scores):
                    return scores
        return self._scores_of(self._values(self._table(data)))  # reads anything, and says what is wrong with it

    def score(self, data: object, normalization: str | None = None) -> Floats:
        """Normalized scores (n)."""
        raw = self.raw_score(data)
        return self._statistics.normalize(raw, normalization or self.normalization)

    def detect(self, data: object, threshold: float | None = None, normalization: str | None = None) -> Detection:
        """Scores and anomalies: those with a score above `threshold`, the learned one by default."""
        kind = normalization or self.normalization
        table = self._table(data)
        values = self._values(table)
        raw = self._scores_of(values)
        missing = np.isnan(values)
        imputed = missing if missing.any() else None
        score = self._statistics.normalize(raw, kind)
        limit = self._statistics.threshold(kind) if threshold is None else _limit(threshold)
        return Detection(score, raw, score > limit, limit, imputed, self._columns, table.named)

    def threshold(self, normalization: str | None = None) -> float:
        """The learned threshold of that normalization."""
        return self._fitted()._statistics.threshold(normalization or self.normalization)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Detector:
        """Read a model from a file; `NotFoundError` if there is none, `ModelFileError` if it is no model."""
        return cls.from_bytes(model_file.read(path), Path(path).name)

    def to_bytes(self) -> bytes:
        """The bytes of the model file."""
        backend = self._fitted()._backend
        assert backend is not None
        arrays = {f"backend.{name}": array for name, array in backend.arrays().items()}
        arrays |= {"centers": self._scaling.centers, "widths": self._scaling.widths}
        arrays |= {"training_raw_scores": self._training_raw_scores}
        if self._encoder is not None:  # as an array: headers, which are read to list models, stay small
            arrays["encoder"] = np.frombuffer(self._encoder.to_json().encode(), np.uint8)
        meta = {
            "settings": asdict(self.settings),
            "columns": self._columns,
            "statistics": asdict(self._statistics),
            "versions": model_file.versions(),
        }
        return model_file.encode(meta, arrays)

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "the model file") -> Detector:
        """The detector in the bytes of a model file; `name` is for messages.

        Raises
        ------
        ModelFileError
            The file is foreign, damaged or newer, or its parts do not fit together.
        """
        meta, arrays = model_file.decode(data, name)
        try:
            detector = cls(**meta["settings"])
            detector._take(meta, arrays)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelFileError(_no_model(name, meta)) from error
        return detector

    def _take(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what a file holds. A checksum shows damage, not intent: kernels trust only what was checked here."""
        columns = _checked_names(meta["columns"])
        width = len(columns)
        encoder = Encoder.from_json(arrays["encoder"].tobytes().decode()) if "encoder" in arrays else None
        if encoder is not None and encoder.features != columns:
            raise ValueError("the encoder makes other columns")
        statistics = ScoreStatistics.checked(meta["statistics"])
        stored = Scaling(_finite_floats(arrays["centers"], width), _finite_floats(arrays["widths"], width))
        if not (stored.widths > 0).all():
            raise ValueError("a column has no width")
        raw = _finite_floats(arrays["training_raw_scores"], None)
        backend = self.settings.new_backend()
        backend.take({key.removeprefix("backend."): a for key, a in arrays.items() if key.startswith("backend.")})
        if not backend.is_for(width):
            raise ValueError("the backend reads other columns than there are")
        self._become(backend, encoder, columns, stored, statistics, raw)

    def _fitted(self) -> Detector:
        if self._backend is None:
            _not_fitted()
        return self

    def _scores_of(self, values: Floats) -> Floats:
        scores = np.empty(len(values))
        self._score_values(np.ascontiguousarray(values, dtype=np.float64), scores)
        return scores

    def _table(self, data: object) -> Table:
        encoder = self._fitted()._encoder
        return as_table(data, encoder.schema if encoder is not None else None)

    def _values(self, table: Table) -> Floats:
        if self._encoder is not None and table.named:
            _check_known(table, self._encoder)
            return self._encoder.encode(table)
        width = len(self._columns)
        if table.named and len(table):
            return self._by_name(table)
        if len(table) and len(table.columns) != width:
            raise InvalidRequestError(
                f"The rows have {counted(len(table.columns), 'column')}; the model was fitted on {width} "
                f"({', '.join(self._columns[:20])}); send as many.",
                loc=("data",),
            )
        if self._encoder is not None and self._encoder.text_columns:
            raise InvalidRequestError(
                f"The rows are lists and the model encodes {', '.join(self._encoder.text_columns[:20])}; send objects.",
                loc=("data",),
            )
        return table.matrix() if len(table) else np.empty((0, width))

    def _by_name(self, table: Table) -> Floats:
        """The values of named rows for a model that was fitted on rows without names."""
        if set(table.columns) != set(self._columns):
            raise InvalidRequestError(
                f"The rows have the names {_listed(table.columns)}; the model was fitted on rows without names: "
                f"allowed are lists of {len(self._columns)} numbers, or the names {_listed(self._columns)}; "
                "send those.",
                loc=("data",),
            )
        return table.matrix(list(self._columns))


def _check_known(table: Table, encoder: Encoder) -> None:
    """Refuse rows none of whose fields the model knows: it would make them up from medians."""
    if len(table) and not any(name in encoder.schema for name in table.columns):
        raise InvalidRequestError(
            f"No row has a field that the model was fitted on; they are {_listed([*encoder.schema])}; send those.",
            loc=("data",),
        )


def _listed(names: Sequence[str], most: int = 20) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _not_fitted(*_: Floats) -> bool:
    """What scores before there is a model."""
    raise NotFittedError("The detector is not fitted; call fit first.")


def as_table(data: object, schema: Mapping[str, str] | None) -> Table:
    """`data` as a table: it is one, or becomes one, of the columns of `schema` (None: of all)."""
    return data if isinstance(data, Table) else read_rows(data, None, "text", *encoding.wanted_columns(schema))


def prepare(
    settings: FitSettings,
    table: Table,
    most_categories: int = encoding.MOST_CATEGORIES,
    most_features: int = encoding.MOST_FEATURES,
) -> FitRows:
    """The training rows as numbers, missing values refused unless the settings say otherwise."""
    fittable_class(settings.backend)
    if settings.schema is not None and not table.named and len(table):
        raise InvalidRequestError(
            "'schema' names columns and the rows are lists; send objects, or leave the schema out.", loc=("schema",)
        )
    if table.named:
        schema = settings.schema if settings.schema is not None else encoding.infer(table)
        encoder = encoding.learn(table, schema, most_categories)
        encoding.check_features(encoder, most_features)
        rows = FitRows(encoder.encode(table), encoder.features, True, encoder.to_json())
    else:
        rows = FitRows(table.matrix(), table.columns, False, None)
    if len(table) and not rows.values.shape[1]:
        raise _no_numbers(settings.schema)
    if settings.missing == "reject":
        _check_complete(rows)
    return rows


def fit_to_bytes(settings: FitSettings, rows: FitRows) -> bytes:
    """A fit as a function of plain data: the bytes of the model file. Runs anywhere."""
    detector = Detector(**asdict(settings))
    return detector._fit(rows).to_bytes()


def _checked_names(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError("the columns are no list of names")
    return tuple(names)


def _finite_floats(array: NDArray[Any], length: int | None) -> Floats:
    if array.dtype != np.float64 or array.ndim != 1 or length not in (None, len(array)) or not np.isfinite(array).all():
        raise ValueError("an array is not of finite numbers, one to a column")
    return array


def is_number(value: Any) -> bool:
    """Whether `value` is a number, Python's or NumPy's, and no boolean."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def checked_integer(name: str, value: Any, least: int, most: int) -> int:
    """The integer, 3.0 being 3, that the argument `name` is; `InvalidRequestError` if it is none or out of range."""
    found = integer(value)
    if found is None or not least <= found <= most:
        raise InvalidRequestError(
            f"'{name}' is {short(value)}; allowed is an integer from {least:,} to {most:,}; correct it.", loc=(name,)
        )
    return found


def _check_complete(rows: FitRows) -> None:
    missing = np.argwhere(np.isnan(rows.values))
    if len(missing):
        row, column = int(missing[0][0]), rows.columns[missing[0][1]]
        raise InvalidRequestError(
            f"Row {row} has no value in column '{column}'; training rows must be complete; "
            'fill it in or ask for missing="median".',
            loc=("data", row, column),
        )


def _no_numbers(schema: Mapping[str, str] | None) -> InvalidRequestError:
    if schema:
        columns = ", ".join(map(repr, list(schema)[:20]))
        message = f"One-hot encoding makes no number of {columns}: no row has a value there; leave out what is empty."
        return InvalidRequestError(message, loc=("schema",))
    if schema is not None:
        return InvalidRequestError("'schema' names no column; name one, or leave it out.", loc=("schema",))
    return InvalidRequestError("The rows have no columns; send at least one.", loc=("data",))


def _check_enough(backend: Backend, values: Floats) -> None:
    least = backend.least_rows
    if len(values) < least:
        raise InvalidRequestError(
            f"The fit has {counted(len(values), 'row')}; {backend.info.backend} needs at least {least}; send more.",
            loc=("data",),
        )


def _no_model(name: str, meta: object) -> str:
    if isinstance(meta, dict) and "counters" in meta:
        return f"The file '{name}' holds a stream, not a detector; load it with Stream.load."
    return f"The file '{name}' is no millstream model; delete it or fit a model."


def _limit(threshold: object) -> float:
    """`threshold` as a float. NaN is refused: no score is above it, so nothing would ever alarm."""
    try:
        limit = float(threshold)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        limit = math.nan
    if isinstance(threshold, str | bytes) or math.isnan(limit):
        raise InvalidRequestError(
            f"'threshold' is {short(threshold)}; allowed is a number; correct it.", loc=("threshold",)
        )
    return limit


def _finite(raw: Floats) -> Floats:
    """`raw` with the largest finite number where a score overflowed."""
    if np.isfinite(raw).all():
        return raw
    return np.nan_to_num(raw, nan=scaling.LARGEST, posinf=scaling.LARGEST, neginf=-scaling.LARGEST)
