"""The curve of all models with one loss, in a coordinate that covers it without a boundary.

On A N^-alpha + B D^-beta = R let u = A N^-alpha / R be the model term's share. With z = ln(u/(1 - u)), every
real z is one model: z -> -inf is a huge model on the least tokens, z -> +inf the smallest model on endless
tokens, and the compute-optimal model (u = q) has e^z = beta/alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.posynomial import Posynomial

Array = NDArray[np.float64]

# A limit counts as kept when it is over by no more than rounding.
_SLIP = 1e-9


@dataclass(frozen=True)
class IsoLoss:
    """All (N, D) of a law at reducible loss R (numeric; R broadcasts against the coordinate)."""

    law: LossLaw
    R: ArrayLike

    def logs(self, z: ArrayLike) -> dict[str, Array]:
        """Return ln N and ln D at coordinate z."""
        log_u, log_rest = -np.logaddexp(0.0, -np.asarray(z)), -np.logaddexp(0.0, z)
        log_R = np.log(self.R)
        return {
            "params": (np.log(self.law.A) - log_R - log_u) / self.law.alpha,
            "tokens": (np.log(self.law.B) - log_R - log_rest) / self.law.beta,
        }

    def coordinate(self, N: ArrayLike) -> Array:
        """Return z of the model of N parameters; nan where N alone has more than R to lose."""
        log_u = np.log(self.law.A) - self.law.alpha * np.log(N) - np.log(self.R)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(log_u - np.log(-np.expm1(log_u)))

    def log_cost(self, cost: Posynomial, z: ArrayLike) -> Array:
        """Return ln cost along the curve."""
        return cost.log_value(self.logs(z))


def widest(
    curve: IsoLoss, cost: Posynomial, limits: Sequence[Posynomial], z: float, factor: float
) -> tuple[float, float]:
    """Return ln N at both ends of the models that keep the limits and cost at most `factor` times the one at z.

    Cost rises away from its minimum on both sides and the limits keep an interval: bisection cannot miss. An end at
    which the cost never rises that far is -inf or +inf.
    """
    ceiling = float(curve.log_cost(cost, z)) + np.log(factor)

    def allowed(z: float) -> bool:
        logs = curve.logs(z)
        return float(cost.log_value(logs)) < ceiling and all(limit.log_value(logs) <= _SLIP for limit in limits)

    ends = []
    for direction in (1.0, -1.0):
        step = 1e-3
        while allowed(z + direction * step) and step < 1e3:
            step *= 2.0
        if step >= 1e3:
            ends.append(-direction * np.inf)
            continue
        low, high = 0.0, step
        for _ in range(60):
            middle = 0.5 * (low + high)
            if allowed(z + direction * middle):
                low = middle
            else:
                high = middle
        ends.append(float(curve.logs(z + direction * low)["params"]))
    return ends[0], ends[1]
