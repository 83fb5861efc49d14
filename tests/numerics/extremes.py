"""Extreme inputs by the thousand: each has the right answer, or a status that says what is wrong.

    python tests/numerics/extremes.py --examples 20000 --record benchmarks/tried/numerics.json

Prints a table and, with ``--record``, writes it as JSON. The tests beside this file run the same rooms with hypothesis.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import core_rooms
import cost_rooms
import exact
import file_rooms
import mpmath as mp
import numpy as np
from rooms import PLAN, STATUS, Room

ROOMS: tuple[Room, ...] = (*core_rooms.ROOMS, *cost_rooms.ROOMS, *file_rooms.ROOMS)
# Of CPU time, for one example.
LONGEST = 20.0
_SHOWN = 3


class HangError(Exception):
    """An example that takes longer than any may."""


def strict() -> Any:
    """Return a context in which numpy says nothing in silence that its callers have not asked for.

    An underflow to nothing is what a sum of terms is meant to do.
    """
    return np.errstate(divide="raise", over="raise", invalid="raise")


def judged(room: Room, inputs: dict[str, Any]) -> Any:
    """Return what becomes of an example."""
    with warnings.catch_warnings(), strict(), mp.workdps(exact.DIGITS):
        warnings.simplefilter("error")
        return room.judge(**inputs)


def tried(room: Room, count: int, seed: int, failures: list[str]) -> dict[str, Any]:
    """Run a room's examples; return its row of the table."""
    rng = random.Random(f"{room.name} {seed}")
    kinds: Counter[str] = Counter()
    worst = 0.0
    started = time.process_time()
    for _ in range(count):
        inputs = room.draw(rng)
        signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
        try:
            outcome = judged(room, inputs)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            kinds["failed"] += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename}:{place.lineno}"
            failures.append(f"{room.name}: {type(error).__name__}: {error} at {where}\n{inputs!r}")
            continue
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        kinds[outcome.kind] += 1
        worst = max(worst, outcome.error or 0.0)
    return {
        "room": room.name,
        "examples": count,
        "plans": kinds[PLAN],
        "statuses": kinds[STATUS],
        "failed": kinds["failed"],
        "largest_relative_error": worst,
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def _hang(number: int, frame: FrameType | None) -> None:
    raise HangError(f"no answer after {LONGEST:g} s of CPU time")


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows for people."""
    lines = [f"{'room':18} {'examples':>9} {'plans':>8} {'statuses':>9} {'failed':>7} {'worst error':>12} {'CPU s':>7}"]
    lines += [
        f"{row['room']:18} {row['examples']:9d} {row['plans']:8d} {row['statuses']:9d} {row['failed']:7d} "
        f"{row['largest_relative_error']:12.1e} {row['cpu_seconds']:7.1f}"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run every room; return 1 where an example failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2000, help="of the fastest rooms; slower ones have fewer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--room", action="append", help="only these")
    parser.add_argument("--record", type=Path, help="write the table as JSON")
    asked = parser.parse_args()
    signal.signal(signal.SIGVTALRM, _hang)
    failures: list[str] = []
    chosen = [room for room in ROOMS if not asked.room or room.name in asked.room]
    rows = [tried(room, max(round(asked.examples * room.share), 1), asked.seed, failures) for room in chosen]
    sys.stdout.write(table(rows))
    for failure in failures[: _SHOWN * len(ROOMS)]:
        sys.stdout.write(f"\n{failure}\n")
    if asked.record is not None:
        record = {
            "command": f"python tests/numerics/extremes.py --examples {asked.examples} --seed {asked.seed}",
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "examples": sum(row["examples"] for row in rows),
            "plans": sum(row["plans"] for row in rows),
            "statuses": sum(row["statuses"] for row in rows),
            "failed": sum(row["failed"] for row in rows),
            "largest_relative_error": max(row["largest_relative_error"] for row in rows),
            "rooms": rows,
        }
        asked.record.parent.mkdir(parents=True, exist_ok=True)
        half = asked.record.with_suffix(".part")
        half.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        half.replace(asked.record)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
