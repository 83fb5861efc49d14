"""How fast is serving co-design, and do its solvers agree? ``python -m benchmarks.codesign [--problems 24]``.

One run, on one core, prints one table: the ways to serve one scenario by month (chip, precision, GPUs per replica),
each solved by Newton's method as `solve` does it, by cvxpy's geometric program cold and warm, and by the direct
search. Ratios are the message; seconds depend on the machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np

from benchmarks.timing import ask_size, elapsed, largest, one_core, progress
from beyond_chinchilla.optimise.direct import bill_of
from beyond_chinchilla.optimise.locate import locate
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.load import Scenario

SCENARIO: dict[str, Any] = {
    "name": "chat with a latency target",
    "law": "sardana-2024",
    "target": {"chinchilla": "30B"},
    "demand": {
        "requests_per_month": "50M",
        "growth_per_month": "6%",
        "saturation": "400M",
        "months": 24,
        "input_tokens": 900,
        "output_tokens": 250,
        "cached_share": "30%",
        "peak_to_mean": 2.2,
    },
    "discounting": {"rate": "10%"},
    "training": {
        "hardware": "h100-sxm",
        "precision": "bf16",
        "price": 2.69,
        "mfu": "40%",
        "goodput": "92%",
        "gpus": 1024,
    },
    "serving": {
        "hardware": ["h100-sxm", "h200-sxm", "b200-sxm"],
        "precision": ["bf16", "fp8"],
        "price": {"h100-sxm": 2.69, "h200-sxm": 3.99, "b200-sxm": 5.98},
    },
    "limits": {"time_per_output_token": {"max": "25 ms"}, "time_to_first_token": {"max": "800 ms"}},
}
MONTH = 1
REPEATS = 3
OURS, COLD, WARM, DIRECT = "auto (Newton's method)", "gp, cvxpy, cold", "gp, cvxpy, warm", "direct search"
AGREE, WHOLE, FASTER = 1e-6, 2.0, 1.0


@dataclass(frozen=True)
class Row:
    """One row of the table: milliseconds per combination, that over the same figure of `OURS`, and its bills."""

    method: str
    size: int
    per_plan: float
    ratio: float
    difference: float | None = None


def bills(problems: list[Problem], found: list[Located]) -> np.ndarray:
    """Return the least bill of each, before GPUs are rounded up."""
    return np.array([bill_of(p, x.params, x.tokens, dict(x.variables)) for p, x in zip(problems, found, strict=True)])


def by(method: str, problems: list[Problem]) -> list[Located]:
    """Solve all by a method."""
    return [locate(problem, method) for problem in problems]


def tabulate(problems: list[Problem]) -> list[Row]:
    """Time every method on problems that have a plan."""
    progress("cvxpy, cold ...")
    # The first solve imports cvxpy and compiles.
    cold = elapsed(partial(locate, problems[0], "gp"))
    runs: dict[str, Callable[[], list[Located]]] = {
        OURS: partial(by, "auto", problems),
        WARM: partial(by, "gp", problems),
        DIRECT: partial(by, "direct", problems),
    }
    reference = bills(problems, runs[OURS]())
    times, differences = {}, {}
    for method, run in runs.items():
        progress(f"{method} ...")
        differences[method] = largest(bills(problems, run()), reference)
        times[method] = statistics.median(elapsed(run) for _ in range(REPEATS)) / len(problems)
    ours = times[OURS]
    rows = [Row(OURS, len(problems), 1e3 * ours, 1.0), Row(COLD, 1, 1e3 * cold, cold / ours)]
    for method in (WARM, DIRECT):
        seconds = times[method]
        rows.append(Row(method, len(problems), 1e3 * seconds, seconds / ours, differences[method]))
    return rows


def _show(rows: list[Row]) -> None:
    print(f"{'method':<26}{'combinations':>13}{'ms each':>10}{'a second':>10}{'x auto':>8}{'bill differs':>14}")
    for row in rows:
        difference = "-" if row.difference is None else f"{row.difference:.0e}"
        each = f"{row.per_plan:>10.3g}{1e3 / row.per_plan:>10.3g}"
        print(f"{row.method:<26}{row.size:>13}{each}{row.ratio:>8.3g}{difference:>14}")


def main() -> None:
    """Run everything."""
    parser, size = ask_size(__doc__, "combinations of chip, precision and GPUs, at most 24", default=24)
    one_core()

    scenario = Scenario.from_dict(SCENARIO)
    asked = [problem for _, problem in scenario.monthly().problems(MONTH)][:size]
    problems = [problem for problem in asked if locate(problem).found]
    if not problems:
        parser.error("none of the combinations has a plan: ask for more")
    print(f"{len(problems)} of {len(asked)} combinations have a plan, one core, cvxpy {version('cvxpy')}")
    rows = tabulate(problems)
    _show(rows)
    whole = statistics.median(elapsed(partial(solve, scenario)) for _ in range(REPEATS))
    print(f"the whole scenario, launch months included: {whole:.2f} s")
    differences = [row.difference for row in rows if row.difference is not None]
    difference = max(differences, default=math.inf)
    warm = next(row for row in rows if row.method == WARM)
    for aim, met in (
        (f"bills equal to {AGREE:.0e}: {difference:.0e} in this run", difference <= AGREE),
        (f"no slower than {WARM}: {warm.ratio:.3g} x as fast in this run", warm.ratio >= FASTER),
        (f"the whole scenario under {WHOLE:g} s: {whole:.2f} s in this run", whole < WHOLE),
    ):
        print(f"aim: {aim}, {'met' if met else 'not met'}")


if __name__ == "__main__":
    main()
