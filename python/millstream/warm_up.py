"""Compile, or load from the cache, every kernel that scores: at install, and behind the start of a server.

The kernels have explicit signatures and `cache=True`, so importing their modules is all it takes (measured: seconds the
first time, 0.4 s for the first and little for each further one from then on).
"""

from importlib import import_module

KERNELS = (
    "millstream.calibration",
    "millstream.backend.ecod_kernels",
    "millstream.backend.isolation_forest_kernels",
)


def load_kernels() -> None:
    """Load all kernels."""
    for module in KERNELS:
        import_module(module)


if __name__ == "__main__":
    load_kernels()
