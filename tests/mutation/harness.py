"""Collects the tests once, then forks a process for every mutant, in which only the tests that reach it run."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import coverage
import pytest
from mutants import PACKAGE, REPOSITORY, Mutant, statement
from swap import Live

TESTS = (
    "laws", "costs", "optimise", "fit", "test_doctests.py", "test_posynomial.py", "test_distributions.py",
    "test_correlation.py", "test_units.py",
)  # fmt: skip
"""What is asked to notice: the tests of the four rooms and of what they stand on, not those of pages and commands."""
OPTIONS = ("-n0", "-qq", "-rN", "--no-header", "-p", "no:cacheprovider", "-m", "not own_step")
MOST_MEMORY = 8 << 30
MOST_SECONDS = 20.0
"""Of tests for one mutant, as they take without it; the shortest come first."""

KILLED, SURVIVED, TIMED_OUT, NO_PROGRAM = 1, 0, 3, 4


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Which tests reach which lines, and how long each takes: of one run without any mutant."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    def tests_for(self, mutant: Mutant) -> tuple[list[str], bool]:
        """Return the tests that reach a mutant, shortest first, and whether its own statement is reached."""
        lines = self.lines.get(mutant.module, {})
        reached = {test for line in statement(mutant.module, mutant.line) for test in lines.get(line, ())}
        whole = reached or {test for tests in lines.values() for test in tests}
        chosen, spent = [], 0.0
        for test in sorted(whole, key=lambda name: (self.seconds[name], name)):
            spent += self.seconds[test]
            if chosen and spent > MOST_SECONDS:
                break
            chosen.append(test)
        return chosen, bool(reached)

    def write(self, path: Path) -> None:
        """Write it for another run."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Reach:
        """Return what was written."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        lines = {name: {int(line): tests for line, tests in rows.items()} for name, rows in raw["lines"].items()}
        return cls(seconds=raw["seconds"], lines=lines)


class Harness:
    """A plugin of pytest that runs mutants in place of tests.

    Parameters
    ----------
    mutants : sequence of Mutant
    reach_file : Path
        Of `Reach`; made where it is missing.
    jobs : int
    results : Path
        One line of JSON a mutant; those already there are not run again.
    """

    def __init__(self, mutants: Sequence[Mutant], reach_file: Path, jobs: int, results: Path) -> None:
        self.mutants = mutants
        self.reach_file = reach_file
        self.jobs = jobs
        self.results = results
        self._in_child = False
        self._failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
        if self._in_child and report.failed:
            self._failed.append(report.nodeid)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run every mutant."""
        items = {item.nodeid: item for item in session.items}
        if not self.reach_file.exists():
            _wait(self._fork(lambda: self._measure(items)))
        reach = Reach.read(self.reach_file)
        live = Live(str(PACKAGE))
        running: dict[int, tuple[Mutant, float]] = {}
        for number, mutant in enumerate(self.mutants):
            tests, exact = reach.tests_for(mutant)
            limit = 10.0 + 3.0 * sum(reach.seconds[test] for test in tests)
            here = [items[test] for test in tests if test in items]
            job = partial(self._try, mutant, here, exact, limit, live)
            running[self._fork(job)] = (mutant, time.monotonic())
            while len(running) >= self.jobs or (number == len(self.mutants) - 1 and running):
                pid, status = os.wait()
                if pid in running:
                    self._note(*running.pop(pid), status)
        return True

    def _fork(self, job: Any) -> int:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                self._in_child = True
                nothing = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1):
                    os.dup2(nothing, stream)
                code = job()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        return pid

    def _measure(self, items: dict[str, pytest.Item]) -> int:
        """Run every test once; keep those that pass, how long they take, and which lines they reach."""
        data = self.reach_file.with_suffix(".coverage")
        watch = coverage.Coverage(data_file=str(data), source=[str(PACKAGE)], config_file=False)
        seconds: dict[str, float] = {}
        order = list(items.values())
        watch.start()
        for item, following in zip(order, [*order[1:], None], strict=True):
            watch.switch_context(item.nodeid)
            begun = time.process_time()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            seconds[item.nodeid] = time.process_time() - begun
        watch.stop()
        found = watch.get_data()
        lines: dict[str, dict[int, list[str]]] = {}
        good = seconds.keys() - set(self._failed)
        for name in found.measured_files():
            module = Path(name).relative_to(PACKAGE).as_posix()
            reached = found.contexts_by_lineno(name)
            lines[module] = {line: [each for each in reached[line] if each in good] for line in reached}
        Reach(seconds={name: seconds[name] for name in good}, lines=lines).write(self.reach_file)
        if self._failed:
            print(f"fail without any mutant, not used: {self._failed}", file=sys.stderr)
        return 0

    def _try(self, mutant: Mutant, tests: list[pytest.Item], exact: bool, limit: float, live: Live) -> int:
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 2))
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        after = mutant.write()
        try:
            compile(after, mutant.module, "exec")
        except SyntaxError:
            return NO_PROGRAM
        if not exact or not live.swap(str(mutant.path), mutant.path.read_text(encoding="utf-8"), after):
            return afresh(mutant, [test.nodeid for test in tests], limit)
        for item, following in zip(tests, [*tests[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return KILLED
        return SURVIVED

    def _note(self, mutant: Mutant, begun: float, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        outcome = {SURVIVED: "survived", KILLED: "killed", TIMED_OUT: "timed out", NO_PROGRAM: "no program"}.get(code)
        if outcome is None:
            # Killed by the bound of CPU or memory, or by the interpreter.
            outcome = "timed out" if code < 0 else f"broken ({code})"
        before, after = mutant.lines()
        row = asdict(mutant) | {"outcome": outcome, "before": before, "after": after, "wall": time.monotonic() - begun}
        with self.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _wait(pid: int) -> None:
    os.waitpid(pid, 0)


def afresh(mutant: Mutant, tests: Sequence[str], limit: float) -> int:
    """Import everything anew, with the changed module in place of the one on disk, and run the tests."""
    if not tests:
        return SURVIVED
    command = [sys.executable, str(Path(__file__).with_name("afresh.py")), mutant.module, *OPTIONS, "-x", *tests]
    try:
        done = subprocess.run(
            command, input=mutant.write(), text=True, cwd=REPOSITORY, timeout=60.0 + 10.0 * limit,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return TIMED_OUT
    return SURVIVED if done.returncode == 0 else KILLED if done.returncode > 0 else TIMED_OUT


def sample(mutants: Sequence[Mutant], size: int, seed: int) -> list[Mutant]:
    """Return so many of them, drawn without replacement; all where there are fewer."""
    drawn = list(mutants)
    random.Random(seed).shuffle(drawn)
    return drawn[:size]


def done(results: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file of results."""
    if results.exists():
        for line in results.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)
