"""``bc-opt fit RUNS --repetition``: how fast repeated tokens and excess parameters lose their worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from beyond_chinchilla.cli.fit_delivery import deliver
from beyond_chinchilla.cli.fit_thinking import base_law as read_base_law
from beyond_chinchilla.cli.progress import Progress
from beyond_chinchilla.errors import InputError, printable
from beyond_chinchilla.units import parse_number

if TYPE_CHECKING:
    from beyond_chinchilla.fit.repetition.runs import RepeatedRuns
    from beyond_chinchilla.fit.runs import Runs
    from beyond_chinchilla.laws.loss_law import LossLaw
    from beyond_chinchilla.report.fit_repetition import RepetitionResult

# Whose constants stand in where the runs make no base law of their own.
FALLBACK = "muennighoff-2023"


@dataclass(frozen=True, kw_only=True)
class RepetitionOptions:
    """What was asked for beside the runs."""

    objective: Literal["huber", "least-squares"]
    irreducible: float | None
    base_law: str | None
    hold: Mapping[str, float]
    bootstraps: int
    seed: int
    force: bool
    name: str


def check(repetition: bool, hold: Sequence[str], others: Sequence[str]) -> None:
    """Refuse options that do not go together, before anything is read."""
    if not repetition and hold:
        raise InputError(f"--hold {hold[0]} goes with --repetition, whose R_D or R_N it holds")
    if repetition and others:
        raise InputError(f"{others[0]} and --repetition do not go together; keep one of them")


def parse_hold(stated: Sequence[str]) -> dict[str, float]:
    """Return the held constants by name, from ``R_N=5.3``."""
    found: dict[str, float] = {}
    for pair in stated:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise InputError(f"--hold {printable(pair)}: write NAME=NUMBER, such as R_N=5.31")
        try:
            found[name] = parse_number(value)
        except InputError as error:
            raise InputError(f"--hold {printable(name)}: {error}") from None
    return found


def read(
    path: str,
    columns: Mapping[str, str],
    loss_unit: Literal["nats", "bits"] | None,
    sheet: str | None,
    sift: Callable[[Runs], Runs],
) -> RepeatedRuns:
    """Return the runs of a file that the filters leave."""
    from beyond_chinchilla.fit.repetition.runs import read_repeated_runs

    found = read_repeated_runs(path, columns=columns, loss_unit=loss_unit, sheet=sheet)
    return found.keep(sift(found.runs))


def fit(runs: RepeatedRuns, options: RepetitionOptions, chosen: str, output: Path | None) -> None:
    """Fit, print the page or write the file, and exit with 1 where the verdict is 'do not use'."""
    from beyond_chinchilla.report import fit_repetition as report

    with Progress("fitting R_D and R_N") as progress:
        result = _fit(runs, options, progress)
    deliver(result, report, chosen, output, force=options.force)


def _fit(runs: RepeatedRuns, options: RepetitionOptions, progress: Progress) -> RepetitionResult:
    from beyond_chinchilla.fit.repetition.checks import diagnose_repetition
    from beyond_chinchilla.fit.repetition.law import CONSTANTS, fit_repetition
    from beyond_chinchilla.fit.repetition.ridge import bootstrap_repetition, trace_ridge
    from beyond_chinchilla.report.fit_repetition import RepetitionResult

    law, own = _base_law(runs, options)
    table = runs.runs
    found = fit_repetition(
        table.params,
        table.tokens,
        runs.unique_tokens,
        table.loss,
        law=law if options.irreducible is None else replace(law, E=options.irreducible),
        data=runs.data,
        hold=options.hold,
        fixed_E=own or options.irreducible is not None,
        objective=options.objective,
    )
    progress.stage = "walking along the ridge"
    ridges = tuple(trace_ridge(found, name) for name in CONSTANTS if name not in options.hold)
    drawn = None
    if options.bootstraps:
        progress.stage = f"resampling the runs {options.bootstraps} times"
        drawn = bootstrap_repetition(found, samples=options.bootstraps, seed=options.seed)
    diagnosis = diagnose_repetition(found, ridges=ridges, bootstrap=drawn)
    return RepetitionResult(
        runs=runs, fit=found, ridges=ridges, bootstrap=drawn, diagnosis=diagnosis, name=options.name
    )


def _base_law(runs: RepeatedRuns, options: RepetitionOptions) -> tuple[LossLaw, bool]:
    """Return the base law, and whether it is that of these very data, E included."""
    from beyond_chinchilla.fit.repetition.law import base_law

    if options.base_law is not None:
        return read_base_law(options.base_law), False
    own = base_law(runs, objective=options.objective)
    if own is None:
        return read_base_law(FALLBACK), False
    return own, len(set(runs.data.tolist())) == 1
