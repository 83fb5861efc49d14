"""``bc-opt capacity SCENARIO``: the plan month by month."""

from __future__ import annotations

from pathlib import Path

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli import plotting
from beyond_chinchilla.cli.allowance import allow_outside_option

_NAMES = ("fleet",)


@click.command("capacity", short_help="Show a plan month by month: GPUs by kind, hours, money.")
@click.argument("scenario")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: demand.months=24.")
@allow_outside_option
@plotting.plot_option(_NAMES)
@out.output_options
def command(
    scenario: str,
    assignments: tuple[str, ...],
    allow_outside: bool,
    plot: str | None,
    format_: str | None,
    output: Path | None,
) -> None:
    """Solve SCENARIO, and show month by month what is asked, which GPUs train and serve, and what they cost.

    The scenario states demand by month: requests_per_month, requests_per_day, users or a table.

    \b
    bc-opt capacity plan.yaml
    bc-opt capacity plan.yaml --set demand.peak_to_mean=3 --format markdown
    bc-opt capacity plan.yaml -o capacity.csv
    bc-opt capacity plan.yaml --plot fleet -o fleet.svg
    """
    from beyond_chinchilla.analyse.capacity import capacity
    from beyond_chinchilla.optimise.solver import solve
    from beyond_chinchilla.report import capacity as report
    from beyond_chinchilla.report import tables
    from beyond_chinchilla.scenario.load import load

    drawing = plotting.requested(plot, _NAMES, format_, output)
    chosen = "plot" if drawing else out.choose_format(format_, output)
    loaded = load(scenario, assignments, allow_outside=allow_outside)
    loaded.monthly()  # refuses demand over the life alone before anything is solved
    plan = solve(loaded)
    if plan.best is None:
        out.tell(f"{plan.name}: {plan.status}: {plan.warnings[0]}")
        raise click.exceptions.Exit(1)
    loaded = loaded.chosen(plan.choice)
    found = capacity(loaded, plan)
    if drawing is not None:
        from beyond_chinchilla.report.plots.subject import Subject

        drawing.write(Subject(scenario=loaded, problem=found.deployment.problem, plan=plan, capacity=found))
    elif chosen == "json":
        out.emit(tables.to_json(found.to_dict()), output)
    elif chosen == "csv":
        out.emit(tables.to_csv(report.records(found)), output)
    elif chosen == "markdown":
        out.emit(report.page(found), output)
    else:
        out.show(lambda console: report.print_page(console, found), output)
