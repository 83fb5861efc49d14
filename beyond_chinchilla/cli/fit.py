"""``bc-opt fit``: a law from training runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli import plotting
from beyond_chinchilla.cli.fit_delivery import deliver
from beyond_chinchilla.cli.progress import Progress
from beyond_chinchilla.errors import FitError, InputError, printable
from beyond_chinchilla.report.plots.gallery import FIT_NAMES
from beyond_chinchilla.units import parse_number, parse_quantity

if TYPE_CHECKING:
    from beyond_chinchilla.fit.isoflop import IsoflopFit
    from beyond_chinchilla.fit.result import Fit
    from beyond_chinchilla.fit.runs import Runs
    from beyond_chinchilla.report.fits import Result


@click.command("fit", short_help="Fit a law to training runs, with intervals and a verdict.")
@click.argument("runs", metavar="RUNS")
@click.option(
    "--columns",
    multiple=True,
    metavar="ROLE=NAME",
    help="Which column is params, tokens, tokens_per_param, flops or loss.",
)
@click.option("--sheet", metavar="NAME", help="Sheet of a workbook.")
@click.option("--loss-unit", type=click.Choice(["nats", "bits"]), help="By default the column's name says, else nats.")
@click.option("--max-tokens-per-param", "most", metavar="RATIO", help="Leave out runs of more.")
@click.option("--min-flops", metavar="FLOP", help="Leave out runs of less training compute.")
@click.option("--drop-highest-loss", "drop", type=click.IntRange(0), default=0, metavar="COUNT", help="Leave them out.")
@click.option("--objective", type=click.Choice(["huber", "least-squares"]), default="huber", show_default=True)
@click.option("--tied", is_flag=True, help="Hold alpha = beta.")
@click.option("--irreducible", metavar="E", help="Hold E [nats/token].")
@click.option("--bootstraps", type=int, default=4000, show_default=True, help="Resampled fits; 0 for no intervals.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the resampling.")
@click.option(
    "--by-max-tokens-per-param",
    "by",
    metavar="RATIOS",
    help="Compare the laws of the runs up to each ratio: 50,100,250.",
)
@click.option("--suggest", "suggested", type=int, metavar="COUNT", help="Suggest so many further runs; needs --budget.")
@click.option("--budget", metavar="FLOP", help="Of the suggested runs together: 1e20.")
@click.option("--for", "target", metavar="FLOP", help="Compute at which they narrow the best size; by default 5.76e23.")
@click.option("--thinking", is_flag=True, help="Fit + G k^-g as well, k the samples or reasoning tokens per request.")
@click.option("--base-law", metavar="LAW", help="Hold A, alpha, B, beta of this law (name or JSON).")
@click.option("--repetition", is_flag=True, help="Fit R_D and R_N of repeated tokens instead, on a base law.")
@click.option("--hold", multiple=True, metavar="NAME=NUMBER", help="With --repetition: hold R_N or R_D.")
@click.option("--downstream", is_flag=True, help="Fit a map from loss to error on a suite of tasks, by least squares.")
@click.option("--error-column", metavar="NAME", help="With --downstream: errors; or --score-column.")
@click.option("--score-column", metavar="NAME", help="With --downstream: scores, 1 - error.")
@click.option("--force", is_flag=True, help="Exit 0 and write the law even if the verdict is 'do not use'.")
@click.option("--name", help="Of the law; by default the file's.")
@plotting.plot_option(FIT_NAMES)
@out.output_options
def command(
    runs: str,
    columns: tuple[str, ...],
    sheet: str | None,
    loss_unit: Literal["nats", "bits"] | None,
    most: str | None,
    min_flops: str | None,
    drop: int,
    objective: Literal["huber", "least-squares"],
    tied: bool,
    irreducible: str | None,
    bootstraps: int,
    seed: int,
    by: str | None,
    suggested: int | None,
    budget: str | None,
    target: str | None,
    thinking: bool,
    base_law: str | None,
    repetition: bool,
    hold: tuple[str, ...],
    downstream: bool,
    error_column: str | None,
    score_column: str | None,
    force: bool,
    name: str | None,
    plot: str | None,
    format_: str | None,
    output: Path | None,
) -> None:
    """Fit L = E + A N^-alpha + B D^-beta to the RUNS of a table (CSV, TSV, JSON lines, Parquet, xlsx).

    Columns are found by name. Every row that is not used is counted with its reason. The exit code is 1 if the verdict
    is 'do not use'; without --force, nothing is then written to FILE.

    \b
    bc-opt fit runs.csv
    bc-opt fit runs.csv --drop-highest-loss 5 -o law.json
    bc-opt fit runs.csv --columns params="size (B)" --columns loss=eval/c4
    bc-opt fit runs.csv --by-max-tokens-per-param 50,100,250
    bc-opt fit runs.csv --suggest 5 --budget 1e20
    bc-opt fit runs.csv --plot profile -o profile.svg
    bc-opt fit scores.csv --thinking -o law.json
    bc-opt fit epochs.csv --repetition --hold R_N=5.31
    bc-opt fit models.csv --downstream --score-column average -o suite.json
    """
    from beyond_chinchilla.fit.filters import filter_runs
    from beyond_chinchilla.fit.runs import read_runs
    from beyond_chinchilla.report import fits

    drawing = plotting.requested(plot, FIT_NAMES, format_, output)
    chosen = "plot" if drawing else out.choose_format(format_, output)
    if bootstraps < 0 or bootstraps == 1:
        raise InputError(f"--bootstraps {bootstraps}: give 2 or more (4000 by default), or 0 for no intervals")
    held = None if irreducible is None else parse_quantity(irreducible, "nats/token")
    bounds = None if by is None else [_number("--by-max-tokens-per-param", part) for part in by.split(",")]
    wanted = _wanted(suggested, budget, target)
    if wanted is not None and bounds is not None:
        raise InputError("--suggest and --by-max-tokens-per-param do not go together; keep one of them")
    if drawing is not None and (wanted is not None or bounds is not None):
        option = "--suggest" if wanted is not None else "--by-max-tokens-per-param"
        raise InputError(f"{option}: no place for that in a picture; leave out --plot")
    sift = partial(
        filter_runs,
        max_tokens_per_param=None if most is None else _number("--max-tokens-per-param", most),
        min_flops=None if min_flops is None else _number("--min-flops", min_flops),
        drop_highest_loss=drop,
    )
    label = printable(name or Path(runs).name.split(".")[0]) or "fit"
    if downstream or error_column is not None or score_column is not None:
        from beyond_chinchilla.cli import fit_downstream

        idle: dict[str, object] = {"--by-max-tokens-per-param": bounds, "--suggest": wanted, "--plot": drawing}
        idle |= {"--irreducible": irreducible, "--max-tokens-per-param": most, "--min-flops": min_flops}
        idle |= {"--drop-highest-loss": drop, "--thinking": thinking, "--repetition": repetition, "--tied": tied}
        idle |= {"--base-law": base_law, "--hold": hold}
        fit_downstream.check(downstream, (error_column, score_column), [key for key, value in idle.items() if value])
        pairs = fit_downstream.read(runs, _columns(columns), loss_unit, sheet, error_column, score_column)
        fit_downstream.fit(
            pairs,
            fit_downstream.DownstreamOptions(bootstraps=bootstraps, seed=seed, force=force, name=label),
            chosen,
            output,
        )
        return
    if repetition or hold:
        from beyond_chinchilla.cli import fit_repetition

        clash = {"--by-max-tokens-per-param": bounds is not None, "--suggest": wanted is not None}
        clash |= {"--plot": drawing is not None, "--thinking": thinking, "--tied": tied}
        fit_repetition.check(repetition, hold, [option for option, is_given in clash.items() if is_given])
        stated = fit_repetition.RepetitionOptions(
            objective=objective, irreducible=held, base_law=base_law, hold=fit_repetition.parse_hold(hold),
            bootstraps=bootstraps, seed=seed, force=force, name=label,
        )  # fmt: skip
        repeated = fit_repetition.read(runs, _columns(columns), loss_unit, sheet, sift)
        fit_repetition.fit(repeated, stated, chosen, output)
        return
    if thinking or base_law is not None:
        from beyond_chinchilla.cli import fit_thinking

        asked = {"--by-max-tokens-per-param": bounds, "--suggest": wanted, "--plot": drawing}
        fit_thinking.check(thinking, base_law, [option for option, value in asked.items() if value is not None])
        scored = fit_thinking.read(runs, _columns(columns), loss_unit, sheet, sift)
        options = fit_thinking.ThinkingOptions(
            objective=objective, tied=tied, irreducible=held, base_law=base_law, bootstraps=bootstraps, seed=seed,
            force=force, name=label,
        )  # fmt: skip
        fit_thinking.fit(scored, options, chosen, output)
        return
    read = sift(read_runs(runs, columns=_columns(columns), loss_unit=loss_unit, sheet=sheet))
    if bounds is not None:
        _compare(read, bounds, (objective, tied, held), chosen, output)
        return
    with Progress("fitting from 4500 starts") as progress:
        result = _fit(read, (objective, tied, held), label, bootstraps, seed, force, progress)
        if wanted is not None and (force or result.diagnosis.verdict != "do not use"):
            progress.stage = "looking for the next runs"
            result = _suggest(result, wanted)
    if drawing is not None:
        from beyond_chinchilla.report.plots.subject import FitSubject

        drawing.write(FitSubject(result=result))
        if result.diagnosis.verdict == "do not use" and not force:
            raise click.exceptions.Exit(1)
        return
    next_runs = None if result.suggested is None else [run.to_dict() for run in result.suggested.runs]
    deliver(result, fits, chosen, output, force=force, rows=next_runs)


def _fit(
    read: Runs,
    form: tuple[Literal["huber", "least-squares"], bool, float | None],
    label: str,
    bootstraps: int,
    seed: int,
    force: bool,
    progress: Progress,
) -> Result:
    from beyond_chinchilla.fit.bootstrap import bootstrap
    from beyond_chinchilla.fit.diagnostics import Diagnosis, diagnose, judge_intervals, no_intervals
    from beyond_chinchilla.fit.parametric import fit_parametric
    from beyond_chinchilla.report.fits import Result

    fit = fit_parametric(
        read.params,
        read.tokens,
        read.loss,
        objective=form[0],
        tied=form[1],
        irreducible=form[2],
        counts="non-embedding" if read.conventions.get("counts") == "non-embedding" else "total",
        name=label,
    )
    progress.stage = "checking the fit"
    isoflop = _isoflop(fit)
    diagnosis = diagnose(fit, isoflop=isoflop, flops=read.compute)
    # Resampling what is refused anyway takes minutes: noise has no valley to go back to.
    if not bootstraps or (diagnosis.verdict == "do not use" and not force):
        return Result(runs=read, fit=fit, bootstrap=None, diagnosis=diagnosis)
    progress.stage = f"resampling the runs {bootstraps} times"
    try:
        drawn = bootstrap(fit, samples=bootstraps, seed=seed)
    except FitError as error:
        findings = (*diagnosis.findings, no_intervals(error))
        return Result(runs=read, fit=fit, bootstrap=None, diagnosis=Diagnosis(findings))
    diagnosis = Diagnosis((*diagnosis.findings, judge_intervals(drawn)))
    return Result(runs=read, fit=fit, bootstrap=drawn, diagnosis=diagnosis)


@dataclass(frozen=True)
class _Wanted:
    """How many runs are to be suggested, for what compute together, and for which compute to plan [FLOP]."""

    count: int
    budget: float
    flops: float | None


def _wanted(count: int | None, budget: str | None, target: str | None) -> _Wanted | None:
    if count is None:
        for option, value in (("--budget", budget), ("--for", target)):
            if value is not None:
                raise InputError(f"{option} goes with --suggest; write it like --suggest 5 --budget 1e20")
        return None
    from beyond_chinchilla.fit.suggest import check_count

    # Before the fit: nobody waits for that to learn of a slip.
    try:
        check_count(count)
    except InputError as error:
        raise InputError(f"--suggest: {error}") from None
    if budget is None:
        raise InputError(f"--suggest {count} needs --budget, the compute of the runs together, such as --budget 1e20")
    flops = None if target is None else _flops("--for", target)
    return _Wanted(count, _flops("--budget", budget), flops)


def _flops(option: str, words: str) -> float:
    try:
        found = parse_quantity(words, "FLOP")
    except InputError as error:
        raise InputError(f"{option}: {error}") from None
    if not found > 0:
        raise InputError(f"{option} {words}: give a compute above zero, such as 1e20")
    return found


def _suggest(result: Result, wanted: _Wanted) -> Result:
    from beyond_chinchilla.fit.suggest import suggest

    try:
        found = suggest(
            result.fit, count=wanted.count, budget=wanted.budget, bootstrap=result.bootstrap, flops=wanted.flops
        )
    except InputError as error:
        raise InputError(f"--suggest: {error}") from None
    return replace(result, suggested=found)


def _isoflop(fit: Fit) -> IsoflopFit | None:
    from beyond_chinchilla.fit.isoflop import fit_isoflop

    try:
        return fit_isoflop(fit.params, fit.tokens, fit.loss)
    except (FitError, InputError):
        return None


def _compare(
    read: Runs,
    bounds: list[float],
    form: tuple[Literal["huber", "least-squares"], bool, float | None],
    chosen: str,
    output: Path | None,
) -> None:
    """Print the laws of the runs up to each ratio."""
    from beyond_chinchilla.fit.ablation import by_max_tokens_per_param
    from beyond_chinchilla.report import fits, tables

    with Progress("fitting the runs up to each ratio"):
        found = by_max_tokens_per_param(read, bounds, objective=form[0], tied=form[1], irreducible=form[2])
    title = f"{read.source}: {len(read)} runs, {len(read.set_aside)} set aside."
    rows = [each.to_dict() for each in found]
    if chosen == "json":
        record = {"schema": fits.ABLATION_SCHEMA, "laws": rows, "data": read.to_dict()}
        out.emit(tables.to_json(record), output)
    elif chosen == "csv":
        out.emit(tables.to_csv(rows), output)
    elif chosen == "markdown":
        out.emit(fits.ablation_page(title, found), output)
    else:
        out.show(lambda console: fits.print_ablation(console, title, found), output)


def _columns(given: tuple[str, ...]) -> dict[str, str]:
    """Return columns by role."""
    stated: dict[str, str] = {}
    for pair in given:
        role, equals, column = pair.partition("=")
        if not equals or not role.strip() or not column.strip():
            raise InputError(f"--columns {pair}: write ROLE=NAME, such as params='Model Size'")
        if role.strip() in stated:
            raise InputError(f"--columns {role.strip()} is given twice; keep one of them")
        stated[role.strip()] = column.strip()
    return stated


def _number(option: str, words: str) -> float:
    try:
        return parse_number(words)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None
