"""The six encodings: what each text becomes, what training teaches, what is refused."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from millstream import encoding
from millstream._core import read_body, read_rows
from millstream.encoding import Encoder
from millstream.errors import InvalidRequestError

VERBS = ["GET", "PUT", "GET", None, "POST", "GET", "PUT", "GET"]


def table(values, text=(), name="a"):
    return read_rows([{name: value} for value in values], None, "text", text)


def encoded(kind, training, rows):
    """What `rows` become when `training` was learned, both sent as JSON."""
    text = encoding.text_columns({"a": kind})
    encoder = encoding.learn(sent(training, text), {"a": kind})
    return encoder.encode(sent(rows, text)).tolist()


def sent(values, text):
    body = json.dumps({"data": [{"a": value} for value in values]}).encode()
    return read_body(body, "data", "text").table(text)


@pytest.mark.parametrize(
    ("kind", "training", "rows", "numbers"),
    [
        ("label", VERBS, ["GET", "POST", "PUT", "get", None], [[1], [2], [3], [0], [0]]),
        ("label", ["b", "B", "é", "a"], ["B", "a", "b", "é"], [[1], [2], [3], [4]]),
        ("onehot", VERBS, ["GET", "PUT", "DELETE", None], [[1, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]),
        ("frequency", VERBS, ["GET", "PUT", "POST", "DELETE", None], [[0.5], [0.25], [0.125], [0.0625], [0.0625]]),
        ("frequency", [None], ["a", None], [[0.5], [0.5]]),
        ("binary", ["x"], ["true", " YES ", "1", "On", "t", "Y\n"], [[1]] * 6),
        ("binary", ["x"], ["false", "no", "0", "", "tr ue", "2", None], [[0]] * 7),
        ("binary", [True], [True, False, 1, 0, 1.0], [[1], [0], [1], [0], [0]]),
        ("hash", [None], ["no", "yes", None, ""], [[435751], [89994], [0], [0xD41D8CD9 % 1_000_000]]),
        ("label", [200, 404], [200, 404, 200.0, "200"], [[1], [2], [0], [1]]),
        ("label", [1.0, 1, True, "true"], [1.0, 1, True, "1.0"], [[2], [1], [3], [2]]),
        ("numeric", [1.5], [1, 2.5, -3], [[1], [2.5], [-3]]),
    ],
)
def test_a_text_becomes_its_number(kind, training, rows, numbers):
    assert encoded(kind, training, rows) == numbers


def test_the_text_of_a_value_is_the_text_that_was_sent():
    body = b'{"data":[{"a":1.0},{"a":1},{"a":1e2},{"a":100},{"a":"1.0"},{"a":true},{"a":null}]}'
    rows = read_body(body, "data", "text").table(("a",))
    assert encoding.learn(rows, {"a": "label"}).categories["a"] == ["1", "1.0", "100", "1e2", "true"]


def test_python_values_have_the_text_json_gives_them():
    rows = table([1.0, 1, True, "x", None, 2.5], ("a",))
    assert encoding.learn(rows, {"a": "label"}).categories["a"] == ["1", "1.0", "2.5", "true", "x"]


def test_numbers_of_frames_have_no_point_where_they_are_whole():
    import polars as pl

    frame = pl.DataFrame({"a": [200, 404, None], "b": [True, None, False]})
    encoder = encoding.learn(read_rows(frame), {"a": "label", "b": "onehot"})
    assert encoder.categories == {"a": ["200", "404"], "b": ["false", "true"]}
    assert encoder.encode(read_rows(frame)).tolist() == [[1, 0, 1], [2, 0, 0], [0, 1, 0]]


@given(st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=20), st.lists(st.text(max_size=3)))
def test_encodings_are_their_definitions(training, rows):
    texts = [text for text in training if text is not None]
    rank = {text: at for at, text in enumerate(sorted(set(texts)), 1)}
    share = {text: texts.count(text) / len(training) for text in texts}
    kinds = ("label", "frequency", "hash", "binary", "onehot")
    schema = dict(zip("abcde", kinds, strict=True))
    encoder = encoding.learn(read_rows([dict.fromkeys("abcde", text) for text in training], None, "text"), schema)
    rows = [*rows, *texts]
    got = encoder.encode(read_rows([dict.fromkeys("abcde", text) for text in rows], None, "text"))
    assert got.shape == (len(rows), 4 + len(rank)) == (len(rows), len(encoder.features))
    for text, numbers in zip(rows, got.tolist(), strict=True):
        digest = int(hashlib.md5(text.encode()).hexdigest()[:8], 16) % 1_000_000
        truth = text.strip().lower() in {"true", "yes", "1", "on", "t", "y"}
        unseen = min(share.values(), default=1) / 2
        assert numbers[:4] == [rank.get(text, 0), share.get(text, unseen), digest, truth]
        assert numbers[4:] == [category == text for category in sorted(rank)]


def test_onehot_keeps_the_first_100_sorted_categories():
    encoder = encoding.learn(table([f"{n:03}" for n in range(150)]), {"a": "onehot"})
    assert encoder.features == tuple(f"a_{n:03}" for n in range(100))
    rows = encoder.encode(table(["000", "099", "100"]))
    assert [np.flatnonzero(row).tolist() for row in rows] == [[0], [99], []]


def test_a_schema_is_inferred_from_what_the_columns_hold():
    rows = [
        {"n": n, "b": n > 3, "few": f"{n % 100}", "many": f"{n % 101}", "mixed": n if n else "x", "none": None}
        for n in range(300)
    ]
    inferred = encoding.infer(read_rows(rows, None, "text"))
    kinds = {"n": "numeric", "b": "binary", "few": "label", "many": "hash", "mixed": "hash", "none": "numeric"}
    assert inferred == kinds


def test_columns_come_in_the_order_of_the_schema_and_others_are_ignored():
    encoder = encoding.learn(read_rows([{"a": 1, "b": 2, "c": 3}], None, "text"), {"c": "numeric", "a": "numeric"})
    assert np.array_equal(encoder.encode(read_rows([{"b": 9, "a": 5}], None, "text")), [[np.nan, 5]], equal_nan=True)


@pytest.mark.parametrize("kind", encoding.ENCODINGS)
def test_an_encoder_is_data(kind):
    encoder = encoding.learn(table(VERBS if kind != "numeric" else [1, 2]), {"a": kind})
    assert Encoder.from_json(encoder.to_json()) == encoder


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"schema":{"a":"magic"},"categories":{},"shares":{}}',
        '{"schema":{"a":"label"},"categories":{},"shares":{}}',
        '{"schema":{"a":"label"},"categories":{"a":[1]},"shares":{}}',
        '{"schema":{"a":"onehot"},"categories":{"a":"GET"},"shares":{}}',
        '{"schema":{"a":"frequency"},"categories":{},"shares":{"a":{"x":NaN}}}',
        '{"schema":{"a":"frequency"},"categories":{},"shares":{"a":{"x":"1"}}}',
    ],
)
def test_a_text_that_is_no_encoder_is_refused(text):
    with pytest.raises((ValueError, KeyError, TypeError)):
        Encoder.from_json(text)


@pytest.mark.parametrize(
    ("values", "row", "shown"),
    [
        ([1, 2, "x"], 2, "'x'"),
        ([1, "2", 3], 1, "'2'"),
        (["1"], 0, "'1'"),
        ([None, 5, True], 2, "'true'"),
        ([True, 5], 0, "'true'"),
        ([True], 0, "true"),
    ],
)
def test_what_is_no_number_in_a_numeric_column_is_refused_with_its_place(values, row, shown):
    with pytest.raises(InvalidRequestError, match=f"has {shown} in row {row}") as caught:
        encoding.learn(table(values), {"a": "numeric"}).encode(table(values))
    assert caught.value.refusals[0].loc == ("data", row, "a")


def test_a_column_of_the_schema_that_no_row_has_is_refused_in_training_and_null_in_scoring():
    with pytest.raises(InvalidRequestError, match="'b', which no row has") as caught:
        encoding.learn(table(["x"]), {"a": "label", "b": "label"})
    assert caught.value.refusals[0].loc == ("schema", "b")
    encoder = encoding.learn(table(["x"]), {"a": "label"})
    assert encoder.encode(table(["x"], name="c")).tolist() == [[0]]


@pytest.mark.parametrize("kind", ["label", "frequency"])
def test_a_million_categories_are_refused_with_what_to_do(kind):
    many = table([str(n) for n in range(1_000_000)])
    with pytest.raises(InvalidRequestError, match=r"1000000 categories.*'hash'") as caught:
        encoding.learn(many, {"a": kind})
    assert caught.value.refusals[0].loc == ("schema", "a")
    assert encoding.learn(table(["x", "y"]), {"a": kind}, most_categories=2).features == ("a",)


def test_a_million_texts_may_be_hashed_or_cut_to_100_columns():
    many = table([str(n) for n in range(1_000_000)])
    encoder = encoding.learn(many, {"a": "hash"})
    assert len(np.unique(encoder.encode(many))) > 600_000
    assert len(encoding.learn(many, {"a": "onehot"}).features) == 100
