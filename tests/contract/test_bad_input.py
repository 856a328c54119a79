"""What cannot be fitted or scored, for every backend over HTTP: refused by name or answered in numbers, and what stood
before stands afterwards."""

import json
import math

import numpy as np
import pytest
from millstream.backend.registry import NAMES

from tests.contract.rows_anomaly import ANOMALY, MODELS
from tests.contract.rule import check_problem

CHANCE = np.random.default_rng(5)
ROWS = CHANCE.normal(size=(40, 2)).round(3).tolist()
NAMED = [{"load": x, "heat": y} for x, y in ROWS]
backends = pytest.mark.parametrize("backend", NAMES)

# What is sent beside model and backend, where the refusal points, and what it has to say.
REFUSED = {
    "no rows": ({"data": []}, ["data"], "at least"),
    "1 row": ({"data": ROWS[:1]}, ["data"], "1 row;"),
    "a ragged row of two": ({"data": [*ROWS, [1.0]]}, ["data", 40], "fewer than 2 values,"),
    "a ragged row of one": ({"data": [[1.0], [2.0], [3.0, 4.0]]}, ["data", 2], "more than 1 value,"),
    "a missing value": ({"data": [*ROWS, [1.0, None]]}, ["data", 40, "column_1"], "missing"),
    "text in list rows": ({"data": [*ROWS, [1.0, "x"]]}, ["data", 40, "column_1"], "'x'"),
    "text in a numeric column": (
        {"data": [*NAMED, {"load": "x", "heat": 1.0}], "schema": {"load": "numeric", "heat": "numeric"}},
        ["data", 40, "load"],
        "'x'",
    ),
    "10,000 columns": ({"data": [[0.5] * 10_000, [1.5] * 10_000, [2.5] * 10_000]}, [], "2000"),
    "contamination 0": ({"data": ROWS, "contamination": 0}, ["contamination"], "above 0"),
    "contamination 0.6": ({"data": ROWS, "contamination": 0.6}, ["contamination"], "at most 0.5"),
    "an unknown parameter": ({"data": ROWS, "params": {"nonesuch": 1}}, ["params", "nonesuch"], "allowed are: "),
    "parameters that are a list": ({"data": ROWS, "params": [1]}, ["params"], "object"),
    "no columns": ({"data": [[], []]}, ["data"], "no columns"),
}


@backends
def test_a_fit_that_is_refused_names_what_is_wrong_and_the_model_before_it_stands(backend, server):
    model = f"bad-{backend}"
    old = fit(server, model, backend, NAMED)
    assert old.status == 200, old.body
    before = state(server, model)
    for what, (fields, loc, says) in REFUSED.items():
        refused = server.ask("POST", ANOMALY + "/fit", {"model": model, "backend": backend, "overwrite": True} | fields)
        assert refused.status == 422, (what, refused.body[:500])
        check_problem(refused)
        assert says in refused.json["detail"], what
        assert not loc or loc in [place["loc"] for place in refused.json["errors"]], (what, refused.json)
        assert state(server, model) == before, what


@backends
@pytest.mark.parametrize(
    "rows",
    [
        [[3.0, 5.0]] * 20,
        [[n % 8 / 8, n // 8 / 8] for n in range(64)],
        [[0.0], [1.0]],
        [[1.0], [1.0], [1e308], [-1e308]],
    ],
    ids=["all constant", "no clear clusters", "two rows", "as wide as float64"],
)
def test_odd_rows_have_a_result_in_numbers(backend, rows, server):
    model = f"odd-{backend}-{len(rows)}"
    assert fit(server, model, backend, rows).status == 200
    scored = server.ask("POST", ANOMALY + "/score", {"model": model, "data": [*rows, [7.0] * len(rows[0])]})
    assert scored.status == 200, scored.body
    numbers = [item[name] for item in scored.json["data"] for name in ("score", "raw_score")]
    assert all(math.isfinite(number) for number in [*numbers, scored.json["summary"]["threshold"]])


@backends
def test_rows_of_another_shape_are_not_scored_and_the_message_names_the_columns(backend, server):
    lists, named = f"lists-{backend}", f"named-{backend}"
    assert fit(server, lists, backend, ROWS).status == fit(server, named, backend, NAMED).status == 200
    for model, rows, says in (
        (lists, [[1.0]], ("1 column;", "column_0, column_1")),
        (lists, [[1.0, 2.0, 3.0]], ("3 columns;", "column_0, column_1")),
        (lists, [{"load": 1.0, "heat": 2.0}], ("load, heat", "column_0, column_1")),
        (named, [[1.0]], ("1 column;", "load, heat")),
        (named, [{"speed": 1.0}, {}], ("load, heat",)),
        (named, [{"load": "x", "heat": 1.0}], ("load",)),
    ):
        for verb in ("score", "detect"):
            refused = server.ask("POST", f"{ANOMALY}/{verb}", {"model": model, "data": rows})
            assert refused.status == 422, (verb, rows, refused.body)
            check_problem(refused)
            for word in says:
                assert word in refused.json["detail"], (verb, rows)


def test_an_unknown_backend_is_refused_and_all_there_are_are_named(server):
    refused = fit(server, "no-backend", "nonesuch", ROWS)
    assert refused.status == 422
    assert ", ".join(NAMES) in refused.json["detail"]


def fit(server, model, backend, rows):
    asked = {"model": model, "backend": backend, "data": rows, "epochs": 2, "overwrite": True}
    return server.ask("POST", ANOMALY + "/fit", asked)


def state(server, model):
    """What must not change: the list of models, and what the one of that name says."""
    scores = server.ask("POST", ANOMALY + "/score", {"model": model, "data": NAMED[:5]})
    return server.ask("GET", MODELS).body, json.dumps(scores.json["data"])
