"""What was done to break this package, and what came of it: ``python -m benchmarks.trust [PART ...]``.

The counts are of long runs that were recorded in benchmarks/tried; each table names the command that makes them anew.
The page docs/how-we-know.md is made of them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from benchmarks import faults_table
from benchmarks.published import markdown, print_parts

TRIED = Path(__file__).parent / "tried"


def fuzzing() -> str:
    """Return how many damaged inputs ran, of which kind, and what was found."""
    record = _record("fuzz")
    counts: Counter[str] = Counter()
    for run in record["inputs"]:
        for name, count in run["by_target"].items():
            counts[_kind(name)] += count
    rows = [[name, f"{count:,}"] for name, count in counts.most_common()]
    last = record["inputs"][-1]
    total = sum(counts.values())
    slowest = max(run["slowest_cpu_seconds"] for run in record["inputs"])
    peak = max(run["peak_mb"] for run in record["inputs"])
    said = (
        f"{total:,} inputs in {len(record['inputs'])} runs, the slowest {slowest:.1f} s of CPU, at most {peak} MB. "
        f"Faults found and mended, each kept as a test: {len(record['found_and_mended'])}. The last run, after the "
        f"last of them: {last['inputs']:,} inputs, {len(last['failures'])} failures (`{last['command']}`, "
        f"{last['date']})."
    )
    return f"{markdown(['damaged', 'inputs'], rows)}\n\n{said}"


def guided() -> str:
    """Return how often each reader was run by a fuzzer that looks for new paths."""
    best: dict[str, tuple[int, int]] = {}
    for run in _record("fuzz")["guided"]:
        done, edges = best.get(run["reader"], (0, 0))
        best[run["reader"]] = (done + run["executions"], max(edges, run["edges"]))
    rows = [
        [name, f"{done:,}", f"{edges:,}"] for name, (done, edges) in sorted(best.items(), key=lambda each: -each[1][0])
    ]
    return markdown(["reader", "executions", "paths found"], rows)


def _kind(target: str) -> str:
    return "two scenarios whose answers are related" if target.startswith("relation") else target


def faults() -> str:
    """Return each fault that was injected, against what became of the file and the program."""
    record = _record("faults")
    return f"{faults_table.table(record).strip()}\n\n{_made(record)}"


def numerics() -> str:
    """Return how many extreme inputs had an answer and how many a status, and how far answers were off."""
    record = _record("numerics")
    rows = [
        [
            room["room"],
            f"{room['examples']:,}",
            f"{room['plans']:,}",
            f"{room['statuses']:,}",
            f"{room['failed']:,}",
            f"{room['largest_relative_error']:.0e}".replace("0e+00", "0"),
        ]
        for room in record["rooms"]
    ]
    heads = ["of", "inputs", "answered", "refused in words", "wrong or silent", "largest relative error"]
    return f"{markdown(heads, rows)}\n\n{_made(record)}"


def versions() -> str:
    """Return on which versions the tests ran."""
    record = _record("versions")
    names = ("numpy", "scipy", "pandas", "cvxpy", "pydantic", "pyarrow")
    rows = [
        [
            row["python"],
            row["set"],
            *(row[name] for name in names),
            *(f"{row[k]:,}" for k in ("passed", "skipped", "failed")),
        ]
        for row in record["rows"]
    ]
    return f"{markdown(['Python', 'set', *names, 'passed', 'skipped', 'failed'], rows)}\n\n{_made(record)}"


def mutation() -> str:
    """Return how many small wrong changes of each room the tests notice."""
    record = _record("mutation")
    rows = []
    for name, room in record["rooms"].items():
        noticed, asked = room["killed"] + room["timed_out"], room["ran"] - room["equivalent"]
        low, high = binomtest(noticed, asked).proportion_ci(method="wilson")
        share = f"{noticed / asked:.1%} ({low:.0%} to {high:.0%})"
        cells = (room["mutants"], room["ran"], room["equivalent"], asked - noticed)
        rows.append([name, *(f"{cell:,}" for cell in cells), share])
    heads = ["room", "possible changes", "drawn and tried", "change no answer", "not noticed", "noticed (95%)"]
    return f"{markdown(heads, rows)}\n\n{_made(record)}"


def survivors() -> str:
    """Return each change that was not noticed, with the reason."""
    rooms = _record("mutation")["rooms"].values()
    rows = [
        [f"`{each['module']}`", _code(each["before"]), _code(each["after"]), each["reason"]]
        for room in rooms
        for each in sorted(room["survivors"], key=lambda each: (each["module"], each["line"]))
    ]
    return markdown(["module", "before", "after", "why no test notices"], rows)


def coverage() -> str:
    """Return which share of lines and branches of each room the tests run."""
    record = _record("coverage")
    rows = [
        [
            name,
            f"{room['lines']:,}",
            f"{room['branches']:,}",
            f"{room['line_share']:.1%}",
            f"{room['branch_share']:.1%}",
        ]
        for name, room in record["rooms"].items()
    ]
    return f"{markdown(['room', 'lines', 'branches', 'lines run', 'branches taken'], rows)}\n\n{_made(record)}"


def _code(text: str) -> str:
    return f"`{text}`".replace("|", "\\|")


def _record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((TRIED / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _made(record: dict[str, Any]) -> str:
    return f"Recorded on {record['date']} by `{record['command']}`."


PARTS: dict[str, Callable[[], str]] = {
    "fuzzing": fuzzing,
    "guided": guided,
    "faults": faults,
    "numerics": numerics,
    "mutation": mutation,
    "survivors": survivors,
    "coverage": coverage,
    "versions": versions,
}


def main() -> None:
    """Print the parts that are asked for, or all."""
    print_parts(__doc__, PARTS, left_out={})


if __name__ == "__main__":
    main()
