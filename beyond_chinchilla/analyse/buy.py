"""Buying instead of building: somebody's API, or an open model at its serving cost alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from beyond_chinchilla.analyse.deployment import Deployment, deploy
from beyond_chinchilla.costs.models import ReferenceModel, reference_model
from beyond_chinchilla.costs.service import Service
from beyond_chinchilla.costs.serving import MILLISECONDS, Replica
from beyond_chinchilla.errors import InfeasibleError, InputError
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.load import Scenario

# Between them lies whatever demand a scenario can mean.
LEAST_FACTOR, MOST_FACTOR = 1e-3, 1e6
# Factors that differ by less are one; a plan's rounding to whole replicas blurs them more.
_CLOSE = 1e-3
_STEPS = 12
_HALVINGS = 60


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What the months that the plan serves cost elsewhere.

    Attributes
    ----------
    name : str
        Whose API, or which model.
    kind : {"api", "model"}
    terms : mapping of str to float
        By label, present value [USD].
    params : float or None
        Of the open model.
    choice : str
        What the open model is served on; empty for an API.
    """

    name: str
    kind: str
    terms: Mapping[str, float]
    params: float | None = None
    choice: str = ""

    @property
    def total(self) -> float:
        """Present value [USD]."""
        return math.fsum(self.terms.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the offer as JSON holds it."""
        record: dict[str, Any] = {"name": self.name, "kind": self.kind, "total": self.total, "terms": dict(self.terms)}
        if self.kind == "model":
            record |= {"params": self.params, "choice": self.choice}
        return record


def offer(deployment: Deployment, factor: float = 1.0) -> Offer:
    """Return what it costs to buy what a plan would serve, in the same months.

    Parameters
    ----------
    deployment : Deployment
    factor : float
        Times the demand of the scenario, > 0.

    Raises
    ------
    InputError
        The scenario states nothing to buy, or a mixture of experts.
    InfeasibleError
        A model that no fleet of the scenario can serve.
    """
    return _pricing(deployment, bounded=True)(factor)


def _pricing(deployment: Deployment, *, bounded: bool) -> Callable[[float], Offer]:
    """Return what prices an offer at a factor of demand; not `bounded`, as if there were GPUs for any."""
    scenario = deployment.scenario
    stated = scenario.file.buy
    if stated is None:
        raise InputError(f"{scenario.name}: nothing to buy; give buy: {{input: 0.60 USD, output: 2.40 USD}}")
    if stated.model is not None:
        return _open_model(deployment, stated.model, bounded=bounded)
    prices = scenario.api_price()
    assert prices is not None
    served = deployment.forecast
    bill = prices.cost(
        served.prefill_tokens, served.cached_tokens, served.decode_tokens, batch_share=served.batch_share
    )
    weights = deployment.service.fleet.weights
    once = {label: float(weights @ usd) for label, usd in bill.items()}

    def at(factor: float) -> Offer:
        terms = {label: factor * usd for label, usd in once.items() if usd > 0}
        return Offer(name=prices.name, kind="api", terms=terms)

    return at


def break_even(scenario: Scenario, plan: Plan | None = None) -> float | None:
    """Return the demand, relative to the scenario's, from which building costs no more than buying.

    Of any fixed model, training and floors are spread over more tokens as demand grows, so that its bill over that
    of buying falls; and so does the least of them, the plan's. Dinkelbach's iteration (1967) follows it down: find
    where the model of the last plan breaks even, solve again there, until nothing moves. A commitment to a number of
    GPUs, or a fleet of few replicas, may bend the line: the demand that is found breaks even, a smaller one may too.

    Parameters
    ----------
    scenario : Scenario
        With demand by month, and something to buy.
    plan : Plan, optional
        Of this scenario, if it is known.

    Returns
    -------
    float or None
        `LEAST_FACTOR` where building is cheaper even there; None where it is at no demand up to `MOST_FACTOR`, or
        the scenario's limits allow no plan that large.
    """
    plan = solve(scenario) if plan is None else plan
    factor = None if plan.best is None else _own_break_even(deploy(scenario, plan), 1.0)
    if factor is None:
        # Another model may do at a demand so large that serving is all that counts.
        factor = _solved_break_even(scenario, MOST_FACTOR)
    for _ in range(_STEPS):
        if factor is None or factor <= LEAST_FACTOR:
            break
        nearer = _solved_break_even(scenario, factor)
        if nearer is None:
            return None
        if nearer >= factor * (1.0 - _CLOSE):
            break
        factor = nearer
    return factor


def _solved_break_even(scenario: Scenario, factor: float) -> float | None:
    """Return the demand at which the plan for a demand breaks even; None where there is no such plan or demand."""
    scaled = scenario.scaled(factor)
    try:
        plan = solve(scaled)
    except InputError:
        # Training that takes longer than there is demand, say.
        return None
    return None if plan.best is None else _own_break_even(deploy(scaled, plan), factor)


def _own_break_even(deployment: Deployment, at: float) -> float | None:
    """Return the demand at which a plan's model breaks even; `at` is the one that it was made for."""
    trained = sum(deployment.best.terms.values()) - deployment.service.rounded(deployment.point)
    bought = _totals(deployment)

    def wins(factor: float) -> bool:
        built = trained + deployment.service.scaled(factor / at).rounded(deployment.point)
        return all(built <= total(factor / at) for total in bought)

    return _least(wins, LEAST_FACTOR, MOST_FACTOR)


def _least(holds: Callable[[float], bool], low: float, high: float) -> float | None:
    """Return the least number from which something holds, by bisection in its log; None where it never does."""
    if not holds(high):
        return None
    if holds(low):
        return low
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
        if high <= low * (1.0 + 0.01 * _CLOSE):
            break
    return high


def _totals(deployment: Deployment) -> list[Callable[[float], float]]:
    """Return what gives the bill of each way to buy at a factor of demand [USD], as if there were GPUs for any.

    The least of them is what buying costs; whether building costs no more is often told by the first of them.
    """
    stated = deployment.scenario.file.buy
    if stated is None or stated.model is None:
        price = _pricing(deployment, bounded=False)
        return [lambda factor: price(factor).total]

    def total(way: tuple[Service, Mapping[str, float]], factor: float) -> float:
        return way[0].scaled(factor).rounded(way[1])

    model = _dense(stated.model)
    ways = sorted(_ways(deployment, model), key=lambda way: way[0].rounded(way[1]))
    if not ways:
        raise _unserved(model)
    return [partial(total, way) for way in ways]


def _open_model(deployment: Deployment, name: str, *, bounded: bool) -> Callable[[float], Offer]:
    """Return what prices an open model on the cheapest of the scenario's fleets that serves it within the limits."""
    model = _dense(name)
    ways = _ways(deployment, model)

    def at(factor: float) -> Offer:
        bills: list[tuple[float, str, dict[str, float]]] = []
        for fleet, point in ways:
            service = fleet.scaled(factor)
            if bounded and not _enough_gpus(deployment, service, point):
                continue
            terms = service.terms(point)
            rounding = service.rounding(point)
            terms |= {"rounding": rounding} if rounding > 0 else {}
            bills.append((math.fsum(terms.values()), service.use.label, terms))
        if not bills:
            raise _unserved(model)
        _, label, terms = min(bills, key=lambda bill: bill[0])
        return Offer(name=name, kind="model", terms=terms, params=model.params, choice=label)

    return at


def _dense(name: str) -> ReferenceModel:
    model = reference_model(name)
    if model.active_params is not None:
        raise InputError(f"buy.model: {name} is a mixture of experts, whose serving is not modelled; name a dense one")
    return model


def _ways(deployment: Deployment, model: ReferenceModel) -> list[tuple[Service, dict[str, float]]]:
    """Return the fleets of the scenario that can run an open model, and how each does; demand does not change that."""
    # It is dense, and answers once.
    file = deployment.monthly.file.model_copy(update={"experts": None, "thinking": None})
    monthly, month = replace(deployment.monthly, file=file), deployment.launch_month
    services = [monthly.service(use.hold(deployment.chosen), month, []) for use in monthly.uses]
    points = [_operation(deployment, service, model.params) for service in services]
    return [(service, point) for service, point in zip(services, points, strict=True) if point is not None]


def _unserved(model: ReferenceModel) -> InfeasibleError:
    return InfeasibleError(
        f"buy.model: no fleet of this scenario serves {model.name} ({model.params / 1e9:.3g}B params) within the "
        "limits; allow more GPUs per replica, or a slower token"
    )


def _operation(deployment: Deployment, service: Service, params: float) -> dict[str, float] | None:
    """Return how a service runs a model at its cheapest within the limits; None where it cannot."""
    use, limits = service.use, deployment.scenario.file.limits
    point = {"params": params}
    if isinstance(use, Replica):
        longest = math.inf
        if limits is not None and limits.time_per_output_token is not None:
            longest = limits.time_per_output_token.max / MILLISECONDS
        if limits is not None and limits.time_to_first_token is not None:
            prompt = float(use.time_to_first_token().value({"params": params, "step_time": 0.0}))
            longest = min(longest, (limits.time_to_first_token.max - prompt) / MILLISECONDS)
        batch = float(use.best_batch(params, longest))
        if batch < 1.0:
            return None
        point |= use.settle(params, batch)
    return point


def _enough_gpus(deployment: Deployment, service: Service, point: Mapping[str, float]) -> bool:
    """Say whether the busiest hour keeps the scenario's limits."""
    limits = deployment.scenario.file.limits
    peaks, most = service.bounded_peaks(None if limits is None or limits.gpus is None else limits.gpus.max)
    return all(float(peak.value(point)) <= most for peak in peaks)
