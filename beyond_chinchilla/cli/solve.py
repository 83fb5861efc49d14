"""``bc-opt SCENARIO...``: the plan of each scenario."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.allowance import allow_outside_option
from beyond_chinchilla.cli.answers import VOCABULARY, Answer, Questions, answer, find_risk, opinions_of, plan_of
from beyond_chinchilla.cli.plotting import hush, plot_option, requested
from beyond_chinchilla.cli.progress import Progress
from beyond_chinchilla.errors import InputError, ScenarioError
from beyond_chinchilla.optimise.locate import METHODS
from beyond_chinchilla.report import markdown, rows, tables
from beyond_chinchilla.report.plots.gallery import SCENARIO_NAMES
from beyond_chinchilla.scenario.load import Scenario, load

# What is written beside text, JSON, CSV and markdown.
_FILES = out.WORKBOOK | out.PARQUET | out.REPORT
# What the plots of chance are drawn from.
_BY_CHANCE = {
    "tornado": "sensitivity",
    "sobol": "sensitivity",
    "regret-map": "regret-map",
    "risk": "risk",
    "information": "risk",
}
# Where there is no place for more than the plan's own figures.
_NARROW = {"csv": "the one row of a csv", "parquet": "the one row of a parquet file", "workbook": "a workbook"}


@click.command("solve", short_help="Solve scenarios (the default command).")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: demand.requests=2B.")
@allow_outside_option
@click.option("--method", type=click.Choice(METHODS), default="auto", show_default=True, help="Force a solver.")
@click.option("--verify", is_flag=True, help="Solve by every method that can, and print how far they disagree.")
@click.option("--break-even", is_flag=True, help="The demand from which the plan saves 1%, 5% and 10%.")
@click.option("--realise", is_flag=True, help="Architectures near the plan, and what rounding to them costs.")
@click.option("--vocabulary", type=click.IntRange(min=1), help="For --realise; 128000 if left out.")
@click.option("--risk", is_flag=True, help="Carry uncertain inputs to the decision: how sure is the plan?")
@click.option("--seed", type=click.IntRange(0), help="Of --risk; 1 if left out.")
@click.option("--samples", type=int, help="Of --risk; 10000 if left out, 256 for demand by month.")
@click.option("--risk-aversion", "aversion", type=float, help="For --risk: 0 for the least mean (default), 1 for CVaR.")
@plot_option(SCENARIO_NAMES)
@out.output_options_with(_FILES)
def command(
    scenarios: tuple[str, ...],
    assignments: tuple[str, ...],
    allow_outside: bool,
    method: str,
    verify: bool,
    break_even: bool,
    realise: bool,
    vocabulary: int | None,
    risk: bool,
    seed: int | None,
    samples: int | None,
    aversion: float | None,
    plot: str | None,
    format_: str | None,
    output: Path | None,
) -> None:
    """Solve SCENARIO files: parameters and tokens of least lifetime cost at the target quality.

    \b
    bc-opt scenarios/1B-requests.yaml
    bc-opt scenarios/1B-requests.yaml --set demand.requests=5B --set serving.decode_mfu=5%
    bc-opt scenarios/1B-requests.yaml --realise --break-even --verify
    bc-opt scenarios/uncertain-demand.yaml --risk
    bc-opt scenarios/1B-requests.yaml -o report.html
    bc-opt scenarios/*.yaml --format csv
    """
    drawing = requested(plot, SCENARIO_NAMES, format_, output)
    chosen = "plot" if drawing else out.choose_format(format_, output, _FILES)
    asked = {"--verify": verify, "--break-even": break_even, "--realise": realise, "--risk": risk}
    _refuse_senseless([option for option, is_set in asked.items() if is_set], chosen)
    _refuse_orphans("--realise", realise, {"--vocabulary": vocabulary})
    _refuse_orphans(
        "--risk", risk or plot in _BY_CHANCE, {"--seed": seed, "--samples": samples, "--risk-aversion": aversion}
    )
    questions = Questions(
        verify=verify,
        break_even=break_even,
        realise=realise,
        vocabulary=vocabulary or VOCABULARY,
        risk=risk,
        seed=1 if seed is None else seed,
        samples=samples,
        aversion=aversion or 0.0,
    )
    loaded = _load_all(scenarios, assignments, allow_outside)
    if len(loaded) > 1 and chosen in ("plot", "report"):
        raise InputError(f"--output {output}: a picture or report is of one scenario, not of {len(loaded)}")
    whole_page = chosen == "json" or (len(loaded) == 1 and chosen not in _NARROW)
    with Progress("solving") as progress:
        answers = [plan_of(scenario, method) for scenario in loaded]
        if drawing is not None and answers[0].plan.best is not None:
            find_risk(answers[0], questions, progress, [_BY_CHANCE[drawing.name]] if drawing.name in _BY_CHANCE else ())
        for each in answers if drawing is None else ():
            answer(each, questions, progress, whole_page=whole_page)
    if drawing is not None:
        # A frontier may have plans where this scenario has none.
        if answers[0].plan.best is not None or drawing.name == "frontier":
            drawing.write(answers[0].subject)
    elif len(answers) > 1 or chosen in _NARROW:
        _several(answers, chosen, output)
    else:
        _one(answers[0], chosen, output)
    failed = [each.plan for each in answers if each.plan.best is None]
    for plan in failed:
        out.tell(f"{plan.name}: {plan.status}: {plan.warnings[0]}")
    if failed:
        raise click.exceptions.Exit(1)


def _refuse_senseless(asked: Sequence[str], chosen: str) -> None:
    """Refuse options that would be ignored."""
    if asked and chosen in _NARROW:
        place = _NARROW[chosen]
        raise InputError(f"{' and '.join(asked)}: no place for that in {place}; use text, json or markdown")


def _refuse_orphans(option: str, is_set: bool, details: Mapping[str, object]) -> None:
    """Refuse details of an option that is not set."""
    for detail, value in details.items():
        if value is not None and not is_set:
            raise InputError(f"{detail} goes with {option}")


def _load_all(paths: tuple[str, ...], assignments: tuple[str, ...], allow_outside: bool) -> list[Scenario]:
    """Load every scenario, or report the mistakes of all of them."""
    loaded: list[Scenario] = []
    mistakes: list[str] = []
    for path in paths:
        try:
            loaded.append(load(path, assignments, allow_outside=allow_outside))
        except ScenarioError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ScenarioError(mistakes)
    return loaded


def _one(found: Answer, chosen: str, output: Path | None) -> None:
    plan = found.plan
    opinions, size = opinions_of(found)
    if chosen == "json":
        opinion_rows = [opinion.to_dict() for opinion in opinions]
        out.emit(tables.to_json({**plan.to_dict(), "law_disagreement": opinion_rows, **found.record}), output)
    elif chosen == "report" or (chosen == "markdown" and output is not None):
        from beyond_chinchilla.report.document import write_report

        assert output is not None
        hush()
        write_report(output, found.subject, found.parts, opinions)
        out.note(f"wrote {output}")
    elif chosen == "markdown":
        out.emit(markdown.page(plan, opinions, size, found.parts), output)
    else:
        from beyond_chinchilla.report import text
        from beyond_chinchilla.report.sparkline import sparkline

        spark = sparkline(found.problem, plan)
        spark = spark if out.can_show(spark, output) else ""
        out.show(lambda console: text.print_page(console, plan, opinions, size, found.parts, spark), output)


def _several(answers: Sequence[Answer], chosen: str, output: Path | None) -> None:
    plans = [each.plan for each in answers]
    titled = [replace(part, title=f"{each.plan.name}: {part.title}") for each in answers for part in each.parts]
    if chosen == "workbook":
        from beyond_chinchilla.sheets.write import write_workbook

        assert output is not None
        write_workbook(output, [(each.stated or each.scenario, each.problem, each.plan) for each in answers])
        out.note(f"wrote {output}")
    elif chosen == "parquet":
        assert output is not None
        out.emit_file(tables.to_parquet([rows.flat(plan) for plan in plans]), output)
    elif chosen == "json":
        out.emit(tables.to_json([{**each.plan.to_dict(), **each.record} for each in answers]), output)
    elif chosen == "csv":
        out.emit(tables.to_csv([rows.flat(plan) for plan in plans]), output)
    elif chosen == "markdown":
        out.emit(markdown.comparison(plans, titled), output)
    else:
        from beyond_chinchilla.report import text

        out.show(lambda console: text.print_comparison(console, plans, titled), output)
