"""How fast is a sweep, on how many cores, and how much memory does it take? ``python -m benchmarks.sweep [--full]``.

Every run is a process of its own, which writes Parquet with the usual columns to a temporary folder and reports its
peak memory. Engines are timed in turns, so that a busy machine slows all of them alike; their files must be the same
to the last byte. A loop over ``bc.solve`` on the same rows stands beside them. ``--full`` adds the largest size.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.timing import progress
from beyond_chinchilla.analyse.sweep.plan import plan_sweep
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.load import Scenario, load

ROOT = Path(__file__).parents[1]
SCENARIO = ROOT / "scenarios" / "1B-requests.yaml"
SIZES = (100_000, 1_000_000, 10_000_000)
LARGEST = 100_000_000
COMPARED = 10_000_000
REPEATS = 3
SOLVED = 100
PRICES, UTILISATIONS, LAWS = 50, 100, 2
ENGINES = (("serial", 1), ("threads", 2), ("processes", 2), ("dask", 2))
AIM_ROWS, AIM_MEMORY, AIM_SCALING = 2e6, 1000.0, 1.7


@dataclass(frozen=True, kw_only=True)
class Run:
    """One sweep: seconds without the start of Python, peak memory of its process [MB], size on disk [MB]."""

    rows: int
    seconds: float
    memory: float
    size: float


def axes(rows: int) -> list[str]:
    """Return what varies in a sweep of so many rows."""
    requests = rows // (PRICES * UTILISATIONS * LAWS)
    return [
        "law=sardana-2024,besiroglu-2024",
        f"demand.requests=1e6:1e12:log:{requests}",
        f"training.price=1:4:lin:{PRICES}",
        f"serving.decode_mfu=1%:10%:lin:{UTILISATIONS}",
    ]


def child(rows: int, engine: str, workers: int, output: str) -> None:
    """Run one sweep, and print how it went."""
    made = plan_sweep(load(SCENARIO), vary=axes(rows), output=output)
    start = time.perf_counter()
    outcome = made.run(engine_name=engine, workers=None if engine == "serial" else workers)
    seconds = time.perf_counter() - start
    assert outcome.counts == {"optimal": rows}
    print(json.dumps({"seconds": seconds, "memory": peak_memory()}))


def peak_memory() -> float:
    """Return the most memory that this process has held [MB]."""
    status = Path("/proc/self/status")
    if status.exists():
        # What getrusage tells holds what the process that started this one had.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def run(rows: int, engine: str, workers: int, output: Path) -> Run:
    """Run one sweep in a process of its own."""
    shutil.rmtree(output, ignore_errors=True)
    arguments = ["--child", str(rows), engine, str(workers), str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sweep", *arguments],
        check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    size = sum(path.stat().st_size for path in output.iterdir()) / 1e6
    return Run(rows=rows, seconds=told["seconds"], memory=told["memory"], size=size)


def contents(output: Path) -> dict[str, bytes]:
    """Return the files of a sweep."""
    return {path.name: path.read_bytes() for path in output.iterdir()}


def engines(folder: Path) -> dict[str, list[Run]]:
    """Run every engine in turns; the files of all must be the same."""
    found: dict[str, list[Run]] = {f"{engine}, {workers}": [] for engine, workers in ENGINES}
    first: dict[str, bytes] = {}
    for turn in range(REPEATS):
        for engine, workers in ENGINES:
            progress(f"{engine}, turn {turn + 1} ...")
            output = folder / "s.parquet"
            found[f"{engine}, {workers}"].append(run(COMPARED, engine, workers, output))
            first = first or contents(output)
            assert contents(output) == first, engine
            shutil.rmtree(output)
    return found


def loop() -> float:
    """Return seconds a row of a loop over load and solve."""
    tree = load(SCENARIO).to_dict()
    numbers = np.geomspace(1e6, 1e12, SOLVED)
    start = time.perf_counter()
    for number in numbers.tolist():
        solve(Scenario.from_dict({**tree, "demand": {**tree["demand"], "requests": number}}))
    return (time.perf_counter() - start) / SOLVED


def main() -> None:
    """Run everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--full", action="store_true", help=f"a sweep of {LARGEST:,} rows as well")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        rows, engine, workers, output = given.child
        child(int(rows), engine, int(workers), output)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compared = engines(folder)
        base = compared["serial, 1"]
        print(f"{COMPARED:,} rows to Parquet, the same bytes from every engine; medians of {REPEATS} turns,")
        print("which hold the start of processes and of Dask's cluster")
        print(f"{'engine, workers':<20}{'seconds':>9}{'rows/s':>12}{'x serial':>10}")
        scaling = {}
        for title, turns in compared.items():
            seconds = statistics.median(each.seconds for each in turns)
            scaling[title] = statistics.median(
                one.seconds / each.seconds for one, each in zip(base, turns, strict=True)
            )
            print(f"{title:<20}{seconds:>9.2f}{COMPARED / seconds:>12,.0f}{scaling[title]:>10.2f}")
        each = loop()
        serial = statistics.median(one.seconds for one in base) / COMPARED
        print(f"{'loop over bc.solve':<20}{'':>9}{1.0 / each:>12,.0f}{serial / each:>10.1g}")
        print(f"\n{'rows':>12}{'seconds':>9}{'us/row':>9}{'peak MB':>9}{'disk MB':>9}   threads, 2")
        runs = []
        for rows in (*SIZES, *([LARGEST] if given.full else [])):
            progress(f"{rows:,} rows ...")
            runs.append(run(rows, "threads", 2, folder / "s.parquet"))
            shutil.rmtree(folder / "s.parquet")
            one = runs[-1]
            per_row = 1e6 * one.seconds / rows
            print(f"{rows:>12,}{one.seconds:>9.2f}{per_row:>9.3f}{one.memory:>9.0f}{one.size:>9.0f}")
    fastest = max(one.rows / one.seconds for one in runs)
    peak = max(one.memory for one in runs)
    best = max(scaling["threads, 2"], scaling["processes, 2"])
    for aim, met in (
        (f"at least {AIM_ROWS / 1e6:g} million rows/s: {fastest / 1e6:.2f} in this run", fastest >= AIM_ROWS),
        (f"peak memory under {AIM_MEMORY:g} MB: {peak:.0f} MB in this run", peak < AIM_MEMORY),
        (f"{AIM_SCALING:g} x from one core to two: {best:.2f} x in this run", best >= AIM_SCALING),
    ):
        print(f"aim: {aim}, {'met' if met else 'not met'}")


if __name__ == "__main__":
    main()
