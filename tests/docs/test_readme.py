"""Every example of the README, run as it stands: the answers shown are the answers that come."""

import doctest
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
ASKED = [
    (text, json.loads(answer))
    for (kind, text), (answer_kind, answer) in pairwise(BLOCKS)
    if (kind, answer_kind) == ("bash", "json")
]
VARY = {"resolved", "memory_bytes"}  # names that hold the time, and sizes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("readme")


@pytest.mark.parametrize(("commands", "answer"), ASKED, ids=range(len(ASKED)))
def test_curl_prints_what_is_shown(commands, answer, server, folder):
    commands = commands.replace("localhost:14345", f"127.0.0.1:{server.port}")
    done = subprocess.run(["bash", "-ec", commands], cwd=folder, capture_output=True, text=True, check=True, timeout=60)
    assert steady(json.loads(done.stdout)) == steady(answer)


def test_there_are_curl_examples():
    assert len(ASKED) >= 4


@pytest.mark.parametrize("text", [text for kind, text in BLOCKS if kind == "python"])
def test_python_prints_what_is_shown(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(text, {}, "README.md", "README.md", 0)
    assert examples.examples
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(examples).failed == 0


def test_the_replay_prints_what_is_shown():
    command, shown = next(
        (text, shown) for (kind, text), (_, shown) in pairwise(BLOCKS) if kind == "bash" and "replay_csv" in text
    )
    done = subprocess.run(
        [sys.executable, *command.split()[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    lines = [line for line in without_seconds(shown).splitlines() if line != "..."]
    assert len(lines) > 4
    assert [line for line in without_seconds(done.stdout).splitlines() if line in lines] == lines


def without_seconds(text):
    return re.sub(r"in \d+\.\d+ s:", "in SECONDS:", text)


def steady(value):
    """`value` without what differs from run to run, numbers to 12 digits."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in VARY}
    if isinstance(value, list):
        return [steady(item) for item in value]
    return pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
