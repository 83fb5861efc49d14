"""``bc-opt import``: a scenario out of a workbook or a table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.allowance import allow_outside_option
from beyond_chinchilla.errors import InputError, ScenarioError, printable
from beyond_chinchilla.scenario.attachments import attach
from beyond_chinchilla.scenario.document import Document, override, parse, read
from beyond_chinchilla.scenario.load import check

if TYPE_CHECKING:
    from beyond_chinchilla.tables.books import Book

_WIDEST = 48
_MOST_LISTED = 40
# What a scenario needs, what an assumption may be called, and how it is given instead.
_NEEDED = {
    "law": ("Law", "law=sardana-2024"),
    "target": ("Target", "target.chinchilla=30B"),
    "demand.input_tokens": ("Input tokens", "demand.input_tokens=900"),
    "demand.output_tokens": ("Output tokens", "demand.output_tokens=220"),
    "training.hardware": ("Training hardware", "training.hardware=h100-sxm"),
    "training.precision": ("Training precision", "training.precision=bf16"),
    "training.mfu": ("Training MFU", "training.mfu=40%"),
    "serving.hardware": ("Serving hardware", "serving.hardware=h100-sxm"),
    "serving.precision": ("Serving precision", "serving.precision=fp8"),
}
_DEMAND_WAYS = ("table", "requests", "requests_per_month", "requests_per_day", "users", "growth_per_month", "months",
                "saturation", "requests_per_user_per_day", "start", "tokens", "trace", "file", "sheet")  # fmt: skip


@click.command("import", short_help="Make a scenario out of a workbook or table.")
@click.argument("book", metavar="BOOK", type=click.Path(path_type=Path))
@click.option("--sheet", metavar="NAME", help="Where the table of demand stands: Demand, or Demand!B4.")
@click.option("--decimal", type=click.Choice(("point", "comma")), help="Decimal mark, where the numbers do not tell.")
@click.option("--start", metavar="MONTH", help="Calendar month of month 1, where months are counted.")
@click.option(
    "--template", type=click.Path(path_type=Path), metavar="FILE", help="A scenario for what BOOK leaves open."
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="State a value: target.chinchilla=30B.")
@allow_outside_option
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE (.yaml).")
@out.quiet_option
def command(
    book: Path,
    sheet: str | None,
    decimal: str | None,
    start: str | None,
    template: Path | None,
    assignments: tuple[str, ...],
    allow_outside: bool,
    output: Path | None,
) -> None:
    """Read BOOK (.xlsx .xlsm .xlsb .xls .ods .csv .tsv) and write a scenario.

    Finds the table of demand by month and an Assumptions sheet of name, value and unit. Says on stderr what was
    understood and what was not, each with its cell; each key of the scenario says which cell it came from. What the
    book leaves open comes from --template and --set. A workbook that bc-opt wrote is read back from its inputs.

    \b
    bc-opt import forecast.xlsx -o plan.yaml
    bc-opt import forecast.xlsx --sheet Demand --set target.chinchilla=30B -o plan.yaml
    bc-opt import usage.csv --template scenarios/chat-assistant.yaml -o plan.yaml
    """
    from beyond_chinchilla.tables.books import read_book
    from beyond_chinchilla.tables.scenario_text import write_scenario

    if output is not None and output.suffix.lower() not in (".yaml", ".yml"):
        like = output.with_suffix(".yaml") if output.name else output / "plan.yaml"
        raise InputError(f"--output {output}: a scenario is a .yaml file; write it like {like}")
    found = read_book(book, sheet, decimal, start)
    document = Document(name=found.name, tree=found.tree)
    folder = _add_template(document, found, template) if template is not None else book.parent
    override(document, list(assignments))
    sources = found.sources | {tuple(a.partition("=")[0].strip().split(".")): "--set" for a in assignments}
    _report(found)
    _refuse_gaps(found, document.tree)
    text = write_scenario(document.tree, sources, f"From {found.name} by bc-opt import.")
    try:
        written = parse(text, found.name)
        written.typed = document.typed
        check(written, attach(written, folder, allow_outside=allow_outside))
    except ScenarioError as error:
        raise ScenarioError([_with_cell(line, found.name, sources) for line in error.mistakes]) from None
    out.emit(text, output)


def _add_template(document: Document, found: Book, template: Path) -> Path:
    """Put what a scenario says below what the book says; return its folder."""
    base = read(template).tree
    said = document.tree
    if isinstance(base.get("demand"), dict) and isinstance(said.get("demand"), dict):
        base["demand"] = {key: value for key, value in base["demand"].items() if key not in _DEMAND_WAYS}
    if "target" in said:
        base.pop("target", None)
    added: list[tuple[str, ...]] = []
    document.tree = _merged(base, said, (), added)
    found.sources |= dict.fromkeys(added, template.name)
    found.notes.append(f"{len(added)} keys from {template}: {', '.join('.'.join(keys) for keys in added)}")
    return template.parent


def _merged(
    base: Mapping[str, Any], over: Mapping[str, Any], path: tuple[str, ...], added: list[tuple[str, ...]]
) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for key in [*over, *(key for key in base if key not in over)]:
        if key not in over:
            merged[key] = base[key]
            added.append((*path, key))
        elif isinstance(over[key], Mapping) and isinstance(base.get(key), Mapping):
            merged[key] = _merged(base[key], over[key], (*path, key), added)
        else:
            merged[key] = over[key]
    return merged


def _report(found: Book) -> None:
    """Say on stderr what was understood, and what was not."""
    rows = [(each.place, each.text, each.meaning) for each in found.understood]
    lines = _table(("understood", "there", "as"), rows)
    if found.ignored:
        lines += ["", *_table(("left out", "there", "because"), [(e.place, e.text, e.why) for e in found.ignored])]
    lines += [f"note: {note}" for note in found.notes]
    out.note("\n".join(printable(line) for line in lines) + "\n")


def _table(heads: tuple[str, str, str], rows: Sequence[tuple[str, str, str]]) -> list[str]:
    shown = [heads, *((_cut(a), _cut(b), c) for a, b, c in rows[:_MOST_LISTED])]
    widths = [max(len(row[column]) for row in shown) for column in (0, 1)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in shown]
    more = len(rows) - _MOST_LISTED
    return [*lines, f"... and {more:,} more"] if more > 0 else lines


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."


def _refuse_gaps(found: Book, tree: Mapping[str, Any]) -> None:
    """Refuse what the book and the options leave open, all at once."""
    objective = tree.get("objective", "cost")
    missing = []
    for key, (alias, assignment) in _NEEDED.items():
        section, _, last = key.partition(".")
        if (section in ("training", "serving") and objective == "flops") or (
            section == "target" and objective == "loss"
        ):
            continue
        stated = tree.get(section)
        if section == "demand":
            if _has_length(stated if isinstance(stated, Mapping) else {}, last):
                continue
        elif stated is not None if not last else isinstance(stated, Mapping) and last in stated:
            continue
        missing.append(
            f"{found.name}: {key} is not stated; add a row '{alias}' to a sheet called Assumptions, or give "
            f"--set {assignment}"
        )
    if missing:
        raise InputError("\n".join(missing))


def _has_length(demand: Mapping[str, Any], key: str) -> bool:
    if key in demand or "tokens" in demand:
        return True
    rows = demand.get("table")
    return isinstance(rows, list) and all(isinstance(row, Mapping) and key in row for row in rows)


def _with_cell(mistake: str, name: str, sources: Mapping[tuple[str, ...], str]) -> str:
    """Return a mistake with the cell that it is about in the place of the line of a file that nobody wrote."""
    match = re.match(rf"{re.escape(name)}(?::\d+)?: (?:(?P<key>[\w.]+): )?", mistake)
    if match is None:
        return mistake
    keys = tuple((match["key"] or "").split("."))
    cell = next((sources[keys[:end]] for end in range(len(keys), 0, -1) if keys[:end] in sources), None)
    rest = mistake[match.end() :]
    return f"{name}{f', {cell}' if cell else ''}: {match['key'] + ': ' if match['key'] else ''}{rest}"
