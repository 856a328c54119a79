"""Fits every backend, lies about its arrays, one at a time and together, and scores with what is not refused.

A lie is about one array, about all of a member of suod, or about all there are. They are changed, missing, or those of
a model that was fitted on other rows; or the file is read under other parameters. Prints what is neither refused by
name nor scored. Run with NUMBA_BOUNDSCHECK=1: a kernel that reads beyond an array then raises IndexError, where it
would be silent.
"""

import sys

import millstream as ms
import numpy as np
from millstream import model_file
from millstream.backend.registry import NAMES
from millstream.errors import ModelFileError

TRAINING = np.random.default_rng(3).normal(size=(60, 3))
ROWS = np.vstack([TRAINING[:5], TRAINING[5:8] * 1e6, np.zeros((1, 3))])
BEYOND = "index is out of bounds"  # numba's IndexError; NumPy's says which index
LIES = {
    "empty": lambda a: a[:0],
    "one shorter": lambda a: a[:-1],
    "one narrower": lambda a: a[..., :-1],
    "without columns": lambda a: a[..., :0],
    "one longer": lambda a: np.concatenate([a, a[-1:]]),
    "turned": lambda a: a.T,
    "flat": lambda a: a.reshape(-1),
    "deeper": lambda a: a[None],
    "as int64": lambda a: a.astype(np.int64),
    "as float32": lambda a: a.astype(np.float32),
    "as bytes": lambda a: a.astype(np.uint8),
    "huge": lambda a: np.full_like(a, np.iinfo(a.dtype).max if a.dtype.kind in "iu" else 1e300),
    "large": lambda a: a + a.dtype.type(97),
    "negative": lambda a: -a - 1,
    "zero": np.zeros_like,
    "backwards": lambda a: a[::-1],
    "NaN": lambda a: np.full_like(a, np.nan) if a.dtype.kind == "f" else a,
    "infinite": lambda a: np.full_like(a, np.inf) if a.dtype.kind == "f" else a,
}


STRANGERS = {"fewer rows": TRAINING[:30], "a column less": TRAINING[:, :2], "more columns": np.hstack([TRAINING] * 2)}
OTHER_PARAMS = {
    "isolation_forest": ({"range_penalty": False}, {"n_estimators": 1}),
    "one_class_svm": ({"kernel": "linear"}, {"kernel": "poly", "degree": 10}, {"kernel": "sigmoid"}),
    "local_outlier_factor": ({"n_neighbors": 1}, {"n_neighbors": 10_000}),
    "knn": ({"n_neighbors": 1}, {"n_neighbors": 10_000}, {"method": "mean"}, {"method": "median"}),
    "hbos": ({"n_bins": 2}, {"n_bins": 10_000}, {"n_bins": "auto"}),
    "loda": ({"n_bins": 2}, {"n_random_cuts": 10_000}),
    "cblof": ({"n_clusters": 1_000}, {"use_weights": True}),
    "suod": ({"combination": "maximization"},),
    "autoencoder": (
        {"hidden_neuron_list": [1]}, {"hidden_neuron_list": [1_024] * 16}, {"hidden_activation_name": "softmax"},
    ),
}  # fmt: skip


def files(backend):
    """Every lying file of a backend: what the lie is, and metadata and arrays."""
    meta, arrays = model_file.decode(fitted(backend, TRAINING).to_bytes())
    strangers = {how: model_file.decode(fitted(backend, rows).to_bytes())[1] for how, rows in STRANGERS.items()}
    for group, names in groups(arrays).items():
        for how, change in LIES.items():
            with np.errstate(all="ignore"):
                yield f"{group} {how}", meta, arrays | {name: change(arrays[name]) for name in names}
        yield f"no {group}", meta, {name: array for name, array in arrays.items() if name not in names}
        for how, other in strangers.items():
            yield f"{group} of {how}", meta, arrays | {name: other[name] for name in names}
    for params in OTHER_PARAMS.get(backend, ()):
        yield f"read with {params}", meta | {"settings": meta["settings"] | {"params": params}}, arrays


def groups(arrays):
    """What is lied about together: each array, the backend's, everything, and the arrays of each member of suod."""
    found = {name: [name] for name in arrays}
    found["the backend's arrays"] = [name for name in arrays if name.startswith("backend.")]
    found["all arrays"] = [*arrays]
    for name in arrays:
        parts = name.split(".")
        if len(parts) > 2:
            found.setdefault(f"member {parts[1]}", []).append(name)
    return found


def fitted(backend, rows):
    """A model to lie about."""
    return ms.Detector(backend, **({"epochs": 2} if backend == "autoencoder" else {})).fit(rows)


def lie(meta, arrays):
    """What came of one lie: a sentence, or None when it is refused by name or scored."""
    data = model_file.encode(meta, {name: np.ascontiguousarray(array) for name, array in arrays.items()})
    try:
        liar = ms.Detector.from_bytes(data, "liar.safetensors")
    except ModelFileError as refused:
        if str(refused.__cause__) == BEYOND:
            return "refused by a kernel that read beyond an array"
        return None if "'liar.safetensors'" in str(refused) else f"refused without its name: {refused}"
    rows = ROWS[:, : len(liar.columns)]
    with np.errstate(all="ignore"):
        scores = liar.raw_score(rows)
        one_by_one = np.concatenate([liar.raw_score(row[None]) for row in rows])
    if scores.shape != (len(rows),) or not np.isfinite(scores).all():
        return f"scored {scores}"
    return None if np.array_equal(scores, one_by_one) else f"scored {scores}, one by one {one_by_one}"


def main(names):
    for backend in names:
        for what, meta, arrays in files(backend):
            try:
                found = lie(meta, arrays)
            except Exception as error:
                found = f"{type(error).__name__}: {error}"
            if found is not None:
                print(f"{backend}, {what}: {found}")


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
