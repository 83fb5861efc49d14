"""What an hour of a stated chip costs: hired, on a price path, or bought; and the training side of the bill."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.costs.flops import TRAINING_FLOPS_PER_PARAMETER_TOKEN
from beyond_chinchilla.costs.hardware import Accelerator
from beyond_chinchilla.costs.lifetime import NEXT_TO_NOTHING, TRAINING_DRIVERS, HiredCompute
from beyond_chinchilla.posynomial import Posynomial, Term
from beyond_chinchilla.scenario.compute import Serving, Training
from beyond_chinchilla.scenario.fields import chip_of
from beyond_chinchilla.scenario.limits import Hired
from beyond_chinchilla.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, format_money

if TYPE_CHECKING:
    from beyond_chinchilla.costs.discounting import Discounting
    from beyond_chinchilla.costs.price_path import PricePath

DATA_DRIVERS = ("data_price",)
DELAY_DRIVERS = ("delay_cost",)
_MILLION = 1e6


def first_price(use: str, section: Training | Serving, chip: Accelerator, notes: list[str]) -> float | None:
    """Return the price [USD/hour] before any path; one that was left out is looked up and noted.

    None where a dated table is the price.
    """
    if section.purchase is not None:
        return section.purchase.build().usd_per_hour
    if section.price_path is not None and section.price_path.table is not None:
        return None
    stated = section.price if isinstance(section, Training) else section.stated_price(chip)
    if stated is not None:
        if isinstance(section, Serving) and section.price_source is not None:
            notes.append(f"serving price of {chip.name}: {format_money(stated)}/hour, {section.price_source}")
        return stated
    listed = chip.default_price
    assert listed is not None
    notes.append(
        f"{use} price left out: {format_money(listed.usd_per_hour)}/hour for {chip.name} is "
        f"{listed.offer or listed.source}'s {listed.kind} price of {listed.date} ({listed.source})"
    )
    return listed.usd_per_hour


def price_path(use: str, section: Training | Serving, chip: Accelerator, notes: list[str]) -> PricePath:
    """Return the price by month; what it assumes is noted."""
    from beyond_chinchilla.costs.price_path import PricePath

    price = first_price(use, section, chip, notes)
    if section.price_path is None:
        assert price is not None
        return PricePath.constant(price)
    path = section.price_path.build(1.0 if price is None else price)
    notes.append(f"{use} price {path.note}")
    return path


def hire_training(training: Training, notes: list[str], price: float | None = None) -> Hired:
    """Return the chip that trains, at a price [USD/hour], by default the first one."""
    chip = chip_of(training.hardware)
    if price is None:
        price = first_price("training", training, chip, notes)
        assert price is not None
    goodput = 1.0 if training.goodput is None else training.goodput
    compute = HiredCompute(price=price, peak=chip.peak_flops(training.precision))
    return Hired(chip=chip, compute=compute, precision=training.precision, mfu=training.mfu * goodput)


@dataclass(frozen=True, kw_only=True)
class TrainingBill:
    """What a run costs before anybody is served, as terms in ``params`` and ``tokens``.

    Parameters
    ----------
    training : Training
        As stated.
    hired : Hired
        The chip at the mean price of the run, not discounted.
    weight : float
        What a dollar of the run is worth when it starts.
    """

    training: Training
    hired: Hired
    weight: float = 1.0

    def months(self) -> Posynomial | None:
        """Return the duration of the run [month]; None where its chips are not counted."""
        if self.training.gpus is None:
            return None
        rate = self.hired.flops_per_second * self.training.gpus * SECONDS_PER_HOUR * HOURS_PER_MONTH
        term = Term(
            label="training",
            coefficient=TRAINING_FLOPS_PER_PARAMETER_TOKEN / rate,
            powers={"params": 1.0, "tokens": 1.0},
        )
        return Posynomial((term,), "month")

    def terms(self, weight: float | None = None) -> tuple[Term, ...]:
        """Return the terms [USD]; `weight` 1 for the nominal ones, by default that of the run."""
        weight = self.weight if weight is None else weight
        rate = TRAINING_FLOPS_PER_PARAMETER_TOKEN * self.hired.compute.usd_per_flop(self.hired.mfu) * weight
        run = Term(label="training", coefficient=rate, powers={"params": 1.0, "tokens": 1.0}, drivers=TRAINING_DRIVERS)
        found = [run]
        stated = self.training
        if stated.development is not None and np.any(stated.development):
            spent = np.maximum(rate * stated.development, NEXT_TO_NOTHING)
            found.append(replace(run, label="development", coefficient=spent))
        if stated.data_cost is not None:
            usd = stated.data_cost / _MILLION
            found.append(Term(label="data", coefficient=usd, powers={"tokens": 1.0}, drivers=DATA_DRIVERS))
        months = self.months()
        if stated.delay_cost is not None and months is not None:
            (time,) = months.times(stated.delay_cost * weight).terms
            found.append(replace(time, label="delay", drivers=DELAY_DRIVERS))
        return tuple(found)


def training_bill(
    training: Training, notes: list[str], *, discounting: Discounting, months: int, start: str | None
) -> TrainingBill:
    """Return the bill of a run of so many months; 0 where its duration is not known: paid at once.

    Raises
    ------
    InputError
        A dated table of prices that begins too late.
    """
    prices, weights = training_calendar(training, notes, discounting=discounting, months=months, start=start)
    mean = float(prices.mean())
    weight = float((prices * weights).sum() / prices.sum())
    return TrainingBill(training=training, hired=hire_training(training, notes, mean), weight=weight)


def training_calendar(
    training: Training, notes: list[str], *, discounting: Discounting, months: int, start: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the price of each month of a run [USD/GPU-hour] and what a dollar of it is worth when it starts.

    One month of weight 1 where the duration is not known. Raises as `training_bill`.
    """
    prices = price_path("training", training, chip_of(training.hardware), notes).prices(max(months, 1), start)
    return prices, discounting.weights(months) if months else np.ones(1)
