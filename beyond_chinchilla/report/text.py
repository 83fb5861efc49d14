"""A terminal page that a person reads in ten seconds: the answer first."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from beyond_chinchilla.report import rows
from beyond_chinchilla.units import format_number

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.disagreement import Opinion
    from beyond_chinchilla.optimise.plan import Plan


def print_page(console: Console, plan: Plan, opinions: Sequence[Opinion] = (), size: float | None = None) -> None:
    """Print the whole page of one plan.

    Parameters
    ----------
    console : rich.console.Console
        Where to print; decides about width and colour.
    plan : Plan
    opinions : sequence of Opinion
        The same problem under other laws.
    size : float, optional
        Chinchilla-equivalent size of the target [params], which the other laws were asked for.
    """
    _say(console, rows.headline(plan), style="bold")
    _say(console, rows.subtitle(plan), style="dim")
    console.print()
    console.print(_bill(plan))
    console.print()
    _section(console, "What drives it", rows.drivers(plan))
    if opinions and size is not None:
        title = f"Other laws, each asked for the quality of its own Chinchilla-{format_number(size)}"
        _say(console, title, style="bold")
        console.print(_opinions(opinions))
        console.print()
    _section(console, "Warnings", list(plan.warnings), mark="! ", style="yellow")
    _say(console, rows.proof(plan), style="dim")


def print_comparison(console: Console, plans: Sequence[Plan]) -> None:
    """Print one line for each of several plans, then the warnings that they share."""
    heads, lines = rows.comparison(plans)
    table = _table()
    for index, head in enumerate(heads):
        table.add_column(head, justify="left" if index < 2 else "right", overflow="fold" if index < 2 else "ellipsis")
    for line in lines:
        table.add_row(*(Text(cell) for cell in line))
    console.print(table)
    warned = [plan.name for plan in plans if plan.warnings]
    if warned:
        console.print()
        note = (
            f"{len(warned)} of {len(plans)} plans carry warnings: run a scenario alone, or --format json, to read them."
        )
        _say(console, note, style="yellow")


def _bill(plan: Plan) -> Table:
    table = _table()
    table.add_column("")
    for head in ("plan", "Chinchilla", "ratio"):
        table.add_column(head, justify="right")
    for row in rows.sizes(plan):
        table.add_row(row.label, row.plan, row.baseline, row.ratio)
    table.add_section()
    for row in rows.terms(plan):
        table.add_row(row.label, row.plan, row.baseline, row.ratio, style="bold" if row.total else None)
    return table


def _opinions(opinions: Sequence[Opinion]) -> Table:
    heads, cells = rows.opinions(opinions)
    table = _table()
    for index, head in enumerate(heads):
        table.add_column(head, justify="right" if 0 < index < len(heads) - 1 else "left")
    for line in cells:
        table.add_row(*line)
    return table


def _section(console: Console, title: str, lines: Sequence[str], *, mark: str = "", style: str = "") -> None:
    if not lines:
        return
    console.print(Text(title, style="bold"))
    for line in lines:
        _say(console, mark + line, style=style, indent="  ")
    console.print()


def _say(console: Console, sentence: str, *, style: str = "", indent: str = "") -> None:
    """Print a sentence, wrapped at the console's width."""
    for line in textwrap.wrap(sentence, console.width, initial_indent=indent, subsequent_indent=indent):
        console.print(Text(line, style=style))


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
