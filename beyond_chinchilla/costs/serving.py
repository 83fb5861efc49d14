"""What a served token takes: GPU-seconds of prefill and decode from chip, precision, batch and context.

Prefill is bound by compute. A decode step reads every weight once and the cache of every sequence in the batch
(Austin et al. 2025, "How to scale your model", chapter 7; Pope et al. 2023), so that the batch, not a fixed
utilisation, sets its price. Everything is a posynomial in ``params`` (total), ``batch`` (sequences that a replica
decodes together) and ``step_time`` [second]; `FixedUse` is the older model of a fixed utilisation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.costs.decoders import BYTES_PER_HALF, stream_law
from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY, Efficiency
from beyond_chinchilla.costs.fixed_use import FixedUse, use_of
from beyond_chinchilla.costs.flops import INFERENCE_FLOPS_PER_PARAMETER_TOKEN
from beyond_chinchilla.costs.hardware import BYTES_PER_GB, BYTES_PER_PARAMETER, Accelerator
from beyond_chinchilla.costs.kv_cache import KVCache, kv_family
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

__all__ = ["FixedUse", "Replica"]

Array = NDArray[np.float64]

MILLISECONDS = 1e3
# Means per request; beyond them a product of small or large numbers could leave the floats.
LEAST_TOKENS, MOST_TOKENS = 1e-3, 1e9
# A layer sums its attention and its feed-forward block over the chips: two all-reduces (Shoeybi et al. 2019), in
# each of which a chip sends 2 (g - 1)/g of the values. Without them more chips per replica would never be slower.
ALL_REDUCES_PER_LAYER = 2.0
# A token at position p of a prompt takes 4 p width FLOPs of attention in a layer; over a prompt, p is half its length.
ATTENTION_FLOPS_PER_STREAM_TOKEN = 2.0
# Prompts are read in passes of so many tokens (TensorRT-LLM's default budget), each of which reads the weights once.
PREFILL_PASS_TOKENS = 8192.0


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

    def __post_init__(self) -> None:
        self.chip.peak_flops(self.precision)
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
        rate = self.chip.peak_flops(self.precision) * self.efficiency.decode
        bandwidth = self.chip.bandwidth * self.efficiency.bandwidth
        return rate * BYTES_PER_PARAMETER[self.precision] / (INFERENCE_FLOPS_PER_PARAMETER_TOKEN * bandwidth)

    # Posynomials

    def prefill_seconds(self) -> Posynomial:
        """Return the GPU-seconds of one uncached input token, in ``params``.

        (2 N + attention) / (peak x efficiency), and the time in which the chips exchange partial sums.
        """
        rate = self.chip.peak_flops(self.precision) * self.efficiency.prefill
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
        (Austin et al. 2025, chapter 7), plus the exchange between chips and the fixed overhead:
        ``(cache + compute + link + overhead) / step_time``, ``(cache + weights + link + overhead) / step_time``;
        and a batch has a sequence: ``1 / batch``.
        """
        bandwidth = self.gpus * self.chip.bandwidth * self.efficiency.bandwidth
        rate = self.gpus * self.chip.peak_flops(self.precision) * self.efficiency.decode
        cache, power = self.kv.term(self.precision)
        cached = self.mean_context * cache / bandwidth
        compute = INFERENCE_FLOPS_PER_PARAMETER_TOKEN / rate
        weights = BYTES_PER_PARAMETER[self.precision] / bandwidth
        shared = [_term("cache", cached, {"params": power, "batch": 1.0, "step_time": -1.0})]
        if self._link_seconds > 0:
            powers = {"params": stream_law().power, "batch": 1.0, "step_time": -1.0}
            shared.append(_term("link", self._link_seconds, powers))
        if self.efficiency.step_overhead > 0:
            shared.append(_term("overhead", self.efficiency.step_overhead, {"step_time": -1.0}))
        return (
            Posynomial((_term("compute", compute, {"params": 1.0, "batch": 1.0, "step_time": -1.0}), *shared)),
            Posynomial((_term("weights", weights, {"params": 1.0, "step_time": -1.0}), *shared)),
            monomial("batch", 1.0, {"batch": -1.0}),
        )

    def memory_used(self) -> Posynomial:
        """Return weights and cache over all chips [GB], in ``params`` and ``batch``."""
        cache, power = self.kv.term(self.precision)
        held = self.held_context * cache / BYTES_PER_GB
        weights = BYTES_PER_PARAMETER[self.precision] / BYTES_PER_GB
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
        batch = self.largest_batch(N)
        for relation in self.relations()[:2]:
            fixed, each = _by_batch(relation, N)
            batch = np.minimum(batch, np.maximum(np.asarray(step_time, dtype=float) - fixed, 0.0) / each)
        return np.asarray(batch)

    def start(self, N: float) -> dict[str, float]:
        """Return a batch within memory (if one sequence fits) and a step time that it keeps, to start from."""
        batch = math.sqrt(max(float(self.largest_batch(N)), 1.0))
        return {"batch": batch, "step_time": 1.01 * float(self.step_time(N, batch))}

    def settle(self, N: float, batch: float) -> dict[str, float]:
        """Return the smallest batch that costs no more per token than `batch`, and the least time of its step.

        Without an overhead all batches beyond the critical one cost the same; the smallest answers soonest.
        """
        if self.efficiency.step_overhead == 0.0:
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
        point = {"params": N, "batch": batch, "step_time": step_time}
        prefill = float(self.prefill_seconds().value(point))
        decode = float(self.decode_seconds().value(point))
        cache = float(self.kv.bytes_per_token(N, self.precision))
        weights = BYTES_PER_PARAMETER[self.precision] * N
        step_bytes = weights + batch * self.mean_context * cache
        busy = self.input_tokens * (1.0 - self.cached_share) * prefill + self.output_tokens * decode
        figures = {
            "gpus": float(self.gpus),
            "batch": batch,
            "time_per_output_token_ms": float(self.time_per_output_token().value(point)),
            "time_to_first_token_ms": float(self.time_to_first_token().value(point)),
            "prefill_tokens_per_second": 1.0 / prefill,
            "decode_tokens_per_second": 1.0 / decode,
            "output_tokens_per_second": self.output_tokens / busy if busy > 0 else 0.0,
            "prefill_mbu": (weights / PREFILL_PASS_TOKENS + cache) / (prefill * self.chip.bandwidth),
            "decode_mbu": step_bytes / (self.gpus * step_time * self.chip.bandwidth),
            "memory_used_gb": float(self.memory_used().value(point)),
            "memory_available_gb": self.memory_available,
        }
        return figures | use_of(N, self.chip.peak_flops(self.precision), prefill, decode, price)

    @property
    def _link_seconds(self) -> float:
        """Seconds in which the chips exchange the partial sums of one token, at N = 1; 0 for one chip."""
        if self.gpus == 1 or self.chip.scale_up is None:
            return 0.0
        sent = ALL_REDUCES_PER_LAYER * 2.0 * (self.gpus - 1) / self.gpus * BYTES_PER_HALF
        return sent * stream_law().coefficient / (self.chip.scale_up * self.efficiency.link)


def _term(label: str, coefficient: float, powers: Mapping[str, float]) -> Term:
    return Term(label=label, coefficient=coefficient, powers=powers)


def _by_batch(quantity: Posynomial, N: ArrayLike) -> tuple[Array, Array]:
    """Split a quantity at N (and a step of one second) into what is fixed and what each sequence adds."""
    values = quantity.values({"params": N, "batch": 1.0, "step_time": 1.0})
    grows = np.array(["batch" in term.powers for term in quantity.terms])
    return values[..., ~grows].sum(axis=-1), values[..., grows].sum(axis=-1)
