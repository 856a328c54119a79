"""Compile, or load from the cache, every kernel that scores: at install, and behind the start of a server.

The kernels have explicit signatures and `cache=True`, so importing their modules is all it takes (measured: seconds the
first time, 0.4 s for the first and little for each further one from then on).
"""

from importlib import import_module
from pkgutil import iter_modules

import millstream
from millstream import backend


def kernel_modules() -> tuple[str, ...]:
    """Names of the modules that hold kernels: the calibration, and those called `..._kernels`."""
    names = [
        f"{package.__name__}.{module.name}"
        for package in (millstream, backend)
        for module in iter_modules(package.__path__)
        if module.name.endswith("_kernels")
    ]
    return ("millstream.calibration", *names)


def load_kernels() -> None:
    """Load all kernels."""
    for module in kernel_modules():
        import_module(module)


if __name__ == "__main__":
    load_kernels()
