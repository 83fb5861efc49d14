"""``bc-opt fit PAIRS --downstream``: from the loss of a model to its error on a suite of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.progress import Progress
from beyond_chinchilla.errors import InputError

if TYPE_CHECKING:
    from beyond_chinchilla.fit.downstream.pairs import Pairs
    from beyond_chinchilla.report.fit_downstream import MapResult


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
    if output is not None and chosen == "json":
        result = replace(result, file=output.name)
    refused = result.diagnosis.verdict == "do not use" and not options.force
    if output is not None and (chosen == "json" or refused):
        # The file is for scenarios; the page is for the person who asked.
        out.show(lambda console: report.print_page(console, result), None)
    if refused and output is not None:
        click.echo(f"{output} is not written: the verdict is 'do not use'; --force writes it all the same", err=True)
    else:
        _emit(result, chosen, output)
    if refused:
        raise click.exceptions.Exit(1)


def _emit(result: MapResult, chosen: str, output: Path | None) -> None:
    from beyond_chinchilla.report import fit_downstream as report
    from beyond_chinchilla.report import tables

    if chosen == "json":
        out.emit(report.to_json(report.to_dict(result)), output)
    elif chosen == "csv":
        out.emit(tables.to_csv(report.figures(result)), output)
    elif chosen == "markdown":
        out.emit(report.page(result), output)
    else:
        out.show(lambda console: report.print_page(console, result), output)
