"""SIGKILL at any moment of saving, keeping and deleting: what was acknowledged stays, the rest is whole or absent."""

import subprocess
import sys

KILLS = 200
SEED = 20261126


def test_what_was_acknowledged_outlives_200_kills(tmp_path):
    command = [sys.executable, "-m", "tests.server.killed_store", str(tmp_path / "models"), str(SEED), str(KILLS)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    kills, acknowledged = map(int, run.stdout.split())
    assert kills == KILLS
    assert acknowledged > KILLS  # the kills meet changes, not only beginnings
