"""Run damaged inputs through the command line and say what broke: ``python tests/fuzz/fuzz.py --seconds 600``.

What fails is kept with ``--keep FOLDER``; mended, the folder belongs into ``tests/fuzz/corpus``. ``--record FILE`` adds
the counts to those of earlier runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import relations
from click.testing import CliRunner, Result
from oracles import Outcome, wrong_with
from targets import RELATED, TARGETS

from beyond_chinchilla.cli.main import cli

LONGEST = 5.0
"""Seconds of CPU that an input may take before it is refused."""
LONGEST_SOLVED = 30.0
"""The same of one with an answer, or none to find: two dozen ways to serve, in each month of launch, are solved."""
LONGEST_DRAWN = 15.0
"""The same of one that draws: a report has a dozen pictures, a second each."""
_DRAWN = (".html", ".pdf", ".svg", ".png")
MOST_MEMORY = 1 << 30
"""Bytes that the process may hold at its peak."""


def attempt(args: Sequence[str], folder: Path) -> str:
    """Run a command in a folder; return what is wrong with the outcome, or nothing."""
    if args[:1] == [RELATED]:
        return _related(args[1], folder)
    return _run(list(args), folder)[1]


def _run(args: list[str], folder: Path) -> tuple[Result, str]:
    before, given = set(_files(folder)), _given(args, folder)
    begun = time.process_time()
    with contextlib.chdir(folder), _no_longer_than(12 * LONGEST):
        result = CliRunner().invoke(cli, args)
    spent = time.process_time() - begun
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        where = traceback.extract_tb(result.exception.__traceback__)[-1]
        told = f"{type(result.exception).__name__}: {result.exception} at {Path(where.filename).name}:{where.lineno}"
        return result, told
    outcome = Outcome(
        args=args,
        code=result.exit_code,
        stdout=result.stdout,
        stderr=result.stderr,
        written={name: path for name, path in _files(folder).items() if name not in before},
        given=given,
    )
    wrong = wrong_with(outcome)
    drawn = any(Path(name).suffix in _DRAWN for name in outcome.written)
    longest = LONGEST_DRAWN if drawn else LONGEST_SOLVED if result.exit_code in (0, 1) else LONGEST
    if not wrong and spent > longest:
        wrong = f"took {spent:.1f} s"
    if not wrong and _peak() > MOST_MEMORY:
        wrong = f"{_peak() / 1e6:.0f} MB at the peak"
    return result, wrong


def _related(name: str, folder: Path) -> str:
    outcomes = []
    for file in relations.FILES:
        # Under one name, as a scenario without one is called as its file.
        shutil.copy(folder / file, folder / "scenario.yaml")
        result, wrong = _run(["scenario.yaml", "--format", "json"], folder)
        if wrong:
            return f"{file}: {wrong}"
        # Mistakes are told with their lines, which are others where keys are.
        outcomes.append((result.exit_code, result.stdout))
    return relations.broken(name, *outcomes)


def _files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def _given(args: Sequence[str], folder: Path) -> str:
    """Return all that was typed or stands in a file of moderate size."""
    texts = [path.read_bytes()[:200_000].decode("utf-8", "replace") for path in _files(folder).values()]
    return "\n".join((*args, *texts))


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@contextlib.contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """Stop what takes so many seconds of CPU, or waits for something ten times as long."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"still running after {seconds:.0f} s")

    clocks = ((signal.SIGPROF, signal.ITIMER_PROF, 1.0), (signal.SIGALRM, signal.ITIMER_REAL, 10.0))
    before = [signal.signal(number, ring) for number, _, _ in clocks]
    for _, clock, times in clocks:
        signal.setitimer(clock, times * seconds)
    try:
        yield
    finally:
        for (number, clock, _), handler in zip(clocks, before, strict=True):
            signal.setitimer(clock, 0.0)
            signal.signal(number, handler)


def one(name: str, seed: int, keep: Path | None = None) -> tuple[list[str], str]:
    """Run the input of a target and a seed; return its command line, and what is wrong with the outcome or nothing.

    What fails is kept as a folder of files with ``args.json``, from which `again` makes it again.
    """
    rng = random.Random(f"{name} {seed}")
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        args = TARGETS[name](folder, rng)
        written = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        wrong = attempt(args, folder)
        if wrong and keep is not None:
            kept = keep / f"{name.replace(' ', '-')}-{seed}"
            kept.mkdir(parents=True, exist_ok=True)
            for file, raw in written.items():
                (kept / file).write_bytes(raw)
            (kept / "args.json").write_text(json.dumps(args), encoding="utf-8")
        return args, wrong
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def again(kept: Path) -> str:
    """Run an input that was kept; return what is wrong with the outcome, or nothing."""
    with tempfile.TemporaryDirectory(prefix="fuzz") as name:
        folder = Path(name)
        for path in kept.iterdir():
            if path.name != "args.json":
                shutil.copy(path, folder)
        return attempt(json.loads((kept / "args.json").read_text(encoding="utf-8")), folder)


def note(file: Path, part: str, found: Mapping[str, Any]) -> None:
    """Add a run to the record of one part, ``"inputs"`` or ``"guided"``."""
    record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    record.setdefault(part, []).append({"date": date.today().isoformat(), **found})
    whole = file.with_suffix(".part")
    whole.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    whole.replace(file)


def main() -> int:
    """Run until the time is up; print counts, and each failure with what makes it again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--keep", type=Path, help="folder for the files of inputs that fail")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--record", type=Path, help="JSON file to which the counts are added")
    options = parser.parse_args()
    # Each time, not at the first one alone; the rest is shown to nobody but developers.
    warnings.simplefilter("always")
    for hidden in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", hidden)
    ran: Counter[str] = Counter()
    failures: list[str] = []
    # Each target gets the same time, so that the quick ones get through many inputs.
    spent = dict.fromkeys(options.target or TARGETS, 0.0)
    slowest, until = 0.0, time.monotonic() + options.seconds
    while time.monotonic() < until:
        name = min(spent, key=lambda name: spent[name])
        seed = options.first + ran[name]
        begun = time.process_time()
        args, wrong = one(name, seed, options.keep)
        taken = time.process_time() - begun
        spent[name] += taken
        slowest = max(slowest, taken)
        ran[name] += 1
        if wrong:
            failures.append(f"{name} {seed}: {wrong}")
            print(f"{failures[-1]}\n    bc-opt {' '.join(args)}"[:600], flush=True)
    peak = _peak()
    counts = ", ".join(f"{name} {count:,}" for name, count in ran.items())
    print(f"{ran.total():,} inputs ({counts}), {len(failures)} failures, peak {peak / 1e6:.0f} MB")
    if options.record is not None:
        found = {
            "command": " ".join(["python", "tests/fuzz/fuzz.py", *_stated(options)]),
            "inputs": ran.total(),
            "by_target": dict(ran),
            "failures": failures,
            "slowest_cpu_seconds": round(slowest, 2),
            "peak_mb": round(peak / 1e6),
        }
        note(options.record, "inputs", found)
    return 1 if failures or peak > MOST_MEMORY else 0


def _stated(options: argparse.Namespace) -> list[str]:
    """Return what makes the same inputs again."""
    chosen = [part for name in options.target or () for part in ("--target", f"'{name}'")]
    return ["--seconds", f"{options.seconds:g}", "--first", str(options.first), *chosen]


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "100")
    sys.exit(main())
