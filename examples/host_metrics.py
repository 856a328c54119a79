"""Watch the machine this runs on: CPU, memory, disk and network, once a second, through the service's stream.

    python examples/host_metrics.py                     # until Ctrl-C
    python examples/host_metrics.py --seconds 300

The first 50 samples train the first model, so alarms can come after 50 s. Run a busy loop beside it, for instance
`python -c "while True: pass"`, and it alarms if the machine was quieter before. The detector stays in the service while
that runs, and the next run goes on with it; `--reset` starts anew. Linux only: the figures come from /proc.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from service import DEFAULT_URL, ServiceError, call

Sample = dict[str, float]


def main() -> int:
    options = _options()
    name = "host-" + re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:100]
    try:
        if options.reset:
            forget(options.url, name)
        alarms = follow(options.url, name, samples(Path("/proc"), options.interval, options.seconds))
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    print(f"{alarms} alarms; the detector {name!r} stays in the service")
    return 0


def follow(url: str, name: str, source: Iterator[Sample]) -> int:
    """Send every sample to the stream `name`, print an alarm for each episode, and return how many there were."""
    alarms, version = 0, 0
    for sample in source:
        # Half a percent of the seconds may alarm, each ten seconds once: a longer silence after a false alarm would
        # hide a true one from whoever tries the busy loop.
        body = {"model": name, "data": sample, "contamination": 0.005, "quiet_rows": 10}
        answer = call(url, "POST", "/v1/ml/anomaly/stream", body)
        result = answer["results"][0]
        if answer["model_version"] > version == 0:
            print(f"model version {answer['model_version']} is watching {', '.join(sample)}", flush=True)
        version = answer["model_version"]
        if result["is_alert"]:
            alarms += 1
            figures = "  ".join(f"{key}={value:,.6g}" for key, value in sample.items())
            print(f"{time.strftime('%H:%M:%S')}  ALARM  score {result['score']:.3f}  {figures}", flush=True)
    return alarms


def forget(url: str, name: str) -> None:
    """Delete the stream `name` if there is one."""
    known = call(url, "GET", "/v1/ml/anomaly/stream/detectors")["data"]
    if any(detector["model_id"] == name for detector in known):
        call(url, "DELETE", f"/v1/ml/anomaly/stream/{name}")


def samples(proc: Path, interval: float, seconds: float | None) -> Iterator[Sample]:
    """One sample per interval: shares of CPU and memory in percent, disk and network in bytes a second."""
    before, start = counters(proc), time.monotonic()
    wanted = None if seconds is None else max(1, round(seconds / interval))
    taken = 0
    while wanted is None or taken < wanted:
        taken += 1
        time.sleep(max(0.0, start + taken * interval - time.monotonic()))
        now = counters(proc)
        yield sample(before, now, memory_percent(proc))
        before = now


def sample(before: Sample, now: Sample, memory: float) -> Sample:
    """The figures of one interval from the counters at both its ends."""
    seconds = max(now["seconds"] - before["seconds"], 1e-9)
    ticks = max(now["ticks"] - before["ticks"], 1.0)

    def rate(key: str) -> float:
        return max(0.0, now[key] - before[key]) / seconds

    return {
        "cpu_percent": round(100.0 * (now["busy"] - before["busy"]) / ticks, 2),
        "memory_percent": round(memory, 2),
        "disk_read": rate("disk_read"),
        "disk_written": rate("disk_written"),
        "net_received": rate("net_received"),
        "net_sent": rate("net_sent"),
    }


def counters(proc: Path) -> Sample:
    """What the kernel has counted since boot."""
    cpu = [float(field) for field in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    disks = [line.split() for line in (proc / "diskstats").read_text().splitlines()]
    whole = [fields for fields in disks if not re.match(r"(loop|ram|zram|dm-)|.*\d+p\d+$|[hsv]d[a-z]+\d+$", fields[2])]
    nets = [
        line.split(":")[1].split() for line in (proc / "net" / "dev").read_text().splitlines()[2:] if " lo:" not in line
    ]
    return {
        "seconds": time.monotonic(),
        "ticks": sum(cpu),
        "busy": sum(cpu) - cpu[3] - cpu[4],  # all but idle and waiting for disks
        "disk_read": 512.0 * sum(float(fields[5]) for fields in whole),
        "disk_written": 512.0 * sum(float(fields[9]) for fields in whole),
        "net_received": sum(float(fields[0]) for fields in nets),
        "net_sent": sum(float(fields[8]) for fields in nets),
    }


def memory_percent(proc: Path) -> float:
    """Share of the memory that is in use."""
    lines = (line.split() for line in (proc / "meminfo").read_text().splitlines())
    kilobytes = {fields[0]: float(fields[1]) for fields in lines}
    return 100.0 * (1.0 - kilobytes["MemAvailable:"] / kilobytes["MemTotal:"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Watch this machine through millstream and print its alarms.")
    parser.add_argument("--url", default=DEFAULT_URL, help=f"address of the service (default {DEFAULT_URL})")
    parser.add_argument("--seconds", type=float, help="stop after this long (default: until Ctrl-C)")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between samples (default 1)")
    parser.add_argument("--reset", action="store_true", help="delete what earlier runs left in the service")
    options = parser.parse_args()
    if options.interval <= 0:
        parser.error(f"--interval is {options.interval}; give seconds above 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
