"""How many small wrong changes of the code do the tests notice? ``python tests/mutation/mutate.py --sample 200``.

Needs ``python -m pip install cosmic-ray coverage`` beside the test extra, and an hour of CPU for a thousand mutants.
What is known stays in `.mutation`; delete it after a change of the code or the tests. ``--record`` writes the counts
and the survivors, each with the reason that `survivors.csv` gives for it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

os.environ["HYPOTHESIS_PROFILE"] = "mutation"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from harness import OPTIONS, TESTS, Harness, done, sample
from mutants import REPOSITORY, ROOMS, Mutant, modules, mutants_of
from scipy.stats import binomtest

REASONS = Path(__file__).with_name("survivors.csv")
EQUIVALENT = "equivalent: "
"""How the reason begins for a change after which every answer is the same."""
NOTICED = ("killed", "timed out")


def main() -> int:
    """Run a sample of mutants, and print the survivors and the score of each room."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS))
    parser.add_argument("--sample", type=int, default=10**9, help="mutants a room, drawn at random; all if left out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / ".mutation", help="for what is kept between runs")
    parser.add_argument("--record", type=Path, help="file for counts and survivors")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    results = options.folder / "results.jsonl"
    drawn: dict[str, list[Mutant]] = {}
    population = {}
    for room in options.rooms:
        every = [mutant for module in modules([room]) for mutant in mutants_of(module)]
        population[room] = len(every)
        drawn[room] = sample(every, options.sample, options.seed)
        print(f"{room}: {len(every):,} mutants, {len(drawn[room]):,} drawn", flush=True)
    known = {_key(row) for row in done(results)}
    # One of each room in turn, so that a run that is cut short says something of all.
    turns = sorted((place, mutant) for room in drawn for place, mutant in enumerate(drawn[room]))
    pending = [mutant for _, mutant in turns if (mutant.module, mutant.operator, mutant.occurrence) not in known]
    if pending:
        os.chdir(REPOSITORY)
        harness = Harness(pending, options.folder / "reach.json", options.jobs, results)
        pytest.main([*OPTIONS, *(f"tests/{name}" for name in TESTS)], plugins=[harness])
    found = {_key(row): row for row in done(results)}
    record = {
        "command": f"python tests/mutation/mutate.py --sample {options.sample} --seed {options.seed}",
        "date": date.today().isoformat(),
        "rooms": {
            room: _count(population[room], [found[key] for key in map(_key, map(vars, drawn[room])) if key in found])
            for room in drawn
        },
    }
    _show(record)
    if options.record is not None:
        options.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["module"], row["operator"], row["occurrence"]


def _count(population: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the counts of a room, and its survivors with their reasons."""
    reasons = _reasons()
    rows = [row for row in rows if row["outcome"] != "no program"]
    survivors = [
        {name: row[name] for name in ("module", "line", "definition", "before", "after")}
        | {"reason": reasons.get(_place(row), "")}
        for row in rows
        if row["outcome"] not in NOTICED
    ]
    outcomes = Counter(row["outcome"] for row in rows)
    return {
        "mutants": population,
        "ran": len(rows),
        "killed": outcomes["killed"],
        "timed_out": outcomes["timed out"],
        "equivalent": sum(each["reason"].startswith(EQUIVALENT) for each in survivors),
        "survivors": survivors,
    }


def _reasons() -> dict[tuple[str, str, str, str], str]:
    if not REASONS.exists():
        return {}
    with REASONS.open(encoding="utf-8", newline="") as file:
        return {_place(row): row["reason"] for row in csv.DictReader(file)}


def _place(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return what names a change wherever its line has moved."""
    return row["module"], row["definition"], row["before"], row["after"]


def _show(record: dict[str, Any]) -> None:
    for room in record["rooms"].values():
        for each in room["survivors"]:
            where = f"{each['module']}:{each['line']} {each['definition']}"
            print(f"{where}: {each['reason'] or 'no reason given'}\n  - {each['before']}\n  + {each['after']}")
    for name, room in record["rooms"].items():
        noticed, asked = room["killed"] + room["timed_out"], room["ran"] - room["equivalent"]
        if not asked:
            continue
        low, high = binomtest(noticed, asked).proportion_ci(method="wilson")
        print(
            f"{name}: {noticed:,} of {asked:,} noticed, {noticed / asked:.1%} ({low:.1%} to {high:.1%}), beside "
            f"{room['equivalent']:,} that change no answer"
        )


if __name__ == "__main__":
    sys.exit(main())
