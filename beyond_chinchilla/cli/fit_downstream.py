"""``bc-opt fit PAIRS --downstream``: from the loss of a model to its error on a suite of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from beyond_chinchilla.cli.fit_delivery import deliver
from beyond_chinchilla.cli.progress import Progress
from beyond_chinchilla.errors import InputError

if TYPE_CHECKING:
    from beyond_chinchilla.fit.downstream.pairs import Pairs


@dataclass(frozen=True, kw_only=True)
class DownstreamOptions:
    """What was asked for beside the pairs."""

    bootstraps: int
    seed: int
    force: bool
    name: str


def check(downstream: bool, columns: Sequence[str | None], others: Sequence[str]) -> None:
    """Refuse options that do not go together, before anything is read; `columns` are those of error and score."""
    if not downstream:
        raise InputError("--error-column and --score-column go with --downstream, which fits a map from loss to error")
    if None not in columns:
        raise InputError("--error-column and --score-column are both given; keep one")
    if others:
        raise InputError(f"{others[0]} and --downstream do not go together; keep one of them")


def read(
    path: str,
    columns: Mapping[str, str],
    loss_unit: Literal["nats", "bits"] | None,
    sheet: str | None,
    error_column: str | None,
    score_column: str | None,
) -> Pairs:
    """Return the pairs of a file; of the columns by role, only that of the loss is read."""
    from beyond_chinchilla.fit.downstream.pairs import read_pairs

    idle = [role for role in columns if role != "loss"]
    if idle:
        raise InputError(
            f"--columns {idle[0]}=...: --downstream reads losses and errors alone; give loss=NAME, --error-column NAME "
            "or --score-column NAME"
        )
    return read_pairs(
        path,
        error_column=error_column,
        score_column=score_column,
        loss_column=columns.get("loss"),
        loss_unit=loss_unit,
        sheet=sheet,
    )


def fit(pairs: Pairs, options: DownstreamOptions, chosen: str, output: Path | None) -> None:
    """Fit, print the page or write the file, and exit with 1 where the verdict is 'do not use'."""
    from beyond_chinchilla.fit.downstream.map import fit_downstream
    from beyond_chinchilla.fit.downstream.verdict import judge_map
    from beyond_chinchilla.report import fit_downstream as report

    with Progress("fitting the map from loss to error"):
        found = fit_downstream(
            pairs.loss,
            pairs.error,
            samples=options.bootstraps,
            seed=options.seed,
            name=options.name,
            source=f"fitted to {len(pairs)} models of {pairs.source}",
        )
        result = report.MapResult(pairs=pairs, fit=found, diagnosis=judge_map(found))
    deliver(result, report, chosen, output, force=options.force)
