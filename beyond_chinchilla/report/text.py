"""A terminal page that a person reads in ten seconds: the answer first."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from beyond_chinchilla.report import blocks, rows
from beyond_chinchilla.report.blocks import Block

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.disagreement import Opinion
    from beyond_chinchilla.optimise.plan import Plan


# Narrower, and a scenario's name becomes a column of syllables.
_NAME_WIDTH = 24


def print_page(
    console: Console,
    plan: Plan,
    opinions: Sequence[Opinion] = (),
    size: float | None = None,
    extras: Sequence[Block] = (),
    spark: str = "",
) -> None:
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
    extras : sequence of Block
        What else was asked for: comparisons, break-even demand, architectures.
    spark : str
        Cost by size in a line, see `sparkline`.
    """
    say(console, rows.headline(plan), style="bold")
    say(console, rows.subtitle(plan), style="dim")
    console.print()
    if plan.best is None:
        _section(console, "Why", rows.why(plan))
        for block in extras:
            draw(console, block)
        return
    console.print(_bill(plan))
    console.print()
    _section(console, "What drives it", [*rows.drivers(plan), *([spark] if spark else [])])
    for block in (*blocks.limits(plan), *extras):
        draw(console, block)
    if opinions and size is not None:
        say(console, rows.opinions_title(size), style="bold")
        console.print(_opinions(opinions))
        console.print()
    _section(console, "Warnings", list(plan.warnings), mark="! ", style="yellow")
    say(console, rows.proof(plan), style="dim")


def print_comparison(console: Console, plans: Sequence[Plan], extras: Sequence[Block] = ()) -> None:
    """Print one line for each of several plans, then how many carry warnings; a narrow terminal gets fewer columns."""
    heads, lines = rows.comparison(plans)
    left_out = _expendable(heads, lines, console.width)
    table = _table()
    for head in heads:
        if head not in left_out:
            is_text = head in ("scenario", "law")
            table.add_column(head, justify="left" if is_text else "right", overflow="fold", no_wrap=head != "scenario")
    for line in lines:
        table.add_row(*(Text(cell) for head, cell in zip(heads, line, strict=True) if head not in left_out))
    console.print(table)
    if left_out:
        console.print()
        say(console, f"Left out for want of width: {', '.join(left_out)}.", style="dim")
    if extras:
        console.print()
    for block in extras:
        draw(console, block)
    warned = [plan.name for plan in plans if plan.warnings]
    if warned:
        if not extras:
            console.print()
        note = (
            f"{len(warned)} of {len(plans)} plans carry warnings: run a scenario alone, or --format json, to read them."
        )
        say(console, note, style="yellow")


def _expendable(heads: Sequence[str], lines: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return the columns to leave out, so that names keep a readable width."""
    widths = {
        head: max(len(cell) for cell in (head, *column))
        for head, column in zip(heads, zip(*lines, strict=True), strict=True)
    }
    widths["scenario"] = min(widths["scenario"], _NAME_WIDTH)
    left_out: list[str] = []
    for head in ("tok/param", "law", "kappa"):
        if sum(widths.values()) + 2 * len(widths) <= width + 2:
            break
        del widths[head]
        left_out.append(head)
    return left_out


def _bill(plan: Plan) -> Table:
    table = _table()
    table.add_column("")
    for head in ("plan", "Chinchilla", "ratio"):
        table.add_column(head, justify="right")
    for row in rows.sizes(plan):
        table.add_row(row.label, row.plan, row.baseline, row.ratio)
    # A section's rule would need a box.
    table.add_row()
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


def draw(console: Console, block: Block) -> None:
    """Print a titled part of a page."""
    say(console, block.title, style="bold")
    if block.cells:
        table = _table()
        for index, head in enumerate(block.heads):
            table.add_column(
                head,
                justify="left" if index in block.words else "right",
                no_wrap=index not in block.words,
                overflow="fold",
            )
        for line in block.cells:
            table.add_row(*(Text(cell) for cell in line))
        console.print(table)
    for line in block.lines:
        say(console, line, indent="  ")
    console.print()


def _section(console: Console, title: str, lines: Sequence[str], *, mark: str = "", style: str = "") -> None:
    if not lines:
        return
    console.print(Text(title, style="bold"))
    for line in lines:
        say(console, mark + line, style=style, indent="  ")
    console.print()


def say(console: Console, sentence: str, *, style: str = "", indent: str = "") -> None:
    """Print a sentence, wrapped at the console's width."""
    width = max(console.width, 20)
    # A name such as gpu-price-feed stays in one piece.
    for line in textwrap.wrap(sentence, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False):
        console.print(Text(line, style=style))


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
