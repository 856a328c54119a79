"""A rule of the contract as a row: what is asked after what, and what must come back."""

import json
from dataclasses import dataclass, field
from typing import Any

CODES = {
    400: {"invalid_json", "invalid_request"},
    401: {"unauthorized"},
    404: {"not_found"},
    405: {"method_not_allowed"},
    408: {"timeout"},
    409: {"conflict"},
    413: {"too_large"},
    415: {"unsupported_media_type"},
    422: {"invalid_request"},
    429: {"overloaded"},
    431: {"header_too_large"},
    503: {"overloaded"},
}


@dataclass(frozen=True)
class Rule:
    """One row. `setup` are requests that must succeed first; `expect` a part of the answer; `keys` all its fields."""

    rule: str
    ask: tuple  # method, path[, body[, headers]]
    status: int = 200
    expect: Any = None
    keys: str = ""
    setup: tuple = ()
    unchanged: str = ""  # a path whose answer must be the same before and after
    loc: list = field(default_factory=list)  # where the refusal points
    says: tuple = ()  # words of the detail

    @property
    def endpoint(self):
        return self.ask[0], self.ask[1].partition("?")[0]


def check(rule, server):
    """Run one row against `server`."""
    for request in rule.setup:
        done = server.ask(*request)
        assert done.status == 200, (request, done.body)
    before = server.ask("GET", rule.unchanged).body if rule.unchanged else None
    answer = server.ask(*rule.ask)
    assert answer.status == rule.status, answer.body[:2000]
    if rule.status >= 400:
        check_problem(answer, rule)
    elif rule.keys:
        assert set(answer.json) == set(rule.keys.split())
    if rule.expect is not None:
        assert_part(rule.expect, answer.json)
    if rule.unchanged:
        assert server.ask("GET", rule.unchanged).body == before


def check_problem(answer, rule=None):
    """The whole body of a failure."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    fields = {"type", "title", "status", "detail", "error"}
    assert set(problem) == fields | ({"errors"} if answer.status == 422 else set())
    assert problem["status"] == answer.status
    assert problem["error"] == {"code": problem["error"]["code"], "message": problem["detail"]}
    assert problem["error"]["code"] in CODES[answer.status]
    assert problem["detail"].endswith(".")
    assert "Traceback" not in problem["detail"]
    if answer.status in {429, 503}:
        assert int(answer.headers["retry-after"]) > 0
    if answer.status == 405:
        assert answer.headers["allow"]
    for place in problem.get("errors", []):
        assert set(place) == {"loc", "message"}
        assert place["message"].endswith(".")
    if rule is not None:
        if rule.loc:
            assert rule.loc in [place["loc"] for place in problem["errors"]], problem
        for word in rule.says:
            assert word in problem["detail"], problem


def assert_part(expected, actual, path="$"):
    """`expected` is a part of `actual`: dicts by their keys, lists whole, types as 'any of this type'."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict), f"{path}: {actual!r}"
        for key, value in expected.items():
            assert key in actual, f"{path} lacks {key!r}: {json.dumps(actual)[:500]}"
            assert_part(value, actual[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert isinstance(actual, list), f"{path}: {actual!r}"
        assert len(expected) == len(actual), f"{path}: {actual!r}"
        for at, (one, other) in enumerate(zip(expected, actual, strict=True)):
            assert_part(one, other, f"{path}[{at}]")
    elif isinstance(expected, type):
        assert type(actual) is expected, f"{path}: {actual!r}"
    else:
        assert expected == actual, f"{path}: {actual!r} is not {expected!r}"
