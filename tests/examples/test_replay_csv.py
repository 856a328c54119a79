"""The example that replays a CSV: alarms at the machine's failures, and the truth about the rest."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import replay_csv

SCRIPT = Path(replay_csv.__file__)
MACHINE = SCRIPT.parent / "data" / "machine_temperature_system_failure.csv"


def replay(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False, timeout=100
    )


def test_the_machine_alarms_at_its_shutdown_and_before_its_failure():
    done = replay(MACHINE)
    assert done.returncode == 0, done.stderr
    alarms = [line for line in done.stdout.splitlines() if "ALARM" in line]
    labelled = [line[:10] for line in alarms if line.endswith("  labelled")]
    assert "2013-12-15" in labelled  # the planned shutdown
    assert "2014-02-07" in labelled  # the day before the failure
    assert len(alarms) <= 20  # in eleven weeks
    assert "3 of 4 labelled windows alarmed" in done.stdout
    outside = re.search(r"(\d+) of 20427 rows outside the labelled windows alarmed \(0\.\d\d %\)", done.stdout)
    assert sum(map(int, re.findall(r"ALARM +(\d+) rows?", done.stdout))) >= int(outside[1]) > 0


def test_a_reader_that_has_seen_enough_is_no_error():
    """As in `| head`."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, SCRIPT, MACHINE], stdout=write, stderr=subprocess.PIPE, check=False, timeout=100
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_shipped_series_names_its_source_and_licence():
    text = (MACHINE.parent / "SOURCE.txt").read_text()
    for word in (MACHINE.name, "https://github.com/numenta/NAB", "Licence (MIT)", "Copyright"):
        assert word in text


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "table.csv"
        path.write_text(text)
        return path

    return write


def steps(rows):
    """Two columns, missing cells of both kinds, and one row that is far off and labelled."""
    lines = [
        f"2026-01-01T00:{n // 60:02}:{n % 60:02},{n % 7},{n % 5 if n % 9 else 'nan' if n % 2 else ''},0"
        for n in range(rows)
    ]
    lines[-10] = "2026-01-01T09:00:00,900,900,1"
    return "\n".join(["time,a,b,label", *lines]) + "\n"


@pytest.mark.parametrize("through", ["library", "service"])
def test_library_and_service_find_the_labelled_row(table, url, through):
    done = replay(table(steps(400)), *(["--url", url] if through == "service" else []))
    assert done.returncode == 0, done.stderr
    assert re.search(r"2026-01-01T09:00:00  ALARM .* a 900\.0  b 900\.0  labelled", done.stdout)
    assert "400 rows in " in done.stdout
    assert "1 of 1 labelled windows alarmed" in done.stdout


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "header line"),
        ("a,b\n1\n", "header line"),
        ("a,b\nx,y\n", "no column of numbers"),
        ("a\n" + "1\n" * 60 + "inf\n", "inf"),
    ],
)
def test_what_is_no_series_is_refused_with_a_sentence(table, text, word):
    done = replay(table(text))
    assert done.returncode == 1
    assert word in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_named():
    done = replay("absent.csv")
    assert done.returncode == 1
    assert "absent.csv" in done.stderr


def test_a_service_that_is_not_there_is_named(table):
    done = replay(table(steps(50)), "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "make serve" in done.stderr
    assert "Traceback" not in done.stderr
