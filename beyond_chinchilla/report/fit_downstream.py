"""The page and the file of a map from loss to error: the formula, its verdict, how sure it is, how to use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.fit.diagnostics import Diagnosis
from beyond_chinchilla.report import fit_pages
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_percent

if TYPE_CHECKING:
    from rich.console import Console

    from beyond_chinchilla.fit.downstream.map import MapFit
    from beyond_chinchilla.fit.downstream.pairs import Pairs

SCHEMA = "beyond-chinchilla/suite/1"
_LISTED = 10
# Errors by loss: so many lines, the losses seen alone.
_STEPS = 6


@dataclass(frozen=True, kw_only=True)
class MapResult:
    """Everything that a page or a file tells.

    Attributes
    ----------
    pairs : Pairs
    fit : MapFit
    diagnosis : Diagnosis
    file : str
        Name under which the page says the map can be used.
    """

    pairs: Pairs
    fit: MapFit
    diagnosis: Diagnosis
    file: str = "suite.json"


def figures(result: MapResult) -> list[dict[str, Any]]:
    """Return every constant with its interval; None where there is none."""
    rows: list[dict[str, Any]] = []
    for name in ("epsilon", "k", "gamma"):
        low, high = result.fit.interval(name) or (None, None)
        rows.append({"figure": name, "value": getattr(result.fit.map, name), "low": low, "high": high})
    return [*rows, {"figure": "residual", "value": result.fit.map.residual, "low": None, "high": None}]


def to_dict(result: MapResult) -> dict[str, Any]:
    """Return what ``suite.json`` holds: no path, no clock, no NaN."""
    record = {"schema": SCHEMA, **result.fit.to_dict()}
    return record | {"verdict": result.diagnosis.to_dict(), "data": result.pairs.to_dict()}


def to_json(record: dict[str, Any]) -> str:
    """Return indented JSON with one refit a line."""
    return fit_pages.to_json(record, row=lambda row: "[" + ", ".join(f"{x:.10g}" for x in row) + "]")


def headline(result: MapResult) -> str:
    """Return the map as a formula."""
    found = result.fit.map
    return f"error = {found.epsilon:.4f} - {found.k:.4g} exp(-{found.gamma:.4f} L)  [L in nats/token]"


def blocks(result: MapResult) -> list[Block]:
    """Return the parts of the page below the map."""
    return [
        fit_pages.verdict(result.diagnosis),
        _sureness(result),
        _errors(result),
        _models(result),
        fit_pages.checks(result.diagnosis),
        Block("How to use it", lines=_use(result)),
    ]


def print_page(console: Console, result: MapResult) -> None:
    """Print the page of one map."""
    fit_pages.draw(console, headline(result), _subtitle(result), blocks(result))


def page(result: MapResult) -> str:
    """Return the page of one map as markdown."""
    return fit_pages.write(result.fit.map.name, headline(result), _subtitle(result), blocks(result))


def _subtitle(result: MapResult) -> str:
    fit = result.fit
    return (
        f"{fit.map.name}: {fit.loss.size} models by least squares, R2 {fit.explained:.4f}; one model scatters "
        f"{fit.map.residual * 100:.2f} points about the map."
    )


def _sureness(result: MapResult) -> Block:
    fit = result.fit
    cells = [
        [row["figure"], f"{row['value']:.4g}", "" if row["low"] is None else f"{row['low']:.4g} to {row['high']:.4g}"]
        for row in figures(result)
    ]
    if fit.spread == "resampled pairs":
        lines = [f"From {len(fit.refits)} refits to resampled models, seed {fit.seed}."]
    elif fit.spread == "derivatives":
        lines = ["From the derivatives at the minimum, by Student's t: resampling was not asked for, or has too few."]
    else:
        lines = ["No intervals: the pairs leave a direction open, or fit without a residual."]
    return Block("How sure", ["", "value", "95% interval"], cells, lines)


def _errors(result: MapResult) -> Block:
    found = result.fit.map
    assert found.losses is not None
    low, high = found.losses
    losses = [low + (high - low) * step / (_STEPS - 1) for step in range(_STEPS)]
    cells = [
        [f"{loss:.3f}", format_percent(float(found.error(loss))), format_percent(float(found.score(loss)))]
        for loss in losses
    ]
    return Block("Over the losses seen", ["loss", "error", "score"], cells)


def _models(result: MapResult) -> Block:
    pairs = result.pairs
    lines = [f"{len(pairs)} models of {pairs.source} used, {len(pairs.set_aside)} set aside."]
    for reason, rows in pairs.reasons().items():
        first = ", ".join(str(row) for row in rows[:_LISTED])
        more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
        lines.append(f"{reason}: {len(rows)} (row{'s' if len(rows) > 1 else ''} {first}{more}).")
    lines += [f"{role}: {said}." for role, said in pairs.conventions.items()]
    return Block("Models", lines=lines)


def _use(result: MapResult) -> list[str]:
    if result.diagnosis.verdict == "do not use":
        return ["Do not: see the verdict. --force writes the map all the same."]
    return [
        f"bc-opt fit ... -o {result.file} writes it. In a scenario, write",
        f"target: {{error: 45%, suite: {result.file}}}",
        "It belongs to these losses: state the target under a law of the same data and tokens.",
    ]
