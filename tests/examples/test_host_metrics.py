"""The example that watches its machine: its figures are those of /proc, and a busy machine alarms."""

import random
import re
import subprocess
import sys
from pathlib import Path

import host_metrics
import pytest

SCRIPT = Path(host_metrics.__file__)
PROC = {
    "stat": "cpu  {busy} 0 0 {idle} 50 0 0 0 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
    "diskstats": "8 0 sda 1 0 {read} 0 1 0 {written} 0\n"
    "8 1 sda1 9 0 999999 0 9 0 999999 0\n7 0 loop0 9 0 9 0 9 0 9 0\n",
    "net/dev": "Inter-| Receive\n face |bytes\n  lo: 999999 0 0 0 0 0 0 0 999999 0\n"
    "eth0: {received} 0 0 0 0 0 0 0 {sent} 0 0\n",
    "meminfo": "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 250 kB\n",
}


@pytest.fixture
def proc(tmp_path):
    """A /proc that holds what it is told."""

    def tell(**values):
        for name, text in PROC.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text.format(**values))
        return tmp_path

    return tell


def test_a_sample_holds_the_rates_between_two_looks(proc):
    folder = proc(busy=100, idle=1000, read=10, written=20, received=1000, sent=2000)
    before = host_metrics.counters(folder) | {"seconds": 10.0}
    folder = proc(busy=130, idle=1070, read=14, written=28, received=1600, sent=2200)
    now = host_metrics.counters(folder) | {"seconds": 12.0}
    assert host_metrics.sample(before, now, host_metrics.memory_percent(folder)) == {
        "cpu_percent": 30.0,
        "memory_percent": 75.0,
        "disk_read": 4 * 512 / 2,
        "disk_written": 8 * 512 / 2,
        "net_received": 300.0,
        "net_sent": 100.0,
    }


def test_a_busy_loop_alarms_and_is_told(url, capsys):
    chance = random.Random(0)

    def seconds(count, cpu):
        for _ in range(count):
            yield {
                "cpu_percent": cpu + chance.random() * 4,
                "memory_percent": 40 + chance.random(),
                "disk_written": chance.expovariate(1e-4),
                "net_sent": chance.expovariate(1e-3),
            }

    assert host_metrics.follow(url, "host-test", seconds(90, cpu=3)) <= 2
    assert "model version 1 is watching cpu_percent" in capsys.readouterr().out
    assert host_metrics.follow(url, "host-test", seconds(20, cpu=60)) in (1, 2)
    assert re.search(r"ALARM  score 0\.\d+  cpu_percent=6\d", capsys.readouterr().out)
    host_metrics.forget(url, "host-test")
    host_metrics.forget(url, "host-test")


def test_it_runs_on_this_machine(url):
    command = [sys.executable, SCRIPT, "--url", url, "--seconds", "0.5", "--interval", "0.05", "--reset"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert "alarms; the detector 'host-" in done.stdout


def test_without_a_service_it_says_how_to_start_one():
    command = [sys.executable, SCRIPT, "--url", "http://127.0.0.1:9", "--seconds", "0.01", "--interval", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "make serve" in done.stderr
    assert "Traceback" not in done.stderr
