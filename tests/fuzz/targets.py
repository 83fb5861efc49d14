"""What is fuzzed: each target writes files with something wrong in them and returns a command line that reads them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import command_targets
import relations
import scenario_targets
import table_targets

Target = Callable[[Path, random.Random], list[str]]


def _related(name: str) -> Target:
    """Return the target of a relation: the command line names it and the two scenarios, for `fuzz.attempt`."""

    def target(folder: Path, rng: random.Random) -> list[str]:
        relations.write(name, folder, rng)
        return [RELATED, name]

    return target


RELATED = "related"
"""In place of a command: two scenarios are solved, and compared."""

TARGETS: dict[str, Target] = {
    "scenario": scenario_targets.damaged,
    "scenario text": scenario_targets.damaged_text,
    "plausible scenario": scenario_targets.plausible,
    "overrides": scenario_targets.overrides,
    "fitted file": scenario_targets.fitted,
    "runs": table_targets.runs,
    "curves": table_targets.curves,
    "workbook": table_targets.workbook,
    "own workbook": table_targets.own_workbook,
    "prices": table_targets.prices,
    "capacity": table_targets.capacity,
    "forecast": table_targets.forecast,
    "trace": table_targets.trace,
    "samples": table_targets.samples,
    "sweep": table_targets.sweep,
    "command line": command_targets.command_line,
    **{f"relation {name}": _related(name) for name in relations.RELATIONS},
}
