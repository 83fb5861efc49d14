"""The ``limits:`` of a scenario: what each key may say, and the posynomial that it bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from beyond_chinchilla.costs.flops import INFERENCE_FLOPS_PER_PARAMETER_TOKEN, TRAINING_FLOPS_PER_PARAMETER_TOKEN
from beyond_chinchilla.costs.hardware import BYTES_PER_PARAMETER, Accelerator
from beyond_chinchilla.costs.lifetime import HiredCompute
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.bill import SERVING
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.posynomial import Posynomial, Term, monomial
from beyond_chinchilla.scenario.fields import Quantity, Section
from beyond_chinchilla.scenario.kinds import Count, Money
from beyond_chinchilla.units import GIGA, SECONDS_PER_DAY, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from beyond_chinchilla.costs.service import Service
    from beyond_chinchilla.costs.serving import Replica

_MILLION = 1e6
_MILLISECONDS = 1e3


class _Ceiling(Section):
    """A limit with a max alone."""

    @model_validator(mode="after")
    def ordered(self) -> _Ceiling:
        """Refuse a limit that bounds nothing, or whose min is above its max."""
        most, least = getattr(self, "max", None), getattr(self, "min", None)
        if most is None and least is None and "max" in type(self).model_fields and not hasattr(self, "gpus"):
            raise InputError("bounds nothing; give max" + (" or min" if hasattr(self, "min") else ""))
        if most is not None and least is not None and least > most:
            raise InputError(f"min {least:g} is above max {most:g}; no model lies between")
        return self


class ParamsLimit(_Ceiling):
    """Bounds on the model's size."""

    max: Annotated[float, Quantity("params", "Largest model.", "40B")] | None = None
    min: Annotated[float, Quantity("params", "Smallest model; equal to max it fixes the size.", "7B")] | None = None


class TokensLimit(_Ceiling):
    """Bounds on the training tokens."""

    max: Annotated[float, Quantity("tokens", "Most tokens that can be had.", "10T")] | None = None
    min: Annotated[float, Quantity("tokens", "Fewest tokens to train on.", "1T")] | None = None


class TokensPerParamLimit(_Ceiling):
    """Bounds on tokens per parameter."""

    max: Annotated[float, Quantity("", "Most tokens per parameter.", "500")] | None = None
    min: Annotated[float, Quantity("", "Fewest tokens per parameter.", "20")] | None = None


class EpochsLimit(_Ceiling):
    """A ceiling on the passes over the unique tokens."""

    max: Annotated[float, Quantity("", "Most passes over `data.unique_tokens`.", "4")]


class FlopsLimit(_Ceiling):
    """A ceiling on training compute, 6ND."""

    max: Annotated[float, Quantity("FLOP", "Most training FLOPs.", "1e24")]


class MoneyLimit(_Ceiling):
    """A ceiling on spend."""

    max: Annotated[float, Money("USD", "Most dollars.", "5M USD")]


class TrainingTimeLimit(_Ceiling):
    """A ceiling on the days that training takes on a stated number of GPUs."""

    max: Annotated[float, Quantity("day", "Longest training.", "60 days")]
    gpus: Annotated[float, Quantity("", "GPUs that train at once.", "4096")]


class GpuHoursLimit(_Ceiling):
    """A ceiling on the GPU-hours of training."""

    max: Annotated[float, Quantity("hour", "Most GPU-hours.", "1M hours")]


class ServingMemoryLimit(_Ceiling):
    """A ceiling on the weights that one GPU holds, at the serving precision."""

    max: Annotated[float, Quantity("GB", "Most weights on one GPU; the chip's memory if left out.", "80 GB")] | None = (
        None
    )
    gpus: Annotated[float, Quantity("", "GPUs over which the weights are spread.", "1")] = 1.0


class TokenTimeLimit(_Ceiling):
    """A ceiling on the time of one output token: one read of the weights, at batch 1."""

    max: Annotated[float, Quantity("ms", "Longest time of one output token.", "30 ms")]
    gpus: Annotated[float, Quantity("", "GPUs that read the weights at once.", "1")] = 1.0


class FirstTokenLimit(_Ceiling):
    """A ceiling on the time to the first token: the input is read by a replica that does nothing else."""

    max: Annotated[float, Quantity("ms", "Longest time to the first token.", "500 ms")]


class GpusLimit(_Ceiling):
    """A ceiling on the serving chips of the busiest hour."""

    max: Annotated[int, Count("Most chips at once.", "512")]


class Limits(Section):
    """What the plan must keep; every key is optional."""

    params: Annotated[ParamsLimit | None, Field(description="Model size.")] = None
    tokens: Annotated[TokensLimit | None, Field(description="Training tokens.")] = None
    tokens_per_param: Annotated[TokensPerParamLimit | None, Field(description="Training tokens per parameter.")] = None
    epochs: Annotated[EpochsLimit | None, Field(description="Passes over the unique tokens of `data`.")] = None
    training_flops: Annotated[FlopsLimit | None, Field(description="Training compute.")] = None
    training_cost: Annotated[MoneyLimit | None, Field(description="What training may cost.")] = None
    serving_cost: Annotated[MoneyLimit | None, Field(description="What serving for life may cost.")] = None
    total_cost: Annotated[MoneyLimit | None, Field(description="What both may cost.")] = None
    training_time: Annotated[TrainingTimeLimit | None, Field(description="Days of training.")] = None
    training_gpu_hours: Annotated[GpuHoursLimit | None, Field(description="GPU-hours of training.")] = None
    serving_memory: Annotated[ServingMemoryLimit | None, Field(description="Weights on the serving GPU.")] = None
    time_per_output_token: Annotated[TokenTimeLimit | None, Field(description="Latency of decoding.")] = None
    time_to_first_token: Annotated[FirstTokenLimit | None, Field(description="Latency of reading the input.")] = None
    gpus: Annotated[GpusLimit | None, Field(description="Serving chips at the peak.")] = None
    cost_per_million_output_tokens: Annotated[MoneyLimit | None, Field(description="Price of decoding.")] = None


@dataclass(frozen=True, kw_only=True)
class Hired:
    """A chip at work: what limits on time, memory and money are made of."""

    chip: Accelerator
    compute: HiredCompute
    precision: str
    mfu: float

    @property
    def flops_per_second(self) -> float:
        """Useful FLOP/s of one chip."""
        return self.compute.peak * self.mfu

    @property
    def bytes_per_param(self) -> float:
        """Weight of one parameter [byte]."""
        return BYTES_PER_PARAMETER[self.precision]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What limits are stated about.

    Attributes
    ----------
    cost : Posynomial or None
        The bill in USD, where training, serving and requests are all stated.
    training, decoding : Hired or None
        The chips that train and decode, where the scenario states them.
    service : Service or None
        What serves month by month; `cost` is then the training side alone.
    total_per_active : float
        Parameters in memory over those that compute; above 1 of a mixture of experts.
    depth : Posynomial or None
        What the layers take of a decode step at a fixed utilisation [second].
    unique_tokens : float or None
        Different tokens that there are, where the scenario says so.
    """

    cost: Posynomial | None
    training: Hired | None
    decoding: Hired | None
    service: Service | None = None
    total_per_active: float = 1.0
    depth: Posynomial | None = None
    unique_tokens: float | None = None

    def bill(self, driver: str | None = None) -> Posynomial:
        """Return the terms of the bill that a driver moves, or all of them; what serves by month is one of them."""
        if self.cost is None:
            raise InputError("needs the sections training and serving, and demand by requests")
        terms = tuple(term for term in self.cost.terms if driver is None or driver in term.drivers)
        if self.service is not None and driver in (None, "serving_price"):
            terms = (*terms, Term(label="serving", coefficient=1.0, powers={SERVING: 1.0}))
        return Posynomial(terms, self.cost.unit)

    def replica(self) -> Replica | None:
        """Return the replica that serves, where batch and step time are chosen."""
        from beyond_chinchilla.costs.serving import Replica

        use = None if self.service is None else self.service.use
        return use if isinstance(use, Replica) else None

    def trains(self) -> Hired:
        """Return what trains."""
        return _needs(self.training, "training")

    def decodes(self) -> Hired:
        """Return what decodes."""
        return _needs(self.decoding, "serving")


def _needs(hired: Hired | None, section: str) -> Hired:
    if hired is None:
        raise InputError(f"needs the section {section}: its hardware, precision and utilisation")
    return hired


def compile_limits(limits: Limits | None, setting: Setting) -> tuple[Limit, ...]:
    """Return the limits of a scenario as posynomials, one for each bound.

    Raises
    ------
    InputError
        A limit that needs a section which the scenario does not have: one line for each.
    """
    found: list[Limit] = []
    mistakes: list[str] = []
    for label in type(limits).model_fields if limits is not None else ():
        stated = getattr(limits, label)
        # Those of a fleet come from its peaks.
        if stated is None or label == "gpus":
            continue
        try:
            build, unit, each = _QUANTITIES[label]
            quantity = build(stated, setting)
        except InputError as error:
            mistakes.append(f"{label}: {error}")
            continue
        for side in ("max", "min"):
            bound = getattr(stated, side, None)
            if bound is None and side == "max" and label == "serving_memory":
                bound = setting.decodes().chip.memory / GIGA
            if bound is not None:
                offset = setting.service.shift if setting.service and SERVING in quantity.variables else 0.0
                limit = Limit(
                    label=label, side=side, quantity=quantity, bound=bound, unit=unit, each=each, offset=offset
                )
                found.append(limit)
    if mistakes:
        raise InputError("\n".join(mistakes))
    return (*found, *_of_service(limits, setting.service))


def _of_service(limits: Limits | None, service: Service | None) -> list[Limit]:
    """Return the limits that a fleet and a replica's memory set, whether or not they are stated."""
    if service is None:
        return []
    from beyond_chinchilla.costs.serving import Replica

    peaks, most = service.bounded_peaks(None if limits is None or limits.gpus is None else limits.gpus.max)
    found: list[Limit] = []
    if most < np.inf:
        # A limit for each month that can be short.
        found += [Limit(label="gpus", side="max", quantity=peak, bound=most, unit="GPUs", each="GPU") for peak in peaks]
    if isinstance(service.use, Replica):
        memory = service.use.memory_used()
        bound = service.use.memory_available
        found.append(Limit(label="serving_hbm", side="max", quantity=memory, bound=bound, unit="GB", each="GB"))
    return found


def _epochs(_: EpochsLimit, setting: Setting) -> Posynomial:
    if setting.unique_tokens is None:
        raise InputError("needs data.unique_tokens; write it like data: {unique_tokens: 1.5T}")
    return monomial("epochs", 1.0 / setting.unique_tokens, {"tokens": 1.0})


def _training_work(per_flop: float) -> Posynomial:
    return monomial("training", TRAINING_FLOPS_PER_PARAMETER_TOKEN * per_flop, {"params": 1.0, "tokens": 1.0})


def _training_time(stated: TrainingTimeLimit, setting: Setting) -> Posynomial:
    return _training_work(1.0 / (setting.trains().flops_per_second * stated.gpus * SECONDS_PER_DAY))


def _training_gpu_hours(_: GpuHoursLimit, setting: Setting) -> Posynomial:
    return _training_work(1.0 / (setting.trains().flops_per_second * SECONDS_PER_HOUR))


def _serving_memory(stated: ServingMemoryLimit, setting: Setting) -> Posynomial:
    each = setting.decodes().bytes_per_param * setting.total_per_active
    return monomial("weights", each / stated.gpus / GIGA, {"params": 1.0})


def _time_per_output_token(stated: TokenTimeLimit, setting: Setting) -> Posynomial:
    replica = setting.replica()
    if replica is not None:
        return replica.time_per_output_token()
    hired = setting.decodes()
    seconds = hired.bytes_per_param * setting.total_per_active / (hired.chip.bandwidth * stated.gpus)
    read = monomial("weight read", seconds * _MILLISECONDS, {"params": 1.0})
    return read if setting.depth is None else read + setting.depth.times(_MILLISECONDS, unit=read.unit)


def _time_to_first_token(_: FirstTokenLimit, setting: Setting) -> Posynomial:
    replica = setting.replica()
    if replica is None:
        raise InputError("follows from batch and step time; leave prefill_mfu and decode_mfu out to choose them")
    return replica.time_to_first_token()


def _decode_price(_: MoneyLimit, setting: Setting) -> Posynomial:
    if setting.service is not None:
        # Of the first month, as the prices of later ones are not stated to any one plan.
        per_second = float(setting.service.fleet.price[0]) / SECONDS_PER_HOUR
        decode = setting.service.use.decode_seconds().times(per_second * _MILLION, unit="USD")
        return Posynomial(tuple(replace(term, drivers=("serving_price",)) for term in decode.terms), "USD")
    hired = setting.decodes()
    usd = INFERENCE_FLOPS_PER_PARAMETER_TOKEN * hired.compute.usd_per_flop(hired.mfu) * _MILLION
    return monomial("decode", usd, {"params": 1.0}, drivers=("serving_price",))


# For each limit: the quantity, its unit, and what one unit of its bound is called when it is priced.
_QUANTITIES: dict[str, tuple[Callable[[Any, Setting], Posynomial], str, str]] = {
    "params": (lambda _, __: monomial("params", 1.0, {"params": 1.0}), "params", "parameter"),
    "tokens": (lambda _, __: monomial("tokens", 1.0, {"tokens": 1.0}), "tokens", "token"),
    "tokens_per_param": (
        lambda _, __: monomial("tokens per param", 1.0, {"tokens": 1.0, "params": -1.0}),
        "",
        "token per param",
    ),
    "epochs": (_epochs, "epochs", "epoch"),
    "training_flops": (lambda _, __: _training_work(1.0), "FLOP", "FLOP"),
    "training_cost": (lambda _, setting: setting.bill("training_price"), "USD", "USD"),
    "serving_cost": (lambda _, setting: setting.bill("serving_price"), "USD", "USD"),
    "total_cost": (lambda _, setting: setting.bill(), "USD", "USD"),
    "training_time": (_training_time, "days", "day"),
    "training_gpu_hours": (_training_gpu_hours, "GPU-hours", "GPU-hour"),
    "serving_memory": (_serving_memory, "GB", "GB"),
    "time_per_output_token": (_time_per_output_token, "ms", "ms"),
    "time_to_first_token": (_time_to_first_token, "ms", "ms"),
    "cost_per_million_output_tokens": (_decode_price, "USD", "USD per million tokens"),
}
