"""What a scenario may serve with: one service for each chip, precision and replica, from a launch on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from beyond_chinchilla.costs.discounting import Discounting
from beyond_chinchilla.costs.efficiency import Efficiency
from beyond_chinchilla.costs.fleet import Fleet
from beyond_chinchilla.costs.forecast import Forecast
from beyond_chinchilla.costs.hardware import Accelerator
from beyond_chinchilla.costs.kv_cache import DEFAULT_FAMILY, KVCache, kv_constant, kv_family, kv_of_shape
from beyond_chinchilla.costs.mixture import Mixture
from beyond_chinchilla.costs.months import months_between, months_from
from beyond_chinchilla.costs.service import Service
from beyond_chinchilla.costs.serving import FixedUse, Replica
from beyond_chinchilla.costs.shortfall import explain_latency, explain_memory
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.compute import KVCache as StatedCache
from beyond_chinchilla.scenario.compute import Serving
from beyond_chinchilla.scenario.demand import Demand
from beyond_chinchilla.scenario.limits import Limits
from beyond_chinchilla.scenario.past.shape import depth_of
from beyond_chinchilla.scenario.prices import price_path
from beyond_chinchilla.scenario.supply import Capacity

_MILLISECONDS = 1e3


@dataclass(frozen=True, kw_only=True)
class Launch:
    """When serving begins.

    Attributes
    ----------
    training_months : int
        Whole months of training; 0 where its duration is not known.
    delay : int
        Months from the start of training to the first month that is served.
    lost : int
        Months of demand that have passed by then.
    today : str or None
        Calendar month in which training starts.
    first : str or None
        Calendar month of the first month that is served.
    """

    training_months: int
    delay: int
    lost: int
    today: str | None
    first: str | None


def launch_after(training_months: int, *, training_start: str | None, demand_start: str | None) -> Launch:
    """Return the launch of a model that trains for so many whole months.

    With both calendar months, demand that comes before the model is ready is lost, and a model that is ready early
    waits. Otherwise demand begins with the launch.

    >>> late = launch_after(5, training_start="2027-01", demand_start="2027-03")
    >>> late.delay, late.lost, late.first
    (5, 3, '2027-06')
    """
    if training_start is None or demand_start is None:
        first = demand_start
        if training_start is not None:
            first = months_from(training_start, training_months + 1)[-1]
        return Launch(training_months=training_months, delay=training_months, lost=0, today=training_start, first=first)
    gap = months_between(training_start, demand_start)
    delay = max(gap, training_months)
    return Launch(
        training_months=training_months,
        delay=delay,
        lost=delay - gap,
        today=training_start,
        first=months_from(training_start, delay + 1)[-1],
    )


def kv_cache_of(stated: str | StatedCache | None) -> KVCache:
    """Return the cache that a scenario names, states or leaves to the default family."""
    if stated is None or isinstance(stated, str):
        return kv_family(stated or DEFAULT_FAMILY)
    if stated.bytes_per_token is not None:
        return kv_constant(stated.bytes_per_token)
    assert stated.layers is not None
    assert stated.kv_heads is not None
    assert stated.head_size is not None
    return kv_of_shape(stated.layers, stated.kv_heads, stated.head_size)


def uses(
    serving: Serving,
    forecast: Forecast,
    notes: list[str],
    *,
    held: Mapping[str, float] | None = None,
    mixture: Mixture | None = None,
) -> tuple[Replica | FixedUse, ...]:
    """Return every way to serve that the scenario allows; what a chip cannot do is left out and noted.

    `held` has what a replica must know of the plan beforehand, see `Replica.hold`; `mixture` which parameters rest.

    Raises
    ------
    InputError
        None is left, or a cache, context or efficiency that cannot be.
    """
    if serving.prefill_mfu is not None and serving.decode_mfu is not None:
        (chip,), (precision,) = serving.chips, serving.precisions
        utilisation = {"prefill_mfu": serving.prefill_mfu, "decode_mfu": serving.decode_mfu}
        return (FixedUse(chip=chip, precision=precision, **utilisation),)
    cache = kv_cache_of(serving.kv_cache)
    efficiency = Efficiency(**(serving.efficiency.model_dump(exclude_none=True) if serving.efficiency else {}))
    found: list[Replica] = []
    refused: list[str] = []
    for chip in serving.chips:
        for precision in serving.precisions:
            if precision not in chip.peak:
                notes.append(f"{chip.name} has no {precision} peak: left out")
                continue
            for gpus in serving.replica_sizes:
                try:
                    replica = Replica(
                        chip=chip,
                        precision=precision,
                        gpus=gpus,
                        input_tokens=forecast.mean_input,
                        output_tokens=forecast.mean_output,
                        kv=cache,
                        efficiency=efficiency,
                        context=serving.context,
                        cached_share=forecast.cached_share,
                        mixture=mixture,
                        depth=depth_of(serving),
                        held=held or {},
                    )
                except InputError as error:
                    refused.append(str(error))
                else:
                    found.append(replica)
    if not found:
        raise InputError("\n".join(dict.fromkeys(refused)))
    if cache.error is not None:
        least, most = cache.error
        notes.append(
            f"KV cache of family {cache.name}: {cache.coefficient:.3g} N^{cache.power:.2f} bytes a token at 2-byte "
            f"values; its models take {least:.2f}x to {most:.2f}x of that"
        )
    notes += dict.fromkeys(refused)
    return tuple(found)


def able(
    every: tuple[Replica | FixedUse, ...], limits: Limits | None, least_params: float
) -> tuple[Replica | FixedUse, ...]:
    """Return the ways to serve, those first that hold the smallest model of the target quality and are in time.

    Raises
    ------
    InputError
        There are none of those: one line that says what would do.
    """
    stated = None if limits is None else limits.time_per_output_token
    replicas = [use for use in every if isinstance(use, Replica)]
    holding = [use for use in replicas if float(use.largest_batch(least_params)) >= 1.0]
    fast = [
        use for use in holding if stated is None or float(use.fastest_step(least_params)) * _MILLISECONDS <= stated.max
    ]
    if fast or not replicas:
        return (*fast, *(use for use in every if use not in fast))
    if holding and stated is not None:
        fastest = min(holding, key=lambda use: float(use.fastest_step(least_params)))
        raise InputError(f"limits.time_per_output_token: {explain_latency(fastest, least_params, stated.max)}")
    largest = max(replicas, key=lambda use: use.memory_available)
    raise InputError(f"serving: {explain_memory(largest, least_params)}")


def service_of(
    use: Replica | FixedUse,
    serving: Serving,
    demand: Demand,
    forecast: Forecast,
    *,
    launch: Launch,
    discounting: Discounting,
    notes: list[str],
    capacity: Capacity | None = None,
) -> Service:
    """Return one way to serve with the fleet that pays for it, from the launch on.

    Raises
    ------
    InputError
        Nothing is left to serve, a price path without a price for a month, or a fleet that cannot be.
    """
    served = forecast.from_month(launch.lost)
    months = served.months
    interactive = 1.0 - served.batch_share
    prefill, decode = served.prefill_tokens, served.decode_tokens
    rule = serving.fleet
    fleet = Fleet(
        prefill_tokens=interactive * prefill,
        decode_tokens=interactive * decode,
        batch_prefill_tokens=served.batch_share * prefill,
        batch_decode_tokens=served.batch_share * decode,
        profile=demand.profile(),
        price=_prices(serving, use.chip, launch, months, notes),
        weights=discounting.weights(months, launch.delay),
        floor=_floor(use, None if rule is None else rule.floor, interactive),
        ceiling=None if rule is None or rule.ceiling is None else float(rule.ceiling),
        available=None if capacity is None else capacity.available(months, launch.first),
        fixed_percentile=None if rule is None else rule.fixed,
        committed=None if serving.commitment is None else serving.commitment.build(),
        batch_price=None if serving.batch_price is None else np.full(months, serving.batch_price),
        replica_gpus=use.gpus,
    )
    return Service(use=use, fleet=fleet)


def _prices(serving: Serving, chip: Accelerator, launch: Launch, months: int, notes: list[str]) -> np.ndarray:
    """Return the price of each month that is served [USD/GPU-hour]; a change a year counts from today."""
    path = price_path("serving", serving, chip, notes)
    dated = bool(path.rows)
    return path.prices(months, launch.first, 0 if dated else launch.delay)


def _floor(use: Replica | FixedUse, stated: int | None, interactive: float) -> float:
    """Return the GPUs that are always on: whole replicas, and one at least for who may ask at any hour.

    A fixed utilisation is the paper's bill by the token, without replicas: nothing is on but what is asked for.
    """
    if isinstance(use, FixedUse):
        return float(stated or 0)
    least = use.gpus if interactive > 0 else 0
    return float(max(-(-(stated or 0) // use.gpus) * use.gpus, least))
