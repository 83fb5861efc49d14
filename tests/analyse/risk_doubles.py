"""Worlds whose every figure has a formula: bills a N D + b N under laws of Chinchilla's form, and a token budget."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from beyond_chinchilla.analyse.risk.sampling import sobol
from beyond_chinchilla.analyse.risk.worlds import Bills, Foresight
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.optimise.universal import optimum

Array = NDArray[np.float64]

SIZE = 30e9


@dataclass(frozen=True, kw_only=True)
class PlainWorlds:
    """K worlds with the interface of `Worlds`.

    Attributes
    ----------
    law : LawBatch
    loss : array, shape (K,)
        Target [nats/token].
    train, serve : array, shape (K,)
        a and b of the bill [USD].
    budget : float
        Tokens after which training is given up.
    """

    law: LawBatch
    loss: Array
    train: Array
    serve: Array
    budget: float = 1e16
    unit: str = "USD"
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.loss)

    def foresight(self) -> Foresight:
        law, R = self.law, self.law.reducible(self.loss)
        found = optimum(law, self.loss, self.train, self.serve)
        # Bills fall and then rise along the iso-loss curve: under a budget the nearest size that keeps it.
        left = R - law.B * self.budget**-law.beta
        reachable = left > 0
        least = (law.A / np.where(reachable, left, law.A)) ** (1.0 / law.alpha)
        bound = reachable & (found.params < least)
        params = np.where(bound, least, found.params)
        tokens = np.where(bound, self.budget, found.tokens)
        total = self.train * params * tokens + self.serve * params
        base = law.compute_optimal(loss=self.loss)
        base_total = self.train * base.params * base.tokens + self.serve * base.params
        figures = {
            "params": params,
            "tokens": tokens,
            "total": total,
            "baseline_params": base.params,
            "baseline_tokens": base.tokens,
            "baseline_total": base_total,
            "kappa": self.serve / (self.train * base.tokens),
        }
        return Foresight(
            **{name: np.where(reachable, values, np.nan) for name, values in figures.items()},
            reachable=reachable,
            binding={"tokens": bound},
        )

    def bills(self, params: Array) -> Bills:
        N = np.asarray(params, dtype=float)[None, :]
        law = self.law.take((slice(None), None))
        need = law.tokens_for(N, self.loss[:, None])
        # The edge itself is reached, whatever rounding says.
        failed = ~(need <= self.budget * (1.0 + 1e-9))
        tokens = np.where(failed, self.budget, need)
        training = self.train[:, None] * N * tokens
        return Bills(
            tokens=tokens, total=training + self.serve[:, None] * N, training=training, failed=failed, missed=failed
        )

    def take(self, chosen: Any) -> PlainWorlds:
        rest = {name: getattr(self, name)[chosen] for name in ("loss", "train", "serve")}
        return replace(self, law=self.law.take(chosen), **rest)


def worlds_at(
    u: Array, *, law: float = 0.03, demand: float = 1.0, price: float = 0.2, budget: float = 1e16
) -> PlainWorlds:
    """Return the 30B scenario at points of the unit cube: demand, price, and two of the law, by log-spread of each.

    The target is a fixed loss. A spread of 0 makes a column count for nothing.
    """
    from scipy.special import ndtri

    z = ndtri(u)
    count = len(u)
    spread = {"A": law * z[:, 2], "B": law * (0.5 * z[:, 2] + z[:, 3])}
    batch = LawBatch(
        E=np.full(count, 1.69),
        A=406.4 * np.exp(spread["A"]),
        alpha=np.full(count, 0.336),
        B=410.7 * np.exp(spread["B"]),
        beta=np.full(count, 0.283),
        name="double",
    )
    # Prices and tokens of 1B requests of Sardana et al. 2024.
    train = np.full(count, 6.0 * 1.50 / (3600 * 312e12 * 0.5))
    serve = 2.0 * (1.10 / (3600 * 624e12)) * (70e9 / 0.5 + 215e9 / 0.01) * np.exp(demand * z[:, 0])
    target = 1.69 + 406.4 * SIZE**-0.336 * (1.0 + 0.336 / 0.283)
    return PlainWorlds(
        law=batch,
        loss=np.full(count, target),
        train=train * np.exp(price * z[:, 1]),
        serve=serve * np.exp(price * z[:, 1]),
        budget=budget,
    )


def drawn(count: int, seed: int = 1, **spreads: float) -> PlainWorlds:
    """Return worlds at so many points."""
    return worlds_at(sobol(count, 4, seed, 7, 7), **spreads)


@st.composite
def plain_worlds(draw: st.DrawFn, *, fails: bool = True) -> PlainWorlds:
    """Any worlds: 1 to 60 of them, of wide or no spread, with a budget that some may break."""
    count = draw(st.integers(1, 60))
    spreads = {name: draw(st.sampled_from((0.0, 0.02, 0.1))) for name in ("law", "price")}
    demand = draw(st.sampled_from((0.0, 0.5, 2.0)))
    budget = draw(st.sampled_from((1.5e12, 3e12, 1e13, 1e16))) if fails else 1e16
    return drawn(count, draw(st.integers(0, 1000)), demand=demand, budget=budget, **spreads)
