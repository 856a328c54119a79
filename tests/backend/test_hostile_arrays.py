"""Arrays of a model file that do not fit together are refused before a kernel, which checks no bounds, reads them."""

import millstream as ms
import numpy as np
import pytest
from millstream import model_file
from millstream.errors import ModelFileError

TRAINING = np.random.default_rng(5).normal(size=(60, 3))


def fewer(array):
    return array[:-1]


def narrower(array):
    return np.ascontiguousarray(array[:, :-1])


def flat(array):
    return array.ravel()


def deep(array):
    return array[None]


def none_left(array):
    return array[:0]


def wider(array):
    return np.vstack([array, array[-1:]])


def to(value):
    def replaced(array):
        return np.full_like(array, value)

    return replaced


@pytest.mark.parametrize(
    ("backend", "name", "changed"),
    [
        *(("one_class_svm", "support", change) for change in (narrower, flat, deep, none_left, wider)),
        *(("one_class_svm", "weights", change) for change in (fewer, deep, none_left)),
        *(("one_class_svm", "constants", change) for change in (fewer, deep, none_left)),
        *(("mcd", "location", change) for change in (fewer, deep, none_left)),
        *(("mcd", "precision", change) for change in (fewer, narrower, flat, deep, none_left, wider)),
        *(("cblof", "centers", change) for change in (fewer, flat, deep, none_left)),
        *(("cblof", "weights", change) for change in (fewer, deep, none_left)),
        *(("cblof", "large", change) for change in (none_left, deep, to(0), to(-1), to(9))),
        *(("autoencoder", "scale", change) for change in (fewer, narrower, flat, deep, none_left, wider)),
        *(("autoencoder", "sizes", change) for change in (fewer, deep, none_left, to(0), to(-3), to(2**40))),
        *(("autoencoder", "weights", change) for change in (fewer, deep, none_left)),
    ],
)
def test_a_file_with_arrays_that_do_not_fit_together_is_refused(backend, name, changed):
    data = ms.Detector(backend, epochs=1).fit(TRAINING).to_bytes()
    meta, arrays = model_file.decode(data)
    arrays[f"backend.{name}"] = np.ascontiguousarray(changed(arrays[f"backend.{name}"]))
    with pytest.raises(ModelFileError):
        ms.Detector.from_bytes(model_file.encode(meta, arrays))


@pytest.mark.parametrize("backend", ["one_class_svm", "mcd", "cblof", "autoencoder"])
def test_a_file_for_wider_rows_than_it_names_is_refused(backend):
    meta, arrays = model_file.decode(ms.Detector(backend, epochs=1).fit(TRAINING).to_bytes())
    _, wide = model_file.decode(ms.Detector(backend, epochs=1).fit(np.hstack([TRAINING] * 2)).to_bytes())
    arrays |= {name: array for name, array in wide.items() if name.startswith("backend.")}
    with pytest.raises(ModelFileError):
        ms.Detector.from_bytes(model_file.encode(meta, arrays))
