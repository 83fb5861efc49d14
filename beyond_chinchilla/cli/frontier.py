"""``bc-opt frontier``: many plans along one line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from beyond_chinchilla.analyse import frontier
from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli import plotting
from beyond_chinchilla.cli.allowance import allow_outside_option
from beyond_chinchilla.cli.progress import Progress
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import format_amount, format_number, format_percent, parse_number, parse_quantity

if TYPE_CHECKING:
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.scenario.load import Scenario

_NAMES = ("frontier",)
_TITLES = {"target": "Chinchilla size", "demand": "x demand", "budget": "budget"}


@click.command("frontier", short_help="Trace cost against quality, demand or budget.")
@click.argument("scenario")
@click.option("--over", type=click.Choice(frontier.OVERS), required=True, help="What to vary.")
@click.option("--points", type=click.IntRange(2, frontier.MAX_POINTS), default=50, show_default=True)
@click.option("--from", "low", metavar="VALUE", help="Low end: params (target), factor (demand) or money (budget).")
@click.option("--to", "high", metavar="VALUE", help="High end.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: demand.requests=2B.")
@allow_outside_option
@plotting.plot_option(_NAMES)
@out.output_options
def command(
    scenario: str,
    over: str,
    points: int,
    low: str | None,
    high: str | None,
    assignments: tuple[str, ...],
    allow_outside: bool,
    plot: str | None,
    format_: str | None,
    output: Path | None,
) -> None:
    """Solve SCENARIO at many targets, demands or budgets, log-spaced.

    The target is varied as the size of the compute-optimal model of equal loss, demand as a factor, and for a budget
    the best loss that it buys is found.

    \b
    bc-opt frontier plan.yaml --over target --from 7B --to 70B --format csv
    bc-opt frontier plan.yaml --over demand --points 20
    bc-opt frontier plan.yaml --over budget --from 1M --to 100M -o frontier.json
    bc-opt frontier plan.yaml --over demand --plot frontier -o frontier.svg
    """
    from beyond_chinchilla.report import rows, tables
    from beyond_chinchilla.scenario.load import load

    drawing = plotting.requested(plot, _NAMES, format_, output)
    chosen = "plot" if drawing else out.choose_format(format_, output)
    loaded = load(scenario, assignments, allow_outside=allow_outside)
    problem, runs_on = _problem(loaded)
    _refuse_senseless(problem, over)
    unit = {"target": "params", "demand": "", "budget": problem.cost.unit}[over]
    ends = [_read(option, end, unit) for option, end in (("--from", low), ("--to", high))]
    with Progress(f"{loaded.name}: solving along the line") as shown:
        found = frontier.trace(problem, over, points=points, low=ends[0], high=ends[1], progress=shown.advance)
    has_plan = any(point.plan.best is not None for point in found)
    heads = [_TITLES[over], "params", "tokens", "tok/param", "loss", "total", "saved", "binding"]
    cells = [_cells(point) for point in found]
    if drawing is not None and has_plan:
        from beyond_chinchilla.optimise.solver import solve
        from beyond_chinchilla.report.plots.subject import Subject

        drawing.write(Subject(scenario=loaded, problem=problem, plan=solve(problem), frontier=found))
    elif chosen == "json":
        out.emit(tables.to_json([point.to_dict() for point in found]), output)
    elif chosen == "csv":
        out.emit(tables.to_csv([point.to_dict() for point in found]), output)
    elif chosen == "markdown":
        out.emit(tables.to_markdown(heads, cells), output)
    elif chosen == "text":
        stands = rows.laws(next((point.plan for point in found if point.plan.best is not None), found[0].plan))
        note = f"{problem.name}, {stands}; saved: against the Chinchilla model of equal loss."
        if over == "budget" or problem.objective == "loss":
            note = f"{problem.name}, {stands}; saved: loss against Chinchilla's ratio for the same money."
        out.show(lambda console: tables.print_table(console, heads, cells, f"{note}{runs_on}"), output)
    if not has_plan:
        out.tell(f"{problem.name}: no plan anywhere on this line: {found[0].plan.warnings[0]}")
        raise click.exceptions.Exit(1)


def _problem(scenario: Scenario) -> tuple[Problem, str]:
    """Return the problem to vary and, where there are several to choose from, which of them that is.

    To choose chips and launch anew at every point would take minutes, and a line that jumps between choices says
    nothing of either.
    """
    problem = scenario.to_problem()
    if problem.bill is None and len(scenario.alternatives) == 1:
        return problem, ""
    from beyond_chinchilla.analyse.deployment import problem_of
    from beyond_chinchilla.optimise.solver import solve

    plan = solve(scenario)
    if plan.best is None:
        return problem, ""
    chosen = scenario.chosen(plan.choice)
    launched = "" if problem.bill is None else ", launched as in its plan"
    return problem_of(chosen, plan), f" Everywhere on {plan.choice}{launched}." if plan.choice else ""


def _refuse_senseless(problem: Problem, over: str) -> None:
    """Refuse to vary what the scenario does not have."""
    if over == "budget" and problem.bill is not None:
        raise InputError(
            f"{problem.name}: a budget is spent over the life as a whole, not by month; use --over target or demand"
        )
    if over == "target" and problem.objective == "loss":
        raise InputError(f"{problem.name}: objective loss has no target to vary; use --over budget or demand")
    if over == "budget" and problem.start_from is not None:
        raise InputError(f"{problem.name}: a budget buys a new model, not start_from; use --over target or demand")


def _read(option: str, text: str | None, unit: str) -> float | None:
    """Return an end of the line in its unit."""
    if text is None:
        return None
    try:
        return parse_quantity(text, unit) if unit else parse_number(text)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def _cells(point: frontier.Point) -> list[str]:
    best, plan = point.plan.best, point.plan
    at = format_amount(point.at, plan.baseline.unit) if point.over == "budget" else format_number(point.at)
    if best is None:
        return [at, plan.status, *[""] * 6]
    binding = ", ".join(row.label for row in plan.limits if row.binding and row.label != "total_cost")
    return [
        at,
        format_number(best.params),
        format_number(best.tokens),
        format_number(best.tokens_per_param),
        f"{best.loss:.4f}",
        format_amount(best.total, best.unit),
        format_percent(plan.savings_fraction),
        binding or "-",
    ]
