"""Functions of costs and of the laws past Chinchilla, each against its formula at 60 digits."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import mpmath as mp
from rooms import ODD, PLAN, STATUS, Outcome, Room, is_double, must_say, positive

from beyond_chinchilla.costs.api_price import ApiPrice
from beyond_chinchilla.costs.commitment import best_committed, blended_cost
from beyond_chinchilla.costs.currency import Currency
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.discounting import Discounting
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.costs.ownership import Purchase, capital_recovery, sinking_fund
from beyond_chinchilla.costs.price_path import PricePath
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.downstream import DownstreamMap
from beyond_chinchilla.laws.repetition import Repetition

_POINT = {"params": 1e9, "tokens": 1e12}
_NEXT_TO_NOTHING = 1e-290


def _compute(price: float, peak: float, mfu: float) -> float:
    return float(HiredCompute(price=price, peak=peak).usd_per_flop(mfu))


def _bill(price: float, mfu: float, requests: float, read: float, written: float) -> float:
    hired = HiredCompute(price=price, peak=1e15)
    demand = Demand.from_requests(requests, input_tokens=read, output_tokens=written)
    cost = lifetime_cost(
        training=hired, training_mfu=mfu, serving=hired, prefill_mfu=mfu, decode_mfu=mfu, demand=demand
    )
    return float(cost.value(_POINT))


def _exact_bill(price: Any, mfu: Any, requests: Any, read: Any, written: Any) -> Any:
    flops = mp.mpf(10) ** 9 * (6 * mp.mpf(10) ** 12 + 2 * requests * (read + written))
    return price / (3600 * mp.mpf(10) ** 15 * mfu) * flops


def _flops(requests: float, read: float, written: float) -> float:
    return float(lifetime_flops(Demand.from_requests(requests, input_tokens=read, output_tokens=written)).value(_POINT))


def _api(price: float, cached: float, tokens: float, share: float) -> float:
    api = ApiPrice(input=price, output=price, cached_input=cached, batch_discount=0.5)
    return sum(api.cost(tokens, tokens, tokens, batch_share=share).values())


def _exact_api(price: Any, cached: Any, tokens: Any, share: Any) -> Any:
    return tokens * (2 * price + cached) * (1 - share / 2) / 10**6


def _exact_recovery(rate: Any, years: Any) -> Any:
    return 1 / years if rate == 0 else rate / -mp.expm1(-years * mp.log1p(rate))


def _exact_fund(rate: Any, years: Any) -> Any:
    return 1 / years if rate == 0 else rate / mp.expm1(years * mp.log1p(rate))


def _weight(rate: float, delay: float) -> float:
    return float(Discounting(rate=rate).weights(12, delay)[-1])


def _price(price: float, change: float) -> float:
    return float(PricePath(price=price, per_year=change).prices(13)[-1])


def _owned(capex: float, years: float, rate: float, power: float) -> float:
    return sum(Purchase(capex=capex, years=years, rate=rate, power_kw=power, electricity=0.1).breakdown().values())


def _exact_owned(capex: Any, years: Any, rate: Any, power: Any) -> Any:
    return capex * _exact_recovery(rate, years) / 8766 + power * mp.mpf(0.1)


def _euro(amount: float, rate: float) -> float:
    return Currency(code="EUR", per_usd=rate, date="2026-11-01", source="test").from_usd(amount)


def _error(epsilon: float, k: float, gamma: float, loss: float) -> float:
    return float(DownstreamMap(epsilon=epsilon, k=k, gamma=gamma).error(loss))


def _repeated(unique: float, R: float, tokens: float) -> float:
    return float(Repetition(unique_tokens=unique, R_D=R, R_N=1.0).effective_tokens(tokens))


def _exact_repeated(unique: Any, R: Any, tokens: Any) -> Any:
    again = tokens / unique - 1
    return tokens if again <= 0 else unique * (1 - R * mp.expm1(-again / R))


def _committed(first: float, second: float, price: float, demand_price: float) -> float:
    need = [[first, second]]
    best = best_committed(need, price=price, on_demand=demand_price)
    costs = [blended_cost(need, gpus, price=price, on_demand=demand_price) for gpus in (best, 0.0, first, second)]
    assert costs[0] <= min(costs) * (1.0 + 1e-12), costs
    return costs[0]


def _exact_committed(first: Any, second: Any, price: Any, demand_price: Any) -> Any:
    def cost(gpus: Any) -> Any:
        beyond = (max(first - gpus, 0) + max(second - gpus, 0)) / 2
        return mp.mpf("730.5") * (price * gpus + demand_price * beyond)

    return min(cost(gpus) for gpus in (mp.mpf(0), first, second))


_Formula = tuple[Callable[..., float], Callable[..., Any], tuple[tuple[float, float], ...]]
# What is computed, its formula, and the decades in which each argument is sensible.
FORMULAS: dict[str, _Formula] = {
    "price of a FLOP": (_compute, lambda p, k, m: p / (3600 * k * m), ((-3, 3), (12, 16), (-4, 0))),
    "bill": (_bill, _exact_bill, ((-3, 3), (-4, 0), (3, 15), (0, 5), (0, 5))),
    "compute": (
        _flops,
        lambda q, r, w: mp.mpf(10) ** 9 * (6 * mp.mpf(10) ** 12 + 2 * q * (r + w)),
        ((3, 15), (0, 5), (0, 5)),
    ),
    "API": (_api, _exact_api, ((-1, 2), (-3, -1), (3, 15), (-3, 0))),
    "capital recovery": (capital_recovery, _exact_recovery, ((-20, 0), (-1, 1.5))),
    "sinking fund": (sinking_fund, _exact_fund, ((-20, 0), (-1, 1.5))),
    "discount": (_weight, lambda r, d: (1 + r) ** -((d + mp.mpf("11.5")) / 12), ((-20, 0), (-3, 2))),
    "price path": (_price, lambda p, c: p * (1 + c), ((-3, 3), (-9, 0))),
    "owned hour": (_owned, _exact_owned, ((3, 6), (-1, 1.5), (-12, 0), (-2, 1))),
    "currency": (_euro, lambda a, r: a * r, ((-3, 12), (-3, 5))),
    "downstream error": (_error, lambda e, k, g, loss: e - k * mp.exp(-g * loss), ((-1, 0), (-2, 1), (-2, 1), (-1, 1))),
    "repeated tokens": (_repeated, _exact_repeated, ((6, 14), (-2, 3), (6, 17))),
    "commitment": (_committed, _exact_committed, ((-2, 5), (-2, 5), (-2, 2), (-2, 2))),
}
# An error may lie below nothing: a weak map has it so.
_SIGNED = ("downstream error",)


def draw_formula(rng: random.Random) -> dict[str, Any]:
    """Draw a function and its arguments."""
    name = rng.choice(list(FORMULAS))
    odds = rng.choice((0.0, 0.2, 0.6))
    values = []
    for decades in FORMULAS[name][2]:
        odd = rng.choice(ODD) if rng.random() < 0.5 else positive(rng)
        values.append(odd if rng.random() < odds else 10.0 ** rng.uniform(*decades))
    return {"name": name, "values": values}


def judge_formula(name: str, values: Sequence[float]) -> Outcome:
    """Compare with the formula; what is not a number, or below zero, must not become a number that looks sound."""
    compute, formula, _ = FORMULAS[name]
    try:
        found = compute(*values)
    except InputError as error:
        must_say(error, values)
        return Outcome(STATUS)
    if any(math.isnan(value) for value in values):
        assert math.isnan(found), found
        return Outcome(STATUS)
    if not all(0.0 <= value < math.inf for value in values):
        return Outcome(STATUS)
    expected = formula(*(mp.mpf(value) for value in values))
    if name in _SIGNED:
        scale = mp.mpf(values[0]) + mp.mpf(values[1])
        assert not is_double(mp.log(scale)) or abs(mp.mpf(found) - expected) <= 1e-14 * scale * 40
        return Outcome(PLAN)
    assert found >= 0.0, found
    if expected <= _NEXT_TO_NOTHING or not is_double(mp.log(expected)):
        assert found <= 1e-280 or found > 1e300, found
        return Outcome(STATUS)
    error = float(abs(mp.mpf(found) / expected - 1)) if math.isfinite(found) else math.inf
    # On the way to it a number may have left the range of a double, or lost digits next to its end.
    if max(map(_decades, values)) > 150.0:
        assert error <= 1e-6 or not math.isfinite(found) or found < 1e-100, (found, expected)
        return Outcome(STATUS if error > 1e-12 else PLAN, error if error <= 1e-12 else None)
    assert error <= 1e-12, (found, mp.nstr(expected, 17), error)
    return Outcome(PLAN, error)


def _decades(value: float) -> float:
    return abs(math.log10(value)) if value > 0.0 else 0.0


ROOMS = (Room("costs and further laws", draw_formula, judge_formula),)
