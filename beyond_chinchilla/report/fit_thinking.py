"""The page and the file of a fit with thinking: the law, how sure it is, what it rests on, and whether to use it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.fit.diagnostics import Diagnosis
from beyond_chinchilla.fit.thinking.law import NAMES
from beyond_chinchilla.laws.thinking import WORDS
from beyond_chinchilla.report import fit_pages
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.report.fits import SCHEMA
from beyond_chinchilla.units import format_number, format_percent, format_size

if TYPE_CHECKING:
    from rich.console import Console

    from beyond_chinchilla.fit.thinking.bootstrap import ThinkingBootstrap
    from beyond_chinchilla.fit.thinking.law import ThinkingFit

_LISTED = 10
_NOTHING = 1e-9
# Where the page says what thinking is worth.
_SHOWN = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


@dataclass(frozen=True, kw_only=True)
class ThinkingResult:
    """Everything that a page or a file tells.

    Attributes
    ----------
    fit : ThinkingFit
    bootstrap : ThinkingBootstrap or None
        None where none was asked for or possible.
    diagnosis : Diagnosis
    name : str
        Of the law.
    file : str
        Name under which the page says the law can be used.
    """

    fit: ThinkingFit
    bootstrap: ThinkingBootstrap | None
    diagnosis: Diagnosis
    name: str
    file: str = "law.json"


def figures(result: ThinkingResult) -> list[dict[str, Any]]:
    """Return every constant that was told, with its interval; None where there is none."""
    held = _held(result.fit)
    rows = []
    for name in NAMES:
        if name in _open(result.fit):
            continue
        row: dict[str, Any] = {"figure": name, "value": result.fit.values[name], "low": None, "high": None}
        if result.bootstrap is not None and name not in held:
            row["low"], row["high"] = result.bootstrap.interval(name)
        rows.append(row)
    return rows


def to_dict(result: ThinkingResult) -> dict[str, Any]:
    """Return what the file holds: a ``law`` that ``law:`` reads and a ``thinking`` that ``thinking: {file:}`` reads.

    Either is null where the rows do not tell it. No path, no clock, no NaN.
    """
    fit, law, thinking = result.fit, result.fit.law, result.fit.thinking
    intervals = {row["figure"]: {key: row[key] for key in ("value", "low", "high")} for row in figures(result)}
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "law": None,
        "thinking": None,
        "verdict": result.diagnosis.to_dict(),
        "intervals": intervals,
        "fit": fit.to_dict(),
        "data": fit.runs.to_dict(),
        # Not "bootstrap": that is a law's alone, and these rows are of seven constants.
        "thinking_bootstrap": None if result.bootstrap is None else result.bootstrap.to_dict(),
    }
    if law is not None:
        record["law"] = {
            **law.to_dict(), "counts": law.counts, "source": law.source, "range": law.fitted.to_dict()
        }  # fmt: skip
    if thinking is not None:
        record["thinking"] = {
            "G": thinking.G,
            "g": thinking.g,
            "variable": thinking.variable,
            "seen": None if thinking.seen is None else list(thinking.seen),
            "name": thinking.name,
            "source": thinking.source,
            "verdict": result.diagnosis.verdict,
        }
    cleaned: dict[str, Any] = fit_pages.clean(record)
    return cleaned


def to_json(record: dict[str, Any]) -> str:
    """Return indented JSON with one bootstrap sample a line."""
    return fit_pages.to_json(record, "thinking_bootstrap")


def headline(result: ThinkingResult) -> str:
    """Return the law as a formula; a question mark stands for what the rows do not tell."""
    values = result.fit.values
    said = {name: "?" if name in _open(result.fit) else _figure(values[name]) for name in NAMES}
    return (
        f"L = {said['E']} + {said['A']} N^-{said['alpha']} + {said['B']} D^-{said['beta']} + {said['G']} k^-{said['g']}"
    )


def blocks(result: ThinkingResult) -> list[Block]:
    """Return the parts of the page below the law."""
    return [
        fit_pages.verdict(result.diagnosis),
        _intervals(result),
        *_worth(result),
        _rows(result),
        fit_pages.checks(result.diagnosis),
        Block("How to use it", lines=_use(result)),
    ]


def print_page(console: Console, result: ThinkingResult) -> None:
    """Print the page."""
    fit_pages.draw(console, headline(result), _subtitle(result), blocks(result))


def page(result: ThinkingResult) -> str:
    """Return the page as markdown."""
    return fit_pages.write(result.name, headline(result), _subtitle(result), blocks(result))


def _open(fit: ThinkingFit) -> set[str]:
    """Return the constants that the rows leave open altogether."""
    gone = {name for name, pair in (("A", "alpha"), ("B", "beta")) if fit.values[name] == 0 for name in (name, pair)}
    if fit.thinking is None:
        gone |= {"G", "g", "E"}
    # What has no size of its own stands in E.
    return gone | ({"E"} if gone else set())


def _held(fit: ThinkingFit) -> set[str]:
    held = {"A", "alpha", "B", "beta"} if fit.base is not None else set()
    return held | ({"E"} if fit.irreducible is not None else set())


def _subtitle(result: ThinkingResult) -> str:
    fit = result.fit
    held = [f"A, alpha, B, beta of {fit.base.name}"] if fit.base is not None else []
    held += ["alpha = beta"] if fit.tied else []
    held += [f"E = {fit.irreducible:g}"] if fit.irreducible is not None else []
    how = "Huber loss" if math.isfinite(fit.delta) else "least squares"
    models = int(fit.runs.models.max()) + 1
    return (
        f"{result.name}: {fit.residuals.size} rows of {models} model{'s' if models > 1 else ''} by {how} on log "
        f"residuals{', held: ' if held else ''}{', '.join(held)}; objective {fit.objective:.6e}. "
        f"k are {WORDS[fit.runs.variable]}."
    )


def _intervals(result: ThinkingResult) -> Block:
    rows = figures(result)
    cells = [[row["figure"], _figure(row["value"])] for row in rows]
    bootstrap = result.bootstrap
    if bootstrap is None:
        return Block("The constants", ["", "value"], cells, ["No intervals: see the checks, or --bootstraps."])
    for cell, row in zip(cells, rows, strict=True):
        cell.append("held" if row["low"] is None else f"{_figure(row['low'])} to {_figure(row['high'])}")
    many, models = len(bootstrap.samples), bootstrap.models
    lines = [f"From {many} bootstraps of the {models} models, each drawn with all of its rows; seed {bootstrap.seed}."]
    if bootstrap.failures:
        lines.append(f"{bootstrap.failures} of them make no law and are left out.")
    level = f"{format_percent(bootstrap.level, 0)} interval"
    return Block("How sure", ["", "value", level], cells, lines)


def _worth(result: ThinkingResult) -> list[Block]:
    thinking = result.fit.thinking
    if thinking is None or thinking.seen is None:
        return []
    low, high = thinking.seen
    word = WORDS[thinking.variable].removesuffix(" per request")
    cells = [
        [format_size(k), f"{float(thinking.left(k)):.4f}", f"{float(thinking.left(low) - thinking.left(k)):.4f}"]
        for k in sorted({low, high, *(low * step for step in _SHOWN if low < low * step < high)})
    ]
    heads = [word, "G k^-g", f"gained over {format_size(low)}"]
    return [Block("What thinking takes off the loss, whatever the size", heads, cells)]


def _rows(result: ThinkingResult) -> Block:
    runs = result.fit.runs
    cells = [
        [key.replace("_", " "), *(format_number(value) for value in pair)]
        for key, pair in runs.to_dict()["range"].items()
        if pair is not None
    ]
    lines = [f"{len(runs)} rows of {runs.source} used, {len(runs.set_aside)} set aside."]
    for reason, rows in runs.reasons().items():
        first = ", ".join(str(row) for row in rows[:_LISTED])
        more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
        lines.append(f"{reason}: {len(rows)} (row{'s' if len(rows) > 1 else ''} {first}{more}).")
    said = runs.conventions
    lines += [f"{role.replace('_', ' ')}: {said[role]}."
              for role in ("params", "tokens", runs.variable, "loss") if role in said]  # fmt: skip
    lines += [f"{note[0].upper()}{note[1:]}." for note in runs.notes if note]
    return Block("Rows", ["", "from", "to"], cells, lines)


def _use(result: ThinkingResult) -> list[str]:
    if result.diagnosis.verdict == "do not use":
        return ["Do not: see the verdict. --force writes what was found all the same."]
    most = format_size(result.fit.runs.seen[1])
    return [
        f"bc-opt fit ... --thinking -o {result.file} writes it; in a scenario, write",
        f"law: {result.file}",
        f"thinking: {{file: {result.file}, {result.fit.runs.variable}: {{max: {most}}}}}",
    ]


def _figure(value: float) -> str:
    # An E that drifts to 0 has no last digit.
    if abs(value) < _NOTHING:
        return "0"
    if not 1e-3 <= abs(value) < 9999.5:
        return f"{value:.2e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{value:.4f}" if abs(value) < 10 else f"{value:#.4g}".rstrip(".")
