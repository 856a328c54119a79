"""The model of a stream: the fused path of a backend and the general one give the same numbers."""

from dataclasses import asdict

import millstream as ms
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from millstream.backend.registry import backend_class
from millstream.calibration import ROW, Calibration
from millstream.detector import Detector
from millstream.stream_model import StreamModel, describe, fit_model, fit_settings
from millstream.stream_settings import StreamSettings

FUSED = [info.backend for info in ms.backends() if backend_class(info.backend).stream_kernels() is not None]
cells = st.one_of(st.integers(-3, 3).map(float), st.floats(-1e307, 1e307), st.floats(-5, 5))


def general(backend, columns, own):
    """A model that scores by the backend itself."""
    detector = Detector(**asdict(fit_settings(StreamSettings(backend=backend)))).fit(columns.T.copy())
    return StreamModel(describe(detector, columns[:own]).packed, detector.fitted_backend, None)


def judged(model, rows):
    calibration = Calibration(0.1, 100, width=rows.shape[1])
    return model.score_rows(calibration.live, rows)


@pytest.mark.parametrize("backend", FUSED)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_fused_fit_makes_the_model_of_the_general_path(backend, data):
    width, n = data.draw(st.integers(1, 20)), data.draw(st.integers(10, 60))
    columns = np.array(data.draw(st.lists(st.lists(cells, min_size=n, max_size=n), min_size=width, max_size=width)))
    own = data.draw(st.integers(1, width))
    fused, plain = fit_model(StreamSettings(backend=backend), columns, own), general(backend, columns, own)
    assert fused.packed.tolist() == plain.packed.tolist()
    assert {name: a.tolist() for name, a in fused.arrays().items()} == {
        name: a.tolist() for name, a in plain.arrays().items()
    }


@pytest.mark.parametrize("backend", FUSED)
@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(st.one_of(cells, st.just(float("nan"))), min_size=3, max_size=3), min_size=1, max_size=20)
)
def test_fused_scoring_gives_the_scores_of_the_general_path(backend, rows):
    columns = np.round(np.random.default_rng(0).normal(size=(3, 80)), 1)
    fused, plain = fit_model(StreamSettings(backend=backend), columns, 2), general(backend, columns, 2)
    expected = judged(plain, np.array(rows))
    assert judged(fused, np.array(rows)).tolist() == expected.tolist()
    for model in (fused, plain):
        calibration = Calibration(0.1, 100, width=3)
        for row, want in zip(rows, expected.T, strict=True):
            calibration.live[ROW : ROW + 3] = row
            assert model.row_scorer(calibration.live)() == (want[0], want[1], want[2] > 0)


@pytest.mark.parametrize("backend", FUSED)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_fit_that_continues_another_makes_the_same_model(backend, data):
    n, shift, width = data.draw(st.integers(10, 40)), data.draw(st.integers(0, 45)), data.draw(st.integers(1, 3))
    columns = np.array(data.draw(st.lists(st.lists(cells, min_size=90, max_size=90), min_size=width, max_size=width)))
    before = fit_model(StreamSettings(backend=backend), columns[:, :n].copy(), 1, first=100)
    longer = n + data.draw(st.integers(0, 5))  # a window that is not yet full grows
    window = columns[:, shift : shift + longer].copy()
    spare = data.draw(st.sampled_from([None, fit_model(StreamSettings(backend=backend), window[:, ::-1].copy(), 1)]))
    after = fit_model(StreamSettings(backend=backend), window, 1, 100 + shift, before, spare)
    assert after.packed.tolist() == fit_model(StreamSettings(backend=backend), window, 1).packed.tolist()


@pytest.mark.parametrize("width", [127, 128, 129, 300])
def test_a_fused_fit_sums_many_columns_in_the_order_of_the_general_path(width):
    columns = np.round(np.random.default_rng(0).normal(size=(width, 40)), 1)
    assert fit_model(StreamSettings(), columns, 2).packed.tolist() == general("ecod", columns, 2).packed.tolist()


@pytest.mark.parametrize("hard", [np.nan, 1.5e308])
def test_a_window_with_missing_or_huge_values_takes_the_general_path(hard):
    columns = np.random.default_rng(0).normal(size=(2, 50))
    columns[1, 7] = hard
    model = fit_model(StreamSettings(), columns, 2)
    assert isinstance(model, StreamModel)
    assert model.packed.tolist() == general("ecod", columns, 2).packed.tolist()
