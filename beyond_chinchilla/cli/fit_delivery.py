"""What becomes of a fit, whatever was fitted: its page, its file, or the refusal to write one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from beyond_chinchilla.cli import output as out

REFUSED = "do not use"


def deliver(
    result: Any,
    report: ModuleType,
    chosen: str,
    output: Path | None,
    *,
    force: bool,
    rows: Sequence[dict[str, Any]] | None = None,
) -> None:
    """Print the page or write the file, and exit with 1 where the verdict is 'do not use'.

    Parameters
    ----------
    result : dataclass
        With a ``diagnosis``, and the ``file`` under which its page says that it can be used.
    report : module
        Whose ``print_page``, ``page``, ``figures``, ``to_dict`` and ``to_json`` know such a result.
    chosen : str
        Format.
    output : Path, optional
        Where to.
    force : bool
        Whether the verdict is to be disregarded.
    rows : sequence of dict, optional
        Of the CSV, in place of the figures.
    """
    if output is not None and chosen == "json":
        result = replace(result, file=output.name)
    refused = result.diagnosis.verdict == REFUSED and not force
    if output is None or not refused:
        _emit(result, report, chosen, output, rows)
    if output is not None and (chosen == "json" or refused):
        # The file is for scenarios; the page is for the person who asked, and who may have stopped reading.
        out.show(lambda console: report.print_page(console, result), None)
    if refused and output is not None:
        out.tell(f"{output} is not written: the verdict is '{REFUSED}'; --force writes it all the same")
    if refused:
        raise click.exceptions.Exit(1)


def _emit(
    result: Any, report: ModuleType, chosen: str, output: Path | None, rows: Sequence[dict[str, Any]] | None
) -> None:
    from beyond_chinchilla.report import tables

    if chosen == "json":
        out.emit(report.to_json(report.to_dict(result)), output)
    elif chosen == "csv":
        out.emit(tables.to_csv(report.figures(result) if rows is None else list(rows)), output)
    elif chosen == "markdown":
        out.emit(report.page(result), output)
    else:
        out.show(lambda console: report.print_page(console, result), output)
