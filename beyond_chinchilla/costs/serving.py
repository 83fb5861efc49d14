"""What a served token takes: GPU-seconds of prefill and decode from chip, precision, batch and context.

Prefill is bound by compute. A decode step reads every weight once and the cache of every sequence in the batch
(Austin et al. 2025, "How to scale your model", chapter 7; Pope et al. 2023), so that the batch, not a fixed
utilisation, sets its price. Everything is a posynomial in ``params`` (total), ``batch`` (sequences that a replica
decodes together) and ``step_time`` [second]; `FixedUse` is the older model of a fixed utilisation.

Of a `Mixture` of experts ``params`` are the active ones: they compute, all take memory, and a step reads what its
batch touches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.costs.decoders import bytes_exchanged, stream_law
from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY, Efficiency
from beyond_chinchilla.costs.fixed_use import FixedUse
from beyond_chinchilla.costs.flops import INFERENCE_FLOPS_PER_PARAMETER_TOKEN
from beyond_chinchilla.costs.hardware import BYTES_PER_GB, BYTES_PER_PARAMETER, Accelerator
from beyond_chinchilla.costs.kv_cache import KVCache, kv_family
from beyond_chinchilla.costs.mixture import ALL_TOUCHED, Mixture, Touching
from beyond_chinchilla.costs.replica_figures import figures_of
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

__all__ = ["FixedUse", "Replica"]

Array = NDArray[np.float64]

MILLISECONDS = 1e3
# Means per request; beyond them a product of small or large numbers could leave the floats.
LEAST_TOKENS, MOST_TOKENS = 1e-3, 1e9
# A token at position p of a prompt takes 4 p width FLOPs of attention in a layer; over a prompt, p is half its length.
ATTENTION_FLOPS_PER_STREAM_TOKEN = 2.0


@dataclass(frozen=True, kw_only=True)
class Replica:
    """`gpus` chips that serve one copy of the model, sharded by tensor parallelism.

    Parameters
    ----------
    chip : Accelerator
    precision : str
        Of the weights and of the products; the cache is as wide, and a byte a value at least.
    gpus : int
        Chips of one replica, >= 1.
    input_tokens, output_tokens : float
        Means per request [tokens], 0 or from 0.001 to 1e9, and not both zero. Input counts cached tokens.
    kv : KVCache
        What one token keeps in memory.
    efficiency : Efficiency
    context : float, optional
        Tokens that memory is held for per sequence; by default input + output. A step reads input + output/2.
    cached_share : float, default 0
        Share of the input that a prompt cache holds, in [0, 1]: no prefill, still in the context.
    mixture : Mixture, optional
        Which parameters rest; without it the model is dense. Cache and exchange between chips are those of a dense
        model of the active size.
    touching : pair of float
        What stands in the relations for the share of a mixture's experts that a batch touches: see `Mixture.tangent`.
        By default all of them, which is true of large batches and a bound for others.
    weights : str, optional
        Precision in which weights are kept where it is not that of the products: fp4 under bf16.
    depth : Posynomial, optional
        What a decode step takes whatever its width, layer by layer [second]: in ``params`` and the variables of `held`.
    held : mapping of str to float
        What these variables are, such as the aspect ratio.

    Raises
    ------
    InputError
        A value outside its range, a precision that the chip lacks, several chips whose link is not known, or no
        memory left beside the reserve.

    Examples
    --------
    >>> from beyond_chinchilla.costs.hardware import accelerator
    >>> replica = Replica(chip=accelerator("h100-sxm"), precision="fp8", gpus=2, input_tokens=1000, output_tokens=1000)
    >>> print(replica.label, f"{replica.largest_batch(70e9):.0f} {1e3 * replica.step_time(70e9, 64):.1f} ms")
    h100-sxm fp8 x 2 228 21.4 ms
    """

    chip: Accelerator
    precision: str
    gpus: int = 1
    input_tokens: float
    output_tokens: float
    kv: KVCache = field(default_factory=kv_family)
    efficiency: Efficiency = DEFAULT_EFFICIENCY
    context: float | None = None
    cached_share: float = 0.0
    mixture: Mixture | None = None
    touching: Touching = ALL_TOUCHED
    weights: str | None = None
    depth: Posynomial | None = None
    held: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chip.peak_flops(self.precision)
        if self.weights is not None and self.weights not in BYTES_PER_PARAMETER:
            raise InputError(f"no precision '{self.weights}'; {nearest(self.weights, BYTES_PER_PARAMETER)}")
        if isinstance(self.gpus, bool) or not (math.isfinite(self.gpus) and self.gpus >= 1 and self.gpus % 1 == 0):
            raise InputError(f"gpus per replica: {self.gpus} is not a whole number of at least 1")
        object.__setattr__(self, "gpus", int(self.gpus))
        for name in ("input_tokens", "output_tokens"):
            value = getattr(self, name)
            if not (value == 0 or LEAST_TOKENS <= value <= MOST_TOKENS):
                raise InputError(f"serving: {name} must be 0, or from {LEAST_TOKENS:g} to {MOST_TOKENS:g}, not {value}")
        if self.input_tokens + self.output_tokens <= 0:
            raise InputError("serving: a request has no tokens; give input_tokens or output_tokens")
        if not 0.0 <= self.cached_share <= 1.0:
            raise InputError(f"serving: cached_share must lie between 0 and 1, not {self.cached_share}")
        needed = self.input_tokens + self.output_tokens
        if self.context is not None and not needed <= self.context <= 2.0 * MOST_TOKENS:
            raise InputError(
                f"serving: a context of {self.context:g} tokens does not hold a mean request of {needed:g}; "
                f"give {needed:g} to {2.0 * MOST_TOKENS:g}, or leave it out"
            )
        if self.gpus > 1 and self.chip.scale_up is None and math.isfinite(self.efficiency.link):
            raise InputError(
                f"{self.chip.name}: the bandwidth between chips is not known; serve with 1 GPU per replica, "
                f"or give scale_up"
            )
        if self.memory_available <= 0:
            raise InputError(
                f"{self.chip.name}: nothing is left of {self.chip.memory / BYTES_PER_GB:g} GB: "
                f"{self.efficiency.memory:.0%} of it may be used, of which the runtime keeps "
                f"{self.efficiency.reserve / BYTES_PER_GB:g} GB; raise efficiency.memory, or take a larger chip"
            )

    # What it is

    @property
    def label(self) -> str:
        """Chip, precision and number of chips: ``"h100-sxm fp8 x 2"``."""
        return f"{self.chip.name} {self.precision} x {self.gpus}"

    @property
    def mean_context(self) -> float:
        """Tokens that a sequence has in its cache at a mean step: the input and half of the output."""
        return self.input_tokens + self.output_tokens / 2.0

    @property
    def held_context(self) -> float:
        """Tokens that memory is held for per sequence."""
        return self.input_tokens + self.output_tokens if self.context is None else self.context

    @property
    def memory_available(self) -> float:
        """Memory for weights and cache over all chips [GB]."""
        of_chip = self.chip.memory * self.efficiency.memory - self.efficiency.reserve
        return self.gpus * of_chip / BYTES_PER_GB

    @property
    def critical_batch(self) -> float:
        """The batch from which a step is bound by products rather than by reading the weights.

        FLOPS x bytes / (2 BW) (Austin et al. 2025, chapter 7), with the shares of both that are reached. Larger
        batches write no more tokens per second unless there is a fixed overhead to share.

        >>> from beyond_chinchilla.costs.efficiency import IDEAL
        >>> from beyond_chinchilla.costs.hardware import accelerator
        >>> h100 = accelerator("h100-sxm")
        >>> ideal = Replica(chip=h100, precision="bf16", input_tokens=1500, output_tokens=0, efficiency=IDEAL)
        >>> round(ideal.critical_batch)
        295
        """
        rate = self.chip.peak_flops(self.precision) * self._reached.decode
        bandwidth = self.chip.bandwidth * self._reached.bandwidth
        dense = rate * self.bytes_per_param / (INFERENCE_FLOPS_PER_PARAMETER_TOKEN * bandwidth)
        return dense if self.mixture is None else self.mixture.critical_batch(dense)

    def hold(self, numbers: Mapping[str, float]) -> Replica:
        """Return the replica with those of its own variables that `numbers` names at these values."""
        known = {name: value for name, value in numbers.items() if name in self.held}
        return replace(self, held={**self.held, **known}) if known else self

    # Posynomials

    def prefill_seconds(self) -> Posynomial:
        """Return the GPU-seconds of one uncached input token, in ``params``.

        (2 N + attention) / (peak x efficiency), and the time in which the chips exchange partial sums.
        """
        rate = self.chip.peak_flops(self.precision) * self._reached.prefill
        stream = stream_law()
        # Cached tokens come first: those that are read sit behind them.
        position = self.input_tokens * (1.0 + self.cached_share)
        attention = ATTENTION_FLOPS_PER_STREAM_TOKEN * position * stream.coefficient / rate
        terms = [_term("prefill", INFERENCE_FLOPS_PER_PARAMETER_TOKEN / rate, {"params": 1.0})]
        if attention > 0:
            terms.append(_term("prefill", attention, {"params": stream.power}))
        if self._link_seconds > 0:
            terms.append(_term("prefill", self.gpus * self._link_seconds, {"params": stream.power}))
        return Posynomial(tuple(terms), "second")

    def decode_seconds(self) -> Posynomial:
        """Return the GPU-seconds of one output token: gpus x step_time / batch."""
        return monomial("decode", float(self.gpus), {"step_time": 1.0, "batch": -1.0}, unit="second")

    def relations(self) -> tuple[Posynomial, ...]:
        """Return what ties the variables together, each at most 1.

        A step takes as long as reading the cache and, whichever is longer, multiplying or reading the weights
        (Austin et al. 2025, chapter 7), plus the exchange between chips, the fixed overhead and that of each layer:
        ``(cache + compute + link + overhead) / step_time``, ``(cache + weights + link + overhead) / step_time``;
        and a batch has a sequence: ``1 / batch``.
        """
        bandwidth = self.gpus * self.chip.bandwidth * self._reached.bandwidth
        rate = self.gpus * self.chip.peak_flops(self.precision) * self._reached.decode
        cache, power = self.kv.term(self.precision)
        cached = self.mean_context * cache / bandwidth
        compute = INFERENCE_FLOPS_PER_PARAMETER_TOKEN / rate
        weights = [_term("weights", self.bytes_per_param / bandwidth, {"params": 1.0, "step_time": -1.0})]
        if self.mixture is not None:
            weights = self.mixture.reading(weights[0], self.touching)
        shared = [_term("cache", cached, {"params": power, "batch": 1.0, "step_time": -1.0})]
        if self._link_seconds > 0:
            powers = {"params": stream_law().power, "batch": 1.0, "step_time": -1.0}
            shared.append(_term("link", self._link_seconds, powers))
        if self.efficiency.step_overhead > 0:
            shared.append(_term("overhead", self.efficiency.step_overhead, {"step_time": -1.0}))
        if self.depth is not None:
            shared += self.depth.hold(self.held).times(1.0, {"step_time": -1.0}).terms
        return (
            Posynomial((_term("compute", compute, {"params": 1.0, "batch": 1.0, "step_time": -1.0}), *shared)),
            Posynomial((*weights, *shared)),
            monomial("batch", 1.0, {"batch": -1.0}),
        )

    def memory_used(self) -> Posynomial:
        """Return weights and cache over all chips [GB], in ``params`` and ``batch``."""
        cache, power = self.kv.term(self.precision)
        held = self.held_context * cache / BYTES_PER_GB
        weights = self.bytes_per_param * self.total_per_active / BYTES_PER_GB
        terms = (
            _term("weights", weights, {"params": 1.0}),
            _term("cache", held, {"params": power, "batch": 1.0}),
        )
        return Posynomial(terms, "GB")

    def time_to_first_token(self) -> Posynomial:
        """Return the time to the first token of a mean request on a replica without a queue [ms].

        It waits for the step that runs, then all chips read its uncached prompt.
        """
        wait = monomial("running step", MILLISECONDS, {"step_time": 1.0}, unit="ms")
        tokens = self.input_tokens * (1.0 - self.cached_share)
        if tokens <= 0:
            return wait
        return wait + self.prefill_seconds().times(MILLISECONDS * tokens / self.gpus, unit="ms")

    def time_per_output_token(self) -> Posynomial:
        """Return the time between two tokens of one sequence, while no prompt is read in between [ms]."""
        return monomial("step", MILLISECONDS, {"step_time": 1.0}, unit="ms")

    # Numbers at a point

    def step_time(self, N: ArrayLike, batch: ArrayLike) -> Array:
        """Return the least time of a decode step [second], of the broadcast shape of N and batch."""
        if self.mixture is None:
            return self._related_time(N, batch)
        point = {"params": N, "batch": batch, "step_time": 1.0}
        compute, memory, _ = replace(self, touching=ALL_TOUCHED).relations()
        idle = self._experts_time(N) * (1.0 - self.mixture.touched(batch))
        return np.asarray(np.maximum(compute.value(point), memory.value(point) - idle))

    def _related_time(self, N: ArrayLike, batch: ArrayLike) -> Array:
        """Return the least time of a step that the relations allow [second]: of a mixture, with its tangent."""
        point = {"params": N, "batch": batch, "step_time": 1.0}
        compute, memory, _ = self.relations()
        return np.maximum(compute.value(point), memory.value(point))

    def fastest_step(self, N: ArrayLike) -> Array:
        """Return the least time that a decode step can take, that of a batch of one [second]."""
        return self.step_time(N, 1.0)

    def largest_batch(self, N: ArrayLike) -> Array:
        """Return how many sequences memory holds beside the weights; 0 where the weights alone do not fit.

        Not rounded: below 1, not even one sequence fits.
        """
        weights, cache = _by_batch(self.memory_used(), N)
        return np.asarray(np.maximum(self.memory_available - weights, 0.0) / cache)

    def best_batch(self, N: ArrayLike, step_time: ArrayLike = math.inf) -> Array:
        """Return the batch of most tokens per second: the largest that memory holds and whose step is in time.

        Parameters
        ----------
        N : numeric
            Parameters [parameters].
        step_time : numeric
            What a step may take at most [second].

        Returns
        -------
        numeric
            Of the broadcast shape; below 1 where nothing serves.
        """
        step = np.asarray(step_time, dtype=float)
        compute, memory, _ = replace(self, touching=ALL_TOUCHED).relations()
        fixed, each = _by_batch(compute, N)
        batch = np.minimum(self.largest_batch(N), np.maximum(step - fixed, 0.0) / each)
        fixed, each = _by_batch(memory, N)
        if self.mixture is None:
            return np.asarray(np.minimum(batch, np.maximum(step - fixed, 0.0) / each))
        experts = self._experts_time(N)
        return np.minimum(batch, self.mixture.batch_read_in(step - (fixed - experts), experts, each))

    def start(self, N: float) -> dict[str, float]:
        """Return a batch within memory (if one sequence fits) and a step time that it keeps, to start from."""
        batch = math.sqrt(max(float(self.largest_batch(N)), 1.0))
        return {"batch": batch, "step_time": 1.01 * float(self._related_time(N, batch))}

    def settle(self, N: float, batch: float) -> dict[str, float]:
        """Return the smallest batch that costs no more per token than `batch`, and the least time of its step.

        Without overheads all batches beyond the critical one cost the same; the smallest answers soonest.
        """
        if self.efficiency.step_overhead == 0.0 and self.depth is None:
            batch = min(batch, max(self.critical_batch, 1.0))
        return {"batch": batch, "step_time": float(self.step_time(N, batch))}

    def describe(self, N: float, batch: float, step_time: float, *, price: float | None = None) -> dict[str, float]:
        """Return what a replica does at a point.

        Parameters
        ----------
        N : float
            Parameters [parameters].
        batch : float
            Sequences decoded together.
        step_time : float
            Of one decode step [second].
        price : float, optional
            Of one chip [USD/hour]; with it, USD per million tokens are among the figures.

        Returns
        -------
        dict of str to float
            Rates are per chip. MFU: useful products (2 N a token) as a share of the peak rate. MBU: bytes that
            must move as a share of the peak bandwidth. Prompts share passes of 8192 tokens.
        """
        return figures_of(self, N, batch, step_time, price=price)

    @property
    def bytes_per_param(self) -> float:
        """What a parameter takes in memory [byte]."""
        return BYTES_PER_PARAMETER[self.weights or self.precision]

    @cached_property
    def _reached(self) -> Efficiency:
        return self.efficiency if self.mixture is None else self.efficiency.of_mixture(1.0 - self.mixture.shared)

    def _experts_time(self, N: ArrayLike) -> Array:
        """Return what reading all routed experts takes of a step [second]."""
        assert self.mixture is not None
        bandwidth = self.gpus * self.chip.bandwidth * self._reached.bandwidth
        return np.asarray(self.mixture.routed * self.bytes_per_param / bandwidth * np.asarray(N, dtype=float))

    @property
    def total_per_active(self) -> float:
        """Parameters in memory over those that compute; 1 of a dense model."""
        return 1.0 if self.mixture is None else self.mixture.total_per_active

    @property
    def _link_seconds(self) -> float:
        """Seconds in which the chips exchange the partial sums of one token, at N = 1; 0 for one chip."""
        if self.gpus == 1 or self.chip.scale_up is None:
            return 0.0
        return bytes_exchanged(self.gpus) * stream_law().coefficient / (self.chip.scale_up * self.efficiency.link)


def _term(label: str, coefficient: float, powers: Mapping[str, float]) -> Term:
    return Term(label=label, coefficient=coefficient, powers=powers)


def _by_batch(quantity: Posynomial, N: ArrayLike) -> tuple[Array, Array]:
    """Split a quantity at N (and a step of one second) into what is fixed and what each sequence adds."""
    values = quantity.values({"params": N, "batch": 1.0, "step_time": 1.0})
    grows = np.array(["batch" in term.powers for term in quantity.terms])
    return values[..., ~grows].sum(axis=-1), values[..., grows].sum(axis=-1)
