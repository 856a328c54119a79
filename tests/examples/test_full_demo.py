"""The full demo as a user runs it: it finds what it injects, tells the truth, and says what to do when it cannot."""

import os
import re
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples" / "full_demo"
NOBODY = "http://127.0.0.1:9"


def run(script, cwd, url, *arguments):
    """One script with the address of the service from the environment."""
    command = ["sh", DEMO / script] if script.endswith(".sh") else [sys.executable, DEMO / script, *arguments]
    env = os.environ | {"MILLSTREAM_URL": url, "PYTHON": sys.executable}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=110, check=False)


def number(pattern, text):
    found = re.search(pattern, text)
    assert found, f"no {pattern!r} in\n{text}"
    return float(found[1])


def assert_truth(told):
    """All that was injected was found, at most twice the contamination was flagged beside it."""
    assert number(r"injected: (\d+)", told) == told.count("Injecting anomaly: temp=150.0") == 14
    assert number(r"found: (\d+)", told) == 14
    assert number(r"missed: (\d+)", told) == 0
    false, normal = number(r"false alarms: (\d+)", told), number(r"of (\d+) normal", told)
    assert false <= 2 * 0.05 * normal
    assert told.count("ANOMALY at sample") == 14 + false
    assert number(r"without an alert\): (\d+)", told) > 0


def test_the_demo_starts_a_service_and_stops_it(tmp_path):
    done = run("run_full_demo.sh", tmp_path, NOBODY)
    assert done.returncode == 0, done.stderr
    url = re.search(r"Started a service at (http://[^;]+);", done.stdout)[1]
    assert "Collecting... 35 samples until ready" in done.stdout
    assert re.search(r"Sample 100: temp=\d\d\.\d, score=0\.\d\d", done.stdout)
    assert re.search(r"ANOMALY at sample 150: score=\d\.\d\d, is_anomaly=True", done.stdout)
    assert re.search(r"Model retrained: version 2 \(samples: 1\d\d\)", done.stdout)
    for backend in ("ecod", "isolation_forest", "hbos"):
        assert f"Saved factory-demo_{backend}.safetensors and loaded it again" in done.stdout
    assert "temperature_rolling_mean_5" in done.stdout
    assert_truth(done.stdout)
    assert run("04_polars_features.py", tmp_path, url).returncode == 1


def test_what_is_missing_is_named_with_what_to_do_and_then_the_steps_run_twice(tmp_path, url):
    for script, arguments, words in (
        ("02_train_model.py", (), ("training_data.json", "python 01_generate_training_data.py")),
        ("03_streaming_detection.py", (), ("Model 'factory-demo' not found", "python 02_train_model.py")),
        ("04_polars_features.py", ("--show",), ("Buffer 'factory-demo' not found", "python 04_polars_features.py")),
        ("03_streaming_detection.py", (NOBODY,), ("no millstream answers", "make serve")),
    ):
        failed = run(script, tmp_path, url, *arguments)
        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr
        for word in words:
            assert word in failed.stderr
    assert run("01_generate_training_data.py", tmp_path, NOBODY).returncode == 0
    assert run("02_train_model.py", tmp_path, url).returncode == 0
    for _ in range(2):
        streamed, featured = (run(s, tmp_path, url) for s in ("03_streaming_detection.py", "04_polars_features.py"))
        assert_truth(streamed.stdout)
        assert "size: 300" in featured.stdout
