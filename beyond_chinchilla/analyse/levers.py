"""What moves a plan: the inputs of a scenario that are uncertain, or that everybody asks about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from beyond_chinchilla.analyse.disagreement import equivalent_size
from beyond_chinchilla.analyse.variation import DEMAND, changed, scaled, value_at
from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY
from beyond_chinchilla.scenario.compute import Serving, Training
from beyond_chinchilla.scenario.document import Keys
from beyond_chinchilla.scenario.fields import chip_of
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.uncertainty import UncertainInput

# Where nothing is said to be uncertain, each lever moves by this much to both sides.
STEP = 0.20
# Between these quantiles an uncertain input moves.
TAILS = (0.1, 0.9)
TARGET = "target.chinchilla"
UNIQUE_TOKENS = "data.unique_tokens"
TRAINING_PRICE, SERVING_PRICE = "training.price", "serving.price"
_KERNELS = ("prefill", "decode", "bandwidth")


@dataclass(frozen=True, kw_only=True)
class Lever:
    """A number of a scenario that can be moved.

    Attributes
    ----------
    label : str
        Its dotted key, or ``"demand"``.
    group : str
        Whose it is: demand, prices, utilisation, target ...
    value : float
        As the scenario has it, in the unit of the scenario reference.
    low, high : float
        Where it is moved to.
    at : callable
        The scenario with another value.
    most : float
        What it can be at most.
    """

    label: str
    group: str
    value: float
    low: float
    high: float
    at: Callable[[float], Scenario]
    most: float = float("inf")


def levers(scenario: Scenario) -> tuple[Lever, ...]:
    """Return the standard levers of a scenario, each 20% to both sides.

    Demand, the prices of training and serving, every utilisation, unique tokens and the target as a compute-optimal
    size, as far as the scenario has them: no price where chips are bought or a dated table is the price.
    """
    demand, _ = scenario.demand()
    found = [_lever(DEMAND, "demand", demand, lambda value: scaled(scenario, DEMAND, value / demand))]
    if scenario.file.objective == "cost":
        found += _training(scenario) + _serving(scenario)
    if scenario.file.data is not None:
        found.append(_keyed(scenario, UNIQUE_TOKENS, "data", scenario.file.data.unique_tokens))
    if scenario.file.target is not None:
        problem = scenario.to_problem()
        size = equivalent_size(problem)
        if problem.target_law is not None and problem.target_loss <= problem.target_law.E:
            return tuple(found)
        found.append(_lever(TARGET, "target", size, lambda value: _aimed(scenario, value)))
    return tuple(found)


def uncertain_levers(scenario: Scenario) -> tuple[Lever, ...]:
    """Return the uncertain inputs, each from its 10th to its 90th percentile, or between the ends that it states."""
    return tuple(_uncertain(scenario, one) for one in scenario.uncertainty.inputs)


def _uncertain(scenario: Scenario, one: UncertainInput) -> Lever:
    stated = one.distribution.to_dict()
    if "low" in stated and "high" in stated:
        low, high = float(stated["low"]), float(stated["high"])
    else:
        low, high = (float(one.distribution.quantile(u)) for u in TAILS)
    return Lever(
        label=one.label,
        group=one.group,
        value=one.distribution.median,
        low=low,
        high=high,
        at=lambda value: changed(scenario, {one.keys: value}),
    )


def _lever(label: str, group: str, value: float, at: Callable[[float], Scenario], most: float = float("inf")) -> Lever:
    high = min((1.0 + STEP) * value, most)
    return Lever(label=label, group=group, value=value, low=(1.0 - STEP) * value, high=high, at=at, most=most)


def _keyed(scenario: Scenario, label: str, group: str, value: float, most: float = float("inf")) -> Lever:
    keys: Keys = tuple(label.split("."))
    return _lever(label, group, value, lambda new: changed(scenario, {keys: new}), most)


def _aimed(scenario: Scenario, size: float) -> Scenario:
    return changed(scenario, {("target",): {"chinchilla": size}})


def priced(section: Training | Serving) -> bool:
    """Say whether one hour of a chip has one stated or listed price: no purchase, contract or dated table."""
    path = section.price_path
    return (
        section.purchase is None
        and (path is None or path.table is None)
        and (not isinstance(section, Serving) or (section.commitment is None and section.batch_price is None))
    )


def prices_of(section: Training | Serving) -> dict[str, float]:
    """Return the price of each chip of a section [USD/hour], stated or listed; chips without one are left out."""
    chips = section.chips if isinstance(section, Serving) else (chip_of(section.hardware),)
    found = {}
    for chip in chips:
        price = section.stated_price(chip) if isinstance(section, Serving) else section.price
        if price is None and chip.default_price is not None:
            price = chip.default_price.usd_per_hour
        if price is not None:
            found[chip.name] = price
    return found


def _training(scenario: Scenario) -> list[Lever]:
    section = scenario.file.training
    assert section is not None
    found = []
    if priced(section):
        (price,) = prices_of(section).values()
        found.append(_keyed(scenario, TRAINING_PRICE, "prices", price))
    return [*found, _keyed(scenario, "training.mfu", "utilisation", section.mfu, 1.0)]


def _serving(scenario: Scenario) -> list[Lever]:
    section = scenario.file.serving
    assert section is not None
    found = []
    if priced(section):
        prices = prices_of(section)
        first = next(iter(prices.values()))

        def at(price: float) -> Scenario:
            """Move the prices of all chips alike."""
            times = price / first
            new = {name: times * each for name, each in prices.items()}
            return changed(scenario, {("serving", "price"): new if len(new) > 1 else price})

        found.append(_lever(SERVING_PRICE, "prices", first, at))
    if section.codesign:
        for name in _KERNELS:
            stated = value_at(scenario, ("serving", "efficiency", name))
            share = getattr(DEFAULT_EFFICIENCY, name) if stated is None else stated
            found.append(_keyed(scenario, f"serving.efficiency.{name}", "utilisation", share, 1.0))
    for name in ("prefill_mfu", "decode_mfu"):
        share = getattr(section, name)
        if share is not None:
            found.append(_keyed(scenario, f"serving.{name}", "utilisation", share, 1.0))
    return found
