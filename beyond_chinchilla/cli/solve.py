"""``bc-opt SCENARIO...``: the plan of each scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.errors import InputError, ScenarioError
from beyond_chinchilla.optimise.locate import METHODS
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.report import blocks, markdown, rows, tables
from beyond_chinchilla.scenario.load import Scenario, load

if TYPE_CHECKING:
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.report.blocks import Block


_VOCABULARY = 128_000


@dataclass
class _Extras:
    """What is shown beside a plan: parts of the page, and keys of the JSON."""

    parts: list[Block] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)


@click.command("solve", short_help="Solve scenarios (the default command).")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: demand.requests=2B.")
@click.option("--method", type=click.Choice(METHODS), default="auto", show_default=True, help="Force a solver.")
@click.option("--verify", is_flag=True, help="Solve by every method that can, and print how far they disagree.")
@click.option("--break-even", is_flag=True, help="The demand from which the plan saves 1%, 5% and 10%.")
@click.option("--realise", is_flag=True, help="Architectures near the plan, and what rounding to them costs.")
@click.option("--vocabulary", type=click.IntRange(min=1), help="For --realise; 128000 if left out.")
@out.output_options
def command(
    scenarios: tuple[str, ...],
    assignments: tuple[str, ...],
    method: str,
    verify: bool,
    break_even: bool,
    realise: bool,
    vocabulary: int | None,
    format_: str | None,
    output: Path | None,
) -> None:
    """Solve SCENARIO files: parameters and tokens of least lifetime cost at the target quality.

    \b
    bc-opt scenarios/1B-requests.yaml
    bc-opt scenarios/1B-requests.yaml --set demand.requests=5B --set serving.decode_mfu=5%
    bc-opt scenarios/1B-requests.yaml --realise --break-even --verify
    bc-opt scenarios/*.yaml --format csv
    """
    chosen = out.choose_format(format_, output, out.WORKBOOK | out.PARQUET)
    asked = {"--verify": verify, "--break-even": break_even, "--realise": realise}
    _refuse_senseless([option for option, is_set in asked.items() if is_set], vocabulary, chosen)
    loaded = _load_all(scenarios, assignments)
    solved = [_solve(scenario, method) for scenario in loaded]
    problems, plans = [problem for problem, _ in solved], [plan for _, plan in solved]
    extras = []
    for scenario, problem, plan in zip(loaded, problems, plans, strict=True):
        extra = _Extras()
        if plan.best is not None:
            # A page of several is one line each; a row of figures has no place for the rest.
            if chosen == "json" or (len(plans) == 1 and chosen in ("text", "markdown")):
                _add_service(extra, scenario, plan)
            _add_comparisons(extra, scenario, problem, plan)
            if break_even:
                _add_break_even(extra, scenario, problem)
            if realise:
                _add_architectures(extra, problem, plan, vocabulary or _VOCABULARY)
        if verify:
            _add_verification(extra, problem, plan)
        extras.append(extra)
    if chosen == "workbook":
        assert output is not None
        _workbook(output, list(zip(loaded, problems, plans, strict=True)))
    elif chosen == "parquet":
        assert output is not None
        out.emit_file(tables.to_parquet([rows.flat(plan) for plan in plans]), output)
    elif len(plans) > 1:
        _several(plans, extras, chosen, output)
    else:
        _one(problems[0], plans[0], extras[0], chosen, output)
    failed = [plan for plan in plans if plan.best is None]
    for plan in failed:
        click.echo(f"{plan.name}: {plan.status}: {plan.warnings[0]}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


def _refuse_senseless(asked: Sequence[str], vocabulary: int | None, chosen: str) -> None:
    """Refuse options that would be ignored."""
    if vocabulary is not None and "--realise" not in asked:
        raise InputError("--vocabulary goes with --realise")
    places = {"csv": "the one row of a csv", "parquet": "the one row of a parquet file", "workbook": "a workbook"}
    if asked and chosen in places:
        place = places[chosen]
        raise InputError(f"{' and '.join(asked)}: no place for that in {place}; use text, json or markdown")


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


def _solve(scenario: Scenario, method: str) -> tuple[Problem, Plan]:
    """Return a scenario's plan and the problem whose optimum it is: of several ways to serve, the chosen one."""
    problem = scenario.to_problem()
    if problem.bill is None:
        return problem, solve(problem, method)
    from beyond_chinchilla.analyse.deployment import problem_of

    plan = solve(scenario, method)
    return problem_of(scenario, plan), plan


def _add_service(extra: _Extras, scenario: Scenario, plan: Plan) -> None:
    file = scenario.file
    if plan.serving is None and not (file.currency or file.energy or file.buy):
        return
    from beyond_chinchilla.report.serving import parts

    found, record = parts(scenario, plan)
    extra.parts += found
    extra.record |= record


def _add_comparisons(extra: _Extras, scenario: Scenario, problem: Problem, plan: Plan) -> None:
    models = scenario.compared_models()
    if not models:
        return
    from beyond_chinchilla.analyse.compare import compare

    at = replace(problem, target_loss=plan.target_loss)
    found = [compare(at, name, params=params, tokens=tokens) for name, params, tokens in models]
    extra.parts.append(blocks.comparisons(found))
    extra.record["comparison"] = [item.to_dict() for item in found]


def _add_break_even(extra: _Extras, scenario: Scenario, problem: Problem) -> None:
    from beyond_chinchilla.analyse import frontier

    if problem.objective == "loss" or problem.start_from is not None:
        raise InputError(f"{problem.name}: --break-even compares costs at a target; it needs a plain scenario")
    found = frontier.break_even(problem)
    demand, unit = scenario.demand()
    extra.parts.append(blocks.break_even(found, demand, unit))
    extra.record["break_even"] = [
        {"savings_fraction": fraction, "demand": None if factor is None else factor * demand, "unit": unit}
        for fraction, factor in found
    ]


def _add_architectures(extra: _Extras, problem: Problem, plan: Plan, vocabulary: int) -> None:
    from beyond_chinchilla.analyse.realise import realise

    assert plan.best is not None
    if problem.objective == "loss":
        raise InputError(
            f"{problem.name}: --realise rounds a plan that meets a target; "
            f"use objective: cost and target: {{loss: {plan.best.loss:.4f}}}"
        )
    if problem.start_from is not None:
        raise InputError(f"{problem.name}: --realise proposes new models, but start_from has its architecture already")
    found = realise(problem, plan.best.params, vocabulary=vocabulary)
    extra.parts.append(blocks.realisations(found, plan.one_percent_range))
    extra.record["architectures"] = [item.to_dict() for item in found]


def _add_verification(extra: _Extras, problem: Problem, plan: Plan) -> None:
    from beyond_chinchilla.optimise.best_loss import verify_loss
    from beyond_chinchilla.optimise.locate import verify

    if problem.start_from is not None:
        raise InputError(
            f"{problem.name}: --verify compares solvers, but a start_from has one size and nothing to solve"
        )
    found = verify_loss(problem) if problem.objective == "loss" else verify(problem)
    extra.parts.append(blocks.verification(found, found=plan.best is not None))
    extra.record["verification"] = found


def _workbook(output: Path, entries: Sequence[tuple[Scenario, Problem, Plan]]) -> None:
    from beyond_chinchilla.sheets.write import write_workbook

    write_workbook(output, entries)
    out.note(f"wrote {output}")


def _one(problem: Problem, plan: Plan, extra: _Extras, chosen: str, output: Path | None) -> None:
    from beyond_chinchilla.analyse.disagreement import equivalent_size, other_laws

    asked = replace(problem, target_loss=plan.target_loss, objective="cost", start_from=None)
    opinions = other_laws(asked) if plan.best is not None else []
    if chosen == "json":
        opinion_rows = [opinion.to_dict() for opinion in opinions]
        out.emit(tables.to_json({**plan.to_dict(), "law_disagreement": opinion_rows, **extra.record}), output)
    elif chosen == "csv":
        out.emit(tables.to_csv([rows.flat(plan)]), output)
    elif chosen == "markdown":
        out.emit(markdown.page(plan, opinions, equivalent_size(asked), extra.parts), output)
    else:
        from beyond_chinchilla.report import text

        out.show(lambda console: text.print_page(console, plan, opinions, equivalent_size(asked), extra.parts), output)


def _several(plans: list[Plan], extras: Sequence[_Extras], chosen: str, output: Path | None) -> None:
    titled = [
        replace(part, title=f"{plan.name}: {part.title}")
        for plan, extra in zip(plans, extras, strict=True)
        for part in extra.parts
    ]
    if chosen == "json":
        records = [{**plan.to_dict(), **extra.record} for plan, extra in zip(plans, extras, strict=True)]
        out.emit(tables.to_json(records), output)
    elif chosen == "csv":
        out.emit(tables.to_csv([rows.flat(plan) for plan in plans]), output)
    elif chosen == "markdown":
        out.emit(markdown.comparison(plans, titled), output)
    else:
        from beyond_chinchilla.report import text

        out.show(lambda console: text.print_comparison(console, plans, titled), output)
