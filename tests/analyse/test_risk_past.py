"""Committing to a size under laws past Chinchilla: figures recomputed from the papers' formulas, and what is held."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.risk.assess import assess
from beyond_chinchilla.analyse.risk.cvar import verify_risk
from beyond_chinchilla.analyse.risk.sampling import draw_nets
from beyond_chinchilla.analyse.risk.worlds import LifeWorlds, worlds_of
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.uncertainty import Draws

SAMPLES = 500
CERTAIN = Draws(count=1, values={}, law=None)
BASE: dict[str, Any] = {
    "law": "besiroglu-2024",
    "target": {"chinchilla": 30e9},
    "demand": {"requests": {"median": 1e9, "p90": 4e9}, "input_tokens": 70.0, "output_tokens": 215.0},
    "training": {"hardware": "h100-sxm", "precision": "bf16", "price": 2.0, "mfu": 0.4},
    "serving": {"hardware": "b200-sxm", "precision": "fp4", "price": 4.0, "prefill_mfu": 0.5, "decode_mfu": 0.02},
}
DATA: dict[str, Any] = {**BASE, "data": {"unique_tokens": 1.2e11}}
BITS: dict[str, Any] = {**BASE, "quantisation": "kumar-2024"}
CHOICE: dict[str, Any] = {**BITS, "serving": {**BASE["serving"], "precision": ["fp8", "fp4"]}}
SCORES = {"E": 0.1, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283, "name": "scores"}
THINKING: dict[str, Any] = {**BASE, "law": SCORES, "thinking": {"G": 0.3, "g": 0.4, "samples": {"max": 64}}}
SHAPE: dict[str, Any] = {
    **BASE,
    "shape": {"law": "bian-2025", "aspect": {"min": 64, "max": 256}},
    "serving": {**BASE["serving"], "layer_time": "20 us"},
    "limits": {"time_per_output_token": {"max": 8.0}},
}


def scenario(tree: dict[str, Any], **changes: Any) -> Scenario:
    return Scenario.from_dict({"name": "case", **tree, **changes})


def plan_of(stated: Scenario) -> Plan:
    plan = bc.solve(stated)
    assert plan.best is not None
    return plan


# Limited data, by hand


def cheapest_tokens(law: dict[str, float], U: float, R_D: float, R_N: float, N: float, loss: float) -> float:
    """Return the tokens with which N parameters reach a loss: Muennighoff et al. 2023, Eqs. 5 and 6, solved for D."""
    E, A, alpha, B, beta = (law[key] for key in ("E", "A", "alpha", "B", "beta"))
    G = (alpha * A / (beta * B)) ** (1.0 / (alpha + beta))
    U_N = G ** ((alpha + beta) / alpha) * U ** (beta / alpha)
    worth = N if N <= U_N else U_N + U_N * R_N * (1.0 - math.exp(-(N / U_N - 1.0) / R_N))
    left = loss - E - A * worth**-alpha
    if left <= 0.0:
        return math.inf
    new = (B / left) ** (1.0 / beta)
    if new <= U:
        return new
    spent = (new / U - 1.0) / R_D
    return math.inf if spent >= 1.0 else U * (1.0 - R_D * math.log(1.0 - spent))


def test_mean_cvar_and_failures_are_those_of_a_plain_loop() -> None:
    stated = scenario(DATA)
    plan = plan_of(stated)
    found = assess(stated, plan, samples=SAMPLES, seed=3, points=0)
    uncertainty = stated.uncertainty
    drawn = uncertainty.draw(draw_nets(SAMPLES, uncertainty.dimensions, seed=3).points)
    assert drawn.law is not None
    requests = drawn.values["demand", "requests"]
    assert plan.best is not None
    # USD for each parameter and token of training, and for each parameter and request.
    terms, N, D = plan.best.terms, plan.best.params, plan.best.tokens
    a, b = terms["training"] / (N * D), (terms["prefill"] + terms["decode"]) / (N * 1e9)
    budget = 10.0 * plan.best.tokens
    for chosen in found.plans:
        N, totals, failed = chosen.params, [], 0
        for k in range(SAMPLES):
            law = {key: float(getattr(drawn.law, key)[k]) for key in ("E", "A", "alpha", "B", "beta")}
            D = cheapest_tokens(law, 1.2e11, 15.387756, 5.309743, N, plan.target_loss)
            failed += int(budget < D)
            totals.append(N * (a * min(D, budget) + b * requests[k]))
        ordered = sorted(totals)
        assert chosen.mean == pytest.approx(sum(totals) / SAMPLES, rel=1e-9)
        assert chosen.cvar == pytest.approx(sum(ordered[-50:]) / 50.0, rel=1e-9)
        assert chosen.failure == pytest.approx(failed / SAMPLES, abs=1e-12)
    # It matters: some sizes fail because passes without end are not worth enough.
    assert max(chosen.failure for chosen in found.plans) > 0.02
    assert found.plans[0].params > plan_of(scenario(BASE)).best.params  # type: ignore[union-attr]


def test_data_that_nobody_is_sure_of_is_drawn() -> None:
    stated = scenario(DATA)
    plan = plan_of(stated)
    amounts = np.array([1e11, 1.2e11, 3e11, 6e11])
    worlds = worlds_of(stated, plan, Draws(count=4, values={("data", "unique_tokens"): amounts}, law=None))
    assert plan.best is not None
    bills = worlds.bills([plan.best.params])
    assert np.all(np.diff(bills.tokens[:, 0]) < 0.0)
    known = worlds.foresight()
    assert np.all(np.diff(known.total) <= 0.0)
    assert known.total[1] == pytest.approx(plan.best.total, rel=1e-9)


# Quantisation


def test_rounded_weights_are_counted_in_each_world() -> None:
    stated = scenario(BITS)
    plan = plan_of(stated)
    assert plan.best is not None
    worlds = worlds_of(stated, plan, CERTAIN)
    bills = worlds.bills([plan.best.params, 1.2 * plan.best.params])
    D = bills.tokens[0, 0]
    assert pytest.approx(plan.best.tokens, rel=1e-9) == D
    assert isinstance(worlds, LifeWorlds)
    law, bits = worlds.block.law, worlds.block.quantisation
    assert bits is not None
    penalty = 0.0598 * D**0.5068 * plan.best.params**-0.3439 * math.exp(-4.0 / 0.5907)
    assert float(law.loss(plan.best.params, D)) + penalty == pytest.approx(plan.target_loss, rel=1e-9)
    # The smallest size that can be served in so few bits at all lies above that of the plain law.
    sizes = np.geomspace(0.2, 1.0, 60) * plan.best.params
    plain = worlds_of(scenario(BASE), plan_of(scenario(BASE)), CERTAIN)
    lost, kept = worlds.bills(sizes).missed[0], ~plain.bills(sizes).missed[0]
    assert (lost & kept).sum() > 3
    assert not (plain.bills(sizes).missed[0] & ~lost).any()


# What is held


@pytest.mark.own_step
def test_the_precision_that_the_plan_chose_is_held() -> None:
    stated = scenario(CHOICE)
    plan = plan_of(stated)
    assert plan.choice in ("fp8", "fp4")
    worlds = worlds_of(stated, plan, CERTAIN)
    assert worlds.notes == (f"{plan.choice}, held as the plan chose",)
    alone = stated.chosen(plan.choice)
    assert plan.best is not None
    assert worlds.foresight().total.tolist() == pytest.approx([plan.best.total], rel=1e-9)
    found = assess(stated, plan, samples=200, points=0)
    assert found.plans == assess(alone, plan_of(alone), samples=200, points=0).plans


@pytest.mark.parametrize(("tree", "said"), [(THINKING, "samples per request"), (SHAPE, "width over layers")])
def test_numbers_that_a_law_brings_along_are_held_as_the_plan_chose(tree: dict[str, Any], said: str) -> None:
    stated = scenario(tree)
    plan = plan_of(stated)
    assert plan.best is not None
    worlds = worlds_of(stated, plan, CERTAIN)
    (note,) = worlds.notes
    assert said in note
    known = worlds.foresight()
    assert known.total.tolist() == pytest.approx([plan.best.total], rel=1e-7)
    assert known.baseline_total.tolist() == pytest.approx([plan.baseline.total], rel=1e-9)
    bills = worlds.bills([plan.best.params])
    assert bills.tokens[0, 0] == pytest.approx(plan.best.tokens, rel=1e-6)
    # With another demand the same samples are drawn, which is dearer than to choose anew, and never cheaper.
    tenfold = worlds_of(stated, plan, Draws(count=1, values={("demand", "requests"): np.array([1e10])}, law=None))
    anew = bc.solve(scenario(tree, demand={**BASE["demand"], "requests": 1e10}))
    assert anew.best is not None
    assert tenfold.foresight().total[0] >= anew.best.total * (1.0 - 1e-9)


# By month

MONTHLY = {
    "requests_per_month": {"median": 5e8, "p90": 1e9},
    "months": 12,
    "input_tokens": 500.0,
    "output_tokens": 300.0,
}


@pytest.mark.parametrize("law", ["data", "bits", "experts"])
def test_by_month_without_uncertainty_the_figures_are_the_plan_s(law: str) -> None:
    serving = {"hardware": "b200-sxm", "precision": "fp4", "price": 4.0, "gpus_per_replica": 1}
    if law == "experts":
        serving["gpus_per_replica"] = 8
    more: dict[str, Any] = {
        "data": {"data": {"unique_tokens": 6e11}},
        "bits": {"quantisation": "kumar-2024"},
        "experts": {"experts": [1, 8], "law": "ludziejewski-2025"},
    }[law]
    stated = scenario({**BASE, "demand": MONTHLY, "serving": serving, **more})
    plan = plan_of(stated)
    assert plan.best is not None
    worlds = worlds_of(stated, plan, CERTAIN)
    unrounded = plan.best.total - plan.best.terms.get("rounding", 0.0)
    known = worlds.foresight()
    assert known.params.tolist() == pytest.approx([plan.best.params], rel=1e-4)
    assert known.total.tolist() == pytest.approx([unrounded], rel=1e-8)
    bills = worlds.bills([plan.best.params])
    assert bills.total[0].tolist() == pytest.approx([unrounded], rel=1e-6)
    assert bills.tokens[0].tolist() == pytest.approx([plan.best.tokens], rel=1e-6)
    if law == "experts":
        assert any("expert" in note for note in worlds.notes)


# What is refused


def test_the_program_of_the_cvar_says_what_it_does_not_know() -> None:
    stated = scenario({**DATA, **BITS})
    with pytest.raises(InputError, match="does not know data and quantisation; leave --verify or --risk out"):
        verify_risk(stated, plan_of(stated), samples=100)


def test_a_law_of_experts_is_not_drawn() -> None:
    stated = scenario(BASE, law="ludziejewski-2025", experts=8)
    plan = plan_of(stated)
    with pytest.raises(InputError, match="nobody knows how sure the law of experts is"):
        worlds_of(stated, plan, Draws(count=1, values={}, law=LawBatch.of([bc.law("besiroglu-2024")])))
