"""Ctrl-C and other signals to stop: what is half done is cleared away, one line says so, the exit code names it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP.
# What a process does about them that has not been told otherwise. One that ignores them, as behind nohup, still does.
_UNTOLD = (signal.SIG_DFL, signal.default_int_handler)


class Stopped(KeyboardInterrupt):
    """A signal asked this process to stop.

    Attributes
    ----------
    exit_code : int
        As shells say of a process that a signal ended: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, number: int) -> None:
        self.exit_code = exit_code_of(number)
        super().__init__(signal.Signals(number).name)


def exit_code_of(number: int) -> int:
    """Return the exit code of a process that a signal ended."""
    return 128 + number


@contextlib.contextmanager
def raised() -> Iterator[list[int]]:
    """Raise `Stopped` at a signal to stop, in a process that does nothing of its own about it.

    Gives the list of signals that came. Some libraries make another error of an exception that comes while they are
    loaded: then the list says what it was.
    """
    came: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        came.append(number)
        raise Stopped(number)

    # Python lets only this thread set handlers.
    ours = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS} if ours else {}
    try:
        for number, handler in before.items():
            if handler in _UNTOLD:
                signal.signal(number, stop)
        yield came
    finally:
        for number, handler in before.items():
            if handler in _UNTOLD:
                signal.signal(number, handler)
