"""A plan month by month: what is asked, which GPUs are on, what they cost."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.deployment import Deployment, deploy
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.past.data import licensed

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

SCHEMA = "beyond-chinchilla/capacity/1"
# Paid when training starts, not hour by hour.
_AT_ONCE = "data"


@dataclass(frozen=True, kw_only=True)
class CapacityMonth:
    """One month of a plan.

    Attributes
    ----------
    month : str
        Calendar month, or its number from launch.
    phase : {"training", "waiting", "serving"}
        ``"waiting"``: trained, before demand begins.
    requests, input_tokens, output_tokens : float
        Of all requests; input is what no prompt cache holds.
    training_gpus : float or None
        GPUs that train; None where the scenario does not state them.
    serving_base, serving_mean, serving_peak : float
        GPUs that are always on, that are on in the mean, and at the most; whole replicas in every hour.
    committed, on_demand_mean, on_demand_peak : float
        The same by contract: those that are committed, and those beyond.
    spot_mean : float
        GPUs hired for batch work at its own price, in the mean.
    idle_share : float
        Share of the serving GPU-hours in which nothing is computed.
    gpu_hours : float
        All that are paid, experiments before the final run left out.
    cost : float
        In money of the month [USD].
    present_value, cumulative_present_value : float
        [USD]
    """

    month: str
    phase: str
    requests: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    training_gpus: float | None = 0.0
    serving_base: float = 0.0
    serving_mean: float = 0.0
    serving_peak: float = 0.0
    committed: float = 0.0
    on_demand_mean: float = 0.0
    on_demand_peak: float = 0.0
    spot_mean: float = 0.0
    idle_share: float = 0.0
    gpu_hours: float = 0.0
    cost: float = 0.0
    present_value: float = 0.0
    cumulative_present_value: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON and CSV hold it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class CapacityPlan:
    """All months of a plan, training first.

    Attributes
    ----------
    deployment : Deployment
        The plan and what it runs on.
    months : tuple of CapacityMonth
    notes : tuple of str
        How the table is to be read.
    """

    deployment: Deployment
    months: tuple[CapacityMonth, ...]
    notes: tuple[str, ...]

    @property
    def totals(self) -> dict[str, float]:
        """Requests, tokens, GPU-hours and money of all months; the most GPUs on at once."""
        summed = ("requests", "input_tokens", "output_tokens", "gpu_hours", "cost", "present_value")
        totals = {name: math.fsum(getattr(month, name) for month in self.months) for name in summed}
        return totals | {"serving_peak": max(month.serving_peak for month in self.months)}

    def to_dict(self) -> dict[str, Any]:
        """Return the table as ``--format json`` prints it: no clock, no path, no NaN."""
        plan, best = self.deployment.plan, self.deployment.best
        return {
            "schema": SCHEMA,
            "scenario": plan.name,
            "plan": {
                "params": best.params,
                "tokens": best.tokens,
                "total": best.total,
                "nominal_total": self.totals["cost"],
                "unit": best.unit,
                "choice": self.deployment.service.label,
            },
            "months": [month.to_dict() for month in self.months],
            "totals": self.totals,
            "notes": list(self.notes),
        }

    def to_frame(self) -> pd.DataFrame:
        """Return the months as a table, one row each."""
        import pandas as pd  # 0.3 s: only for who asks for a table

        return pd.DataFrame([month.to_dict() for month in self.months])


def capacity(scenario: Scenario, plan: Plan) -> CapacityPlan:
    """Return a plan month by month; the present values add up to its total.

    Parameters
    ----------
    scenario : Scenario
        With demand by month.
    plan : Plan
        Of this scenario.

    Raises
    ------
    InputError
        Demand over the life alone, or no plan.

    Examples
    --------
    >>> import beyond_chinchilla as bc
    >>> chip = {"hardware": "h100-sxm", "precision": "bf16", "price": 2.5}
    >>> scenario = bc.Scenario.from_dict({
    ...     "law": "sardana-2024", "target": {"chinchilla": "7B"},
    ...     "demand": {"requests_per_month": "40M", "months": 12, "input_tokens": 900, "output_tokens": 220},
    ...     "training": {**chip, "mfu": "40%"}, "serving": {**chip, "prefill_mfu": "50%", "decode_mfu": "5%"}})
    >>> plan = bc.solve(scenario)
    >>> table = capacity(scenario, plan)
    >>> len(table.months), f"{table.totals['present_value'] / plan.best.total:.9f}"
    (13, '1.000000000')
    """
    deployment = deploy(scenario, plan)
    rows = [*_training(deployment), *_serving(deployment)]
    cumulative = np.cumsum([row["present_value"] for row in rows]).tolist()
    months = tuple(
        CapacityMonth(**row, cumulative_present_value=value) for row, value in zip(rows, cumulative, strict=True)
    )
    return CapacityPlan(deployment=deployment, months=months, notes=tuple(_notes(deployment)))


def _training(deployment: Deployment) -> list[dict[str, Any]]:
    """Return the months up to launch: hours spread evenly over whole months, as the bill has them."""
    monthly, launch, labels = deployment.monthly, deployment.launch, deployment.labels_before
    gpus, hours = monthly.training.gpus, deployment.training_gpu_hours
    months = deployment.launch_month
    cost, present = _training_money(deployment)
    if gpus is None:
        # Nobody says how long it takes, nor what else happens before demand begins.
        label = launch.today or "training"
        row = {"training_gpus": None, "gpu_hours": hours, "cost": float(cost[0]), "present_value": float(present[0])}
        return [{"month": label, "phase": "training", **row}]
    trained = [
        {
            "month": labels[month] if months else "training",
            "phase": "training",
            "training_gpus": float(gpus),
            "gpu_hours": hours / len(cost),
            "cost": float(cost[month]),
            "present_value": float(present[month]),
        }
        for month in range(len(cost))
    ]
    return trained + [{"month": label, "phase": "waiting", "present_value": 0.0} for label in labels[months:]]


def _training_money(deployment: Deployment) -> tuple[Array, Array]:
    """Return what training costs by month, nominal and as present value [USD]."""
    monthly, month = deployment.monthly, deployment.launch_month
    prices, weights = monthly.training_calendar(month)
    share = prices / prices.sum()
    point = deployment.point
    bill = licensed(monthly.file.data, Posynomial(monthly.training_bill(month, []).terms(1.0), "USD"))
    terms = bill.totals(point)
    at_once = terms.pop(_AT_ONCE, 0.0)
    cost = math.fsum(terms.values()) * share
    present = cost * weights
    cost[0] += at_once
    present[0] += at_once
    return cost, present


def _serving(deployment: Deployment) -> list[dict[str, Any]]:
    fleet = deployment.service.fleet
    table = fleet.table(
        *deployment.seconds, labels=deployment.labels, requests=deployment.forecast.requests, whole_replicas=True
    )
    size = fleet.replica_gpus
    rows = []
    for month in table:
        mean = month.committed + month.on_demand_mean
        peak = month.committed + month.on_demand_peak
        always = size * math.ceil(max(month.committed, fleet.floor) / size - 1e-9)
        rows.append(
            {
                "month": month.month,
                "phase": "serving",
                "requests": month.requests,
                "input_tokens": month.prefill_tokens,
                "output_tokens": month.decode_tokens,
                "serving_base": mean if fleet.fixed_percentile is not None else float(always),
                "serving_mean": mean,
                "serving_peak": peak,
                "committed": month.committed,
                "on_demand_mean": month.on_demand_mean,
                "on_demand_peak": month.on_demand_peak,
                "spot_mean": month.spot_mean + 0.0,  # -0.0 is nothing
                "idle_share": month.idle_share,
                "gpu_hours": month.gpu_hours,
                "cost": month.cost,
                "present_value": month.present_value,
            }
        )
    return rows


def raised_commitment(deployment: Deployment) -> list[str]:
    """Say when more GPUs are committed than the share that is stated; nothing otherwise.

    Below a floor, more commitment costs less; see `costs.fleet_bill`.
    """
    fleet = deployment.service.fleet
    if fleet.committed is None or fleet.committed.share is None:
        return []
    use, share = fleet.use(*deployment.seconds), fleet.committed.share
    stated = share * float((use.need - use.spot).mean())
    if use.committed <= stated * (1.0 + 1e-9):
        return []
    note = (
        f"{share:.0%} of the mean need would be {stated:.3g} committed GPUs, below the floor of {fleet.floor:g}; the "
        f"bill is that of {use.committed:.3g} and of the larger need that goes with them, which costs less; "
        f"commitment: {{gpus: {math.floor(use.committed)}}} may cost less still"
    )
    return [note]


def _notes(deployment: Deployment) -> list[str]:
    training, launch, discounting = deployment.monthly.training, deployment.launch, deployment.monthly.discounting
    notes = []
    if training.gpus is None:
        notes.append("without training.gpus nobody knows how long training takes: all of it is paid when it starts")
    elif deployment.plan.launch is not None:
        taken, months = deployment.plan.launch.training_months, max(deployment.launch_month, 1)
        over = "one whole month" if months == 1 else f"{months} whole months"
        notes.append(
            f"training takes {taken:.2g} months on {training.gpus:,} GPUs; its hours are spread evenly over {over}, "
            "as in the bill"
        )
    if launch.lost:
        lost = "1 month of demand passes" if launch.lost == 1 else f"{launch.lost} months of demand pass"
        notes.append(f"{lost} before the model is ready: not served, not bought")
    notes += raised_commitment(deployment)
    notes.append("GPUs are whole replicas in every hour: base is always on, mean and peak include it")
    if discounting.rate:
        notes.append(f"present value: {discounting.note()}")
    return notes
