"""What every engine offers: a function run over items, results as they come, few in flight.

An engine decides where an item is worked on, never what comes out: results carry their item's index, and whoever
needs an order restores it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

from beyond_chinchilla.errors import InputError, nearest

Item = TypeVar("Item")
Result = TypeVar("Result")

ENGINES = ("serial", "threads", "processes", "dask")
# Times that an item is handed out again after its worker died: one that kills every worker must not go on for ever.
RETRIES = 3


class Engine(Protocol):
    """Runs a function over many items.

    Attributes
    ----------
    workers : int
        Items that are worked on at once.
    """

    workers: int

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = 2
    ) -> Iterator[tuple[int, Result]]:
        """Yield (index of the item, result) as results come.

        Parameters
        ----------
        function : callable
            Of one item; for processes and Dask both must be picklable.
        items : iterable
            Taken as they are needed, so that they may be endless.
        ahead : int
            Items in flight for each worker: memory does not grow with their number.

        Raises
        ------
        EngineError
            An item whose worker died every time.
        Exception
            Whatever the function raises; the other items are given up.
        """
        ...


def engine(
    name: str = "threads", *, workers: int | None = None, scheduler: str | None = None
) -> AbstractContextManager[Engine]:
    """Return an engine, to be used in a ``with`` statement.

    Parameters
    ----------
    name : {"serial", "threads", "processes", "dask"}
        Threads suit work that numpy does, which lets other threads run meanwhile.
    workers : int, optional
        By default one for each core that this process may use. A Dask cluster has its own.
    scheduler : str, optional
        Address of a running Dask scheduler, ``tcp://host:8786``; without one, Dask starts workers here.

    Raises
    ------
    InputError
        Another name, no workers, a scheduler for another engine, or Dask that is not installed or does not answer.

    >>> with engine("threads", workers=2) as pool:
    ...     sorted(pool.map(abs, [-3, 1, -2]))
    [(0, 3), (1, 1), (2, 2)]
    """
    if name not in ENGINES:
        raise InputError(f"no engine '{name}'; {nearest(name, ENGINES)}")
    if workers is not None and workers < 1:
        raise InputError(f"{workers} workers do no work; give 1 or more")
    if scheduler is not None and name != "dask":
        raise InputError(f"a scheduler goes with engine dask, not with {name}")
    if name == "dask":
        from beyond_chinchilla.engines.cluster import Cluster  # an optional extra

        return Cluster(scheduler=scheduler, workers=workers)
    from beyond_chinchilla.engines.local import Processes, Serial, Threads

    if name == "serial":
        return Serial()
    return (Threads if name == "threads" else Processes)(workers or cores())


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
