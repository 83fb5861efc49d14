"""What a person sees on stderr while a command takes long; a pipe sees nothing."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

from beyond_chinchilla.cli.output import is_quiet

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

# Before that long nobody wonders [s].
PATIENCE = 2.0


class Progress:
    """A line on a terminal's stderr, from two seconds on: what goes on, and how far it is where that is known.

    Parameters
    ----------
    stage : str
        What goes on; may be changed on the way.

    Examples
    --------
    >>> with Progress("drawing samples") as progress:
    ...     for done in range(3):
    ...         progress.advance(done + 1, 3)
    """

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._done, self._total = 0, 0
        self._bar: Bar | None = None
        self._timer: threading.Timer | None = None
        # The timer's thread and the command's both touch the bar.
        self._lock = threading.Lock()

    @property
    def stage(self) -> str:
        """What goes on."""
        return self._stage

    @stage.setter
    def stage(self, words: str) -> None:
        self._stage = words
        self.advance(0, 0)

    def advance(self, done: int, total: int, stage: str | None = None) -> None:
        """Say how much of the stage is done, and maybe what it is now; a total of 0 where nobody knows."""
        with self._lock:
            self._stage = stage or self._stage
            self._done, self._total = done, total
            if self._bar is not None:
                self._bar.update(self._bar.task_ids[0], description=self._stage, completed=done, total=total or None)

    def __enter__(self) -> Progress:
        if sys.stderr is not None and sys.stderr.isatty() and not is_quiet():
            self._timer = threading.Timer(PATIENCE, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()
        with self._lock:
            if self._bar is not None:
                self._bar.stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
        )
        bar = Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
        with self._lock:
            bar.add_task(self._stage, completed=self._done, total=self._total or None)
            bar.start()
            self._bar = bar
