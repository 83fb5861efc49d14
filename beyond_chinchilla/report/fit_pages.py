"""What the page and the file of every fit have in common, whatever was fitted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.report import markdown, text
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.report.tables import visible

if TYPE_CHECKING:
    from rich.console import Console

    from beyond_chinchilla.fit.diagnostics import Diagnosis

_MARK = "@samples@"


def verdict(diagnosis: Diagnosis) -> Block:
    """Return whether to use a fit, and why not."""
    return Block(f"Verdict: {diagnosis.verdict}", lines=diagnosis.reasons or ["Every check passed."])


def checks(diagnosis: Diagnosis) -> Block:
    """Return what each check found."""
    cells = [[each.check, each.word, each.sentence] for each in diagnosis.findings]
    return Block("Checks", ["check", "", "found"], cells, words=frozenset({0, 1, 2}))


def draw(console: Console, headline: str, subtitle: str, blocks: Sequence[Block]) -> None:
    """Print a page."""
    text.say(console, headline, style="bold")
    text.say(console, subtitle, style="dim")
    console.print()
    for block in blocks:
        text.draw(console, block)


def write(name: str, headline: str, subtitle: str, blocks: Sequence[Block]) -> str:
    """Return a page as markdown."""
    heading = [f"# {markdown.escape(name)}", "", f"`{headline}`", "", markdown.sentence(subtitle)]
    return "\n".join([*heading, *markdown.render(blocks), ""])


def to_json(record: dict[str, Any], key: str = "bootstrap", row: Callable[[Any], str] | None = None) -> str:
    """Return indented JSON with one row of ``record[key]["parameters"]`` a line, if it has any; `row` writes it."""
    drawn = record.get(key)
    samples = drawn.get("parameters") if drawn else None
    if drawn is None or samples is None:
        return visible(json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)) + "\n"
    shown = record | {key: drawn | {"parameters": _MARK}}
    body = visible(json.dumps(shown, indent=2, allow_nan=False, ensure_ascii=False))
    write_row = row or (lambda sample: json.dumps(sample, allow_nan=False))
    lines = ",\n".join(f"      {write_row(sample)}" for sample in samples)
    before, after = body.rsplit(f'"{_MARK}"', 1)
    return f"{before}[\n{lines}\n    ]{after}\n"


def clean(value: Any, digits: Mapping[str, int] | None = None) -> Any:
    """Return numbers as JSON holds them: null for what is no number, and so many digits below the keys of `digits`."""
    return _walk(value, digits or {}, None)


def _walk(value: Any, below: Mapping[str, int], digits: int | None) -> Any:
    if isinstance(value, dict):
        return {key: _walk(item, below, below.get(key, digits)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_walk(item, below, digits) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return float(value) if digits is None else float(f"{value:.{digits}g}")
    return value
