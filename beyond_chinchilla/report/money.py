"""Parts of a page about money by month: present value beside what is paid, energy, buying, another currency."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_money, format_number, format_times

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.buy import Offer
    from beyond_chinchilla.analyse.capacity import CapacityPlan
    from beyond_chinchilla.analyse.deployment import Deployment
    from beyond_chinchilla.analyse.footprint import Footprint
    from beyond_chinchilla.costs.currency import Currency
    from beyond_chinchilla.optimise.plan import Plan

_KWH_PER_MWH = 1e3


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """What could be bought, and from which demand on building wins.

    Attributes
    ----------
    offer : Offer
    factor : float or None
        Relative to the scenario's demand; None: at no demand.
    requests : float
        Of the busiest month of the scenario.
    """

    offer: Offer
    factor: float | None
    requests: float

    def to_dict(self) -> dict[str, Any]:
        """Return the purchase as JSON holds it."""
        requests = None if self.factor is None else self.factor * self.requests
        return self.offer.to_dict() | {"break_even": {"demand_factor": self.factor, "busiest_month_requests": requests}}


def purchase(deployment: Deployment) -> Purchase:
    """Return what the scenario states to buy, beside its plan."""
    from beyond_chinchilla.analyse.buy import break_even, offer

    return Purchase(
        offer=offer(deployment),
        factor=break_even(deployment.scenario, deployment.plan),
        requests=max(deployment.forecast.requests),
    )


def bill(capacity: CapacityPlan) -> Block:
    """Return present value and nominal bill side by side, and when serving starts."""
    from beyond_chinchilla.analyse.capacity import raised_commitment

    deployment = capacity.deployment
    best, discounting = deployment.best, deployment.monthly.discounting
    nominal = dict(best.nominal_terms or {})
    if "rounding" in best.terms:
        nominal["rounding"] = capacity.totals["cost"] - sum(nominal.values())
    cells, lines = [], []
    if discounting.rate:
        cells = [[label, format_money(value), format_money(nominal[label])] for label, value in best.terms.items()]
        cells.append(["total", format_money(best.total), format_money(capacity.totals["cost"])])
        lines.append(f"Discounted at {discounting.note()}.")
    else:
        lines.append("Not discounted: the bill is what is paid. A rate is discounting: {rate: 10%}.")
    lines += [f"Committed: {note}." for note in raised_commitment(deployment)] + _launch(deployment)
    heads = ["", "present value", "nominal"] if cells else []
    return Block("Money over time", heads, cells, lines)


def _launch(deployment: Deployment) -> list[str]:
    launch, plan = deployment.launch, deployment.plan
    months = deployment.labels
    served = f"{months[0]} to {months[-1]}" if len(months) > 1 else months[0]
    if plan.launch is None:
        return [f"Served: {served}; how long training takes does not move that, for training.gpus is not stated."]
    lines = [
        f"Served: {served}, {_months(launch.delay)} after training starts"
        + (f" in {launch.today}" if launch.today else "")
        + (f"; of demand, {_months(launch.lost)} pass before, unserved." if launch.lost else ".")
    ]
    others = [row for row in plan.launch.scan if row.month != plan.launch.month]
    if others:
        scan = ", ".join(
            f"{row.month} ({row.status}{'' if row.total is None else ', ' + format_money(row.total)})" for row in others
        )
        lines.append(
            f"Training is given {_months(plan.launch.month)}; others looked at: {scan}. Late: it takes longer; "
            "waits: it is done before."
        )
    return lines


def _months(count: int) -> str:
    return f"{count} month{'' if count == 1 else 's'}"


def record(capacity: CapacityPlan) -> dict[str, Any]:
    """Return the bill over time as JSON holds it."""
    launch = capacity.deployment.launch
    return {
        "discounting": asdict(capacity.deployment.monthly.discounting),
        "nominal_terms": dict(capacity.deployment.best.nominal_terms or {}),
        "nominal_total_rounded": capacity.totals["cost"],
        "delay_months": launch.delay,
        "lost_months": launch.lost,
        "first_month": capacity.deployment.labels[0],
        "last_month": capacity.deployment.labels[-1],
    }


def energy(found: Footprint) -> Block:
    """Return energy and emissions by phase."""
    stated = found.energy.grid is not None

    def cells_of(phase: str, hardware: str, hours: float, kwh: float, tonnes: float | None) -> list[str]:
        row = [phase, hardware, format_number(hours), format_number(kwh / _KWH_PER_MWH)]
        return [*row, format_number(tonnes)] if tonnes is not None else row

    cells = [cells_of(row.phase, row.hardware, row.gpu_hours, row.kwh, row.tonnes_co2e) for row in found.phases]
    hours = sum(row.gpu_hours for row in found.phases)
    cells.append(cells_of("total", "", hours, found.kwh, found.tonnes_co2e))
    heads = ["", "on", "GPU-hours", "MWh", *(["t CO2e"] if stated else [])]
    power = "the chips' published power with their share of the server"
    if found.energy.power_per_gpu is not None:
        power = f"{found.energy.power_per_gpu:g} kW a GPU"
    grid = (
        f"a grid of {found.energy.grid:g} kg CO2e/kWh"
        if stated
        else "no grid intensity stated (energy.grid), so that emissions are not reckoned"
    )
    line = f"From {power}, PUE {found.energy.pue:g}, and {grid}; idle GPUs count as busy."
    return Block("Energy", heads, cells, [line], frozenset({0, 1}))


def buy(found: Purchase, plan: Plan) -> Block:
    """Return the price of buying beside the plan, and the demand from which building wins."""
    from beyond_chinchilla.analyse.buy import LEAST_FACTOR, MOST_FACTOR

    assert plan.best is not None
    offer, total = found.offer, plan.best.total
    cells = [[label, format_money(usd), ""] for label, usd in offer.terms.items()]
    cells.append(["total", format_money(offer.total), format_money(total)])
    lines = [
        f"For the months that the plan serves, present value: buying is {format_times(offer.total / total)} building."
    ]
    if found.factor is None:
        lines.append(f"Building is cheaper at no demand up to {format_times(MOST_FACTOR)} this one, within the limits.")
    elif found.factor <= LEAST_FACTOR:
        lines.append(f"Building is cheaper even at {format_times(found.factor)} this demand.")
    else:
        lines.append(
            f"Building is cheaper from {format_times(found.factor)} this demand on: "
            f"{format_number(found.factor * found.requests)} requests in the busiest month."
        )
    if offer.kind == "model":
        lines.append(
            f"{offer.name}, {format_number(offer.params or 0.0)} params, served on {offer.choice}, not trained. Losses "
            "of two labs do not compare: whether it is as good as the target is not known here."
        )
    else:
        lines.append("Whether what is sold is as good as the target is not known here.")
    return Block("Buy instead", [offer.name, "buy", "build"], cells, lines)


def currency(plan: Plan, stated: Currency, nominal: float | None = None) -> Block:
    """Return the totals in the stated currency, with its rate; `nominal` is that of the plan [USD]."""
    assert plan.best is not None
    totals = [f"Plan {stated.format(plan.best.total)}", f"Chinchilla {stated.format(plan.baseline.total)}"]
    if nominal is not None:
        totals.insert(1, f"not discounted {stated.format(nominal)}")
    return Block(f"In {stated.code}", lines=[f"{', '.join(totals)}, {stated.note()}."])


def currency_record(plan: Plan, stated: Currency) -> dict[str, Any]:
    """Return the totals in the stated currency as JSON holds them."""
    assert plan.best is not None
    return asdict(stated) | {
        "total": stated.from_usd(plan.best.total),
        "baseline_total": stated.from_usd(plan.baseline.total),
        "savings": stated.from_usd(plan.savings),
    }
