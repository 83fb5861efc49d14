"""A fit's page and its file: the law first, then what it rests on, how sure it is, and whether to use it."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from beyond_chinchilla.fit.diagnostics import Diagnosis, frontier_exponent
from beyond_chinchilla.report import fit_pages, markdown, suggest, text
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_number, format_percent

if TYPE_CHECKING:
    from rich.console import Console

    from beyond_chinchilla.fit.ablation import Ablation
    from beyond_chinchilla.fit.bootstrap import Bootstrap
    from beyond_chinchilla.fit.result import Fit
    from beyond_chinchilla.fit.runs import Runs
    from beyond_chinchilla.fit.suggest import Suggestion

SCHEMA = "beyond-chinchilla/law/1"
ABLATION_SCHEMA = "beyond-chinchilla/law-ablation/1"

# Where tokens per parameter are stated without a bootstrap that says where [FLOP].
_FLOPS = (1e21, 1e23, 5.76e23)
_DIGITS = 10
_LISTED = 10
_NAMES = ("A", "B", "E", "alpha", "beta", "a", "b")


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that a page or a file tells.

    Attributes
    ----------
    runs : Runs
    fit : Fit
    bootstrap : Bootstrap or None
        None where none was asked for or possible.
    diagnosis : Diagnosis
    file : str
        Name under which the page says the law can be used.
    suggested : Suggestion or None
        The next runs, where they were asked for.
    """

    runs: Runs
    fit: Fit
    bootstrap: Bootstrap | None
    diagnosis: Diagnosis
    file: str = "law.json"
    suggested: Suggestion | None = None


def figures(result: Result) -> list[dict[str, Any]]:
    """Return every figure with its interval and standard error; None where there is none."""
    law, bootstrap = result.fit.law, result.bootstrap
    a = frontier_exponent(law.alpha, law.beta)
    values = {"A": law.A, "B": law.B, "E": law.E, "alpha": law.alpha, "beta": law.beta, "a": a, "b": 1.0 - a}
    rows: list[dict[str, Any]] = []
    for name in _NAMES:
        row: dict[str, Any] = {"figure": name, "value": values[name], "low": None, "high": None, "standard_error": None}
        row["flops"] = None
        if bootstrap is not None and not (name == "E" and result.fit.irreducible is not None):
            row["low"], row["high"] = bootstrap.interval(name)
            row["standard_error"] = bootstrap.standard_error(name)
        rows.append(row)
    at = _FLOPS if bootstrap is None else bootstrap.flops
    spread = {} if bootstrap is None else {each["flops"]: each for each in _drawn(bootstrap)["tokens_per_param"]}
    for flops in at:
        best = law.compute_optimal(flops=flops)
        # A law of next to no slope has no best size.
        if not (math.isfinite(best.params) and best.params > sys.float_info.min and math.isfinite(best.tokens)):
            continue
        low, high = spread[flops]["interval"] if flops in spread else (None, None)
        rows.append(
            {
                "figure": f"tokens/param at {_flop(flops)}",
                "value": float(best.tokens / best.params),
                "low": low,
                "high": high,
                "standard_error": None,
                "flops": flops,
            }
        )
    return rows


def to_dict(result: Result) -> dict[str, Any]:
    """Return what ``law.json`` holds: no path, no clock, no NaN."""
    fit, runs, rows = result.fit, result.runs, figures(result)
    counts = runs.conventions.get("counts", "not stated")
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "law": {
            **fit.law.to_dict(),
            "counts": fit.law.counts,
            "source": fit.law.source,
            "range": fit.law.fitted.to_dict(),
        },
        "verdict": result.diagnosis.to_dict(),
        "intervals": {row["figure"]: _rest(row) for row in rows if row["flops"] is None},
        "tokens_per_param": [_rest(row) | {"flops": row["flops"]} for row in rows if row["flops"] is not None],
        "fit": {key: value for key, value in fit.to_dict().items() if key != "law"},
        "data": runs.to_dict() | {"counts_stated": counts != "not stated"},
        "bootstrap": None,
    }
    if result.bootstrap is not None:
        record["bootstrap"] = _drawn(result.bootstrap) | {"order": ["ln_A", "ln_B", "ln_E", "alpha", "beta"]}
        for key in ("intervals", "standard_errors", "tokens_per_param"):
            del record["bootstrap"][key]
    if result.suggested is not None:
        record["suggested"] = result.suggested.to_dict()
    cleaned: dict[str, Any] = fit_pages.clean(record, {"bootstrap": _DIGITS})
    return cleaned


def to_json(record: dict[str, Any]) -> str:
    """Return indented JSON with one bootstrap sample a line."""
    return fit_pages.to_json(record)


def headline(result: Result) -> str:
    """Return the law as a formula, with the verdict."""
    law = result.fit.law
    return f"L = {law.E:.4f} + {_figure(law.A)} N^-{law.alpha:.4f} + {_figure(law.B)} D^-{law.beta:.4f}  [nats/token]"


def blocks(result: Result) -> list[Block]:
    """Return the parts of the page below the law."""
    return [
        fit_pages.verdict(result.diagnosis),
        _intervals(result),
        _runs(result),
        fit_pages.checks(result.diagnosis),
        *([suggest.suggested(result.suggested)] if result.suggested is not None else []),
        Block("How to use it", lines=_use(result)),
    ]


def print_page(console: Console, result: Result) -> None:
    """Print the page of one fit."""
    fit_pages.draw(console, headline(result), _subtitle(result), blocks(result))


def page(result: Result) -> str:
    """Return the page of one fit as markdown."""
    return fit_pages.write(result.fit.law.name, headline(result), _subtitle(result), blocks(result))


def ablation_blocks(found: Sequence[Ablation]) -> list[Block]:
    """Return the laws side by side, and how far each misses the runs beyond its ratio."""
    laws, misses = [], []
    for each in found:
        bound = format_number(each.bound)
        if each.fit is None:
            laws.append([bound, str(each.runs), *[""] * 6])
            continue
        law = each.fit.law
        laws.append(
            [bound, str(each.runs), f"{law.E:.4f}", _figure(law.A), f"{law.alpha:.4f}", _figure(law.B),
             f"{law.beta:.4f}", f"{each.fit.objective:.5e}"]
        )  # fmt: skip
        if each.mean is not None and each.absolute is not None and each.worst is not None:
            misses.append(
                [bound, str(each.beyond), _signed(each.mean), format_percent(each.absolute, 2), _signed(each.worst),
                 format_number(each.worst_ratio or 0.0)]
            )  # fmt: skip
    notes = [f"Up to {format_number(each.bound)}: {each.reason}." for each in found if each.fit is None]
    if any(each.fit is not None and each.fit.condition > 100 for each in found):
        notes.append("The ridges are flat: compare objectives and misses, not parameters.")
    ends = ["Law/loss - 1 on the runs beyond: + is a law that expects too much loss."]
    return [
        Block("Laws by the most tokens per parameter", ["up to", "runs", "E", "A", "alpha", "B", "beta", "objective"],
              laws, notes),
        Block("How far each misses the runs beyond its ratio",
              ["up to", "beyond", "mean", "mean size", "worst", "at D/N"], misses,
              ends if misses else ["No bound leaves runs beyond it."]),
    ]  # fmt: skip


def print_ablation(console: Console, title: str, found: Sequence[Ablation]) -> None:
    """Print the comparison of laws by ratio."""
    text.say(console, title, style="bold")
    console.print()
    for block in ablation_blocks(found):
        text.draw(console, block)


def ablation_page(title: str, found: Sequence[Ablation]) -> str:
    """Return the comparison of laws by ratio as markdown."""
    return "\n".join([f"# {markdown.escape(title)}", *markdown.render(ablation_blocks(found)), ""])


def _subtitle(result: Result) -> str:
    fit, runs = result.fit, result.runs
    held = ["alpha = beta"] if fit.tied else []
    held += [f"E = {fit.irreducible:g}"] if fit.irreducible is not None else []
    how = "Huber loss" if fit.method == "huber" else "least squares"
    counts = runs.conventions.get("counts", "not stated")
    unit = runs.conventions.get("loss_unit", "nats")
    return (
        f"{fit.law.name}: {len(runs)} runs by {how} on log residuals{', ' if held else ''}{', '.join(held)}; "
        f"objective {fit.objective:.6e}. N counts {_counted(counts)}; losses "
        f"{'in nats' if unit == 'nats' else 'in bits, converted to nats'} per token."
    )


def _counted(counts: str) -> str:
    return "parameters of a kind not stated, taken as total" if counts == "not stated" else f"{counts} parameters"


def _intervals(result: Result) -> Block:
    bootstrap = result.bootstrap
    cells = []
    for row in figures(result):
        name = {"a": "a (N_opt ~ C^a)", "b": "b (D_opt ~ C^b)"}.get(row["figure"], row["figure"])
        spread = "" if row["low"] is None else f"{_figure(row['low'])} to {_figure(row['high'])}"
        error = "" if row["standard_error"] is None else _figure(row["standard_error"])
        cells.append([name, _figure(row["value"]), spread, error])
    if bootstrap is None:
        why = "the fit is refused without them" if result.diagnosis.verdict == "do not use" else "none were asked for"
        return Block("The figures", ["", "value"], [line[:2] for line in cells], [f"No intervals: {why}."])
    lines = [f"From {len(bootstrap.samples)} bootstraps of the runs, seed {bootstrap.seed}."]
    if bootstrap.failures:
        lines.append(f"{bootstrap.failures} of them make no law and are left out.")
    level = f"{format_percent(bootstrap.level, 0)} interval"
    return Block("How sure", ["", "value", level, "std error"], cells, lines)


def _runs(result: Result) -> Block:
    runs = result.runs
    law = result.fit.law
    cells = [
        [key.replace("_", " "), *(format_number(value) for value in pair)]
        for key, pair in law.fitted.to_dict().items()
        if pair is not None
    ]
    set_aside = runs.set_aside
    lines = [f"{len(runs)} runs of {runs.source} used, {len(set_aside)} set aside."]
    for reason, rows in runs.reasons().items():
        first = ", ".join(str(row) for row in rows[:_LISTED])
        more = f" and {len(rows) - _LISTED} more" if len(rows) > _LISTED else ""
        lines.append(f"{reason}: {len(rows)} (row{'s' if len(rows) > 1 else ''} {first}{more}).")
    said = runs.conventions
    lines += [f"{role}: {said[role]}." for role in ("params", "tokens", "flops", "loss") if role in said]
    lines += [f"{note[0].upper()}{note[1:]}." for note in runs.notes if note]
    return Block("Runs", ["", "from", "to"], cells, lines)


def _use(result: Result) -> list[str]:
    if result.diagnosis.verdict == "do not use":
        return ["Do not: see the verdict. --force writes the law all the same."]
    return [
        f"bc-opt fit ... -o {result.file} writes it; in a scenario, write  law: {result.file}",
        "A plan beyond the range of the runs says so.",
    ]


def _flop(flops: float) -> str:
    return f"{flops:.3g} FLOP".replace("e+", "e")


def _figure(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    if value != 0 and not 1e-3 <= abs(value) < 9999.5:
        return f"{value:.2e}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{value:.4f}" if abs(value) < 10 else f"{value:#.4g}".rstrip(".")


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{format_percent(abs(value), 2)}"


def _drawn(bootstrap: Bootstrap) -> dict[str, Any]:
    # E = 0 has no logarithm: its covariance is no number, and null in JSON.
    with np.errstate(invalid="ignore"):
        return bootstrap.to_dict(samples=True)


def _rest(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("figure", "flops")}
