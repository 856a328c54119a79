"""Fits every backend, lies about each of its arrays in many ways, and scores with what is not refused.

Run with NUMBA_BOUNDSCHECK=1: a kernel that reads beyond an array then raises IndexError, where it would be silent.
Prints what is neither refused nor scored.
"""

import sys

import millstream as ms
import numpy as np
from millstream import model_file
from millstream.backend.registry import NAMES
from millstream.errors import InvalidRequestError

TRAINING = np.random.default_rng(3).normal(size=(60, 3))
ROWS = np.vstack([TRAINING[:5], TRAINING[5:8] * 1e6, np.zeros((1, 3))])
LIES = {
    "empty": lambda a: a[:0],
    "one shorter": lambda a: a[:-1],
    "one narrower": lambda a: a[..., :-1],
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


def lie(detector, name, how):
    """What came of one lie: a sentence, or None when all is well."""
    meta, arrays = model_file.decode(detector.to_bytes())
    with np.errstate(all="ignore"):
        arrays[name] = np.ascontiguousarray(LIES[how](arrays[name]))
    try:
        liar = ms.Detector.from_bytes(model_file.encode(meta, arrays))
    except InvalidRequestError:
        return None
    with np.errstate(all="ignore"):
        scores = liar.raw_score(ROWS)
    if scores.shape != (len(ROWS),) or not np.isfinite(scores).all():
        return f"scored {scores}"
    return None


def main(names):
    for backend in names:
        detector = ms.Detector(backend, **({"epochs": 2} if backend == "autoencoder" else {})).fit(TRAINING)
        for name in model_file.decode(detector.to_bytes())[1]:
            for how in LIES:
                try:
                    found = lie(detector, name, how)
                except Exception as error:
                    found = f"{type(error).__name__}: {error}"
                if found is not None:
                    print(f"{backend}, {name} {how}: {found}")


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
