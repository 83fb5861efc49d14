"""One plan as one HTML file: it needs no network, no font and no folder beside it, and lets nothing in.

The page's own rule for browsers (its content security policy) allows the one style sheet and the one script by their
hashes, images that are inside it, and nothing else. Text goes through the template's escaping, without exception.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.report import assumptions, blocks, rows
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.report.html import what_if
from beyond_chinchilla.report.html.figures import images
from beyond_chinchilla.report.plots.subject import Subject
from beyond_chinchilla.units import format_amount, format_number, format_percent

if TYPE_CHECKING:
    from jinja2 import Environment

    from beyond_chinchilla.analyse.disagreement import Opinion
    from beyond_chinchilla.optimise.plan import Plan

_HERE = Path(__file__).parent
_STYLE = "page.css"
_SCRIPTS = ("what-if-solver.js", "what-if-plots.js", "what-if-page.js")
# A law with its refits takes pages: that is for the file, not for paper [letters].
_LONG = 5_000


@dataclass(frozen=True)
class _Card:
    """A figure that is read from afar."""

    label: str
    value: str
    beside: str = ""


def render(
    subject: Subject, parts: Sequence[Block] = (), opinions: Sequence[Opinion] = (), *, lead: bool = False
) -> str:
    """Return the page of one plan.

    Parameters
    ----------
    subject : Subject
        Scenario, problem and plan; with risk, sensitivity or regret map their plots stand on the page too.
    parts : sequence of Block
        What else was found, in words: risk, comparisons, break-even demand, serving by month.
    opinions : sequence of Opinion
        The same problem under other laws.
    lead : bool
        Whether the sliders come before the report, for who came to play.
    """
    from markupsafe import Markup

    scenario, problem, plan = subject.scenario, subject.problem, subject.plan
    style, refusal = _static(_STYLE), what_if.refusal(problem)
    script = "" if refusal else "\n".join(_static(name) for name in _SCRIPTS)
    model = None if refusal else what_if.model_of(scenario, problem)
    text = assumptions.scenario_text(subject.text_of)
    sizes, terms = (rows.sizes(plan), rows.terms(plan)) if plan.best else ([], [])
    context: dict[str, Any] = {
        "name": plan.name,
        "headline": rows.headline(plan),
        "subtitle": rows.subtitle(plan).removeprefix(f"{plan.name} | "),
        "cards": _cards(plan),
        "why": [] if plan.best else rows.why(plan),
        "bill": [*sizes, *terms],
        "sizes": len(sizes),
        "drivers": rows.drivers(plan),
        "warnings": plan.warnings,
        "images": images(subject),
        "blocks": [*(blocks.limits(plan) if plan.best else ()), *parts],
        "opinions": _opinions(subject, opinions),
        "assumptions": assumptions.assumptions(scenario, plan),
        "reproduce": assumptions.reproduce(),
        "scenario": text,
        "long": len(text) > _LONG,
        "proof": rows.proof(plan),
        "lead": lead,
        "refusal": refusal,
        "model": Markup(_inert(model)) if model else "",  # noqa: S704 - see _inert
        "laws": model["laws"] if model else (),
        "sliders": model["sliders"] if model else (),
        "target": model["target"] if model else {},
        "policy": _policy(style, script),
        # Our own files: their bytes must be those of the hashes.
        "style": Markup(style),  # noqa: S704
        "script": Markup(script),  # noqa: S704
    }
    return _environment().get_template("page.html.j2").render(context)


def _cards(plan: Plan) -> list[_Card]:
    best, base = plan.best, plan.baseline
    if best is None:
        return []
    saved = plan.savings_fraction
    found = [
        _Card("params", rows.sized(best), f"Chinchilla {rows.sized(base)}"),
        _Card("training tokens", format_number(best.tokens), f"Chinchilla {format_number(base.tokens)}"),
        _Card(
            "over the life", format_amount(best.total, best.unit), f"Chinchilla {format_amount(base.total, best.unit)}"
        ),
    ]
    if plan.objective == "loss":
        return [*found, _Card("loss", f"{best.loss:.4f}", f"Chinchilla's ratio {base.loss:.4f}")]
    beside = f"{format_amount(abs(plan.savings), best.unit)} {'less' if saved >= 0 else 'more'}"
    found.append(_Card("saved" if saved >= 0 else "costs more by", format_percent(abs(saved)), beside))
    if plan.one_percent_range is not None:
        low, high = (format_number(size) for size in plan.one_percent_range)
        found.append(_Card("within 1% of the cost", f"{low} to {high}", "params"))
    return found


def _opinions(subject: Subject, found: Sequence[Opinion]) -> Block | None:
    if not found:
        return None
    from beyond_chinchilla.analyse.disagreement import equivalent_size

    heads, cells = rows.opinions(found)
    title = rows.opinions_title(equivalent_size(subject.asked))
    return Block(title, heads, cells, words=frozenset({0, len(heads) - 1}))


@functools.cache
def _static(name: str) -> str:
    return (_HERE / "static" / name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )


def _inert(value: Any) -> str:
    """Return JSON that no text in it can end: every ``<``, ``>`` and ``&`` is written by its number."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _policy(style: str, script: str) -> str:
    """Return what a browser may load for this page: what is in it, by hash, and nothing from anywhere."""
    allowed = {"default-src": "'none'", "style-src": _hash(style), "img-src": "data:"}
    if script:
        allowed["script-src"] = _hash(script)
    allowed |= {"base-uri": "'none'", "form-action": "'none'"}
    return "; ".join(f"{name} {source}" for name, source in allowed.items())


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"
