"""Any bill whose terms do not fall in D, on any law: a safeguarded Newton method along the iso-loss curve.

In logs the bill is convex along the curve when no term falls in D (ln D is convex in ln N there and ln cost
rises in it), so the stationary point is the global minimum.
"""

from __future__ import annotations

import math

import numpy as np

from beyond_chinchilla.errors import UnboundedError
from beyond_chinchilla.optimise.iso_loss import IsoLoss
from beyond_chinchilla.posynomial import Posynomial

_STEPS = 200
_TOLERANCE = 1e-14
# e^(2 z) must stay a double
_WIDEST = 300.0


def accepts(cost: Posynomial) -> bool:
    """Say whether no term of the bill falls in tokens."""
    return all(np.all(np.asarray(term.powers.get("tokens", 0.0)) >= 0) for term in cost.terms)


def minimise(curve: IsoLoss, cost: Posynomial) -> float:
    """Return the coordinate z of the model of least cost on the curve.

    Solves  E[p] = (alpha/beta) e^z E[r]  for z, where p and r are the powers of N and D in the terms and E
    their mean under the terms' shares: the derivative of ln cost in ln N along the curve.

    Raises
    ------
    UnboundedError
        The bill falls for ever in one direction; the message names it.
    """
    law = curve.law
    powers = cost.powers(("params", "tokens"))
    p, r = powers[:, 0], powers[:, 1]

    def slope(z: float) -> tuple[float, float]:
        """Return the derivative of ln cost in ln N and its derivative in z."""
        shares = cost.shares(curve.logs(z))
        m = law.alpha / law.beta * math.exp(z)
        along = p - r * m
        mean = float(shares @ along)
        # dx/dz = -(1 - u)/alpha turns d/d ln N into d/dz.
        curvature = float(shares @ (along - mean) ** 2) * -(1.0 / (1.0 + math.exp(z))) / law.alpha
        return mean, curvature - float(shares @ r) * m

    z = math.log(law.beta / law.alpha)
    low, high = -_WIDEST, _WIDEST
    if slope(high)[0] > 0:
        raise UnboundedError("ever fewer params and more tokens are ever cheaper: no cost rises with tokens")
    if slope(low)[0] < 0:
        raise UnboundedError("ever more params and fewer tokens are ever cheaper: no cost rises with params")
    for _ in range(_STEPS):
        value, change = slope(z)
        # The slope falls in z: positive means that the minimum lies at larger z.
        low, high = (z, high) if value > 0 else (low, z)
        step = -value / change if change < 0 else math.inf
        proposal = z + step
        if not low < proposal < high:
            # Far from the minimum the slope is exponential in z: walk before bisecting the whole line.
            proposal = min(z + 4.0, 0.5 * (z + high)) if value > 0 else max(z - 4.0, 0.5 * (low + z))
        if abs(proposal - z) <= _TOLERANCE * max(1.0, abs(z)):
            return proposal
        z = proposal
    return z
