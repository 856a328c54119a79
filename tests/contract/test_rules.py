"""Every rule of the contract, one row each, against a real server."""

import re

import pytest
from millstream.server.endpoints import ENDPOINTS

from tests.contract import rows_anomaly, rows_buffers, rows_common, rows_polars, rows_streams
from tests.contract.rule import check

ROWS = [*rows_common.RULES, *rows_polars.RULES, *rows_buffers.RULES, *rows_anomaly.RULES, *rows_streams.RULES]


@pytest.mark.parametrize("rule", [pytest.param(row, id=row.rule) for row in ROWS])
def test_rule(rule, server):
    check(rule, server)


@pytest.mark.parametrize("endpoint", [pytest.param(e, id=f"{e.method} {e.path}") for e in ENDPOINTS])
def test_an_endpoint_has_rows(endpoint):
    path = re.compile(re.sub(r"{\w+}", "[^/]+", endpoint.path))
    asked = [row for row in ROWS if row.ask[0] == endpoint.method and path.fullmatch(row.endpoint[1])]
    assert any(row.status == 200 for row in asked)


def test_each_rule_is_named_once():
    names = [row.rule for row in ROWS]
    assert not {name for name in names if names.count(name) > 1}
