"""Every backend against its reference, and the table of it in docs/parity.md.

`MILLSTREAM_WRITE_DOCS=1 pytest tests/backend/test_parity.py` writes the lines that changed.
"""

import os

import pytest

from tests.backend import parity

SETS = parity.data_sets()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SETS)
def test_scores_are_those_of_the_reference_and_the_page_says_so(name):
    training = SETS[name]
    found = parity.row(training)
    far = {b: v for b, v in found.items() if v is not None and v > parity.tolerance(b, training)}
    assert not far
    line = parity.line(name, training, found)
    if os.environ.get("MILLSTREAM_WRITE_DOCS"):
        parity.write_line(name, line)
    assert line in parity.PAGE.read_text().splitlines()
