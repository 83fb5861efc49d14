"""Every bound of every number that the bill is made of: the edge itself, and the next double beyond it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from beyond_chinchilla.costs.api_price import ApiPrice
from beyond_chinchilla.costs.commitment import Commitment
from beyond_chinchilla.costs.currency import Currency
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.discounting import Discounting, check_months
from beyond_chinchilla.costs.efficiency import Efficiency
from beyond_chinchilla.costs.energy import Energy
from beyond_chinchilla.costs.fixed_use import FixedUse
from beyond_chinchilla.costs.fleet import Fleet
from beyond_chinchilla.costs.forecast import Forecast
from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.costs.kv_cache import KVCache
from beyond_chinchilla.costs.lifetime import HiredCompute
from beyond_chinchilla.costs.load import FLAT, LoadProfile
from beyond_chinchilla.costs.mixture import Mixture
from beyond_chinchilla.costs.months import check_life
from beyond_chinchilla.costs.ownership import Purchase, capex_of_chip, capital_recovery
from beyond_chinchilla.costs.price_path import PricePath
from beyond_chinchilla.costs.serving import Replica
from beyond_chinchilla.errors import InputError

H100 = accelerator("h100-sxm")


class Range(NamedTuple):
    """What a number may be: `open` names the ends that it may come near to and not touch."""

    make: Callable[[Any], object]
    low: float
    high: float
    open: str = ""


def replica(**changes: Any) -> Replica:
    return Replica(**({"chip": H100, "precision": "fp8", "input_tokens": 1000.0, "output_tokens": 500.0} | changes))


def fleet(**changes: Any) -> Fleet:
    year, none = np.ones(12), np.zeros(12)
    return Fleet(
        **(
            {"prefill_tokens": 9e10 * year, "decode_tokens": 2e10 * year, "batch_prefill_tokens": none}
            | {"batch_decode_tokens": none, "profile": FLAT, "price": 2.5 * year, "weights": year}
            | changes
        )
    )


def forecast(**changes: Any) -> Forecast:
    return Forecast(**({"requests": (1.0,), "input_tokens": (900.0,), "output_tokens": (220.0,)} | changes))


def growing(**changes: Any) -> Forecast:
    stated = {"growth_per_month": 0.05, "months": 3, "input_tokens": 900, "output_tokens": 220} | changes
    return Forecast.growing(stated.pop("start_requests", 40e6), **stated)


def purchase(**changes: Any) -> Purchase:
    return Purchase(**({"capex": 32000.0, "years": 4.0, "power_kw": 1.0} | changes))


HIRED = HiredCompute(price=2.0, peak=1e15)
RANGES = {
    **{
        f"efficiency.{name}": Range(lambda x, name=name: Efficiency(**{name: x}), 0.0, 1.0, "low")
        for name in ("prefill", "decode", "bandwidth", "memory", "experts", "link")
    },
    **{
        f"efficiency.{name}": Range(lambda x, name=name: Efficiency(**{name: x}), 0.0, math.inf, "high")
        for name in ("step_overhead", "reserve")
    },
    "api.batch_discount": Range(lambda x: ApiPrice(input=1.0, output=1.0, batch_discount=x), 0.0, 1.0, "high"),
    "api.batch_share": Range(lambda x: ApiPrice(input=1.0, output=1.0).cost(1.0, 0.0, 1.0, batch_share=x), 0.0, 1.0),
    "api.cached_input": Range(lambda x: ApiPrice(input=1.0, output=1.0, cached_input=x), 1e-4, 1.0),
    "api.input": Range(lambda x: ApiPrice(input=x, output=1.0), 1e-4, math.inf, "high"),
    "commitment.price": Range(lambda x: Commitment(price=x, gpus=8), 0.0, math.inf, "low high"),
    "commitment.gpus": Range(lambda x: Commitment(price=1.0, gpus=x), 0.0, math.inf, "low high"),
    "commitment.share": Range(lambda x: Commitment(price=1.0, share=x), 0.0, 10.0, "low"),
    "currency.per_usd": Range(
        lambda x: Currency(code="EUR", per_usd=x, date="2026-11-01", source="ECB"), 0.0, math.inf, "low high"
    ),
    "demand.prefill": Range(lambda x: Demand(prefill_tokens=x, decode_tokens=1.0), 0.0, math.inf, "high"),
    "demand.decode": Range(lambda x: Demand(prefill_tokens=1.0, decode_tokens=x), 0.0, math.inf, "high"),
    "discounting.rate": Range(lambda x: Discounting(rate=x), 0.0, 1.0),
    "discounting.delay": Range(lambda x: Discounting().weights(1, x), 0.0, math.inf, "high"),
    "discounting.spread": Range(lambda x: Discounting(rate=0.1).spread(x), 0.0, math.inf, "high"),
    "energy.pue": Range(lambda x: Energy(pue=x), 1.0, 5.0),
    "energy.grid": Range(lambda x: Energy(grid=x), 0.0, 2.0),
    "energy.power_per_gpu": Range(lambda x: Energy(power_per_gpu=x), 0.0, 20.0, "low"),
    **{
        f"fixed_use.{name}": Range(
            lambda x, name=name: FixedUse(
                **({"chip": H100, "precision": "fp8", "prefill_mfu": 0.5, "decode_mfu": 0.5} | {name: x})
            ),
            0.0, 1.0, "low",
        )
        for name in ("prefill_mfu", "decode_mfu")
    },
    "fleet.floor": Range(lambda x: fleet(floor=x), 0.0, math.inf, "high"),
    "fleet.fixed_percentile": Range(lambda x: fleet(fixed_percentile=x), 0.0, 1.0, "low"),
    "fleet.scaled": Range(lambda x: fleet().scaled(x), 0.0, math.inf, "low high"),
    "fleet.seconds": Range(lambda x: fleet().need(x, 1.0), 0.0, math.inf, "high"),
    "fleet.ceiling": Range(lambda x: fleet(ceiling=x), 0.0, math.inf, "low high"),
    "fleet.ceiling above the floor": Range(lambda x: fleet(ceiling=x, floor=16.0), 16.0, math.inf, "high"),
    "fleet.ceiling above what is committed": Range(
        lambda x: fleet(ceiling=x, floor=3.0, committed=Commitment(price=1.0, gpus=5.0)), 5.0, math.inf, "high"
    ),
    "fleet.available above the floor": Range(
        lambda x: fleet(available=np.append(np.full(11, 99.0), x), floor=16.0), 16.0, math.inf, "high"
    ),
    "fleet.available above what is committed": Range(
        lambda x: fleet(available=np.append(np.full(11, 99.0), x), committed=Commitment(price=1.0, gpus=5.0)),
        5.0, math.inf, "high",
    ),
    "fleet.available": Range(lambda x: fleet(available=np.full(12, x)), 0.0, math.inf, "low high"),
    "forecast.cached_share": Range(lambda x: forecast(cached_share=x), 0.0, 1.0),
    "forecast.batch_share": Range(lambda x: forecast(batch_share=x), 0.0, 1.0),
    "forecast.requests": Range(lambda x: forecast(requests=(1.0, x), input_tokens=(1.0, 1.0), output_tokens=(1.0, 1.0)),
                               0.0, math.inf, "high"),
    "forecast.input_tokens": Range(lambda x: forecast(input_tokens=(x,)), 0.0, math.inf, "high"),
    "forecast.output_tokens": Range(lambda x: forecast(output_tokens=(x,)), 0.0, math.inf, "high"),
    "forecast.scaled": Range(lambda x: forecast().scaled(x), 0.0, math.inf, "low high"),
    "forecast.reasoning": Range(lambda x: growing(reasoning_tokens=x), 0.0, math.inf, "high"),
    "forecast.growth": Range(lambda x: growing(growth_per_month=x), -1.0, math.inf, "low high"),
    "forecast.growth to a saturation": Range(
        lambda x: growing(growth_per_month=x, saturation=50e6), 0.0, math.inf, "high"
    ),
    "forecast.saturation": Range(lambda x: growing(saturation=x), 40e6, math.inf, "high"),
    "forecast.start": Range(lambda x: growing(start_requests=x), 0.0, math.inf, "low high"),
    "hired.price": Range(lambda x: HiredCompute(price=x, peak=1e15), 0.0, math.inf, "low high"),
    "hired.peak": Range(lambda x: HiredCompute(price=2.0, peak=x), 0.0, math.inf, "low high"),
    "hired.mfu": Range(HIRED.usd_per_flop, 0.0, 1.0, "low"),
    "kv.coefficient": Range(lambda x: KVCache(coefficient=x, power=0.5, name=""), 0.0, math.inf, "low high"),
    "kv.power": Range(lambda x: KVCache(coefficient=1.0, power=x, name=""), 0.0, 1.0),
    "load.percentile": Range(FLAT.percentile, 0.0, 1.0),
    "load.peak_to_mean": Range(LoadProfile.from_peak_to_mean, 1.0, 24.0),
    "load.hour": Range(lambda x: LoadProfile((1.0, x)), 0.0, math.inf, "high"),
    "mixture.total_per_active": Range(
        lambda x: Mixture(experts=8, active=2, total_per_active=x), 1.0, 4.0 * (1.0 + 1e-9), "low"
    ),
    "purchase.capex": Range(lambda x: purchase(capex=x), 0.0, 1e7, "low"),
    "purchase.years": Range(lambda x: purchase(years=x), 0.0, 50.0, "low"),
    "purchase.availability": Range(lambda x: purchase(availability=x), 0.0, 1.0, "low"),
    "purchase.salvage": Range(lambda x: purchase(salvage=x), 0.0, 32000.0),
    **{
        f"purchase.{name}": Range(lambda x, name=name: purchase(**{name: x}), low, high)
        for name, low, high in (
            ("rate", 0.0, 1.0), ("power_kw", 0.0, 100.0), ("draw", 0.0, 1.0), ("pue", 1.0, 5.0),
            ("electricity", 0.0, 10.0), ("colocation", 0.0, 1e5), ("opex", 0.0, 1e4),
        )
    },
    "purchase.recovery at a rate": Range(lambda x: capital_recovery(x, 4.0), 0.0, math.inf, "high"),
    "purchase.recovery in years": Range(lambda x: capital_recovery(0.1, x), 1e-9, math.inf, "high"),
    "purchase.chip": Range(capex_of_chip, 0.0, math.inf, "low high"),
    "purchase.server_factor": Range(lambda x: capex_of_chip(1.0, server_factor=x), 1.0, math.inf, "high"),
    "purchase.network_factor": Range(lambda x: capex_of_chip(1.0, network_factor=x), 1.0, math.inf, "high"),
    "price_path.price": Range(lambda x: PricePath(price=x), 0.0, math.inf, "low high"),
    "price_path.per_year": Range(lambda x: PricePath(price=1.0, per_year=x), -1.0, 10.0, "low"),
    "price_path.row": Range(lambda x: PricePath.table([("2027-01", x)]), 0.0, math.inf, "low high"),
    "replica.cached_share": Range(lambda x: replica(cached_share=x), 0.0, 1.0),
    "replica.input_tokens": Range(lambda x: replica(input_tokens=x), 1e-3, 1e9),
    "replica.output_tokens": Range(lambda x: replica(output_tokens=x), 1e-3, 1e9),
    "replica.context": Range(lambda x: replica(context=x), 1500.0, 2e9),
}  # fmt: skip


@pytest.mark.parametrize("name", RANGES)
def test_a_number_may_be_at_its_edge_and_not_beyond(name: str) -> None:
    make, low, high, ends = RANGES[name]
    for edge, beyond, is_open in ((low, -math.inf, "low" in ends), (high, math.inf, "high" in ends)):
        if is_open:
            with pytest.raises(InputError):
                make(edge)
        else:
            make(edge)
            with pytest.raises(InputError):
                make(float(np.nextafter(edge, beyond)))
    # Close to an open end there is no bound: tiny, or a little above.
    if "low" in ends:
        make(1e-9 if low == 0.0 else low + 1e-9)
    with pytest.raises(InputError):
        make(math.nan)


@pytest.mark.parametrize("months", [1, 600])
def test_months_at_their_edges(months: int) -> None:
    check_months(months)
    check_life(months)
    assert PricePath(price=2.0).prices(months).tolist() == [2.0] * months
    assert PricePath(price=2.0).prices(1, delay=600).tolist() == [2.0]
    assert len(Discounting().weights(months)) == months
    assert (
        forecast(requests=(1.0,) * months, input_tokens=(1.0,) * months, output_tokens=(1.0,) * months).months == months
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replica(gpus=0), "gpus per replica: 0 is not a whole number of at least 1"),
        (lambda: replica(gpus=1.5), "gpus per replica: 1.5 is not a whole number of at least 1"),
        (lambda: replica(gpus=True), "gpus per replica: True is not a whole number of at least 1"),
        (lambda: replica(gpus=math.inf), "gpus per replica: inf is not a whole number of at least 1"),
        (lambda: replica(input_tokens=0, output_tokens=0), "serving: a request has no tokens; give input_tokens or"),
        (lambda: replica(input_tokens=5e-4), "serving: input_tokens must be 0, or from 0.001 to 1e+09, not 0.0005"),
        (
            lambda: replica(context=1499.0),
            "serving: a context of 1499 tokens does not hold a mean request of 1500; give 1500 to 2e+09, or leave it",
        ),
        (lambda: replica(weights="fp3"), "no precision 'fp3'; did you mean"),
        (
            lambda: replica(chip=replace(H100, scale_up=None), gpus=2),
            "h100-sxm: the bandwidth between chips is not known; serve with 1 GPU per replica, or give scale_up",
        ),
        (
            # Nothing at all is left: 80 GB x 0.5 - 40 GB
            lambda: replica(efficiency=Efficiency(memory=0.5, reserve=40e9)),
            "h100-sxm: nothing is left of 80 GB: 50% of it may be used, of which the runtime keeps 40 GB; raise",
        ),
        (lambda: fleet(replica_gpus=0), "fleet: a replica has at least 1 GPU, not 0"),
        (
            lambda: fleet(price=np.ones((12, 1))),
            "fleet: price must have one value for each of 12 months, not shape (12",
        ),
        (
            lambda: fleet(floor=16.0, available=np.append(np.full(11, 99.0), 15.5)),
            "fleet: 15.5 GPUs can be had in one month, fewer than the 16 that are always on; lower the floor or the",
        ),
        (
            lambda: fleet(ceiling=4.0, committed=Commitment(price=1.0, gpus=5.0)),
            "fleet: ceiling of 4 GPUs is below the 5 that are always on; raise it, or lower the floor or the",
        ),
        (
            lambda: Mixture(experts=8, active=8, total_per_active=2.0),
            "mixture: 8 of 8 experts active leaves none idle; it is dense",
        ),
        (lambda: Mixture(experts=8, active=0, total_per_active=2.0), "mixture: active must be a whole number of at"),
        (lambda: Mixture(experts=2.5, active=1, total_per_active=2.0), "mixture: experts must be a whole number of"),
        (lambda: Mixture(experts=True, active=1, total_per_active=2.0), "mixture: experts must be a whole number of"),
        (
            lambda: Mixture(experts=8, active=2, total_per_active=4.5),
            "mixture: 4.5 parameters for each active one; 2 of 8 experts allow above 1 and at most 4",
        ),
        (lambda: Demand(prefill_tokens=0.0, decode_tokens=0.0), "demand: no tokens at all; without demand the"),
        (lambda: LoadProfile.from_peak_to_mean(1.0, 0), "load profile: 0 hours; give 24 for a day or 168 for a week"),
        (lambda: LoadProfile.from_peak_to_mean(1.0, 8785), "load profile: 8785 hours; give 24 for a day or 168 for"),
        (lambda: forecast().from_month(1), "forecast: launched after month 1 of 1, nothing is left to serve"),
        (lambda: forecast().from_month(-1), "forecast: launched after month -1 of 1, nothing is left to serve"),
        (
            lambda: purchase(power_kw=0.0, electricity=0.1),
            "purchase: electricity and colocation are paid per kW; give the power, such as 1.3 kW for an H100",
        ),
        (lambda: purchase(power_kw=0.0, colocation=0.1), "purchase: electricity and colocation are paid per kW; give"),
    ],
)
def test_what_is_refused_says_so(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_is_left_where_nothing_is_said() -> None:
    made = fleet()
    assert (made.floor, made.ceiling, made.available, made.fixed_percentile) == (0.0, None, None, None)
    assert (made.committed, made.batch_price, made.replica_gpus, made.months) == (None, None, 1, 12)
    serving = replica()
    assert (serving.gpus, serving.context, serving.cached_share, serving.mixture) == (1, None, 0.0, None)
    assert (serving.touching, serving.weights, serving.depth, dict(serving.held)) == ((1.0, 0.0), None, None, {})
    assert replica(gpus=2.0).gpus == 2
    assert replica(input_tokens=0).mean_context == 250.0
    # Infinite is no share, and yet chips may talk for nothing: then their link need not be known.
    assert Efficiency(link=math.inf).link == math.inf
    alone = replica(chip=replace(H100, scale_up=None), gpus=2, efficiency=Efficiency(link=math.inf))
    assert len(alone.prefill_seconds().terms) == 2
    bought = Purchase(capex=1.0, years=1.0)
    assert (bought.rate, bought.salvage, bought.availability, bought.power_kw, bought.draw) == (0.0, 0.0, 1.0, 0.0, 1.0)
    assert (bought.pue, bought.electricity, bought.colocation, bought.opex) == (1.0, 0.0, 0.0, 0.0)
    assert (Energy().pue, Energy().grid, Energy().power_per_gpu) == (1.25, None, None)
    assert (Discounting().rate, Discounting().timing) == (0.0, "mid")
    assert (forecast().cached_share, forecast().batch_share, forecast().start) == (0.0, 0.0, None)
    api = ApiPrice(input=1.0, output=1.0)
    assert (api.cached_input, api.batch_discount, api.name) == (None, 0.0, "API")
    assert Efficiency() == Efficiency(
        prefill=0.54,
        decode=0.34,
        bandwidth=0.60,
        memory=0.90,
        experts=0.38,
        link=0.80,
        step_overhead=0.0,
        reserve=3.5e9,
    )


def test_many_at_once_are_refused_for_one() -> None:
    with pytest.raises(InputError, match="demand: decode_tokens must be >= 0 and finite"):
        Demand(prefill_tokens=np.ones(2), decode_tokens=np.array([1.0, -1.0]))
    with pytest.raises(InputError, match="demand: no tokens at all"):
        Demand(prefill_tokens=np.array([1.0, 0.0]), decode_tokens=np.zeros(2))
    with pytest.raises(InputError, match="price must be > 0 USD/hour and finite"):
        HiredCompute(price=np.array([1.0, 0.0]), peak=1e15)
    with pytest.raises(InputError, match=r"a utilisation \(MFU\) must be above 0 and at most 1"):
        HIRED.usd_per_flop(np.array([0.5, 1.5]))
