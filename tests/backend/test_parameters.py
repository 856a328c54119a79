"""Which values a hyperparameter takes."""

import pytest
from millstream.backend.base import BackendInfo, Parameter, checked_params
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
