"""loda where projections leave float64."""

import numpy as np
import pytest
from millstream.backend.base import FitContext
from millstream.backend.loda import Loda

CHANCE = np.random.default_rng(1)


@pytest.mark.parametrize("n_bins", [10, 30])
def test_a_projection_in_which_infinities_cancel_is_scored_as_it_was_in_training(n_bins):
    rows = CHANCE.normal(size=(200, 4))
    rows[:3] = 1.7e308 * np.array([[1, -1, 1, -1], [1, 1, -1, -1], [-1, 1, 1, 1]])
    ours = Loda({"n_bins": n_bins}, FitContext())
    assert np.array_equal(ours.fit(rows), ours.score(rows))
