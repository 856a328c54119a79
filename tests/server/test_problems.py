"""Every error class has a row in the table, and nothing of an unknown error leaves."""

import asyncio
import inspect
import json
from types import SimpleNamespace

import pytest
from millstream import errors
from millstream.errors import InvalidRequestError, MillstreamError, OverloadedError, Refusal
from millstream.server import app
from millstream.server.problems import TABLE, answer

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, MillstreamError)]


@pytest.mark.parametrize("kind", [c for c in CLASSES if c is not MillstreamError])
def test_each_error_class_has_a_row(kind):
    assert any(ancestor in TABLE for ancestor in kind.__mro__)


def test_the_body_says_the_same_sentence_twice_and_where():
    error = InvalidRequestError("No.", refusals=(Refusal(("data", 3, "cpu"), "No."),))
    problem = answer(error.under("body"))
    assert problem.status == 422
    assert json.loads(problem.body) == {
        "type": "about:blank",
        "title": "Invalid request",
        "status": 422,
        "detail": "No.",
        "error": {"code": "invalid_request", "message": "No."},
        "errors": [{"loc": ["body", "data", 3, "cpu"], "message": "No."}],
    }


def test_an_unknown_error_says_nothing_of_itself():
    problem = answer(RuntimeError("secret"))
    assert problem.status == 500
    assert b"secret" not in problem.body


def test_a_full_server_says_when_to_come_again():
    problem = answer(OverloadedError("Full.", 7, status=429))
    assert problem.status == 429
    assert (b"retry-after", b"7") in problem.headers


def test_a_panic_of_the_core_is_answered_like_any_error(monkeypatch):
    class Panic(BaseException):
        """As PyO3 raises it."""

    async def panic(*_):
        raise Panic("secret")

    monkeypatch.setattr(app, "_answer", panic)
    route = app._route(None, SimpleNamespace(open=True))
    request = SimpleNamespace(method="GET", path="/", get_first_header=lambda name: None)
    problem = asyncio.run(route(request))
    assert (problem.status, json.loads(problem.body)["error"]["code"]) == (500, "internal")
