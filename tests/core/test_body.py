"""A request body: envelope and form at once, JSON errors at once, row errors when the rows are asked for."""

import json

import numpy as np
import pytest
from millstream._core import read_body
from millstream.errors import InvalidJsonError, InvalidRequestError


def test_envelope_is_the_body_without_its_rows() -> None:
    body = read_body(b'{"model": "m", "data": [{"x": 1}, {"x": null}], "n": [1, {"k": 2}]}')
    assert json.loads(body.envelope) == {"model": "m", "n": [1, {"k": 2}]}
    table = body.table()
    assert (table.columns, table.kinds, len(table), table.named) == (("x",), ("float64",), 2, True)
    np.testing.assert_array_equal(table["x"], [1.0, np.nan])


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"null", "null"), (b"{}", "mapping"), (b'[{"a":1}]', "mappings"), (b"[[1]]", "lists"), (b"[]", "empty"),
        (b"7", "other"), (b"[7]", "other"), (b'"x"', "other"),
    ],
)  # fmt: skip
def test_form_says_what_stands_under_the_key(data: bytes, form: str) -> None:
    assert read_body(b'{"data":' + data + b"}").form == form


def test_form_is_absent_without_the_key() -> None:
    assert read_body(b'{"rows": []}').form == "absent"
    whole = read_body(b'{"data": [1]}', None)
    assert (whole.form, json.loads(whole.envelope)) == ("absent", {"data": [1]})
    assert len(read_body(b'{"rows": [{}]}', "rows").table()) == 1


def test_last_of_duplicate_keys_wins() -> None:
    body = read_body(b'{"a": 1, "data": [{"x": []}], "a": 2, "data": [{"x": "t", "x": 3}]}')
    assert json.loads(body.envelope) == {"a": 2}
    assert body.table().to_json() == b'[{"x":3.0}]'


@pytest.mark.parametrize(
    "body",
    [
        b"", b"  ", b"{", b"{}}", b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b'{"a":NaN}', b'{"data":[{"a":Infinity}]}',
        b'{"a":"\\ud800"}', b'{"data":[{"a":1e999},{"a":}]}', b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused_at_once(body: bytes) -> None:
    with pytest.raises(InvalidJsonError):
        read_body(body)


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"'])
def test_json_that_is_no_object_is_an_invalid_request(body: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="not an object"):
        read_body(body)


@pytest.mark.parametrize(
    ("data", "rows", "loc"),
    [
        (b'[{"a":1},{"a":"x"}]', "typed", ("data", 1, "a")),
        (b'[{"a":true}]', "numeric", ("data", 0, "a")),
        (b'[{"a":1},{"a":1e999}]', "text", ("data", 1, "a")),
        (b'[{"a":9007199254740993}]', "typed", ("data", 0, "a")),
        (b'{"a":[1]}', "typed", ("data", 0, "a")),
        (b"[[1,2],[3]]", "typed", ("data", 1)),
        (b"[[1,2],{}]", "typed", ("data", 1)),
        (b"[[1,true]]", "numeric", ("data", 0, "column_1")),
        (b"5", "typed", ("data",)),
        (b"null", "typed", ("data",)),
    ],
)
def test_refused_rows_wait_until_they_are_asked_for(data: bytes, rows: str, loc: tuple[str | int, ...]) -> None:
    body = read_body(b'{"data":' + data + b',"id":1}', "data", rows)  # type: ignore[arg-type]
    assert body.envelope == b'{"id":1}'
    for _ in range(2):
        with pytest.raises(InvalidRequestError) as caught:
            body.table()
        assert [refusal.loc for refusal in caught.value.refusals] == [loc]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"data":[{"a":1},\n{"a":2}],\n"x":NaN}', "expected value at line 3 column 5. JSON has neither NaN"),
        (b'{"data":[[1],\n[-Infinity]]}', "at line 2 column 3. JSON has neither NaN nor Infinity; send null"),
        (b'{"data":[[1],\n[x]]}', "expected value at line 2 column 2. Correct it there."),
        (b'{"data":[[1]', "EOF while parsing a list at line 1 column 12. Correct it there."),
    ],
)
def test_what_is_not_json_is_named_with_its_place_and_what_to_do(body: bytes, says: str) -> None:
    with pytest.raises(InvalidJsonError) as caught:
        read_body(body, "data", "typed")
    assert says in str(caught.value)


def test_text_mode_keeps_what_was_sent() -> None:
    data = b'{"data":[{"m":1.50,"n":7},{"m":"x","n":8.0},{"m":true}]}'
    table = read_body(data, "data", "text").table()
    assert table["m"].tolist() == ["1.50", "x", "true"]
    assert table.kinds == ("string", "float64")
    assert read_body(data, "data", "text").table(["n"])["n"].tolist() == ["7", "8.0", None]
