"""Why there is no plan: the smallest conflict, what it would take, and the least loss within the limits."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import general_problems, limit, limited_problems, log_floats, problems

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import lifetime_flops
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise.conflict import Conflict, explain, least_loss, smallest_conflict
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.locate import locate
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import monomial
from beyond_chinchilla.units import parse_number

SARDANA = published("sardana-2024")
FLOPS = lifetime_flops(Demand(prefill_tokens=2e12, decode_tokens=0.0))
# 13B quality: 7B on 1.25T tokens, and no fewer than 843M parameters or 26.8B tokens
SIZE = 13e9
POINT = SARDANA.compute_optimal(params=SIZE)
PROBLEM = Problem(law=SARDANA, target_loss=float(POINT.loss), cost=FLOPS, flops=FLOPS)


def feasible(problem: Problem) -> bool:
    return locate(problem).found


def _under(*limits: Limit, loss: float = PROBLEM.target_loss) -> Problem:
    return replace(PROBLEM, limits=limits, target_loss=loss)


def _explained(problem: Problem) -> Conflict:
    return explain(problem, feasible)


def _relieved(problem: Problem, one: Limit, bound: float) -> Problem:
    limits = tuple(replace(other, bound=bound) if other is one else other for other in problem.limits)
    return replace(problem, limits=limits)


def _weak(problem: Problem) -> Problem:
    """Return the problem with a target that is next to none."""
    return replace(problem, target_loss=float(problem.law.loss_of_reducible(1e8 * problem.reducible)))


infeasible = limited_problems(st.one_of(problems(), general_problems(least=0.0)), slack=(0.02, 1.2))


# The smallest conflict


@given(infeasible)
@settings(max_examples=8)
def test_the_smallest_conflict_conflicts_and_no_member_is_idle(problem: Problem) -> None:
    assume(not feasible(problem))
    limits = smallest_conflict(problem, feasible)
    assert 1 <= len(limits) <= 3
    assert all(one in problem.limits for one in limits)
    assert not feasible(replace(problem, limits=limits))
    for size in range(len(limits)):
        for fewer in combinations(problem.limits, size):
            assert feasible(replace(problem, limits=fewer))
    why = _explained(problem)
    assert why.labels[: len(limits)] == tuple(f"{one.label} {one.side}" for one in limits)
    assert ("target" in why.labels) == feasible(_weak(replace(problem, limits=limits)))
    assert len(why.labels) <= 3


@pytest.mark.parametrize(
    ("limits", "labels"),
    [
        ([limit("params", "max", 5e8)], ["params max", "target"]),
        ([limit("tokens", "max", 1e10)], ["tokens max", "target"]),
        ([limit("training_flops", "max", 0.9 * float(POINT.flops))], ["training_flops max", "target"]),
        (
            [limit("params", "max", 5e9), limit("tokens", "max", 1e12), limit("params", "min", 1e9)],
            ["params max", "tokens max", "target"],
        ),
        # Whatever the target
        (
            [limit("tokens", "max", 9e12), limit("params", "min", 9e9), limit("serving_memory", "max", 8.0)],
            ["params min", "serving_memory max"],
        ),
        (
            [limit("params", "min", 2e10), limit("tokens_per_param", "min", 100), limit("tokens", "max", 1e12)],
            ["params min", "tokens_per_param min", "tokens max"],
        ),
        (
            [limit("training_flops", "max", 5e22), limit("tokens", "min", 1e12), limit("params", "min", 1e10)],
            ["training_flops max", "tokens min", "params min"],
        ),
    ],
)
def test_conflicts_are_named(limits: list[Limit], labels: list[str]) -> None:
    # A limit that has nothing to do with it is not blamed, wherever it stands.
    bystander = limit("training_flops", "max", 1e27)
    known = {one.label for one in limits}
    for given_ in (limits, limits if "training_flops" in known else [bystander, *limits]):
        why = _explained(_under(*given_))
        assert sorted(why.labels) == sorted(labels)
        assert (why.least_loss is None) == ("target" not in labels)


def test_a_helly_triple_has_no_smaller_conflict() -> None:
    triple = limit("params", "min", 2e10), limit("tokens_per_param", "min", 100), limit("tokens", "max", 1e12)
    for pair in combinations(triple, 2):
        assert feasible(_weak(_under(*pair)))
    assert not feasible(_weak(_under(*triple)))
    assert smallest_conflict(_under(limit("params", "max", 1e12), *triple), feasible) == triple


def test_a_set_that_no_three_explain_is_whittled_down() -> None:
    # With more variables than two a conflict may need more members: here four.
    limits = tuple(limit("params", "max", bound) for bound in (1e9, 2e9, 3e9, 4e9, 5e9))
    needed = (limits[0], *limits[2:])

    def four_are_too_many(problem: Problem) -> bool:
        return not all(one in problem.limits for one in needed)

    assert smallest_conflict(_under(*limits), four_are_too_many) == needed


# What each limit would have to give


def _check_reliefs(problem: Problem, why: Conflict) -> None:
    for one, bound in why.reliefs:
        away = 1.0 if one.side == "max" else -1.0
        assert away * (bound - one.bound) > 0
        assert feasible(_relieved(problem, one, bound))
        assert not feasible(_relieved(problem, one, bound * (1 - 1e-6 * away)))


@given(infeasible)
@settings(max_examples=8)
def test_relieving_a_named_limit_makes_room_and_a_hair_less_does_not(problem: Problem) -> None:
    assume(not feasible(problem))
    why = _explained(problem)
    _check_reliefs(problem, why)
    # A conflicting limit that is not named could give all that it has for nothing.
    relieved = [one for one, _ in why.reliefs]
    for one in smallest_conflict(problem, feasible):
        if one not in relieved:
            away = 1.0 if one.side == "max" else -1.0
            assert not feasible(_relieved(problem, one, one.bound * 0.99e6**away))


def test_the_relief_is_the_closed_form() -> None:
    # On at most 1T tokens it takes what the law says.
    problem = _under(limit("params", "max", 5e9), limit("tokens", "max", 1e12))
    why = _explained(problem)
    needed = dict(zip(("params", "tokens"), (bound for _, bound in why.reliefs), strict=True))
    assert [one.label for one, _ in why.reliefs] == ["params", "tokens"]
    assert needed["params"] == pytest.approx(float(SARDANA.params_for(1e12, problem.target_loss)), rel=1e-9)
    assert needed["tokens"] == pytest.approx(float(SARDANA.tokens_for(5e9, problem.target_loss)), rel=1e-9)
    _check_reliefs(problem, why)


def test_a_floor_is_relieved_downwards() -> None:
    problem = _under(limit("params", "min", 9e9), limit("serving_memory", "max", 8.0))
    why = _explained(problem)
    assert [(one.label, one.side) for one, _ in why.reliefs] == [("params", "min"), ("serving_memory", "max")]
    assert [bound for _, bound in why.reliefs] == pytest.approx([8e9, 9.0], rel=1e-8)
    _check_reliefs(problem, why)


def test_a_limit_that_cannot_help_alone_is_not_named() -> None:
    # Two conflicts at once: no single limit ends both.
    problem = _under(limit("params", "max", 5e8), limit("tokens", "max", 1e10))
    why = _explained(problem)
    assert why.labels == ("params max", "target")
    assert why.reliefs == ()
    assert why.least_loss == pytest.approx(float(SARDANA.loss(5e8, 1e10)), rel=1e-9)


# In words

_AMOUNT = re.compile(r"from (?P<was>\S+) (?P<unit>.+) to (?P<now>\S+) (?P=unit)$")


@given(limited_problems(problems(), slack=(0.02, 1.2)))
@settings(max_examples=8)
def test_the_figure_in_the_sentence_is_itself_enough(problem: Problem) -> None:
    # Money is printed with its sign before it, and read by its own test.
    assume(not feasible(problem))
    assume(not any(one.unit == "USD" for one in problem.limits))
    why = _explained(problem)
    sentences = why.sentences(problem.target_loss)[2:]
    assert len(sentences) == len(why.reliefs)
    for (one, bound), sentence in zip(why.reliefs, sentences, strict=True):
        verb = "raise" if one.side == "max" else "lower"
        assert sentence.startswith(f"a plan exists if you {verb} {one.label} {one.side} from ")
        found = _AMOUNT.search(sentence)
        assert found is not None
        printed = parse_number(found["now"])
        assert feasible(_relieved(problem, one, printed))
        assert printed == pytest.approx(bound, rel=1.001e-3)
        assert (printed - bound) * (1 if one.side == "max" else -1) >= -1e-9 * bound


def test_the_explanation_in_words() -> None:
    problem = _under(limit("params", "max", 5e9), limit("tokens", "max", 1e12))
    lines = _explained(problem).sentences(problem.target_loss)
    assert lines[0] == "no plan: params max and tokens max and target cannot hold together"
    # 1.69 + 406.4 / 5e9^.336 + 410.7 / 1e12^.283
    assert lines[1] == "the least loss within the limits is 2.0789, the target is 2.0453"
    # (406.4 / (2.04531 - 1.69 - 410.7 / 1e12^.283))^(1/.336) and (410.7 / (2.04531 - 1.69 - 406.4 / 5e9^.336))^(1/.283)
    assert lines[2:] == [
        "a plan exists if you raise params max from 5.00B params to 8.119B params",
        "a plan exists if you raise tokens max from 1.00T tokens to 2.240T tokens",
    ]


def test_money_is_rounded_outward_too() -> None:
    quantity = FLOPS.times(1e-18, unit="USD")
    free = locate(PROBLEM)
    least = float(quantity.value({"params": free.params, "tokens": free.tokens}))
    problem = _under(limit("total_cost", "max", 0.5 * least, quantity))
    why = _explained(problem)
    assert [bound for _, bound in why.reliefs] == pytest.approx([least], rel=1e-9)
    sentence = why.sentences(problem.target_loss)[-1]
    found = re.fullmatch(r"a plan exists if you raise total_cost max from \$(\S+) to \$(\S+)", sentence)
    assert found is not None
    printed = parse_number(found[2])
    assert least <= printed <= 1.001 * least
    assert feasible(_relieved(problem, problem.limits[0], printed))


def test_gpus_are_asked_for_in_whole() -> None:
    # One GPU for every 3e8 parameters: the 843M at least that reach the target take 2.8.
    quantity = monomial("gpus", 1.0 / 3e8, {"params": 1.0})
    few = Limit(label="gpus", side="max", quantity=quantity, bound=1.0, unit="GPUs", each="GPU")
    tokens = limit("tokens", "max", float(SARDANA.tokens_for(9.1e9, PROBLEM.target_loss)))
    problem = _under(few, tokens)
    why = _explained(problem)
    # 9.1e9 / 3e8 = 30.33
    assert [bound for one, bound in why.reliefs if one is few] == [31.0]
    assert "a plan exists if you raise gpus max from 1 GPUs to 31 GPUs" in why.sentences(problem.target_loss)
    assert why.to_dict()["reliefs"][0]["needed"] == 31.0
    assert feasible(_relieved(problem, few, 31.0))
    assert not feasible(_relieved(problem, few, 30.0))


def test_many_gpus_are_whole_to_the_last_digit() -> None:
    few = Limit(label="gpus", side="max", quantity=monomial("gpus", 1.0, {}), bound=1.0, unit="GPUs", each="GPU")
    assert few.outward(123_456.2) == 123_457.0
    assert few.written(few.outward(123_456.2)) == "123457 GPUs"


def test_limits_that_exclude_each_other_in_words() -> None:
    problem = _under(limit("params", "min", 9e9), limit("serving_memory", "max", 8.0))
    lines = _explained(problem).sentences(problem.target_loss)
    assert lines == [
        "no plan: params min and serving_memory max cannot hold together",
        "the limits exclude each other at any loss",
        "a plan exists if you lower params min from 9.00B params to 8.000B params",
        "a plan exists if you raise serving_memory max from 8.00 GB to 9.000 GB",
    ]


# The least loss


@given(infeasible)
@settings(max_examples=8)
def test_at_the_least_loss_there_is_a_plan_and_below_it_there_is_none(problem: Problem) -> None:
    assume(not feasible(problem))
    least = least_loss(problem, feasible)
    if least is None:
        assert not feasible(_weak(problem))
        return
    assert least > problem.target_loss
    assert feasible(replace(problem, target_loss=least))
    # What is reducible carries the digits.
    lower = least - 1e-9 * (least - problem.law.E) - 1e-14 * least
    assert not feasible(replace(problem, target_loss=lower))
    plan = solve(problem)
    assert plan.conflict is not None
    assert plan.conflict.least_loss == least


@given(log_floats(1e8, 1e9), log_floats(1e9, 1e12))
@settings(max_examples=8)
def test_the_least_loss_under_two_ceilings_is_their_corner(size: float, tokens: float) -> None:
    problem = _under(limit("params", "max", size), limit("tokens", "max", tokens), loss=1.7)
    assert least_loss(problem, feasible) == pytest.approx(float(SARDANA.loss(size, tokens)), rel=1e-10)


def test_the_least_loss_of_a_compute_budget_is_chinchillas() -> None:
    problem = _under(limit("training_flops", "max", 1e21), loss=1.7)
    expected = float(SARDANA.compute_optimal(flops=1e21).loss)
    assert least_loss(problem, feasible) == pytest.approx(expected, rel=1e-10)


# As it is handed on


def test_the_explanation_as_json() -> None:
    problem = _under(limit("params", "max", 5e9), limit("tokens", "max", 1e12))
    why = _explained(problem)
    row = json.loads(json.dumps(why.to_dict(), allow_nan=False))
    assert list(row) == ["limits", "least_loss", "reliefs"]
    assert row["limits"] == ["params max", "tokens max", "target"]
    assert row["least_loss"] == why.least_loss
    assert [list(relief) for relief in row["reliefs"]] == 2 * [["label", "side", "bound", "needed", "unit"]]
    assert [relief["needed"] for relief in row["reliefs"]] == [bound for _, bound in why.reliefs]
    assert row["reliefs"][0] | {"needed": 0} == {
        "label": "params",
        "side": "max",
        "bound": 5e9,
        "needed": 0,
        "unit": "params",
    }
    plan = solve(problem).to_dict()
    assert (plan["status"], plan["plan"], plan["conflict"]) == ("infeasible", None, row)
    assert plan["warnings"] == why.sentences(problem.target_loss)


def test_the_method_does_not_matter() -> None:
    problem = _under(limit("params", "max", 5e9), limit("tokens", "max", 1e12))
    for method in ("elementwise", "gp"):
        plan = solve(problem, method)
        assert (plan.status, plan.method) == ("infeasible", method)
        assert plan.conflict == solve(problem).conflict
    assert math.isfinite(plan.baseline.total)
