"""One month of a fleet as a capacity planner reads it: demand, GPUs by kind, and what they cost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.units import HOURS_PER_MONTH

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FleetMonth:
    """What a month asks for, what is on, and what is paid.

    Attributes
    ----------
    month : str
        Label of the month.
    requests, prefill_tokens, decode_tokens : float
        Of all requests, batch included; prefill is what no prompt cache holds.
    need_mean, need_peak : float
        GPUs that work in the mean, and in the busiest hour.
    committed : float
        GPUs paid at all hours under a commitment.
    on_demand_mean, on_demand_peak : float
        GPUs on beyond those, in the mean and at the most.
    spot_mean : float
        GPUs hired for batch work at its own price, in the mean.
    idle_share : float
        Share of the GPU-hours in which nothing is computed.
    gpu_hours : float
        All that are paid.
    price : float
        What one of them costs in the mean [USD/GPU-hour]; 0 where none is paid.
    cost, present_value, cumulative_present_value : float
        [USD]
    """

    month: str
    requests: float
    prefill_tokens: float
    decode_tokens: float
    need_mean: float
    need_peak: float
    committed: float
    on_demand_mean: float
    on_demand_peak: float
    spot_mean: float
    idle_share: float
    gpu_hours: float
    price: float
    cost: float
    present_value: float
    cumulative_present_value: float

    def to_dict(self) -> dict[str, str | float]:
        """Return the row as JSON holds it."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class MonthlyUse:
    """What is on and what is paid, by month; arrays of shape (M,).

    Attributes
    ----------
    need, peak_need : Array
        GPUs that work, interactive and batch, in the mean and in the busiest hour.
    on, peak : Array
        GPUs on in the mean and at the most, without those of `spot`. Under a commitment by share that the floor
        exceeds, those of the larger need that is billed (`costs.fleet_bill`).
    spot : Array
        GPUs hired for batch at its own price, in the mean.
    committed : float
        GPUs paid always, of those that are on.
    price : Array
        Average price of the GPUs of `on` [USD/GPU-hour]; 0 where none is.
    cost : Array
        [USD], not discounted.
    """

    need: Array
    peak_need: Array
    on: Array
    peak: Array
    spot: Array
    committed: float
    price: Array
    cost: Array

    def rows(
        self,
        *,
        labels: Sequence[str],
        requests: Sequence[float],
        prefill_tokens: Array,
        decode_tokens: Array,
        weights: Array,
    ) -> tuple[FleetMonth, ...]:
        """Return one row a month; `weights` are the discount factors, the other arguments as in `FleetMonth`."""
        paid = self.on + self.spot
        present = weights * self.cost
        columns = {
            "requests": np.asarray(requests, dtype=float),
            "prefill_tokens": prefill_tokens,
            "decode_tokens": decode_tokens,
            "need_mean": self.need,
            "need_peak": self.peak_need,
            "committed": np.full(len(paid), self.committed),
            "on_demand_mean": np.maximum(self.on - self.committed, 0.0),
            "on_demand_peak": np.maximum(self.peak - self.committed, 0.0),
            "spot_mean": self.spot,
            "idle_share": np.maximum(1.0 - _over(self.need, paid, 1.0), 0.0),
            "gpu_hours": HOURS_PER_MONTH * paid,
            "price": _over(self.cost, HOURS_PER_MONTH * paid, 0.0),
            "cost": self.cost,
            "present_value": present,
            "cumulative_present_value": np.cumsum(present),
        }
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        return tuple(
            FleetMonth(month=label, **dict(zip(columns, row, strict=True)))
            for label, row in zip(labels, values, strict=True)
        )


def _over(above: Array, below: Array, nothing: float) -> Array:
    """Return the quotient, and `nothing` where there is nothing to divide by."""
    return np.asarray(np.divide(above, below, out=np.full(len(above), nothing), where=below > 0))
