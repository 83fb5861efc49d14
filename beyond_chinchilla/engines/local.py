"""Engines of this machine: one after the other, on threads, on processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic

from beyond_chinchilla.engines.engine import RETRIES, Item, Result
from beyond_chinchilla.errors import EngineError, InputError


class Serial:
    """This process, one item after the other."""

    workers = 1

    def __enter__(self) -> Serial:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = 2
    ) -> Iterator[tuple[int, Result]]:
        """Yield (index, result) in order; see `Engine.map`."""
        del ahead
        for index, item in enumerate(items):
            yield index, function(item)


@dataclass
class _Task(Generic[Item]):
    """An item on its way."""

    index: int
    item: Item
    tries: int = 0


class _Pool(ABC):
    """An executor of the standard library, opened again where it breaks."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor: Executor | None = None

    @abstractmethod
    def _open(self) -> Executor: ...

    def __enter__(self) -> _Pool:
        self._executor = self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._executor is not None
        self._executor.shutdown(wait=True, cancel_futures=True)

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = 2
    ) -> Iterator[tuple[int, Result]]:
        """Yield (index, result) as results come; see `Engine.map`."""
        waiting = (_Task(index, item) for index, item in enumerate(items))
        flying: dict[Future[Result], _Task[Item]] = {}
        try:
            for task in waiting:
                flying[self._submit(function, task)] = task
                if len(flying) >= self.workers * ahead:
                    yield from self._land(function, flying)
            while flying:
                yield from self._land(function, flying)
        finally:
            # Whoever stops listening, or hears of an error, wants no more of them.
            for future in flying:
                future.cancel()

    def _submit(self, function: Callable[[Item], Result], task: _Task[Item]) -> Future[Result]:
        assert self._executor is not None
        try:
            return self._executor.submit(function, task.item)
        except BrokenProcessPool:
            self._executor.shutdown(wait=False)
            self._executor = self._open()
            return self._executor.submit(function, task.item)

    def _land(
        self, function: Callable[[Item], Result], flying: dict[Future[Result], _Task[Item]]
    ) -> Iterator[tuple[int, Result]]:
        """Yield what has come; what a dead worker took with it is handed out again."""
        done, _ = wait(flying, return_when=FIRST_COMPLETED)
        for future in done:
            task = flying.pop(future)
            try:
                result = future.result()
            except BrokenProcessPool:
                # All in flight fall with one worker, and nobody knows whose item it was.
                task.tries += 1
                if task.tries > RETRIES:
                    raise EngineError(
                        f"block {task.index}: its worker died {task.tries} times; for want of memory, "
                        "smaller blocks or fewer workers may help"
                    ) from None
                flying[self._submit(function, task)] = task
            else:
                yield task.index, result


class Threads(_Pool):
    """Threads of this process; for work that lets other threads run, as numpy's does."""

    def _open(self) -> Executor:
        return ThreadPoolExecutor(self.workers, thread_name_prefix="block")


class Processes(_Pool):
    """Processes of their own, never forked from this one: a copy of a process that has threads may hang."""

    def _open(self) -> Executor:
        # They start with the first item, too late for a line of words; in a folder for temporary files, with locks.
        try:
            tempfile.gettempdir()
            multiprocessing.Lock()
        except OSError as error:
            raise InputError(
                f"no process of its own can be started here: {error.strerror or error}; use engine threads"
            ) from None
        known = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context("forkserver" if "forkserver" in known else "spawn")
        return ProcessPoolExecutor(self.workers, mp_context=context, initializer=_follow)


def _follow() -> None:
    """Let a worker end with the process that hands out work, and not by itself.

    Ctrl-C stops that process, and not each worker with a traceback of its own. Where it is killed outright nobody tells
    the workers, and they would wait for work for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
