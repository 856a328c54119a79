"""A file may hold any arrays: they are refused, or scored without reading beyond them."""

import os
import subprocess
import sys

import pytest


@pytest.mark.timeout(900)
def test_no_kernel_reads_beyond_arrays_that_lie(tmp_path):
    checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-m", "tests.backend.lying_arrays"]
    run = subprocess.run(command, env=checked, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout == ""
