"""One thread for a fit: sums that threads share differ from fit to fit, and small ones cost more."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Within it the BLAS and OpenMP libraries loaded when it was first called use one thread."""
    limited: AbstractContextManager[Any] = _controller().limit(limits=1)
    return limited


@cache
def _controller() -> Any:
    """Finding the libraries takes 3 ms, a third of a small fit."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
