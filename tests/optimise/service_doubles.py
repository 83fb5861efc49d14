"""A small replica and bills with kinks, by hand: what co-design is tested on without a fleet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st
from strategies import floats, limit, log_floats

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import lifetime_flops
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

SARDANA = published("sardana-2024")
SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Chips:
    """`gpus` chips that serve one copy: 1e15 FLOP/s, 3.35 TB/s and 80 GB each, as an H100 has."""

    gpus: int = 1
    peak: float = 0.5e15
    bandwidth: float = 2.4e12
    memory: float = 72.0
    bytes_per_param: float = 1.0
    context: float = 1000.0
    kv_coefficient: float = 40.0
    kv_power: float = 0.35
    overhead: float = 0.0

    def held(self) -> Posynomial:
        """Weights and cache [byte]."""
        weights = monomial("weights", self.bytes_per_param, {"params": 1.0})
        return weights + monomial("cache", self.context * self.kv_coefficient, {"params": self.kv_power, "batch": 1.0})

    def relations(self) -> tuple[Posynomial, ...]:
        compute = monomial("compute", 2.0 / (self.gpus * self.peak), {"params": 1.0, "batch": 1.0, "step_time": -1.0})
        reading = self.held().times(1.0 / (self.gpus * self.bandwidth), {"step_time": -1.0})
        if self.overhead:
            reading += monomial("overhead", self.overhead, {"step_time": -1.0})
        return compute, reading, monomial("batch", 1.0, {"batch": -1.0})

    def prefill_seconds(self) -> Posynomial:
        return monomial("prefill", 2.0 / self.peak, {"params": 1.0})

    def decode_seconds(self) -> Posynomial:
        return monomial("decode", self.gpus, {"step_time": 1.0, "batch": -1.0})

    def memory_limit(self) -> Limit:
        available = self.gpus * self.memory
        return Limit(
            label="serving_hbm", side="max", quantity=self.held().times(1e-9), bound=available, unit="GB", each="GB"
        )


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Hours of one kind: GPU-seconds of work in them, and GPUs that are paid for anyway."""

    hours: float
    prefill_tokens: float
    decode_tokens: float


@dataclass(frozen=True, kw_only=True)
class FakeBill:
    """On-demand above `committed` GPUs (paid always at their own price), never fewer than `floor` GPUs in all."""

    chips: Chips | None
    shifts: tuple[Shift, ...]
    price: float = 2.5
    floor: float = 0.0
    committed: float = 0.0
    committed_price: float = 1.5
    whole: bool = False
    scale_constant: float = field(default=1.0, repr=False)

    @property
    def relations(self) -> tuple[Posynomial, ...]:
        return self.chips.relations() if self.chips else ()

    @property
    def mixture(self) -> None:
        return None

    @property
    def shift(self) -> float:
        """Without use: committed price less on-demand price of what is committed."""
        hours = sum(one.hours for one in self.shifts)
        return max(self.price - self.committed_price, 0.0) * self.committed * hours

    @property
    def is_linear(self) -> bool:
        return not (self.floor or self.committed)

    def _seconds(self) -> tuple[Posynomial, Posynomial]:
        if self.chips:
            return self.chips.prefill_seconds(), self.chips.decode_seconds()
        return monomial("prefill", 4e-15, {"params": 1.0}), monomial("decode", 4e-13, {"params": 1.0})

    def _active(self, point: Mapping[str, float]) -> tuple[float, float, float]:
        """Constant, USD per prefill second and per decode second of the active piece, without the shift."""
        prefill, decode = (float(one.value(point)) for one in self._seconds())
        constant = per_prefill = per_decode = 0.0
        for one in self.shifts:
            need = (one.prefill_tokens * prefill + one.decode_tokens * decode) / (SECONDS * one.hours)
            free = max(self.floor, self.committed)
            constant += one.hours * self.committed * self.committed_price
            if need > free:
                constant -= one.hours * self.committed * self.price
                per_prefill += self.price / SECONDS * one.prefill_tokens
                per_decode += self.price / SECONDS * one.decode_tokens
            else:
                constant += one.hours * (free - self.committed) * self.price
        return constant, per_prefill, per_decode

    def piece(self, point: Mapping[str, float]) -> Posynomial:
        constant, per_prefill, per_decode = self._active(point)
        prefill, decode = self._seconds()
        drivers = ("demand", "serving_price")
        parts: list[Term] = []
        held = constant + self.shift
        if held > 1e-9 * (self.shift + abs(constant)):
            parts.append(Term(label="idle", coefficient=held, powers={}, drivers=("serving_price",)))
        for weight, seconds in ((per_prefill, prefill), (per_decode, decode)):
            if weight > 0:
                parts += [replace(term.times(weight), drivers=drivers) for term in seconds.terms]
        return Posynomial(tuple(parts), "USD")

    def terms(self, point: Mapping[str, float]) -> dict[str, float]:
        constant, per_prefill, per_decode = self._active(point)
        prefill, decode = (float(one.value(point)) for one in self._seconds())
        return {"prefill": per_prefill * prefill, "decode": per_decode * decode, "idle": constant}

    def nominal_terms(self, point: Mapping[str, float]) -> dict[str, float]:
        return {label: 1.25 * value for label, value in self.terms(point).items()}

    def rounding(self, point: Mapping[str, float]) -> float:
        return 123.0 if self.whole else 0.0

    def describe(self, point: Mapping[str, float]) -> dict[str, float]:
        return {name: float(point[name]) for name in ("batch", "step_time") if name in point}

    def start(self, params: float) -> dict[str, float]:
        if not self.chips:
            return {}
        reading = self.chips.bytes_per_param * params / (self.chips.gpus * self.chips.bandwidth)
        return {"batch": 8.0, "step_time": 2.0 * reading}

    def scaled(self, *, demand: float = 1.0, price: float = 1.0) -> FakeBill:
        """Return the bill of more demand and at higher prices."""
        shifts = tuple(
            replace(one, prefill_tokens=demand * one.prefill_tokens, decode_tokens=demand * one.decode_tokens)
            for one in self.shifts
        )
        return replace(self, shifts=shifts, price=price * self.price, committed_price=price * self.committed_price)


def shifts(tokens: float, peaks: tuple[float, ...] = (0.2, 0.6, 1.0, 2.2), months: float = 36.0) -> tuple[Shift, ...]:
    """Return equally long kinds of hours with uneven loads, an eighth of which is prefill."""
    hours = months * 730.5 / len(peaks)
    share = tokens / sum(peaks)
    return tuple(Shift(hours=hours, prefill_tokens=share * p * 0.3, decode_tokens=share * p * 0.7) for p in peaks)


def latency(milliseconds: float) -> Limit:
    """Return a ceiling on the time of one output token."""
    quantity = monomial("step", 1e3, {"step_time": 1.0})
    return Limit(label="time_per_output_token", side="max", quantity=quantity, bound=milliseconds, unit="ms", each="ms")


def design(
    bill: FakeBill, *limits: Limit, size: float = 13e9, law: LossLaw = SARDANA, training: float = 1.5e-18
) -> Problem:
    """Return a co-design problem: a model as good as the compute-optimal one of a size."""
    cost = monomial("training", 6.0 * training, {"params": 1.0, "tokens": 1.0}, unit="USD", drivers=("training_price",))
    tokens = sum(one.prefill_tokens for one in bill.shifts), sum(one.decode_tokens for one in bill.shifts)
    return Problem(
        law=law,
        target_loss=float(law.compute_optimal(params=size).loss),
        cost=cost,
        nominal_cost=cost,
        flops=lifetime_flops(Demand(prefill_tokens=tokens[0], decode_tokens=tokens[1])),
        limits=limits,
        bill=bill,
        name="design",
    )


@st.composite
def designs(draw: st.DrawFn, most_latency: float = 200.0) -> Problem:
    """Co-design problems that a team could have; those under tight limits may have no plan."""
    chips = Chips(
        gpus=draw(st.sampled_from([1, 2, 4, 8])),
        bytes_per_param=draw(st.sampled_from([1.0, 2.0])),
        context=draw(log_floats(100.0, 30_000.0)),
        kv_power=draw(st.sampled_from([0.35, 0.48])),
        kv_coefficient=draw(log_floats(2.0, 60.0)),
        overhead=draw(st.sampled_from([0.0, 0.004])),
    )
    bill = FakeBill(
        chips=chips,
        shifts=shifts(draw(log_floats(1e10, 1e15)), tuple(draw(st.lists(floats(0.1, 3.0), min_size=1, max_size=5)))),
        floor=draw(st.sampled_from([0.0, 1.0, 8.0])) * chips.gpus,
        committed=draw(st.sampled_from([0.0, 0.0, 20.0])),
    )
    limits: list[Limit] = [chips.memory_limit()]
    if draw(st.booleans()):
        limits.append(latency(draw(log_floats(2.0, most_latency))))
    if draw(st.booleans()):
        limits.append(limit("params", "max", draw(log_floats(5e9, 5e10))))
    return design(bill, *limits, size=draw(log_floats(3e9, 7e10)))
