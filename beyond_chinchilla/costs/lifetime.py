"""The whole bill: training once, serving for life, as labelled terms in ``params`` and ``tokens``.

``params`` are total parameters here; a law that counts otherwise substitutes its own count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.flops import INFERENCE_FLOPS_PER_PARAMETER_TOKEN, TRAINING_FLOPS_PER_PARAMETER_TOKEN
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.posynomial import Posynomial, Term
from beyond_chinchilla.units import SECONDS_PER_HOUR

TRAINING_DRIVERS = ("training_price",)
SERVING_DRIVERS = ("demand", "serving_price")
# The coefficient of a term that only some scenarios of a block have: it adds nothing to the last digit.
NEXT_TO_NOTHING = 1e-300


@dataclass(frozen=True, kw_only=True)
class HiredCompute:
    """Accelerators paid by the hour.

    Parameters
    ----------
    price : numeric
        [USD/hour] of one accelerator, > 0; an array over a block of scenarios.
    peak : float
        Dense peak at the precision in use [FLOP/s], > 0.
    """

    price: Any
    peak: float

    def __post_init__(self) -> None:
        for name, unit in (("price", "USD/hour"), ("peak", "FLOP/s")):
            value = getattr(self, name)
            number = np.asarray(value, dtype=float)
            if not np.all(np.isfinite(number) & (number > 0)):
                raise InputError(f"{name} must be > 0 {unit} and finite, not {value}")

    def usd_per_flop(self, mfu: Any) -> Any:
        """Return the price of one useful FLOP [USD/FLOP] at a model FLOPs utilisation in (0, 1] (numeric).

        price / (3600 x peak x MFU): Sardana et al. 2024, Eq. 5.

        >>> f"{HiredCompute(price=1.5, peak=312e12).usd_per_flop(0.5):.4g}"
        '2.671e-18'
        """
        if not np.all((np.asarray(mfu) > 0) & (np.asarray(mfu) <= 1)):
            raise InputError(f"a utilisation (MFU) must be above 0 and at most 1, not {mfu}")
        with np.errstate(all="ignore"):
            useful = SECONDS_PER_HOUR * self.peak * np.asarray(mfu, dtype=float)
            rate = np.divide(self.price, useful)
        # Of smaller numbers a double loses digits.
        least = np.finfo(float).tiny
        if not np.all((useful >= least) & (rate >= least) & np.isfinite(useful) & np.isfinite(rate)):
            raise InputError(
                f"a FLOP at {self.price} USD/hour, {self.peak:g} FLOP/s and an MFU of {mfu} has a price beyond what "
                "numbers hold; check the three"
            )
        return rate if rate.ndim else float(rate)


def lifetime_cost(
    *,
    training: HiredCompute,
    training_mfu: Any,
    serving: HiredCompute,
    prefill_mfu: Any,
    decode_mfu: Any,
    demand: Demand,
) -> Posynomial:
    """Return the lifetime cost [USD] in ``params`` and ``tokens``: training, prefill and decode.

    6 N D at the price of a training FLOP, 2 N per token at the price of a serving FLOP of its phase
    (Sardana et al. 2024, Eq. 6). A phase without tokens has no term. All numbers may be arrays over a block of
    scenarios.

    >>> a100 = HiredCompute(price=1.5, peak=312e12)
    >>> cost = lifetime_cost(training=a100, training_mfu=0.5, serving=a100, prefill_mfu=0.5, decode_mfu=0.01,
    ...                      demand=Demand.from_requests(1e9, input_tokens=70, output_tokens=215))
    >>> [f"{label} {value:.4g}" for label, value in zip(cost.labels, cost.values({"params": 1e9, "tokens": 1e11}))]
    ['training 1603', 'prefill 373.9', 'decode 5.743e+04']
    """
    return _lifetime(
        demand,
        training_rate=TRAINING_FLOPS_PER_PARAMETER_TOKEN * training.usd_per_flop(training_mfu),
        prefill_rate=INFERENCE_FLOPS_PER_PARAMETER_TOKEN * serving.usd_per_flop(prefill_mfu),
        decode_rate=INFERENCE_FLOPS_PER_PARAMETER_TOKEN * serving.usd_per_flop(decode_mfu),
        unit="USD",
    )


def lifetime_flops(demand: Demand) -> Posynomial:
    """Return lifetime compute [FLOP] in ``params`` and ``tokens``: 6ND + 2N per served token.

    Sardana et al. 2024, Eq. 2.
    """
    return _lifetime(
        demand,
        training_rate=TRAINING_FLOPS_PER_PARAMETER_TOKEN,
        prefill_rate=INFERENCE_FLOPS_PER_PARAMETER_TOKEN,
        decode_rate=INFERENCE_FLOPS_PER_PARAMETER_TOKEN,
        unit="FLOP",
    )


def _lifetime(demand: Demand, *, training_rate: Any, prefill_rate: Any, decode_rate: Any, unit: str) -> Posynomial:
    terms = [
        Term(
            label="training",
            coefficient=training_rate,
            powers={"params": 1.0, "tokens": 1.0},
            drivers=TRAINING_DRIVERS,
        )
    ]
    served: Mapping[str, ArrayLike] = {
        "prefill": prefill_rate * demand.prefill_tokens,
        "decode": decode_rate * demand.decode_tokens,
    }
    terms += [
        Term(
            label=label,
            coefficient=np.maximum(coefficient, NEXT_TO_NOTHING),
            powers={"params": 1.0},
            drivers=SERVING_DRIVERS,
        )
        for label, coefficient in served.items()
        if np.any(np.asarray(coefficient) > 0)
    ]
    return Posynomial(tuple(terms), unit)
