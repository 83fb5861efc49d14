"""A model in service: what a token takes of a GPU, and the fleet that pays for it.

The bill is no posynomial but the largest of several: `Service.piece` gives the one that holds at a point, which is
nowhere above the bill. Where GPUs are committed by number its constant may be negative; every piece is then given
with the same `shift` on top.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from beyond_chinchilla.costs.fleet import Fleet
from beyond_chinchilla.costs.fleet_bill import Peak
from beyond_chinchilla.costs.lifetime import SERVING_DRIVERS
from beyond_chinchilla.costs.mixture import Mixture, Touching
from beyond_chinchilla.costs.serving import FixedUse, Replica
from beyond_chinchilla.posynomial import Posynomial, Term
from beyond_chinchilla.units import HOURS_PER_MONTH

# What is paid whether or not anybody asks follows the price alone.
FLOOR_DRIVERS = ("serving_price",)

_MOST_PIECES = 100

Point = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Service:
    """A replica, or a fixed utilisation, and the fleet that runs it.

    Every `point` names ``params`` (total) and, for a `Replica`, ``batch`` and ``step_time`` [second].

    Parameters
    ----------
    use : Replica or FixedUse
        GPU-seconds per token, as posynomials.
    fleet : Fleet
        Tokens by month and what GPU-hours cost.

    Examples
    --------
    >>> import numpy as np
    >>> from beyond_chinchilla.costs.hardware import accelerator
    >>> from beyond_chinchilla.costs.load import LoadProfile
    >>> once = np.ones(1)
    >>> paper = Service(use=FixedUse(chip=accelerator("a100-40gb-sxm"), precision="int8", prefill_mfu=0.5,
    ...                              decode_mfu=0.01),
    ...                 fleet=Fleet(prefill_tokens=70e9 * once, decode_tokens=215e9 * once,
    ...                             batch_prefill_tokens=0 * once, batch_decode_tokens=0 * once,
    ...                             profile=LoadProfile.flat(), price=1.10 * once, weights=once))
    >>> {label: round(usd) for label, usd in paper.terms({"params": 13e9}).items()}
    {'prefill': 1782, 'decode': 273727, 'idle': 0}
    """

    use: Replica | FixedUse
    fleet: Fleet

    @property
    def label(self) -> str:
        """Chip, precision and GPUs of a replica."""
        return self.use.label

    @cached_property
    def relations(self) -> tuple[Posynomial, ...]:
        """What ties the variables together, each at most 1."""
        return self.use.relations()

    @property
    def shift(self) -> float:
        """What every piece has on top of the bill [USD], >= 0."""
        return self.fleet.shift

    @property
    def mixture(self) -> Mixture | None:
        """The mixture of experts that is served, whose batches read what they touch; None of a dense model."""
        return self.use.mixture if isinstance(self.use, Replica) else None

    def touching(self, share: Touching) -> Service:
        """Return the service whose relations take this for the share of the experts that a batch touches."""
        assert isinstance(self.use, Replica)
        return replace(self, use=replace(self.use, touching=share))

    def scaled(self, factor: float) -> Service:
        """Return the service with `factor` > 0 times the demand in every month; floors and commitments stay."""
        return replace(self, fleet=self.fleet.scaled(factor))

    def hold(self, numbers: Mapping[str, float]) -> Service:
        """Return the service with those variables held at `numbers` that its use knows, such as the aspect ratio."""
        use = self.use.hold(numbers)
        return self if use is self.use else replace(self, use=use)

    @property
    def is_linear(self) -> bool:
        """Whether one piece is the bill at every point."""
        return self.fleet.is_linear

    def start(self, params: float) -> dict[str, float]:
        """Return values of the other variables to start from, at a number of parameters."""
        return self.use.start(params)

    def piece(self, point: Point) -> Posynomial:
        """Return a posynomial [USD] that is bill + `shift` at the point, and nowhere above that.

        Terms are ``floor`` (what is paid whatever the demand, and the shift), ``prefill`` and ``decode``, those that
        are not zero; idle hours that grow with the load are part of the latter two.
        """
        seconds = self._seconds(point)
        if seconds not in self._pieces:
            if len(self._pieces) >= _MOST_PIECES:
                self._pieces.clear()
            self._pieces[seconds] = self._piece(seconds)
        return self._pieces[seconds]

    @cached_property
    def _pieces(self) -> dict[tuple[float, float], Posynomial]:
        """The pieces that were asked for last: a solver asks again and again for the one at its plan."""
        return {}

    def _piece(self, seconds: tuple[float, float]) -> Posynomial:
        constant, per_prefill, per_decode = self.fleet.piece(*seconds)
        terms: list[Term] = []
        if constant + self.shift > 0:
            terms.append(Term(label="floor", coefficient=constant + self.shift, powers={}, drivers=FLOOR_DRIVERS))
        for label, usd, each in (("prefill", per_prefill, self._prefill), ("decode", per_decode, self._decode)):
            if usd > 0:
                terms += [replace(term, label=label, drivers=SERVING_DRIVERS) for term in each.times(usd).terms]
        return Posynomial(tuple(terms), "USD")

    def terms(self, point: Point) -> dict[str, float]:
        """Return what is paid, present value [USD]: ``prefill``, ``decode`` and ``idle``."""
        return self.fleet.bill(*self._seconds(point))

    def nominal_terms(self, point: Point) -> dict[str, float]:
        """Return what is paid, not discounted [USD], by the same labels."""
        return self.fleet.bill(*self._seconds(point), nominal=True)

    def rounding(self, point: Point) -> float:
        """Return what whole replicas cost beyond parts of them, present value [USD], >= 0."""
        return max(self._whole(point) - sum(self.terms(point).values()), 0.0)

    def rounded(self, point: Point) -> float:
        """Return what is paid, GPUs rounded up to whole replicas, present value [USD]: all terms and `rounding`."""
        return max(self._whole(point), sum(self.terms(point).values()))

    def _whole(self, point: Point) -> float:
        return sum(self.fleet.bill(*self._seconds(point), whole_replicas=True).values())

    def slopes(self, point: Point) -> dict[str, float]:
        """Return d bill / d ln driver, present value [USD], for ``demand`` and for ``serving_price``.

        Divided by the whole lifetime cost these are elasticities (envelope theorem). The second is for all serving
        prices at once, committed and spot included.
        """
        demand = self.fleet.demand_slope(*self._seconds(point))
        return {"demand": demand, "serving_price": sum(self.terms(point).values())}

    @cached_property
    def peaks(self) -> tuple[Posynomial, ...]:
        """GPUs on at once, one posynomial for each month that can be the busiest; a limit holds for all of them."""
        return self._as_posynomials(self.fleet.peaks)

    def bounded_peaks(self, most: float | None = None) -> tuple[tuple[Posynomial, ...], float]:
        """Return GPUs on at once, a posynomial for each month that can be short, and the one bound of all of them.

        Parameters
        ----------
        most : float, optional
            GPUs that may be on in any month, beside the fleet's own ceiling and what it can have by month. Where that
            varies, each month counts in proportion to the month with the fewest.

        Returns
        -------
        peaks, bound
            The bound is infinite where nothing bounds them.
        """
        flat = min((bound for bound in (most, self.fleet.ceiling) if bound is not None), default=math.inf)
        if self.fleet.available is None:
            return self.peaks, float(flat)
        by_month = np.minimum(self.fleet.available, flat)
        return self._as_posynomials(self.fleet.peaks_within(by_month)), float(by_month.min())

    def _as_posynomials(self, peaks: Sequence[Peak]) -> tuple[Posynomial, ...]:
        found = []
        for peak in peaks:
            phases = ((peak.prefill, self._prefill), (peak.decode, self._decode))
            terms = [
                replace(term, drivers=("demand",))
                for rate, seconds in phases
                if rate > 0
                for term in seconds.times(rate).terms
            ]
            # Batch work at its own price alone needs nothing of the fleet.
            if terms:
                found.append(Posynomial(tuple(terms), "GPU"))
        return tuple(found)

    def describe(self, point: Point) -> dict[str, float]:
        """Return the figures of the use, and those of the fleet beside them.

        ``gpus_mean`` and ``gpus_peak`` work in the mean over the busiest month and in its busiest hour,
        ``gpus_on_peak`` are on at the most, ``utilisation`` is the share of paid GPU-hours that work. USD per million
        tokens are not discounted and carry the idle hours: times the tokens of the life they are what is paid.
        """
        fleet = self.fleet.use(*self._seconds(point))
        paid = HOURS_PER_MONTH * float((fleet.on + fleet.spot).sum())
        busy = HOURS_PER_MONTH * float(fleet.need.sum())
        usd = float(fleet.cost.sum())
        if isinstance(self.use, Replica):
            figures = self.use.describe(point["params"], point["batch"], point["step_time"], price=usd / busy)
        else:
            figures = self.use.describe(point["params"], price=usd / busy)
        return figures | {
            "gpus_mean": float(fleet.need.max()),
            "gpus_peak": float(fleet.peak_need.max()),
            "gpus_on_peak": float(fleet.peak.max()),
            "utilisation": busy / paid,
            "usd_per_gpu_hour": usd / paid,
        }

    @cached_property
    def _prefill(self) -> Posynomial:
        return self.use.prefill_seconds()

    @cached_property
    def _decode(self) -> Posynomial:
        return self.use.decode_seconds()

    def _seconds(self, point: Point) -> tuple[float, float]:
        return float(self._prefill.value(point)), float(self._decode.value(point))
