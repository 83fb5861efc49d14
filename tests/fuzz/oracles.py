"""What an outcome must be, whatever was asked: no traceback, a code that says something, and no number that is none."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_LINE = 2000
"""Characters of an error: what was wrong is quoted, not repeated at length."""
LOOSE = 1e-9
"""A sum, or a plan beside its target, may be off by so much of itself."""

# A word of a page that stands where a number should; None begins sentences as well.
_NO_NUMBER = re.compile(
    r"(?<![\w./'\"-])[-+$]?([Nn][Aa][Nn]|[Ii]nf|[Ii]nfinity|NaT|undefined|None(?= *(?:$|\||  )))(?![\w/'\"-])(?!\.\w)",
    re.MULTILINE,
)
# Keys of what is counted or paid, which is never below zero; a difference may be.
_COUNTED = frozenset(
    (
        *("total", "nominal_total", "total_rounded", "nominal_total_rounded", "cost", "price"),
        *("params", "tokens", "tokens_per_param", "loss", "training_flops", "inference_flops"),
        *("gpu_hours", "gpus", "gpus_mean", "gpus_peak", "kwh", "co2_kg"),
        *("usd_per_gpu_hour", "usd_per_million_input", "usd_per_million_output"),
    )
)
# What a plan cannot be without.
_NEEDED = ("params", "tokens", "loss", "total")
_ESCAPES = re.compile(r"[\x00\x07\x08\x1b\x9b]")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended.

    Attributes
    ----------
    args : list of str
        What was asked.
    code : int
        Of the exit.
    stdout, stderr : str
    written : mapping of str to Path
        Files that were not there before, by their place in the folder.
    given : str
        Everything that was typed or stood in a file: what is quoted from there is no fault of the page.
    """

    args: list[str]
    code: int
    stdout: str
    stderr: str
    written: Mapping[str, Path]
    given: str


def wrong_with(outcome: Outcome) -> str:
    """Return what is wrong with an outcome, or nothing."""
    for check in (_ending, _words, _files):
        if found := check(outcome):
            return found
    return ""


def _ending(outcome: Outcome) -> str:
    if outcome.code not in (0, 1, 2):
        return f"exit code {outcome.code}"
    if "Traceback" in outcome.stdout + outcome.stderr:
        return "a traceback is printed"
    if re.search(r"\b\w*Warning: ", outcome.stderr):
        return f"a warning is printed: {outcome.stderr[:200]}"
    lines = [line for line in outcome.stderr.splitlines() if line.strip()]
    if outcome.code == 2 and not lines:
        return "refused without a word"
    if outcome.code == 2 and all(re.match(r"(Usage|Try|Error: *$|\w+Error\b)", line) for line in lines):
        return f"refused without a way out: {lines[0][:200]}"
    longest = max((len(line) for line in lines), default=0)
    if longest > LONGEST_LINE:
        return f"an error of {longest} characters"
    if _ESCAPES.search(outcome.stdout + outcome.stderr):
        return "a control character is printed"
    return ""


def _words(outcome: Outcome) -> str:
    """Look at what was printed, in whichever format."""
    if outcome.code == 2:
        return ""
    text = outcome.stdout
    if text.lstrip().startswith(("{", "[")) and "json" in outcome.args:
        return of_json(text, outcome.given)
    if "csv" in outcome.args and "," in text.partition("\n")[0]:
        return of_csv(text, outcome.given)
    return of_page(text, outcome.given)


def _files(outcome: Outcome) -> str:
    """Look at what was written: files that were asked for, whole, and none beside them."""
    for name, path in outcome.written.items():
        if outcome.code == 2:
            return f"refused, and {name} is written"
        if not any(name in word or Path(name).stem in word for word in outcome.args) or ".tmp" in name:
            return f"{name} is left behind"
        if outcome.args[0] == "schema":
            # A schema is a schema, whatever its file is called.
            continue
        try:
            found = _READERS.get(path.suffix, lambda path, given: "")(path, outcome.given)
        except Exception as error:  # whatever a file that is half one makes of its reader
            found = f"cannot be read: {error}"
        if found:
            return f"{name}: {found}"
    return ""


def of_page(text: str, given: str) -> str:
    """Return the word of a page that stands where a number should, unless it was given."""
    quoted = {word.lower() for word in re.findall(r"[A-Za-z]+", given)}
    for found in _NO_NUMBER.finditer(text):
        if found[1].lower() not in quoted:
            line = next(line for line in text.splitlines() if found[0] in line)
            return f"{found[0]} on a page: {line.strip()[:200]}"
    return ""


def of_csv(text: str, given: str) -> str:
    """Return what is wrong with a table: a cell that is no number, a plan without one, a cost below zero."""
    rows = list(csv.reader(io.StringIO(text)))
    if any(len(row) != len(rows[0]) for row in rows):
        return "CSV: rows of several lengths"
    for row in rows[1:]:
        named = dict(zip(rows[0], row, strict=True))
        for name, cell in named.items():
            if found := of_page(cell, given):
                return f"CSV, {name}: {found}"
            if name in _COUNTED and cell.startswith("-") and _number(cell) < 0.0:
                return f"CSV: {name} is {cell}"
        if named.get("status") == "optimal" and (without := [key for key in _NEEDED if named.get(key) == ""]):
            return f"CSV: a plan without {without[0]}"
    return ""


def of_json(text: str, given: str) -> str:
    """Return what is wrong with an answer as JSON: see the checks of its parts."""
    try:
        found = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except ValueError as error:
        return f"JSON: {error}"
    for place, part in _parts(found, ""):
        if wrong := _part(part) or _sum(part) or (_plan(part) if part.get("status") == "optimal" else ""):
            return f"{place}: {wrong}"
    return ""


def _parts(tree: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(tree, dict):
        yield place, tree
        for key, value in tree.items():
            yield from _parts(value, f"{place}.{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _parts(value, f"{place}[{index}]")


def _part(part: Mapping[str, Any]) -> str:
    for key in _COUNTED.intersection(part):
        if isinstance(part[key], (int, float)) and part[key] < 0.0:
            return f"{key} is {part[key]}"
    return ""


def _sum(part: Mapping[str, Any]) -> str:
    """Compare labelled terms with their total."""
    terms, total = part.get("terms"), part.get("total")
    if not terms or not isinstance(total, float):
        return ""
    values = list(terms.values()) if isinstance(terms, dict) else [term["value"] for term in terms]
    if any(value < -LOOSE * total for value in values):
        return f"a term is below zero: {terms}"
    if abs(math.fsum(values) - total) > LOOSE * total:
        return f"terms add up to {math.fsum(values)}, not to {total}"
    return ""


def _plan(part: Mapping[str, Any]) -> str:
    """Look at a whole plan: its numbers, its target and its limits."""
    best = part.get("plan")
    if not isinstance(best, dict):
        return ""
    if not all(isinstance(best[key], float) and best[key] > 0.0 for key in ("params", "tokens", "loss")):
        return f"a plan of {best['params']} params on {best['tokens']} tokens for {best['total']}"
    if part.get("objective") != "loss" and best["loss"] > part["target_loss"] * (1.0 + LOOSE):
        return f"loss {best['loss']} misses the target {part['target_loss']}"
    for limit in part["limits"]:
        over = limit["value"] / limit["bound"] if limit["side"] == "max" else limit["bound"] / limit["value"]
        if over > 1.0 + 1e-6:
            return f"limit {limit['label']} {limit['side']} is broken: {limit['value']} against {limit['bound']}"
    return ""


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} in an output")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} in an output")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _workbook(path: Path, given: str) -> str:
    """Look at the values that a workbook shows before anything is calculated; #N/A is a point that has no plan."""
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        for sheet in book.worksheets:
            for row in sheet.iter_rows(values_only=True):
                for cell in row:
                    if isinstance(cell, str) and re.match(r"#(NUM|DIV/0|VALUE|NAME|REF|NULL)", cell):
                        return f"{sheet.title}: {cell}"
                    if isinstance(cell, float) and not math.isfinite(cell):
                        return f"{sheet.title}: {cell}"
    finally:
        book.close()
    return ""


def _parquet(path: Path, given: str) -> str:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import pyarrow.types as kinds

    table = pq.read_table(path)
    for name in table.column_names:
        column = table[name]
        if kinds.is_floating(column.type) and not pc.all(pc.is_finite(column.drop_null())).as_py():
            return f"{name} holds a number that is not finite"
    return ""


_READERS = {
    ".json": lambda path, given: of_json(path.read_text(encoding="utf-8"), given),
    ".csv": lambda path, given: of_csv(path.read_text(encoding="utf-8-sig"), given),
    ".md": lambda path, given: of_page(path.read_text(encoding="utf-8"), given),
    ".txt": lambda path, given: of_page(path.read_text(encoding="utf-8"), given),
    ".xlsx": _workbook,
    ".parquet": _parquet,
}
