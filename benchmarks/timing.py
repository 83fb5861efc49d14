"""What the benchmarks share: one core, one clock, and quiet unless a person waits."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def one_core() -> None:
    """Stay on one processor, where the system allows it."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def elapsed(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def largest(found: Array, reference: Array) -> float:
    """Return the largest relative difference."""
    return float(np.max(np.abs(found / reference - 1.0)))


def progress(text: str) -> None:
    """Name a slow phase, to a person who waits."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def ask_size(description: str | None, meaning: str, default: int = 1_000_000) -> tuple[argparse.ArgumentParser, int]:
    """Read ``--problems`` from the command line."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--problems", type=int, default=default, help=f"{meaning} (default: %(default)s)")
    size = int(parser.parse_args().problems)
    if size < 1:
        parser.error(f"--problems must be at least 1, not {size}")
    return parser, size
