"""The engine of a Dask cluster: one that runs elsewhere, or workers started here."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from multiprocessing import resource_tracker
from types import TracebackType
from typing import Any

from beyond_chinchilla.engines.engine import Item, Result, cores
from beyond_chinchilla.errors import EngineError, InputError

# A scheduler that is there answers sooner [s].
_PATIENCE = 10.0


class Cluster:
    """Workers of Dask.

    Parameters
    ----------
    scheduler : str, optional
        Address of a running scheduler; its workers need this package in the same version.
    workers : int, optional
        To start here, where no scheduler is given; by default one for each core.

    Raises
    ------
    InputError
        Dask is not installed, or no scheduler answers at the address.
    """

    def __init__(self, *, scheduler: str | None = None, workers: int | None = None) -> None:
        try:
            import distributed
        except ImportError:
            raise InputError("engine dask needs dask.distributed; pip install 'beyond-chinchilla[dask]'") from None
        # Without annotations of its own.
        self._distributed: Any = distributed
        if scheduler is not None and workers is not None:
            raise InputError(f"the cluster at {scheduler} has its own workers; leave the number out")
        self._scheduler = scheduler
        self._asked = workers or cores()
        self._client: Any = None
        self.workers = self._asked

    def __enter__(self) -> Cluster:
        address: Any = self._scheduler
        if address is None:
            try:
                with _signals_held():
                    self._client = self._distributed.Client(
                        n_workers=self._asked,
                        threads_per_worker=1,
                        processes=True,
                        dashboard_address=None,
                        silence_logs=logging.ERROR,
                    )
            except (OSError, RuntimeError) as error:
                raise InputError(f"Dask cannot start workers here: {_brief(error)}; use engine threads") from None
            except KeyboardInterrupt:
                if self._client is not None:
                    self._close()
                raise
        else:
            try:
                self._client = self._distributed.Client(address, timeout=_PATIENCE)
            except (OSError, ValueError, TypeError) as error:
                raise InputError(
                    f"no Dask scheduler answers at '{address}': {_brief(error)}; start one with 'dask scheduler'"
                ) from None
        self.workers = max(1, sum(self._client.nthreads().values()))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        self._client.close()
        if self._client.cluster is not None:
            self._client.cluster.close()

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int = 2
    ) -> Iterator[tuple[int, Result]]:
        """Yield (index, result) as results come; see `Engine.map`. Dask hands out again what a dead worker held."""
        waiting = enumerate(items)
        indices: dict[str, int] = {}

        def submit(pairs: Iterable[tuple[int, Item]]) -> list[Any]:
            futures = []
            for index, item in pairs:
                future = self._client.submit(function, item, pure=False)
                indices[future.key] = index
                futures.append(future)
            return futures

        flying = self._distributed.as_completed(submit(islice(waiting, self.workers * ahead)))
        try:
            for future in flying:
                index = indices.pop(future.key)
                try:
                    result: Result = future.result()
                except self._distributed.KilledWorker:
                    raise EngineError(
                        f"block {index}: every worker that took it died; for want of memory, smaller blocks may help"
                    ) from None
                future.release()
                for more in submit(islice(waiting, 1)):
                    flying.add(more)
                yield index, result
        finally:
            flying.clear()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back signals to stop while a cluster starts: one that is half there cannot be closed without noise.

    Its workers never hear Ctrl-C, and end with this process.
    """
    ours = threading.current_thread() is threading.main_thread() and hasattr(signal, "pthread_sigmask")
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if ours else {}
    came: list[int] = []
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, lambda number, _: came.append(number))
        if ours:
            # What is held back in this way is so in the processes that are started, too; but the first of them, which
            # minds what they leave behind, ends that.
            resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        if ours:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
