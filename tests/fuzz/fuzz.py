"""Run damaged inputs through the command line and say what broke: ``python tests/fuzz/fuzz.py --seconds 600``."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from targets import TARGETS

from beyond_chinchilla.cli.main import cli

LONGEST = 5.0
"""Seconds of CPU that an input may take."""
MOST_MEMORY = 1 << 30
"""Bytes that the process may hold at its peak."""


def attempt(args: list[str], folder: Path) -> str:
    """Run a command in a folder; return what is wrong with the outcome, or nothing."""
    begun = time.process_time()
    with contextlib.chdir(folder), _no_longer_than(12 * LONGEST):
        result = CliRunner().invoke(cli, args)
    spent = time.process_time() - begun
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        where = traceback.extract_tb(result.exception.__traceback__)[-1]
        return f"{type(result.exception).__name__}: {result.exception} at {Path(where.filename).name}:{where.lineno}"
    if result.exit_code not in (0, 1, 2):
        return f"exit code {result.exit_code}"
    if "Traceback" in result.output:
        return "a traceback is printed"
    if "Warning" in result.stderr:
        return f"a warning is printed: {result.stderr[:200]}"
    if result.exit_code == 2 and not result.stderr.strip():
        return "refused without a word"
    if spent > LONGEST:
        return f"took {spent:.1f} s"
    if "json" in args and result.exit_code in (0, 1) and result.stdout.lstrip().startswith(("{", "[")):
        return _of_plans(result.stdout)
    return ""


def _of_plans(text: str) -> str:
    """Return what is wrong with plans as JSON: a NaN, a negative cost, a broken limit, a missed target."""
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        return f"JSON: {error}"
    for plan in found if isinstance(found, list) else [found]:
        if not isinstance(plan, dict) or plan.get("status") != "optimal":
            continue
        best = plan["plan"]
        if not (best["total"] >= 0.0 and best["params"] > 0.0 and best["tokens"] > 0.0):
            return f"a plan of {best['params']} params on {best['tokens']} tokens for {best['total']}"
        if plan.get("objective") != "loss" and best["loss"] > plan["target_loss"] * (1.0 + 1e-9):
            return f"loss {best['loss']} misses the target {plan['target_loss']}"
        for limit in plan["limits"]:
            over = limit["value"] / limit["bound"] if limit["side"] == "max" else limit["bound"] / limit["value"]
            if over > 1.0 + 1e-6:
                return f"limit {limit['label']} {limit['side']} is broken: {limit['value']} against {limit['bound']}"
    return ""


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} in an output")


@contextlib.contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError(f"still running after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


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
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        return attempt(json.loads((kept / "args.json").read_text(encoding="utf-8")), folder)


def main() -> int:
    """Run until the time is up; print counts, and each failure with what makes it again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--keep", type=Path, help="folder for the files of inputs that fail")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    options = parser.parse_args()
    ran: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    until, seed = time.monotonic() + options.seconds, options.first
    while time.monotonic() < until:
        for name in options.target or TARGETS:
            args, wrong = one(name, seed, options.keep)
            ran[name] += 1
            if wrong:
                failures[wrong[:120]] += 1
                print(f"{name} {seed}: {wrong}\n    bc-opt {' '.join(args)}"[:600], flush=True)
        seed += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    counts = ", ".join(f"{name} {count:,}" for name, count in ran.items())
    print(f"{sum(ran.values()):,} inputs ({counts}), {sum(failures.values())} failures, peak {peak / 1e6:.0f} MB")
    return 1 if failures or not math.isfinite(peak) or peak > MOST_MEMORY else 0


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "100")
    sys.exit(main())
