"""``bc-opt SCENARIO...``: the plan of each scenario."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.optimise.solver import METHODS, solve
from beyond_chinchilla.report import markdown, rows, tables
from beyond_chinchilla.scenario.load import Scenario, load

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.disagreement import Opinion
    from beyond_chinchilla.optimise.plan import Plan


@click.command("solve", short_help="Solve scenarios (the default command).")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: demand.requests=2B.")
@click.option("--method", type=click.Choice(METHODS), default="auto", show_default=True, help="Force a solver.")
@out.output_options
def command(
    scenarios: tuple[str, ...], assignments: tuple[str, ...], method: str, format_: str | None, output: Path | None
) -> None:
    """Solve SCENARIO files: parameters and tokens of least lifetime cost at the target quality.

    \b
    bc-opt scenarios/1B-requests.yaml
    bc-opt scenarios/1B-requests.yaml --set demand.requests=5B --set serving.decode_mfu=5%
    bc-opt scenarios/*.yaml --format csv
    """
    chosen = out.choose_format(format_, output)
    loaded = _load_all(scenarios, assignments)
    plans = [solve(scenario, method) for scenario in loaded]
    if len(plans) > 1:
        _several(plans, chosen, output)
    else:
        _one(loaded[0], plans[0], chosen, output)
    failed = [plan for plan in plans if plan.best is None]
    for plan in failed:
        click.echo(f"{plan.name}: {plan.status}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


def _load_all(paths: tuple[str, ...], assignments: tuple[str, ...]) -> list[Scenario]:
    """Load every scenario, or report the mistakes of all of them."""
    loaded: list[Scenario] = []
    mistakes: list[str] = []
    for path in paths:
        try:
            loaded.append(load(path, assignments))
        except ScenarioError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ScenarioError(mistakes)
    return loaded


def _one(scenario: Scenario, plan: Plan, chosen: str, output: Path | None) -> None:
    from beyond_chinchilla.analyse.disagreement import equivalent_size, other_laws

    problem = scenario.to_problem()
    opinions = other_laws(problem)
    if chosen == "json":
        out.emit(tables.to_json(_with_opinions(plan, opinions)), output)
    elif chosen == "csv":
        out.emit(tables.to_csv([rows.flat(plan)]), output)
    elif chosen == "markdown":
        out.emit(markdown.page(plan, opinions), output)
    else:
        from beyond_chinchilla.report import text

        out.show(lambda console: text.print_page(console, plan, opinions, equivalent_size(problem)), output)


def _with_opinions(plan: Plan, opinions: list[Opinion]) -> dict[str, object]:
    return {**plan.to_dict(), "law_disagreement": [opinion.to_dict() for opinion in opinions]}


def _several(plans: list[Plan], chosen: str, output: Path | None) -> None:
    if chosen == "json":
        out.emit(tables.to_json([plan.to_dict() for plan in plans]), output)
    elif chosen == "csv":
        out.emit(tables.to_csv([rows.flat(plan) for plan in plans]), output)
    elif chosen == "markdown":
        out.emit(markdown.comparison(plans), output)
    else:
        from beyond_chinchilla.report import text

        out.show(lambda console: text.print_comparison(console, plans), output)
