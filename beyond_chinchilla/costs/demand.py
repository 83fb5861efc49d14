"""What the model will be asked to do over its life."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from beyond_chinchilla.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Tokens over the life of the model, by phase of serving.

    Parameters
    ----------
    prefill_tokens : numeric
        Input tokens read [tokens], >= 0.
    decode_tokens : numeric
        Output tokens written [tokens], >= 0; one of the two is positive.

    Raises
    ------
    InputError
        Negative, not finite, or no demand at all.
    """

    # A number, or an array over a block of scenarios.
    prefill_tokens: Any
    decode_tokens: Any

    def __post_init__(self) -> None:
        for name in ("prefill_tokens", "decode_tokens"):
            value = getattr(self, name)
            number = np.asarray(value, dtype=float)
            if not np.all(np.isfinite(number) & (number >= 0)):
                raise InputError(f"demand: {name} must be >= 0 and finite, not {value}")
        if np.any(self.tokens <= 0):
            raise InputError("demand: no tokens at all; without demand the Chinchilla model is the plan")

    @property
    def tokens(self) -> Any:
        """All tokens, read and written."""
        return self.prefill_tokens + self.decode_tokens

    @classmethod
    def from_requests(cls, requests: Any, *, input_tokens: Any, output_tokens: Any) -> Demand:
        """Return the demand of a number of requests with mean token lengths.

        >>> Demand.from_requests(1e9, input_tokens=70, output_tokens=215).tokens
        285000000000.0
        """
        return cls(prefill_tokens=requests * input_tokens, decode_tokens=requests * output_tokens)
