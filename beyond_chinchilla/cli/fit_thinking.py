"""``bc-opt fit RUNS --thinking``: a law with samples or reasoning tokens per request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from beyond_chinchilla.cli.fit_delivery import deliver
from beyond_chinchilla.cli.progress import Progress
from beyond_chinchilla.errors import FitError, InputError

if TYPE_CHECKING:
    from beyond_chinchilla.fit.runs import Runs
    from beyond_chinchilla.fit.thinking.runs import ThinkingRuns
    from beyond_chinchilla.laws.loss_law import LossLaw
    from beyond_chinchilla.report.fit_thinking import ThinkingResult


@dataclass(frozen=True, kw_only=True)
class ThinkingOptions:
    """What was asked for beside the rows."""

    objective: Literal["huber", "least-squares"]
    tied: bool
    irreducible: float | None
    base_law: str | None
    bootstraps: int
    seed: int
    force: bool
    name: str


def check(thinking: bool, base_law: str | None, others: Sequence[str]) -> None:
    """Refuse options that do not go together, before anything is read."""
    if not thinking and base_law is not None:
        raise InputError("--base-law goes with --thinking or --repetition, which fit their constants beside its terms")
    if others:
        raise InputError(f"{others[0]} and --thinking do not go together; keep one of them")


def read(
    path: str,
    columns: Mapping[str, str],
    loss_unit: Literal["nats", "bits"] | None,
    sheet: str | None,
    sift: Callable[[Runs], Runs],
) -> ThinkingRuns:
    """Return the rows of a file that the filters leave."""
    from beyond_chinchilla.fit.thinking.runs import ThinkingRuns, read_thinking_runs

    kept = sift(read_thinking_runs(path, columns=columns, loss_unit=loss_unit, sheet=sheet))
    assert isinstance(kept, ThinkingRuns)
    return kept


def fit(rows: ThinkingRuns, options: ThinkingOptions, chosen: str, output: Path | None) -> None:
    """Fit, print the page or write the file, and exit with 1 where the verdict is 'do not use'."""
    from beyond_chinchilla.report import fit_thinking as report

    with Progress("fitting the constants") as progress:
        result = _fit(rows, options, progress)
    deliver(result, report, chosen, output, force=options.force)


def base_law(words: str) -> LossLaw:
    """Return the law of a name in the catalogue, or of a JSON file.

    Raises
    ------
    InputError
        Neither.
    """
    from beyond_chinchilla.laws import catalogue

    if words in catalogue.names() or not words.endswith(".json"):
        try:
            return catalogue.law(words)
        except InputError as error:
            raise InputError(f"--base-law: {error}; or give a JSON file of bc-opt fit") from None
    from beyond_chinchilla.laws.loss_law import FittedRange, LossLaw
    from beyond_chinchilla.scenario.law_file import read_law
    from beyond_chinchilla.units import parse_number

    row = read_law(Path(words))
    try:
        E, A, alpha, B, beta = (parse_number(row[key]) for key in ("E", "A", "alpha", "B", "beta"))
        return LossLaw(
            E=E,
            A=A,
            alpha=alpha,
            B=B,
            beta=beta,
            power=parse_number(row.get("power", 1.0)),
            counts="non-embedding" if row.get("counts") == "non-embedding" else "total",
            name=str(row["name"]),
            source=str(row.get("source", "")),
            fitted=FittedRange(**_pairs(row.get("range"))),
        )
    except InputError as error:
        raise InputError(f"--base-law {words}: {error}") from None


def _pairs(stated: Any) -> dict[str, tuple[float, float]]:
    from beyond_chinchilla.units import parse_number

    rows = stated if isinstance(stated, Mapping) else {}
    return {
        key: (parse_number(pair[0]), parse_number(pair[1]))
        for key, pair in rows.items()
        if key in ("params", "tokens", "tokens_per_param", "flops") and isinstance(pair, list) and len(pair) == 2
    }


def _fit(rows: ThinkingRuns, options: ThinkingOptions, progress: Progress) -> ThinkingResult:
    from beyond_chinchilla.fit.diagnostics import Diagnosis
    from beyond_chinchilla.fit.thinking.bootstrap import bootstrap_thinking
    from beyond_chinchilla.fit.thinking.checks import (
        diagnose_thinking,
        judge_thinking_intervals,
        no_thinking_intervals,
    )
    from beyond_chinchilla.fit.thinking.law import fit_thinking
    from beyond_chinchilla.report.fit_thinking import ThinkingResult

    found = fit_thinking(
        rows,
        objective=options.objective,
        tied=options.tied,
        irreducible=options.irreducible,
        base=None if options.base_law is None else base_law(options.base_law),
        name=options.name,
    )
    progress.stage = "checking the fit"
    diagnosis = diagnose_thinking(found)
    drawn = None
    if options.bootstraps and (diagnosis.verdict != "do not use" or options.force):
        progress.stage = f"resampling the models {options.bootstraps} times"
        try:
            drawn = bootstrap_thinking(found, samples=options.bootstraps, seed=options.seed)
            judged = judge_thinking_intervals(drawn)
        except FitError as error:
            judged = no_thinking_intervals(error)
        diagnosis = Diagnosis((*diagnosis.findings, judged))
    return ThinkingResult(fit=found, bootstrap=drawn, diagnosis=diagnosis, name=options.name)
