"""Which shares of a chip's peaks serving reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from beyond_chinchilla.errors import InputError

_SHARES = ("prefill", "decode", "bandwidth", "memory", "experts")


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """Shares of a chip's peaks that its kernels reach, and what is not theirs to use.

    The defaults of `prefill`, `decode` and `bandwidth` are least squares on six measured throughputs of
    Llama-3.3-70B on H100, H200 and B200, see `beyond_chinchilla.analyse.validation`. They carry whatever the
    model of a step leaves out: scheduling, sampling, imperfect batches.

    Parameters
    ----------
    prefill : float
        Share of the peak rate while prompts are read, in (0, 1]. Austin et al. 2025 ("How to scale your model",
        chapter 7) reckon with 0.4 to 0.5, without the attention that is counted as work here.
    decode : float
        Share of the peak rate in the products of a decode step, in (0, 1].
    bandwidth : float
        Share of the memory bandwidth while weights and cache are read, in (0, 1]. Single kernels reach 0.8
        (AIConfigurator).
    memory : float
        Share of the memory that weights and cache may take, in (0, 1]; vLLM and TensorRT-LLM default to 0.9.
    experts : float
        Share of what a dense model reaches that a mixture would if all of a token's parameters were routed experts,
        in (0, 1]: small products, uneven routing, the exchange between chips. Least squares on eight of 15 measured
        throughputs of mixtures; see `of_mixture`. Dense models do not know it.
    link : float
        Share of the bandwidth between chips that an all-reduce gets, in (0, 1]: 370 of 450 GB/s on H100 (Austin
        et al. 2025, chapter 12). Infinite: the chips talk for nothing.
    step_overhead : float
        Fixed time of a decode step [second], >= 0. The measured throughputs do not call for any; latencies of
        small models may.
    reserve : float
        Memory of each chip that the runtime keeps [byte], >= 0: 3.5 GB in AIConfigurator.

    Raises
    ------
    InputError
        A share outside (0, 1], or a negative or infinite time or reserve; every one is named.

    Examples
    --------
    >>> DEFAULT_EFFICIENCY.prefill, DEFAULT_EFFICIENCY.decode, DEFAULT_EFFICIENCY.bandwidth
    (0.54, 0.34, 0.6)
    """

    prefill: float = 0.54
    decode: float = 0.34
    bandwidth: float = 0.60
    memory: float = 0.90
    experts: float = 0.38
    link: float = 0.80
    step_overhead: float = 0.0
    reserve: float = 3.5e9

    def __post_init__(self) -> None:
        mistakes = []
        for field in fields(self):
            value: float = getattr(self, field.name)
            if field.name in _SHARES and not 0.0 < value <= 1.0:
                mistakes.append(
                    f"efficiency: {field.name} must be above 0 and at most 1, not {value}; write it like 50%"
                )
            elif field.name == "link" and not (0.0 < value <= 1.0 or value == math.inf):
                mistakes.append(f"efficiency: link must be above 0 and at most 1, or infinite, not {value}")
            elif field.name in ("step_overhead", "reserve") and not (math.isfinite(value) and value >= 0.0):
                mistakes.append(f"efficiency: {field.name} must be >= 0 and finite, not {value}")
        if mistakes:
            raise InputError("\n".join(mistakes))

    def of_mixture(self, routed: float) -> Efficiency:
        """Return what a mixture reaches: all takes 1 + routed (1/experts - 1) times as long.

        Parameters
        ----------
        routed : float
            Share of a token's parameters that are routed experts', from 0 to 1.

        Examples
        --------
        >>> f"{Efficiency(decode=0.34, experts=0.4).of_mixture(9 / 13).decode:.3f}"
        '0.167'
        """
        stretch = 1.0 + routed * (1.0 / self.experts - 1.0)
        return replace(
            self,
            prefill=self.prefill / stretch,
            decode=self.decode / stretch,
            bandwidth=self.bandwidth / stretch,
        )


DEFAULT_EFFICIENCY = Efficiency()
# Peaks as the vendor prints them: the bound that no deployment passes.
IDEAL = Efficiency(prefill=1.0, decode=1.0, bandwidth=1.0, memory=1.0, experts=1.0, link=math.inf, reserve=0.0)
