"""The page and the file of a fit of repeated tokens: R_D and R_N, the ridge between them, and whether to use them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.fit.diagnostics import Diagnosis
from beyond_chinchilla.laws.repetition import saturated
from beyond_chinchilla.report import fit_pages
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_number, format_percent, format_size

if TYPE_CHECKING:
    from rich.console import Console

    from beyond_chinchilla.fit.repetition.law import RepetitionFit
    from beyond_chinchilla.fit.repetition.ridge import RepetitionBootstrap, Ridge
    from beyond_chinchilla.fit.repetition.runs import RepeatedRuns

SCHEMA = "beyond-chinchilla/repetition/1"

_LISTED = 10
# Where the page says what passes are worth.
_EPOCHS = (2.0, 4.0, 8.0, 16.0, 40.0)
# On either side of the minimum.
_RIDGE_ROWS = 5
_NAMES = ("R_D", "R_N")


@dataclass(frozen=True, kw_only=True)
class RepetitionResult:
    """Everything that a page or a file tells.

    Attributes
    ----------
    runs : RepeatedRuns
    fit : RepetitionFit
    ridges : tuple of Ridge
        Profiles of what was not held.
    bootstrap : RepetitionBootstrap or None
    diagnosis : Diagnosis
    name : str
        Of the constants.
    file : str
        Name under which the page says they can be used.
    """

    runs: RepeatedRuns
    fit: RepetitionFit
    ridges: tuple[Ridge, ...]
    bootstrap: RepetitionBootstrap | None
    diagnosis: Diagnosis
    name: str
    file: str = "repetition.json"


def figures(result: RepetitionResult) -> list[dict[str, Any]]:
    """Return both constants with their intervals; None where there is none."""
    rows: list[dict[str, Any]] = []
    for name in _NAMES:
        row: dict[str, Any] = {"figure": name, "value": getattr(result.fit, name), "held": name in result.fit.held}
        row |= {"low": None, "high": None, "profile_low": None, "profile_high": None}
        for ridge in result.ridges:
            if ridge.parameter == name:
                row["profile_low"], row["profile_high"] = ridge.low, ridge.high
        if result.bootstrap is not None and name not in result.fit.held:
            row["low"], row["high"] = result.bootstrap.interval(name)
        rows.append(row)
    return rows


def to_dict(result: RepetitionResult) -> dict[str, Any]:
    """Return what ``repetition.json`` holds: no path, no clock, no NaN."""
    fit = result.fit
    law = fit.repetition(1.0, name=result.name)
    record = {
        "schema": SCHEMA,
        "repetition": {
            "name": result.name,
            "R_D": fit.R_D,
            "R_N": fit.R_N,
            "most_epochs": law.most_epochs,
            "source": law.source,
        },
        "base_law": fit.law.to_dict() | {"source": fit.law.source},
        "verdict": result.diagnosis.to_dict(),
        "intervals": {row["figure"]: {key: row[key] for key in row if key != "figure"} for row in figures(result)},
        "profiles": [ridge.to_dict() for ridge in result.ridges],
        "fit": fit.to_dict(),
        "data": result.runs.to_dict(),
        "bootstrap": None if result.bootstrap is None else result.bootstrap.to_dict(),
    }
    cleaned: dict[str, Any] = fit_pages.clean(record)
    return cleaned


def to_json(record: dict[str, Any]) -> str:
    """Return indented JSON."""
    return json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def headline(result: RepetitionResult) -> str:
    """Return both constants, and which of them was held."""
    said = [
        f"{name} = {_figure(getattr(result.fit, name))}{' (held)' if name in result.fit.held else ''}"
        for name in _NAMES
    ]
    return f"{', '.join(said)}, on law {result.fit.law.name}"


def blocks(result: RepetitionResult) -> list[Block]:
    """Return the parts of the page below the constants."""
    return [
        fit_pages.verdict(result.diagnosis),
        _sure(result),
        *([_ridge(result)] if len(result.ridges) == len(_NAMES) else []),
        _worth(result),
        _runs(result),
        fit_pages.checks(result.diagnosis),
        Block("How to use it", lines=_use(result)),
    ]


def print_page(console: Console, result: RepetitionResult) -> None:
    """Print the page of one fit."""
    fit_pages.draw(console, headline(result), _subtitle(result), blocks(result))


def page(result: RepetitionResult) -> str:
    """Return the page of one fit as markdown."""
    return fit_pages.write(result.name, headline(result), _subtitle(result), blocks(result))


def _subtitle(result: RepetitionResult) -> str:
    fit = result.fit
    how = "Huber loss" if fit.method == "huber" else "least squares"
    return (
        f"{result.name}: {len(result.runs)} runs by {how} on log residuals; objective {fit.objective:.6e}, "
        f"{fit.as_new:.3e} if repeated tokens were as good as new."
    )


def _sure(result: RepetitionResult) -> Block:
    cells = []
    for row in figures(result):
        if row["held"]:
            cells.append([row["figure"], _figure(row["value"]), "held", "held"])
            continue
        drawn = "" if row["low"] is None else _spread(row["low"], row["high"])
        cells.append([row["figure"], _figure(row["value"]), _spread(row["profile_low"], row["profile_high"]), drawn])
    lines = ["Without bootstraps." if result.bootstrap is None else
             f"From the profile, and from {len(result.bootstrap.samples)} bootstraps of the runs, "
             f"seed {result.bootstrap.seed}."]  # fmt: skip
    level = format_percent(result.ridges[0].level if result.ridges else 0.95, 0)
    return Block("How sure", ["", "value", f"{level} profile", f"{level} bootstrap"], cells, lines)


def _spread(low: float | None, high: float | None) -> str:
    # The ends of the search are no ends of an interval.
    low, high = (None if end is None or end > 9990.0 else end for end in (low, high))
    if low is None:
        return "any" if high is None else f"up to {_figure(high)}"
    return f"{_figure(low)} up" if high is None else f"{_figure(low)} to {_figure(high)}"


def _ridge(result: RepetitionResult) -> Block:
    """Walk along the valley by R_N, over its interval."""
    ridge = next(each for each in result.ridges if each.parameter == "R_N")
    inside = np.flatnonzero(ridge.deviance <= 2.0 * ridge.limit)
    best = int(np.argmin(ridge.objective))
    sides = (inside[inside < best], np.array([best]), inside[inside > best])
    shown = [i for side in sides for i in _spaced(side)]
    cells = [
        [_figure(ridge.values[i]), _figure(ridge.other[i]), f"{ridge.objective[i]:.4e}", f"{ridge.deviance[i]:.2f}"]
        for i in shown
    ]
    lines = [f"R_D as it is best for each R_N; a deviance above {ridge.limit:.2f} is outside the interval."]
    return Block("Along the ridge", ["R_N", "R_D", "objective", "deviance"], cells, lines)


def _spaced(places: NDArray[np.intp]) -> list[int]:
    """Return some of many, the first and the last among them."""
    if not places.size:
        return []
    steps = np.unique(np.linspace(0, places.size - 1, min(_RIDGE_ROWS, places.size)).astype(int))
    return [int(i) for i in places[steps]]


def _worth(result: RepetitionResult) -> Block:
    worth = [float(saturated(epochs, 1.0, result.fit.R_D)) for epochs in _EPOCHS]
    cells = [[format_size(epochs), f"{each:.2f}"] for epochs, each in zip(_EPOCHS, worth, strict=True)]
    most = f"Passes without end are worth {_figure(1.0 + result.fit.R_D)} passes over new tokens."
    return Block("What passes are worth", ["epochs", "new tokens / unique"], cells, [most])


def _runs(result: RepetitionResult) -> Block:
    repeated, runs = result.runs, result.runs.runs
    ranges = [
        ("params", runs.params), ("tokens", runs.tokens), ("unique tokens", repeated.unique_tokens),
        ("epochs", repeated.epochs), ("tokens per param", runs.tokens_per_param),
    ]  # fmt: skip
    cells = [[name, *(format_number(float(end)) for end in (values.min(), values.max()))] for name, values in ranges]
    lines = [f"{len(runs)} runs of {runs.source} used, {len(runs.set_aside)} set aside."]
    details = {each.row: each.detail for each in runs.set_aside}
    for reason, rows in runs.reasons().items():
        first = ", ".join(str(row) for row in rows[:_LISTED])
        more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
        example = f": {details[rows[0]]}" if details[rows[0]] else ""
        lines.append(f"{reason}: {len(rows)} (row{'s' if len(rows) > 1 else ''} {first}{more}){example}.")
    said = runs.conventions
    lines += [f"{role.replace('_', ' ')}: {said[role]}." for role in
              ("params", "tokens", "unique_tokens", "epochs", "data", "loss") if role in said]  # fmt: skip
    lines += [f"{note[0].upper()}{note[1:]}." for note in runs.notes if note]
    return Block("Runs", ["", "from", "to"], cells, lines)


def _use(result: RepetitionResult) -> list[str]:
    if result.diagnosis.verdict == "do not use":
        return ["Do not: see the verdict. --force writes the constants all the same."]
    return [
        f"bc-opt fit ... --repetition -o {result.file} writes them; in a scenario, write",
        f"data: {{unique_tokens: 1.5T, repetition: {result.file}}}",
        f"They belong to law {result.fit.law.name}: state the same law there.",
    ]


def _figure(value: float) -> str:
    if value > 9990.0:
        return "no end"
    return f"{value:.4f}" if value < 10 else f"{value:#.4g}".rstrip(".")
