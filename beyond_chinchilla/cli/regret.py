"""``bc-opt regret``: plan for one demand, meet another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.allowance import allow_outside_option
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import parse_number

if TYPE_CHECKING:
    from rich.console import Console

    from beyond_chinchilla.analyse.regret_map import RegretMap


@click.command("regret", short_help="Price a wrong forecast, too low and too high.")
@click.argument("scenario")
@click.option("--over", "key", default="demand", show_default=True, metavar="KEY", help="What is forecast.")
@click.option("--points", type=int, default=9, show_default=True, help="Values along each side.")
@click.option("--low", metavar="TIMES", help="Low end, over the scenario's own value.")
@click.option("--high", metavar="TIMES", help="High end.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: demand.requests=2B.")
@allow_outside_option
@out.output_options
def command(
    scenario: str,
    key: str,
    points: int,
    low: str | None,
    high: str | None,
    assignments: tuple[str, ...],
    allow_outside: bool,
    format_: str | None,
    output: Path | None,
) -> None:
    """Plan SCENARIO for each of several demands, and meet each of them.

    Size and tokens stay as planned: training is over before the demand shows. KEY is demand, or the dotted name of
    any number of the scenario. By default the map runs from the 1st to the 99th percentile of what is stated as
    uncertain, else from 1/30 to 30 times the scenario's demand, or from 1/4 to 4 times another number.

    \b
    bc-opt regret plan.yaml
    bc-opt regret plan.yaml --low 0.1 --high 10 --points 5 -o regret.csv
    bc-opt regret plan.yaml --over serving.decode_mfu --low 0.2 --high 5
    """
    from beyond_chinchilla.analyse.regret_map import regret_map
    from beyond_chinchilla.optimise.solver import solve
    from beyond_chinchilla.report import markdown, tables
    from beyond_chinchilla.report.risk import regret_parts
    from beyond_chinchilla.scenario.load import load

    chosen = out.choose_format(format_, output)
    ends = [None if words is None else _times(option, words) for option, words in (("--low", low), ("--high", high))]
    loaded = load(scenario, assignments, allow_outside=allow_outside)
    plan = solve(loaded)
    if plan.best is None:
        out.tell(f"{plan.name}: {plan.warnings[0]}")
        raise click.exceptions.Exit(1)
    found = regret_map(loaded, plan, key, points=points, low=ends[0], high=ends[1])
    if chosen == "json":
        out.emit(tables.to_json(found.to_dict()), output)
    elif chosen == "csv":
        out.emit(tables.to_csv(found.to_rows()), output)
    elif chosen == "markdown":
        out.emit("\n".join([f"# {markdown.escape(found.name)}", *markdown.render(regret_parts(found)), ""]), output)
    else:
        out.show(lambda console: _print(console, found), output)


def _print(console: Console, found: RegretMap) -> None:
    from beyond_chinchilla.report import text
    from beyond_chinchilla.report.risk import regret_parts

    for block in regret_parts(found):
        text.draw(console, block)


def _times(option: str, words: str) -> float:
    try:
        return parse_number(words.removesuffix("x"))
    except InputError as error:
        raise InputError(f"{option}: {error}") from None
