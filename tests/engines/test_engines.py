"""Whatever runs the blocks: every item once, the same results, few in flight, and workers may die."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from engine_work import die_always, die_once, refuse_odd, slow_spectrum, spectrum

from beyond_chinchilla.engines import ENGINES, engine
from beyond_chinchilla.engines.engine import RETRIES
from beyond_chinchilla.errors import EngineError, InputError

LOCAL = [name for name in ENGINES if name != "dask"]


@pytest.mark.parametrize("name", LOCAL)
def test_every_item_comes_back_once_and_to_the_last_bit(name):
    with engine(name, workers=None if name == "serial" else 2) as pool:
        found = dict(pool.map(spectrum, range(40)))
    assert sorted(found) == list(range(40))
    for seed, values in found.items():
        np.testing.assert_array_equal(values, spectrum(seed))


@pytest.mark.parametrize("name", LOCAL)
def test_an_error_comes_out_as_it_is_and_the_engine_works_on(name):
    with engine(name) as pool:
        with pytest.raises(ZeroDivisionError, match="odd"):
            list(pool.map(refuse_odd, range(50)))
        assert dict(pool.map(refuse_odd, [2, 4])) == {0: 2, 1: 4}


def test_items_are_taken_as_they_are_needed():
    taken: list[int] = []

    def endless() -> Iterator[int]:
        for item in range(10**9):
            taken.append(item)
            yield item

    with engine("threads", workers=3) as pool:
        results = pool.map(abs, endless(), ahead=4)
        for _ in range(20):
            next(results)
        assert len(taken) <= 20 + 3 * 4
        results.close()


def test_threads_work_at_the_same_time():
    together = threading.Barrier(2, timeout=10)
    with engine("threads", workers=2) as pool:
        assert len(list(pool.map(lambda _: together.wait(), range(4)))) == 4


def test_what_a_dead_process_held_is_worked_on_again(tmp_path):
    flags = [str(tmp_path / name) for name in ("calm", "first", "calm", "second", "calm")]
    with engine("processes", workers=2) as pool:
        found = dict(pool.map(die_once, flags))
    assert [found[index] for index in range(5)] == ["calm", "first", "calm", "second", "calm"]


def test_an_item_that_kills_every_worker_ends_in_one_line():
    with engine("processes", workers=1) as pool, pytest.raises(EngineError, match=f"died {RETRIES + 1} times") as told:
        list(pool.map(die_always, [0]))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "thread"}, "did you mean 'threads'"),
        ({"name": "threads", "workers": 0}, "0 workers do no work"),
        ({"name": "threads", "scheduler": "tcp://127.0.0.1:1"}, "goes with engine dask"),
    ],
)
def test_senseless_engines_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        engine(**options)


# A cluster of two real processes

distributed = pytest.importorskip("distributed", reason="needs dask.distributed: pip install '.[dask]'")


@pytest.mark.own_step
def test_a_cluster_that_loses_a_worker_midway_gives_the_same():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        engine("dask", scheduler=cluster.scheduler_address) as pool,
    ):
        assert pool.workers == 2
        found = {}
        for index, values in pool.map(slow_spectrum, range(40)):
            found[index] = values
            if len(found) == 10:
                kill_one(cluster)
    assert sorted(found) == list(range(40))
    for seed, values in found.items():
        np.testing.assert_array_equal(values, spectrum(seed))


def kill_one(cluster) -> None:
    worker = next(iter(cluster.workers.values()))
    os.kill(worker.process.pid, signal.SIGKILL)
    victim = worker.process.pid
    assert victim != os.getpid()


@pytest.mark.slow
def test_no_scheduler_is_said_in_one_line(monkeypatch):
    monkeypatch.setattr("beyond_chinchilla.engines.cluster._PATIENCE", 1.0)
    for address in ("tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1"):
        with pytest.raises(InputError, match="no Dask scheduler answers") as told, engine("dask", scheduler=address):
            pass
        assert "\n" not in str(told.value)
