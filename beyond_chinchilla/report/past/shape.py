"""What a page says of the shape of a plan: its layers and width, and what they buy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_amount, format_number, format_percent

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.past.shape import Shaped, Shaping
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.report.past.parts import Parts
    from beyond_chinchilla.scenario.load import Scenario

# A bill that moves by less is the same bill.
_SAME = 5e-4


def parts(scenario: Scenario, problem: Problem, plan: Plan) -> Parts:
    """Return layers and width of the plan beside those of other shapes, and what latency costs."""
    from beyond_chinchilla.analyse.past.shape import shaping

    found = shaping(scenario, problem, plan)
    assert plan.best is not None
    return [_block(found, plan.best.unit)], {"shape": found.to_dict()}


def assumptions(scenario: Scenario) -> Iterator[tuple[str, str, str]]:
    """Yield what the plan rests on, where a scenario leaves shapes open: label, value, source."""
    from beyond_chinchilla.scenario.past.shape import shape_of

    shape, serving = shape_of(scenario.file), scenario.file.serving
    if shape is None:
        return
    reference = "" if shape.reference is None else f", law and target those of {shape.reference:.4g}"
    allowed = f"{shape.low:.4g}" if shape.low == shape.high else f"{shape.low:.4g} to {shape.high:.4g}"
    constants = f"epsilon {shape.epsilon:.4g}, gamma {shape.gamma:.4g}"
    yield f"shape {shape.name}", f"{constants}; width over layers {allowed}{reference}", shape.source
    if shape.seen is not None:
        yield "runs behind the shape", f"width over layers of {shape.seen[0]:.4g} to {shape.seen[1]:.4g}", shape.note
    if serving is not None and serving.layer_time is not None:
        yield "time of a layer", f"{serving.layer_time:.4g} us of every step, whatever its width", "the scenario"


def _block(found: Shaping, unit: str) -> Block:
    timed = any(row.token_ms is not None for row in found.shapes)
    layered = any(row.layer_ms is not None for row in found.shapes)
    own = found.shapes[0].total
    assert own is not None
    cells = []
    for row in found.shapes:
        if row.total is None or row.layers is None or row.width is None:
            gaps = ["-"] * (5 + (layered or timed))
            cells.append([row.what, f"{row.aspect:.4g}", *gaps, "no plan"])
            continue
        assert row.params is not None
        assert row.tokens is not None
        times = " of ".join(f"{ms:.3g}" for ms in (row.layer_ms, row.token_ms) if ms)
        dearer = row.total / own - 1.0
        more = "" if row is found.shapes[0] else f"{dearer:+.0%}" if dearer >= 1.0 else f"{dearer:+.1%}"
        cells.append(
            [
                row.what,
                f"{row.aspect:.4g}",
                f"{row.layers:.0f}",
                f"{row.width:,.0f}",
                format_number(row.params),
                format_number(row.tokens),
                *([f"{times} ms"] if layered or timed else []),
                format_amount(row.total, unit),
                more,
            ]
        )
    # In 80 columns: "1.65 of 2 ms" is what the layers take of the time of an output token.
    heads = ["shape", "aspect", "layers", "width", "params", "tokens"]
    heads += ["in layers"] if layered else ["a token"] if timed else []
    heads += ["total", ""]
    return Block("Shape", heads, cells, list(_lines(found, unit)), frozenset({0, len(heads) - 1}))


def _lines(found: Shaping, unit: str) -> Iterator[str]:
    own, *others = found.shapes
    assert own.total is not None
    assert own.shape_loss is not None
    deepest = next((row for row in others if row.what == "least loss"), None)
    if found.loss_for_speed > 0:
        yield (
            f"Its width gives up {found.loss_for_speed:.4f} nats for speed, beside the deepest shape allowed; "
            f"{own.shape_loss:.4f} nats of the loss are the shape's in all."
        )
    else:
        yield f"No shape allowed loses less: {own.shape_loss:.4f} nats of the loss are the shape's."
    if deepest is not None and deepest.total is None:
        yield f"The deepest shape allowed, {deepest.aspect:.4g}, keeps the limits at no size."
    yield from _patience(found, own, unit)


def _patience(found: Shaping, own: Shaped, unit: str) -> Iterator[str]:
    patient = found.patient
    if patient is None or patient.total is None or own.total is None:
        return
    assert patient.layers is not None
    assert patient.width is not None
    dearer = own.total / patient.total - 1.0
    if dearer < _SAME:
        yield "The limit on the time of an output token costs nothing: the same plan without it is no cheaper."
        return
    more = (
        ""
        if found.usd_per_ms is None
        else f" One more ms is worth {format_amount(found.usd_per_ms, unit)} at the margin."
    )
    yield (
        f"The limit on the time of an output token costs {format_amount(own.total - patient.total, unit)}, "
        f"{format_percent(dearer)}: without it {patient.layers:.0f} layers of {patient.width:,.0f} are cheapest.{more}"
    )
