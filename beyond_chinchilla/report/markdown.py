"""A plan, or several, as markdown for a ticket or a wiki."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from beyond_chinchilla.report import rows

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.disagreement import Opinion
    from beyond_chinchilla.optimise.plan import Plan


def page(plan: Plan, opinions: Sequence[Opinion] = ()) -> str:
    """Return the page of one plan."""
    lines = [f"# {_escape(plan.name)}", "", f"**{rows.headline(plan)}**", ""]
    lines += [_escape(rows.subtitle(plan)), ""]
    lines += table(
        ["", "plan", "Chinchilla", "ratio"],
        [[row.label, row.plan, row.baseline, row.ratio] for row in (*rows.sizes(plan), *rows.terms(plan))],
    )
    lines += _bullets("What drives it", rows.drivers(plan))
    if opinions:
        lines += ["", "## Other laws", ""]
        heads, cells = rows.opinions(opinions)
        lines += table(heads, cells)
    lines += _bullets("Warnings", plan.warnings)
    lines += ["", rows.proof(plan), ""]
    return "\n".join(lines)


def comparison(plans: Sequence[Plan]) -> str:
    """Return a table with one scenario a line, and every warning below it."""
    lines = table(*rows.comparison(plans))
    lines += _bullets("Warnings", [f"{plan.name}: {warning}" for plan in plans for warning in plan.warnings])
    return "\n".join([*lines, ""])


def table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a markdown table; every column but the first is right-aligned."""
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return ["| " + " | ".join(_escape(cell) for cell in line) + " |" for line in (heads, rule, *cells)]


def _bullets(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {_escape(line)}" for line in lines)] if lines else []


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
