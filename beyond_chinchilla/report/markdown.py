"""A plan, or several, as markdown for a ticket or a wiki."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from beyond_chinchilla.report import blocks, rows
from beyond_chinchilla.report.blocks import Block

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.disagreement import Opinion
    from beyond_chinchilla.optimise.plan import Plan

# What would begin a block of its own: a heading, quote, list, fence, rule, or what underlines a heading.
_BLOCK = re.compile(r"#{1,6}(?=\s|$)|>|[-+*](?=\s|$)|```|~~~|(?:[-_*]\s*){3,}$|=+\s*$")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")


def page(plan: Plan, opinions: Sequence[Opinion] = (), size: float | None = None, extras: Sequence[Block] = ()) -> str:
    """Return the page of one plan; see `text.print_page` for the arguments."""
    lines = [f"# {escape(plan.name)}", "", f"**{escape(rows.headline(plan))}**", ""]
    lines += [sentence(rows.subtitle(plan)), ""]
    if plan.best is None:
        return "\n".join([*lines, *_bullets("Why", rows.why(plan)), *render(extras), ""])
    lines += table(
        ["", "plan", "Chinchilla", "ratio"],
        [[row.label, row.plan, row.baseline, row.ratio] for row in (*rows.sizes(plan), *rows.terms(plan))],
    )
    lines += _bullets("What drives it", rows.drivers(plan))
    lines += render((*blocks.limits(plan), *extras))
    if opinions and size is not None:
        lines += ["", f"## {rows.opinions_title(size)}", ""]
        heads, cells = rows.opinions(opinions)
        lines += table(heads, cells)
    lines += _bullets("Warnings", plan.warnings)
    lines += ["", rows.proof(plan), ""]
    return "\n".join(lines)


def comparison(plans: Sequence[Plan], extras: Sequence[Block] = ()) -> str:
    """Return a table with one scenario a line, and every warning below it."""
    lines = [*table(*rows.comparison(plans)), *render(extras)]
    lines += _bullets("Warnings", [f"{plan.name}: {warning}" for plan in plans for warning in plan.warnings])
    return "\n".join([*lines, ""])


def table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a markdown table; every column but the first is right-aligned."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return ["| " + " | ".join(escape(cell) for cell in line) + " |" for line in (heads, rule, *cells)]


def render(found: Sequence[Block]) -> list[str]:
    """Return the lines of titled parts of a page."""
    lines = []
    for block in found:
        lines += ["", f"## {escape(block.title)}", ""]
        lines += [*table(block.heads, block.cells), ""] if block.cells else []
        lines += [f"- {sentence(line)}" for line in block.lines]
    return lines


def _bullets(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {sentence(line)}" for line in lines)] if lines else []


def escape(text: str) -> str:
    """Return text that makes no table, tag, link or image of its own.

    >>> print(escape("<b> | ![a](http://b.c)"))
    &lt;b> \\| ![a\\](http://b.c)
    """
    found = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return found.replace("](", "\\](").replace("]:", "\\]:")


def sentence(text: str) -> str:
    """Return text that may stand at the beginning of a line: `escape`, and no block of its own either.

    >>> print(sentence("# a"), sentence("1. b"), sentence("-12% c"), sep=" / ")
    \\# a / 1\\. b / -12% c
    """
    found = escape(text.lstrip())
    return f"\\{found}" if _BLOCK.match(found) else _NUMBERED.sub(r"\1\\\2", found, count=1)
