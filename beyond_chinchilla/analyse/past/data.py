"""What limited data costs a plan: its epochs, what a new token is worth, and how many it pays to buy."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from beyond_chinchilla.errors import BeyondChinchillaError
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve

_KIND = "repetition"
_LIMIT = "epochs"
_MILLION = 1e6
# An elasticity of less is a rounding error of none.
_NO_EFFECT = 1e-12
# How near, in logarithms, the tokens to buy are found.
_NEAR = 1e-4


@dataclass(frozen=True, kw_only=True)
class AllNew:
    """The plan of who has new tokens without end.

    Attributes
    ----------
    params, tokens, total, loss : float
    """

    params: float
    tokens: float
    total: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """New tokens at a price.

    Attributes
    ----------
    price : float
        Of a million of them [USD].
    unique_tokens : float
        How many unique tokens there are when buying more stops to pay; those there are where it never does.
    saved : float
        What the plan then saves, less their price [USD].
    params, tokens : float
        Of that plan.
    """

    price: float
    unique_tokens: float
    saved: float
    params: float
    tokens: float


@dataclass(frozen=True, kw_only=True)
class LimitedData:
    """What the unique tokens that there are do to a plan.

    Attributes
    ----------
    unique_tokens, epochs, effective_tokens, effective_params : float
        Of the plan.
    worth_per_million : float
        What a million new unique tokens would save [unit of the bill], or take from the loss of a plan of least loss
        [nats/token]; 0 where every token is seen once, and nothing holds the plan back from more.
    all_new : AllNew or None
        None where there is no such plan.
    purchase : Purchase or None
        Where a price is stated.
    """

    unique_tokens: float
    epochs: float
    effective_tokens: float
    effective_params: float
    worth_per_million: float
    all_new: AllNew | None
    purchase: Purchase | None

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON holds them."""
        return asdict(self)


def limited_data(problem: Problem, plan: Plan, price: float | None = None) -> LimitedData:
    """Return what limited data does to a plan.

    Parameters
    ----------
    problem : Problem
        With limited data, whose optimum the plan is.
    plan : Plan
        With a model.
    price : float, optional
        Of a million new tokens [USD].
    """
    effect = next(effect for effect in plan.effects if effect.kind == _KIND)
    figures = effect.figures
    return LimitedData(
        unique_tokens=figures["unique_tokens"],
        epochs=figures["epochs"],
        effective_tokens=figures["effective_tokens"],
        effective_params=figures["effective_params"],
        worth_per_million=worth_per_million(plan),
        all_new=_all_new(problem),
        purchase=None if price is None or plan.objective == "loss" else purchase(problem, plan, price),
    )


def worth_per_million(plan: Plan) -> float:
    """Return what a million new unique tokens would save a plan [unit of the bill, or nats of a least loss]."""
    assert plan.best is not None
    effect = next(effect for effect in plan.effects if effect.kind == _KIND)
    slope = effect.elasticities["unique_tokens"]
    if slope > -_NO_EFFECT:
        return 0.0
    total = plan.best.loss if plan.objective == "loss" else plan.best.total
    return -slope * total / effect.figures["unique_tokens"] * _MILLION


def purchase(problem: Problem, plan: Plan, price: float) -> Purchase:
    """Return how many unique tokens to have where more can be bought at a price [USD per million].

    Buying pays as long as the next million saves more than it costs, which falls the more there are.
    """
    from scipy.optimize import brentq  # after a cold start: only for who has a price

    assert plan.best is not None
    assert problem.repetition is not None
    here = problem.repetition.unique_tokens
    found: dict[float, Plan] = {0.0: plan}

    def gain(log_ratio: float) -> float:
        """Return the log of worth over price with e^log_ratio times as many unique tokens."""
        if log_ratio not in found:
            found[log_ratio] = solve(with_unique_tokens(problem, here * math.exp(log_ratio)))
        worth = worth_per_million(found[log_ratio])
        return math.log(worth / price) if worth > 0 else -1e3

    if gain(0.0) <= 0.0:
        return Purchase(price=price, unique_tokens=here, saved=0.0, params=plan.best.params, tokens=plan.best.tokens)
    # Who sees every token once needs no more of them.
    high = max(math.log(plan.best.tokens / here), 0.0) + _NEAR
    while gain(high) > 0.0:
        high += 0.5
    root = float(brentq(lambda x: gain(float(x)), 0.0, high, xtol=_NEAR, rtol=1e-12))
    gain(root)
    best = found[root].best
    assert best is not None
    unique = here * math.exp(root)
    saved = plan.best.total - best.total - price * (unique - here) / _MILLION
    return Purchase(price=price, unique_tokens=unique, saved=max(saved, 0.0), params=best.params, tokens=best.tokens)


def with_unique_tokens(problem: Problem, unique_tokens: float) -> Problem:
    """Return the problem with other unique tokens, which a limit on epochs counts by; its bill stays."""
    assert problem.repetition is not None
    ratio = problem.repetition.unique_tokens / unique_tokens
    return replace(
        problem,
        repetition=replace(problem.repetition, unique_tokens=unique_tokens),
        limits=tuple(_rescaled(limit, ratio) for limit in problem.limits),
    )


def _rescaled(limit: Limit, ratio: float) -> Limit:
    return replace(limit, quantity=limit.quantity.times(ratio)) if limit.label == _LIMIT else limit


def _all_new(problem: Problem) -> AllNew | None:
    limits = tuple(limit for limit in problem.limits if limit.label != _LIMIT)
    free = replace(problem, repetition=None, limits=limits)
    try:
        best = solve(free).best
    except BeyondChinchillaError:
        return None
    if best is None:
        return None
    return AllNew(params=best.params, tokens=best.tokens, total=best.total, loss=best.loss)
