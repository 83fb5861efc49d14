"""Values at which a decision turns: demand from which the method pays, prices from which another chip does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from beyond_chinchilla.analyse import frontier
from beyond_chinchilla.analyse.deployment import problem_of
from beyond_chinchilla.analyse.disagreement import equivalent_size
from beyond_chinchilla.analyse.levers import priced, prices_of
from beyond_chinchilla.analyse.variation import changed, unrounded
from beyond_chinchilla.costs.hardware import Accelerator, accelerator
from beyond_chinchilla.errors import BeyondChinchillaError, InputError
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.document import Keys
from beyond_chinchilla.scenario.fields import chip_of
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.units import format_money, format_number, format_percent, format_size

Use = Literal["training", "serving"]
USES: tuple[Use, ...] = ("training", "serving")
# What to ask about where nobody names a chip: the generations after the A100, of both vendors.
CHIPS = ("h100-sxm", "h200-sxm", "b200-sxm", "mi300x")
FRACTIONS = (0.01, 0.05, 0.10)
# No price of a chip-hour moves further from that of equal FLOPs.
_WIDEST = math.log(1e3)
# Totals agree to this, relative: the solver's own tolerance.
_SAME = 1e-9


@dataclass(frozen=True, kw_only=True)
class BreakEven:
    """A value at which a decision turns.

    Attributes
    ----------
    what : {"demand", "training price", "serving price"}
    label : str
        What turns there: a saving, or the chip to switch to.
    value : float or None
        Where; None where it never does.
    unit : str
    sentence : str
        In plain words.
    """

    what: str
    label: str
    value: float | None
    unit: str
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the value as JSON holds it."""
        return {
            "what": self.what,
            "label": self.label,
            "value": self.value,
            "unit": self.unit,
            "sentence": self.sentence,
        }


def demand_break_evens(scenario: Scenario, plan: Plan, fractions: Sequence[float] = FRACTIONS) -> tuple[BreakEven, ...]:
    """Return the demand from which the plan saves each fraction against the Chinchilla model of equal loss.

    By month, on what the plan serves on, launched as in it.
    """
    problem = problem_of(scenario, plan)
    demand, unit = scenario.demand()
    rival = f"Chinchilla-{format_size(equivalent_size(problem))}"
    found = []
    for fraction, factor in frontier.break_even(problem, fractions):
        value = None if factor is None else factor * demand
        share = format_percent(fraction, 0)
        if value is None:
            sentence = f"no demand lets inference-aware beat {rival} by {share}"
        elif value == 0.0:
            sentence = f"inference-aware beats {rival} by {share} at any demand"
        else:
            sentence = f"inference-aware beats {rival} by {share} once demand passes {format_number(value)} {unit}"
        found.append(BreakEven(what="demand", label=share, value=value, unit=unit, sentence=sentence))
    return tuple(found)


def switch(scenario: Scenario, plan: Plan, use: Use, chip: str) -> BreakEven:
    """Return the price of another chip below which training, or serving, on it makes the total lower.

    Everything else stays, its utilisation too; the model is chosen anew. Where the bill knows the chip by its price
    per FLOP alone that is the price of equal FLOPs; limits, memory and bandwidth make it another one.

    Parameters
    ----------
    scenario : Scenario
    plan : Plan
        Of this scenario.
    use : {"training", "serving"}
    chip : str
        Of the catalogue.

    Raises
    ------
    InputError
        No such chip, one without the precision, one that is used already, a scenario whose chip has no price of its
        own, or another chip that has no plan.
    """
    section = scenario.file.training if use == "training" else scenario.file.serving
    if section is None or scenario.file.objective != "cost":
        raise InputError(f"{scenario.name}: a switch of chips needs objective cost and the section {use}")
    if plan.best is None:
        raise InputError(f"{scenario.name}: {plan.status}: there is no plan to leave")
    if not priced(section):
        raise InputError(f"{scenario.name}: {use}: bought, committed or dated chips have no price to compare")
    other, present = accelerator(chip), _chips(scenario, use)
    if other.name in {one.name for one in present}:
        raise InputError(f"{scenario.name}: {use} on {chip} is among what the plan chose from")
    precisions = _precisions(scenario, use)
    if not any(precision in other.peak for precision in precisions):
        other.peak_flops(precisions[0])
    total = math.log(unrounded(plan.best))
    prices = prices_of(section)
    # What else was chosen, such as experts, stands before how it is served.
    served = plan.choice.rsplit(", ", 1)[-1]
    used = next((one for one in present if served.startswith(f"{one.name} ")), present[0])

    def excess(log_price: float) -> float:
        """Return ln total on the other chip at a price, over that of the plan."""
        edits: dict[Keys, Any] = {(use, "hardware"): chip, (use, "price"): math.exp(log_price)}
        if isinstance(section.price, dict):
            edits[use, "price"] = {chip: math.exp(log_price)}
        found = solve(changed(scenario, edits))
        if found.best is None:
            raise InputError(f"{scenario.name}: {use} on {chip}: {found.warnings[0]}")
        return math.log(unrounded(found.best)) - total

    equal = math.log(prices[used.name] * _peak(other, precisions) / _peak(used, precisions))
    log_price = _root(excess, equal)
    value = None if log_price is None else math.exp(log_price)
    return BreakEven(
        what=f"{use} price",
        label=chip,
        value=value,
        unit="USD/hour",
        sentence=_sentence(use, used.name, other, value),
    )


def switches(
    scenario: Scenario, plan: Plan, chips: Sequence[str] = CHIPS
) -> tuple[tuple[BreakEven, ...], tuple[str, ...]]:
    """Return `switch` for each use and chip that it makes sense for, and why the others were left out."""
    found, left_out = [], []
    for use in USES:
        for chip in chips:
            try:
                found.append(switch(scenario, plan, use, chip))
            except BeyondChinchillaError as error:
                left_out.append(str(error).split("\n")[0])
    return tuple(found), tuple(dict.fromkeys(left_out))


def _root(excess: Callable[[float], float], guess: float) -> float | None:
    """Return where a rising function crosses zero; None where it does so nowhere near the guess."""
    at_guess = excess(guess)
    if abs(at_guess) <= _SAME:
        return guess
    step = math.copysign(0.5, -at_guess)
    near, far = guess, guess + step
    while excess(far) * at_guess > 0:
        if abs(far - guess) > _WIDEST:
            return None
        near, far = far, far + 2.0 * (far - near)
    from scipy.optimize import brentq  # 0.2 s: only for who asks what would pay

    return float(brentq(excess, min(near, far), max(near, far), xtol=1e-12, rtol=1e-12))


def _chips(scenario: Scenario, use: Use) -> tuple[Accelerator, ...]:
    file = scenario.file
    if use == "training":
        assert file.training is not None
        return (chip_of(file.training.hardware),)
    assert file.serving is not None
    return file.serving.chips


def _precisions(scenario: Scenario, use: Use) -> tuple[str, ...]:
    file = scenario.file
    if use == "training":
        assert file.training is not None
        return (file.training.precision,)
    assert file.serving is not None
    return file.serving.precisions


def _peak(chip: Accelerator, precisions: Sequence[str]) -> float:
    return max(chip.peak[precision] for precision in precisions if precision in chip.peak)


def _sentence(use: Use, present: str, other: Accelerator, value: float | None) -> str:
    move = f"switch from {present} to {other.name} for {use}"
    if value is None:
        return f"{move}: no price makes the totals equal"
    listed = other.default_price
    if listed is None:
        return f"{move} pays below {format_money(value)}/hour"
    pays = "it pays" if listed.usd_per_hour < value else "it does not pay"
    return f"{move} pays below {format_money(value)}/hour; listed at {format_money(listed.usd_per_hour)}, {pays}"
