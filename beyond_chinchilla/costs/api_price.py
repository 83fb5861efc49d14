"""What the same tokens cost from somebody else's API."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError

Real = TypeVar("Real", float, NDArray[np.float64])

TOKENS_PER_MILLION = 1e6
# Lists of API prices are often per token, a million times less; no million tokens cost a hundredth of a cent.
_PER_TOKEN_BELOW = 1e-4


@dataclass(frozen=True, kw_only=True)
class ApiPrice:
    """List prices of a model behind an API.

    Parameters
    ----------
    input : float
        Input tokens that the prompt cache does not have [USD per million tokens], >= 0.
    output : float
        Output tokens [USD per million tokens], >= 0; one of the two is positive.
    cached_input : float, optional
        Input tokens read from the prompt cache [USD per million tokens], at most `input`; default `input`.
    batch_discount : float
        What is taken off for work without a latency target, 0 to below 1.
    name : str
        Whose API and which model.

    Raises
    ------
    InputError
        Prices out of range, one line each.
    """

    input: float
    output: float
    cached_input: float | None = None
    batch_discount: float = 0.0
    name: str = "API"

    def __post_init__(self) -> None:
        mistakes = []
        for field, price in (("input", self.input), ("output", self.output), ("cached_input", self.cached_input)):
            if price is None:
                continue
            if not (math.isfinite(price) and price >= 0):
                mistakes.append(f"{field} must be >= 0 USD per million tokens and finite, not {price}")
            elif 0 < price < _PER_TOKEN_BELOW:
                mistakes.append(
                    f"{field} {price:g} looks like a price per token; "
                    f"per million tokens it is {price * TOKENS_PER_MILLION:g} USD"
                )
        if self.input == 0 and self.output == 0:
            mistakes.append("input and output are both free; give what a million tokens cost")
        if self.cached_input is not None and self.cached_input > self.input:
            mistakes.append(
                f"cached_input {self.cached_input:g} is above input {self.input:g}; leave it out without a cache"
            )
        if not 0 <= self.batch_discount < 1:
            mistakes.append(f"batch_discount must be from 0 to below 1, not {self.batch_discount}; write 50% or 0.5")
        if mistakes:
            raise InputError("\n".join(f"buy: {mistake}" for mistake in mistakes))

    def cost(
        self, prefill_tokens: Real, cached_tokens: Real, decode_tokens: Real, *, batch_share: float = 0.0
    ) -> dict[str, Real]:
        """Return the bill for tokens by kind [USD].

        Parameters
        ----------
        prefill_tokens : float or ndarray of shape (M,)
            Input tokens that the cache does not have.
        cached_tokens : float or ndarray of shape (M,)
            Input tokens read from the cache.
        decode_tokens : float or ndarray of shape (M,)
            Output tokens.
        batch_share : float
            Share of the tokens of every kind that are sent as batch work, 0 to 1.

        Returns
        -------
        dict of str to float or ndarray
            ``input``, ``cached input`` and ``output``.

        Raises
        ------
        InputError
            A share outside 0 to 1.

        >>> api = ApiPrice(input=0.60, output=2.40, cached_input=0.06)
        >>> {label: round(usd, 2) for label, usd in api.cost(70e6, 30e6, 215e6).items()}
        {'input': 42.0, 'cached input': 1.8, 'output': 516.0}
        """
        if not 0 <= batch_share <= 1:
            raise InputError(f"buy: batch_share must be from 0 to 1, not {batch_share}")
        paid = (1.0 - self.batch_discount * batch_share) / TOKENS_PER_MILLION
        cached = self.input if self.cached_input is None else self.cached_input
        return {
            "input": prefill_tokens * (self.input * paid),
            "cached input": cached_tokens * (cached * paid),
            "output": decode_tokens * (self.output * paid),
        }
