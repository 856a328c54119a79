"""The nearest rows against every distance there is, and LOF against its definition."""

import millstream as ms
import numpy as np
import pytest
from millstream.backend import neighbors
from millstream.backend.base import FitContext
from millstream.backend.local_outlier_factor import LocalOutlierFactor
from millstream.backend.neighbors import Neighbors

CHANCE = np.random.default_rng(7)
NORMAL = CHANCE.normal(size=(1_000, 40))
GRID = CHANCE.integers(0, 3, size=(700, 4)).astype(np.float64)
ROWS = {
    "one row": NORMAL[:1, :2],
    "two rows": NORMAL[:2, :2],
    "a full leaf": NORMAL[:16, :2],
    "a leaf and a row": NORMAL[:17, :2],
    "a full family": NORMAL[:128, :3],
    "a family and a row": NORMAL[:129, :3],
    "three families": NORMAL[:300, :5],
    "one column": NORMAL[:, :1],
    "four columns": NORMAL[:, :4],
    "fifteen columns": NORMAL[:, :15],
    "sixteen columns": NORMAL[:, :16],
    "forty columns": NORMAL,
    "ties": GRID,
    "ties in many columns": CHANCE.integers(0, 2, size=(700, 24)).astype(np.float64),
    "columns that repeat": np.tile(GRID, (1, 5)),
    "all equal": np.ones((200, 3)),
    "scales": NORMAL[:500, :3] * [1e-9, 1.0, 1e9],
    "squares overflow": NORMAL[:500, :2] * 1e200,
}
ROWS = {name: np.ascontiguousarray(rows) for name, rows in ROWS.items()}
tables = pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS.keys())


def queries(rows):
    """Rows near the training rows, among them, and far away."""
    near = rows[CHANCE.integers(0, len(rows), 20)]
    return np.vstack(
        [near, near + 0.5 * CHANCE.normal(size=near.shape), 1e3 * near, np.full((1, rows.shape[1]), 1e150)]
    )


def squares(rows, query):
    """Squared distances from `query` to all rows, summed column by column."""
    total = np.zeros(len(rows))
    with np.errstate(over="ignore"):
        for j in range(rows.shape[1]):
            total += (rows[:, j] - query[j]) ** 2
    return total


@tables
@pytest.mark.parametrize("k", [1, 2, 5, 8, 9, 21, 100])
def test_no_row_is_nearer_than_the_nearest(rows, k):
    k, several = min(k, len(rows)), queries(rows)
    distances, places = Neighbors(rows).search(several, k)
    expected = np.array([np.sort(squares(rows, query))[:k] for query in several])
    assert np.array_equal(distances, expected)
    for found, reached in zip(places, np.isfinite(distances), strict=True):
        assert len(set(found[reached])) == reached.sum()


@tables
def test_a_place_is_that_of_a_row_at_its_distance(rows):
    several, neighbors = queries(rows)[:40], Neighbors(rows)
    distances, places = neighbors.search(several, min(6, len(rows)))
    row_at = {place: row for row, place in enumerate(neighbors.place_of.tolist())}
    for query, found, at in zip(several, distances, places, strict=True):
        reached = np.isfinite(found)
        assert np.array_equal(squares(rows, query)[[row_at[place] for place in at[reached].tolist()]], found[reached])


@pytest.mark.parametrize(
    ("name", "by_product"),
    [
        ("fifteen columns", False),
        ("forty columns", True),
        ("ties in many columns", True),
        ("columns that repeat", False),
    ],
)
def test_many_columns_are_searched_by_products_unless_they_repeat_one_another(name, by_product):
    rows = ROWS[name]
    assert Neighbors(rows).by_product(rows) == by_product
    assert not Neighbors(rows).by_product(rows[:1])


@tables
def test_equal_distances_are_ordered_by_place(rows):
    distances, places = Neighbors(rows).search(queries(rows)[:40], min(30, len(rows)))
    equal = np.isfinite(distances[:, 1:]) & (distances[:, 1:] == distances[:, :-1])
    assert (np.diff(places, axis=1)[equal] > 0).all()


@tables
def test_a_place_to_skip_is_not_found(rows):
    neighbors, k = Neighbors(rows), min(7, len(rows) - 1)
    if k:
        distances, _ = neighbors.search(rows, k, neighbors.place_of)
        for i in range(0, len(rows), 1 + len(rows) // 50):
            assert np.array_equal(distances[i], np.sort(squares(np.delete(rows, i, axis=0), rows[i]))[:k])


@tables
def test_a_row_alone_and_a_batch_find_the_same(rows):
    several, neighbors = queries(rows)[:-1], Neighbors(rows)
    k = min(5, len(rows))
    together = neighbors.search(several, k)
    for i in range(len(several)):
        distances, _ = neighbors.search(several[i : i + 1], k)
        assert np.array_equal(distances[0], together[0][i])


def local_outlier_factors(rows, several, k):
    """The definition, with all rows that tie at the k-th distance; 1e-10 is scikit-learn's."""
    between = np.sqrt([squares(rows, row) for row in rows])
    np.fill_diagonal(between, np.inf)
    reaches = np.sort(between, axis=1)[:, k - 1]

    def density(away):
        ball = away <= np.sort(away)[k - 1]
        return 1 / (np.maximum(away[ball], reaches[ball]).mean() + 1e-10), ball

    densities = np.array([density(away)[0] for away in between])
    found = [density(np.sqrt(squares(rows, row))) for row in several]
    return np.array([densities[ball].mean() / own for own, ball in found])


@pytest.mark.parametrize(
    "name", ["three families", "four columns", "forty columns", "ties", "ties in many columns", "columns that repeat"]
)
def test_local_outlier_factors_are_those_of_the_definition(name):
    rows = ROWS[name][:700]
    several = queries(rows)[:60]
    ours = LocalOutlierFactor({}, FitContext())
    ours.fit(rows)
    np.testing.assert_allclose(ours.score(several), local_outlier_factors(rows, several, 20), rtol=1e-9)


@pytest.mark.parametrize("backend", ["knn", "local_outlier_factor", "suod"])
@pytest.mark.parametrize("columns", [3, 20])
def test_rows_in_blocks_of_any_size_have_the_same_scores(
    backend: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(columns)
    detector = ms.Detector(backend).fit(chance.normal(size=(300, columns)))
    rows = chance.normal(size=(101, columns))
    whole = detector.raw_score(rows)
    monkeypatch.setattr(neighbors, "_LISTED", 500)  # 23 rows of 21 neighbours
    assert np.array_equal(detector.raw_score(rows), whole)
