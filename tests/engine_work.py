"""What engines run in tests: apart, so that other processes import little."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np


def spectrum(seed: int) -> np.ndarray:
    """Return numbers whose last bits would tell if anything depended on where they were made."""
    return np.fft.rfft(np.random.default_rng(seed).standard_normal(257)).real


def die_once(flag: str) -> str:
    """Kill this process the first time; the flag file remembers."""
    path = Path(flag)
    if path.name != "calm" and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name


def die_always(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse_odd(item: int) -> int:
    if item % 2:
        raise ZeroDivisionError(f"odd: {item}")
    return item


def wait_for_ever(folder: str) -> None:
    """Say which process this is, by a file."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(3600)


def slow_spectrum(seed: int) -> np.ndarray:
    time.sleep(0.05)
    return spectrum(seed)
