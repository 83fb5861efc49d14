"""What other published laws say of the same question."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from strategies import limit

from beyond_chinchilla.analyse.disagreement import Opinion, equivalent_size, other_laws
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import lifetime_flops
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import monomial


def _problem(name: str, size: float = 13e9) -> Problem:
    law = published(name)
    flops = lifetime_flops(Demand(prefill_tokens=2e12, decode_tokens=0.0))
    target = float(law.compute_optimal(params=law.counted_params(size)).loss)
    return Problem(law=law, target_loss=target, cost=flops, flops=flops)


def _of(opinions: list[Opinion], name: str) -> Opinion:
    (found,) = [opinion for opinion in opinions if opinion.law == name]
    return found


def test_the_laws_disagree_about_the_first_worked_case() -> None:
    # 13B quality and 2T tokens, in FLOPs: 6.97B after Sardana et al. 2024, 6.1B with the constants of Besiroglu et al.
    ours = solve(_problem("sardana-2024")).best
    assert ours is not None
    assert ours.params == pytest.approx(7.0e9, abs=5e7)
    other = _of(other_laws(_problem("sardana-2024")), "besiroglu-2024")
    assert other.params == pytest.approx(6.1e9, abs=5e7)
    # And the other way round
    assert _of(other_laws(_problem("besiroglu-2024")), "sardana-2024").params == pytest.approx(ours.params, rel=1e-9)


@pytest.mark.parametrize("name", ["sardana-2024", "kaplan-2020"])
def test_every_other_law_that_counts_alike_is_asked(name: str) -> None:
    own = published(name)
    others = {other for other in catalogue.names() if published(other).counts == own.counts} - {name}
    opinions = other_laws(_problem(name))
    assert [opinion.law for opinion in opinions] == [other for other in catalogue.names() if other in others]
    assert len(opinions) == len(others)


def test_each_opinion_is_that_laws_own_plan_for_the_same_size() -> None:
    for opinion in other_laws(_problem("sardana-2024")):
        plan = solve(_problem(opinion.law))
        assert plan.best is not None
        assert (opinion.params, opinion.tokens) == pytest.approx((plan.best.params, plan.best.tokens), rel=1e-9)
        assert opinion.savings_fraction == pytest.approx(plan.savings_fraction, rel=1e-9)
        assert opinion.kappa == pytest.approx(plan.kappa, rel=1e-9)
        assert plan.baseline.params == pytest.approx(13e9, rel=1e-9)
        departs = bool(published(opinion.law).fitted.departures(plan.best.params, plan.best.tokens))
        assert opinion.beyond_range == departs
    assert {opinion.beyond_range for opinion in other_laws(_problem("sardana-2024", 1e9))} == {False, True}


def test_the_question_is_handed_over_as_a_size() -> None:
    assert equivalent_size(_problem("sardana-2024", 30e9)) == pytest.approx(30e9, rel=1e-9)
    assert equivalent_size(_problem("kaplan-2020", 30e9)) == pytest.approx(30e9, rel=1e-9)


def test_limits_are_ours_alone() -> None:
    problem = _problem("sardana-2024")
    limited = replace(problem, limits=(limit("params", "max", 5e9),), notes=("prices of June 2023",))
    assert other_laws(limited) == other_laws(problem)


def test_any_bill_has_opinions_without_kappa() -> None:
    problem = _problem("sardana-2024")
    rent = monomial("rent", 1e15, {"params": 0.5, "tokens": 0.1}, unit="FLOP", drivers=["demand"])
    opinions = other_laws(replace(problem, cost=problem.cost + rent))
    assert {opinion.kappa for opinion in opinions} == {None}
    assert all(opinion.savings_fraction > 0 for opinion in opinions)


def test_an_opinion_as_json() -> None:
    opinion = _of(other_laws(_problem("sardana-2024")), "besiroglu-2024")
    row = json.loads(json.dumps(opinion.to_dict(), allow_nan=False))
    assert list(row) == ["law", "params", "tokens", "savings_fraction", "kappa", "beyond_range"]
    assert row["law"] == "besiroglu-2024"
    assert row["params"] == opinion.params
