"""The page and the plots a run of the benchmarks writes."""

from xml.etree import ElementTree

import pytest
from chart import Bars, draw
from ratio import Ratio, summarize
from results import Reach, Row, shown, write

FAST = Row("numbers", "add", "abacus", Ratio(250.0, 10_000.0, 40.0, 3), Reach(times=30, ours=300))
SLOW = Row("numbers", "take <away>", "abacus", Ratio(3e6, 1e6, 1 / 3, 3), Reach(share=1.6))
SMALL = Row("numbers", "hold", "paper", Ratio(4e3, 8e3, 2.0, 1), unit="B")


def test_the_page_shows_each_row_and_whether_it_reached_what_was_asked(tmp_path):
    page = tmp_path / "RESULTS.md"
    write(page, [FAST, SLOW, SMALL], {"numbers": "Numbers, added"})
    text = page.read_text()
    assert "| add | 250 ns | 10 us abacus | 40x faster | 30x faster, <= 300 ns: yes |" in text
    assert "| take <away> | 3 ms | 1 ms abacus | 3.00x the peer | <= 1.6x peer: **no** |" in text
    assert "| hold | 4 kB | 8 kB paper | 2x smaller |  |" in text
    assert "cores" in text
    assert "blacksheep" in text
    assert [p.name for p in sorted((tmp_path / "results").iterdir())] == ["numbers.svg", "numbers_memory.svg"]


def test_a_run_of_less_than_everything_says_so(tmp_path):
    write(tmp_path / "all.md", [FAST], {"numbers": "Numbers"}, ["bench"])
    write(tmp_path / "one.md", [FAST], {"numbers": "Numbers"}, ["bench/test_numbers.py"])
    assert "asked for" not in (tmp_path / "all.md").read_text()
    assert "asked for bench/test_numbers.py alone" in (tmp_path / "one.md").read_text()


def test_plots_of_topics_that_are_gone_are_removed(tmp_path):
    page = tmp_path / "RESULTS.md"
    write(page, [FAST], {"numbers": "Numbers"})
    write(page, [Row("words", "say", "parrot", FAST.ratio)], {"words": "Words"})
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["words.svg"]


def test_bars_are_as_long_as_the_logarithm_says():
    root = ElementTree.fromstring(draw([Bars("a & b", (10.0, "ten"), (1000.0, "thousand"))], "Title", "ns"))
    ours, peer = (float(bar.get("width")) for bar in root.findall("{*}rect") if bar.get("height") == "12")
    low = 1 - 0.3
    assert peer / ours == pytest.approx((3 - low) / (1 - low), rel=0.01)
    assert {"a & b", "ten", "thousand", "10 ns", "1 us"} <= {text.text for text in root.findall("{*}text")}


@pytest.mark.parametrize(
    ("reach", "met"),
    [
        (Reach(times=40), True),
        (Reach(times=41), False),
        (Reach(share=0.025), True),
        (Reach(share=0.02), False),
        (Reach(ours=250), True),
        (Reach(ours=249), False),
        (Reach(times=1, ours=1), False),
    ],
)
def test_a_reach_is_met_when_all_of_it_is(reach, met):
    assert reach.met(FAST.ratio) is met


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.5, "ns", "0.5 ns"), (999, "ns", "999 ns"), (1500, "ns", "1.5 us"), (2e9, "ns", "2 s"), (1.2e6, "B", "1.2 MB")],
)
def test_values_are_shown_for_people(value, unit, text):
    assert shown(value, unit) == text


def test_a_ratio_is_the_median_of_neighbouring_slices():
    assert summarize([(1, 10), (2, 40), (4, 40)]) == Ratio(ours_ns=2, peer_ns=40, times=10, pairs=3)
