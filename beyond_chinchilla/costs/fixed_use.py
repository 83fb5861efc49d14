"""Serving at a fixed utilisation, whatever the batch: the model of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from beyond_chinchilla.costs.flops import INFERENCE_FLOPS_PER_PARAMETER_TOKEN
from beyond_chinchilla.costs.hardware import Accelerator
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.posynomial import Posynomial, monomial
from beyond_chinchilla.units import SECONDS_PER_HOUR

MILLION = 1e6


@dataclass(frozen=True, kw_only=True)
class FixedUse:
    """Serving at a fixed utilisation in each phase, whatever the batch: Sardana et al. 2024, Eq. 5.

    Parameters
    ----------
    chip : Accelerator
    precision : str
    prefill_mfu, decode_mfu : float
        Share of the peak rate, in (0, 1].

    Raises
    ------
    InputError
        A share outside (0, 1], or a precision that the chip lacks.

    Examples
    --------
    >>> from beyond_chinchilla.costs.hardware import accelerator
    >>> paper = FixedUse(chip=accelerator("a100-40gb-sxm"), precision="int8", prefill_mfu=0.5, decode_mfu=0.01)
    >>> f"{paper.decode_seconds().value({'params': 7e9}):.3g}"
    '0.00224'
    """

    chip: Accelerator
    precision: str
    prefill_mfu: float
    decode_mfu: float
    gpus: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        self.chip.peak_flops(self.precision)
        for name in ("prefill_mfu", "decode_mfu"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise InputError(f"serving: {name} must be above 0 and at most 1, not {value}")

    @property
    def label(self) -> str:
        """Chip and precision: ``"a100-40gb-sxm int8"``."""
        return f"{self.chip.name} {self.precision}"

    def prefill_seconds(self) -> Posynomial:
        """Return the GPU-seconds of one input token: 2 N / (peak x MFU)."""
        return self._seconds("prefill", self.prefill_mfu)

    def decode_seconds(self) -> Posynomial:
        """Return the GPU-seconds of one output token: 2 N / (peak x MFU)."""
        return self._seconds("decode", self.decode_mfu)

    def relations(self) -> tuple[Posynomial, ...]:
        """Return nothing: there is neither batch nor step."""
        return ()

    def hold(self, numbers: Mapping[str, float]) -> FixedUse:  # noqa: ARG002 - as a replica's
        """Return itself: it knows no further variables."""
        return self

    def start(self, N: float) -> dict[str, float]:  # noqa: ARG002 - as a replica's
        """Return nothing: there is neither batch nor step."""
        return {}

    def settle(self, N: float, batch: float) -> dict[str, float]:  # noqa: ARG002
        """Return nothing: there is neither batch nor step."""
        return {}

    def describe(
        self,
        N: float,
        batch: float | None = None,  # noqa: ARG002 - as a replica's
        step_time: float | None = None,  # noqa: ARG002
        *,
        price: float | None = None,
    ) -> dict[str, float]:
        """Return rates per chip, utilisations and, with a price [USD/hour], USD per million tokens."""
        prefill = float(self.prefill_seconds().value({"params": N}))
        decode = float(self.decode_seconds().value({"params": N}))
        rates = {"prefill_tokens_per_second": 1.0 / prefill, "decode_tokens_per_second": 1.0 / decode}
        return rates | use_of(N, self.chip.peak_flops(self.precision), prefill, decode, price)

    def _seconds(self, phase: str, mfu: float) -> Posynomial:
        rate = self.chip.peak_flops(self.precision) * mfu
        return monomial(phase, INFERENCE_FLOPS_PER_PARAMETER_TOKEN / rate, {"params": 1.0}, unit="second")


def use_of(N: float, peak: float, prefill: float, decode: float, price: float | None) -> dict[str, float]:
    """Return the MFU of both phases and, with a price, what a million tokens of each cost.

    Parameters
    ----------
    N : float
        Parameters [parameters].
    peak : float
        Peak rate of one chip [FLOP/s].
    prefill, decode : float
        GPU-seconds of one input and of one output token.
    price : float or None
        Of one chip [USD/hour].

    >>> use_of(70e9, 989e12, 3e-4, 4e-3, 2.0)["usd_per_million_output"]
    2.2222222222222223
    """
    flops = INFERENCE_FLOPS_PER_PARAMETER_TOKEN * N
    figures = {"prefill_mfu": flops / (peak * prefill), "decode_mfu": flops / (peak * decode)}
    if price is not None:
        per_second = MILLION * price / SECONDS_PER_HOUR
        figures["usd_per_million_input"] = per_second * prefill
        figures["usd_per_million_output"] = per_second * decode
    return figures
