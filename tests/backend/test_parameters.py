"""Which values a hyperparameter takes."""

from importlib import import_module
from inspect import signature

import numpy as np
import pytest
from millstream.backend.base import BackendInfo, Parameter, checked_params
from millstream.backend.registry import backend_class
from millstream.errors import InvalidRequestError

INFO = BackendInfo(
    backend="example",
    name="",
    description="",
    category="",
    speed="",
    memory="",
    best_for="",
    parameter_info={
        "count": Parameter("int", 3, "", 1, 10),
        "share": Parameter("float", None, "", 0.1, 1.0),
        "bins": Parameter("int", 10, "", 2, choices=("auto",)),
        "word": Parameter("str", "a", "", choices=("a", "b")),
        "widths": Parameter("ints", (4, 2), "", 1, 100),
        "on": Parameter("bool", True, ""),
    },
)


def test_the_defaults_stand_where_nothing_is_given():
    assert checked_params(INFO, {}) == {
        "count": 3, "share": None, "bins": 10, "word": "a", "widths": (4, 2), "on": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"count": 10}, 10),
        ({"count": 2.0}, 2),
        ({"count": None}, 3),
        ({"share": 1}, 1),
        ({"share": None}, None),
        ({"bins": "auto"}, "auto"),
        ({"bins": 7}, 7),
        ({"word": "b"}, "b"),
        ({"widths": [8]}, [8]),
        ({"widths": (8.0, np.int64(4))}, [8, 4]),
        ({"count": np.int64(2)}, 2),
        ({"share": np.float64(0.5)}, 0.5),
        ({"on": np.bool_(False)}, False),
        ({"on": False}, False),
    ],
)
def test_a_value_that_is_allowed_is_taken(given, taken):
    [name] = given
    value = checked_params(INFO, given)[name]
    assert value == taken
    assert type(value) is type(taken)


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"count": 0}, "an integer from 1 to 10"),
        ({"count": 2.5}, "an integer from 1 to 10"),
        ({"count": True}, "an integer from 1 to 10"),
        ({"count": "3"}, "an integer from 1 to 10"),
        ({"count": 10**400}, "an integer from 1 to 10"),
        ({"share": float("nan")}, "a number from 0.1 to 1.0 or null"),
        ({"bins": "many"}, "an integer of at least 2 or 'auto'"),
        ({"bins": float("inf")}, "an integer of at least 2 or 'auto'"),
        ({"word": 1}, "'a' or 'b'"),
        ({"word": ["a"]}, "'a' or 'b'"),
        ({"widths": []}, "a list of 1 to 16 integers from 1 to 100"),
        ({"widths": [1, 0]}, "a list of 1 to 16 integers from 1 to 100"),
        ({"widths": 5}, "a list of 1 to 16 integers from 1 to 100"),
        ({"on": 1}, "true or false"),
        ({"other": 1}, "count, share, bins, word, widths, on"),
    ],
)
def test_any_other_value_is_refused_and_the_message_says_what_is_allowed(given, allowed):
    with pytest.raises(InvalidRequestError) as refused:
        checked_params(INFO, given)
    assert f"allowed {'are' if 'other' in given else 'is'}" in str(refused.value)
    assert allowed in str(refused.value)
    assert [r.loc for r in refused.value.refusals] == [("params", next(iter(given)))]


# What PyOD's constructors take and ours do not: how neighbours are searched and measured, which is exact and Euclidean
# here; threads, talk and devices; and what a fit takes beside `params` (contamination, random_state).
NOT_TAKEN = {
    "contamination", "random_state", "n_jobs", "verbose", "behaviour", "algorithm", "leaf_size", "metric", "p",
    "metric_params", "radius", "novelty", "check_estimator", "device", "use_compile", "compile_mode",
    "optimizer_params",
}  # fmt: skip
OURS_ALONE = {"range_penalty", "weight_decay"}  # weight_decay is one of PyOD's optimizer_params
DECIDED_BY_THE_FIT = {"nu", "epoch_num", "batch_size"}  # from its contamination, epochs and batch_size
PYOD = {
    "isolation_forest": ("iforest", "IForest"),
    "one_class_svm": ("ocsvm", "OCSVM"),
    "local_outlier_factor": ("lof", "LOF"),
    "autoencoder": ("auto_encoder", "AutoEncoder"),
    "ecod": ("ecod", "ECOD"),
    "hbos": ("hbos", "HBOS"),
    "copod": ("copod", "COPOD"),
    "knn": ("knn", "KNN"),
    "mcd": ("mcd", "MCD"),
    "cblof": ("cblof", "CBLOF"),
    "loda": ("loda", "LODA"),
}


@pytest.mark.parametrize("backend", PYOD)
def test_names_and_defaults_are_those_of_pyods_constructor(backend):
    module, name = PYOD[backend]
    theirs = signature(getattr(import_module(f"pyod.models.{module}"), name)).parameters
    ours = backend_class(backend).info.parameter_info
    assert ours.keys() - OURS_ALONE == theirs.keys() - NOT_TAKEN
    for parameter in ours.keys() - OURS_ALONE:
        default = ours[parameter].default
        assert default is None if parameter in DECIDED_BY_THE_FIT else default == _plain(theirs[parameter].default)


def _plain(default):
    return tuple(default) if isinstance(default, list) else default
