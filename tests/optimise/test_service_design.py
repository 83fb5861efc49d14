"""Co-design from end to end: real chips, a forecast by month with peaks and floors, commitments, training."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from beyond_chinchilla.costs.commitment import Commitment
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.discounting import Discounting
from beyond_chinchilla.costs.fleet import Fleet
from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.costs.lifetime import lifetime_flops
from beyond_chinchilla.costs.load import LoadProfile
from beyond_chinchilla.costs.service import Service
from beyond_chinchilla.costs.serving import Replica
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise.choices import solve_choices
from beyond_chinchilla.optimise.direct import bill_of
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.locate import locate, verify
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import monomial

SARDANA = published("sardana-2024")
MONTHS = 36
REQUESTS = 40e6 * 1.05 ** np.arange(MONTHS)
INPUT, OUTPUT = 900.0, 220.0


def _fleet(scale: float = 1.0, committed: Commitment | None = None, floor: float = 0.0, gpus: int = 1) -> Fleet:
    requests = scale * REQUESTS
    return Fleet(
        prefill_tokens=0.8 * INPUT * requests,
        decode_tokens=0.8 * OUTPUT * requests,
        batch_prefill_tokens=0.2 * INPUT * requests,
        batch_decode_tokens=0.2 * OUTPUT * requests,
        profile=LoadProfile.from_peak_to_mean(2.5),
        price=np.full(MONTHS, 2.69),
        weights=Discounting(rate=0.1).weights(MONTHS),
        floor=max(floor, float(gpus)),
        replica_gpus=gpus,
        committed=committed,
    )


def _problem(
    chip: str = "h100-sxm", precision: str = "fp8", gpus: int = 1, milliseconds: float = 25.0, **fleet: object
) -> Problem:
    replica = Replica(chip=accelerator(chip), precision=precision, gpus=gpus, input_tokens=INPUT, output_tokens=OUTPUT)
    service = Service(use=replica, fleet=_fleet(gpus=gpus, **fleet))  # type: ignore[arg-type]
    memory = Limit(
        label="serving_hbm",
        side="max",
        quantity=replica.memory_used(),
        bound=replica.memory_available,
        unit="GB",
        each="GB",
    )
    latency = Limit(
        label="time_per_output_token",
        side="max",
        quantity=replica.time_per_output_token(),
        bound=milliseconds,
        unit="ms",
        each="ms",
    )
    training = monomial(
        "training", 6.0 * 2.69 / (3600 * 989e12 * 0.4), {"params": 1, "tokens": 1}, unit="USD",
        drivers=("training_price",),
    )  # fmt: skip
    tokens = float(REQUESTS.sum())
    return Problem(
        name="chat",
        law=SARDANA,
        target_loss=float(SARDANA.compute_optimal(params=30e9).loss),
        cost=training,
        nominal_cost=training,
        flops=lifetime_flops(Demand(prefill_tokens=INPUT * tokens, decode_tokens=OUTPUT * tokens)),
        limits=(memory, latency),
        relations=service.relations,
        bill=service,
    )


PROBLEMS = {
    "plain": _problem(),
    "floor": _problem(floor=12.0),
    "idle": _problem(scale=1e-3),
    "committed": _problem(committed=Commitment(price=1.7, gpus=10.0)),
    "share": _problem(committed=Commitment(price=1.7, share=0.6)),
    "pair": _problem(gpus=2, milliseconds=15.0),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_both_methods_agree_and_the_plan_is_proved(name: str) -> None:
    problem = PROBLEMS[name]
    assert max(verify(problem).values()) < 1e-6
    plan = solve(problem)
    assert plan.best is not None
    assert plan.best.breaks == ()
    assert max(plan.duality_gap, plan.kkt_residual) <= 1e-8
    assert problem.bill is not None
    point = {"params": plan.best.params, **plan.best.variables}
    paid = float(problem.cost.value({**point, "tokens": plan.best.tokens})) + sum(problem.bill.terms(point).values())
    assert plan.best.total == pytest.approx(paid + problem.bill.rounding(point), rel=1e-12)
    assert plan.savings_fraction < 1.0
    assert plan.serving is not None
    assert plan.serving["batch"] == pytest.approx(plan.best.variables["batch"], rel=1e-12)
    # Discounted at 10% a year
    assert plan.best.nominal_total is not None
    assert plan.best.nominal_total > plan.best.total - plan.best.terms.get("rounding", 0.0)


@pytest.mark.parametrize("name", ["plain", "floor", "committed", "share", "pair"])
def test_prices_and_elasticities_are_finite_differences(name: str) -> None:
    problem = PROBLEMS[name]
    plan = solve(problem)
    step = 1e-4

    def least(problem: Problem) -> float:
        found = locate(problem)
        return math.log(bill_of(problem, found.params, found.tokens, dict(found.variables)))

    for index, label in enumerate(("serving_hbm", "time_per_output_token")):
        ends = []
        for k in (1 + step, 1 - step):
            limits = list(problem.limits)
            limits[index] = replace(limits[index], bound=k * limits[index].bound)
            ends.append(least(replace(problem, limits=tuple(limits))))
        row = next(row for row in plan.limits if row.label == label)
        continuous = (plan.best.total - plan.best.terms.get("rounding", 0.0)) if plan.best else math.nan
        assert row.elasticity == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=5e-3, abs=5e-6)
        assert row.shadow_price == pytest.approx(-row.elasticity * continuous / row.bound, rel=1e-9, abs=1e-12)
    assert plan.best is not None
    total = plan.best.total - plan.best.terms.get("rounding", 0.0)
    service = problem.bill
    assert isinstance(service, Service)
    slopes = service.slopes({"params": plan.best.params, **plan.best.variables})
    assert plan.elasticities["serving_price"] == pytest.approx(slopes["serving_price"] / total, rel=1e-6)
    if name != "committed":
        assert plan.elasticities["demand"] == pytest.approx(slopes["demand"] / total, rel=1e-6)


def test_on_a_kink_demand_has_a_price_between_its_two_slopes() -> None:
    """The plan uses just what is committed: more demand is dearer than less demand is cheaper."""
    committed = Commitment(price=1.7, gpus=10.0)
    problem = PROBLEMS["committed"]
    plan = solve(problem)
    step = 1e-3
    ends = []
    for k in (1 + step, 1 - step):
        scaled = _problem(committed=committed, scale=k)
        found = locate(scaled)
        ends.append(math.log(bill_of(scaled, found.params, found.tokens, dict(found.variables))))
    assert plan.elasticities["demand"] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-2)


def test_chips_and_precisions_are_chosen_among() -> None:
    combinations = [
        (f"{chip} {precision} x {gpus}", _problem(chip, precision, gpus))
        for chip in ("h100-sxm", "h200-sxm")
        for precision in ("bf16", "fp8")
        for gpus in (1, 2, 4)
    ]
    plan = solve_choices(combinations, "chat")
    assert plan.best is not None
    assert plan.choice
    totals = [row.total for row in plan.choices if row.total is not None]
    assert totals == sorted(totals)
    assert len(plan.choices) == 12
    assert plan.best.total == totals[0]


def test_a_latency_out_of_reach_is_explained() -> None:
    plan = solve(_problem(milliseconds=0.2))
    assert plan.conflict is not None
    assert "time_per_output_token max" in plan.conflict.labels
