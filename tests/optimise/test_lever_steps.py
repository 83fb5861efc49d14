"""How one number is searched: brackets, ladders of whole numbers and ends, on functions that are written down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.past import lever_program, lever_search
from beyond_chinchilla.optimise.past.lever_search import reach
from beyond_chinchilla.optimise.past.tangents import _bracket, _towards, has_optimum
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Term, monomial

SARDANA = published("sardana-2024")


@dataclass
class Watched:
    """A function that remembers what it was asked."""

    function: Callable[[float], float]
    asked: list[float] = field(default_factory=list)

    def __call__(self, x: float) -> float:
        self.asked.append(x)
        return self.function(x)

    @property
    def best(self) -> float:
        return min(self.asked, key=self.function)


def _bowl(least: float, low: float = -math.inf, high: float = math.inf) -> Watched:
    """Return a convex function with its minimum at `least`, infinite beyond two points."""
    return Watched(lambda x: (x - least) ** 2 if low <= x <= high else math.inf)


# Downhill to a bracket


@pytest.mark.parametrize(
    ("least", "start", "bracket", "asked"),
    [
        # Half a step back is no better: up, by steps that double
        (3.0, 0.0, (1.5, 7.5), [0.0, -0.5, 0.5, 1.5, 3.5, 7.5]),
        (0.1, 0.0, (-0.5, 0.5), [0.0, -0.5, 0.5]),
        # Downwards
        (-3.0, 0.0, (-7.5, -1.5), [0.0, -0.5, -0.5, -1.5, -3.5, -7.5]),
        # Beyond the upper end: that is where it stops.
        (30.0, 8.0, (9.5, 10.0), [8.0, 7.5, 8.5, 9.5, 10.0]),
        (-30.0, -8.0, (-10.0, -9.5), [-8.0, -8.5, -8.5, -9.5, -10.0]),
        # A start outside is moved in.
        (9.8, 99.0, (9.5, 10.0), [9.5, 9.0, 10.0]),
        (-9.9, -99.0, (-10.0, -9.5), [-9.5, -10.0]),
        (-9.2, -99.0, (-9.5, -8.0), [-9.5, -10.0, -9.0, -8.0]),
    ],
)
def test_a_bracket_lies_downhill(least: float, start: float, bracket: tuple[float, float], asked: list[float]) -> None:
    at = _bowl(least)
    found = lever_search._downhill(at, start, -10.0, 10.0)
    assert found == pytest.approx(bracket)
    assert list(dict.fromkeys(at.asked)) == pytest.approx(list(dict.fromkeys(asked)))


def test_where_nothing_is_known_there_is_no_bracket() -> None:
    assert lever_search._downhill(_bowl(0.0), math.nan, -1.0, 1.0) is None
    assert lever_search._downhill(_bowl(5.0, 4.0), 0.0, -10.0, 10.0) is None


# Narrowing down


@pytest.mark.parametrize("accuracy", [1e-2, 1e-5])
@pytest.mark.parametrize("least", [-0.7, 0.33, 2.9])
def test_a_minimum_is_known_to_its_accuracy(least: float, accuracy: float) -> None:
    at = _bowl(least)
    lever_search._narrow(at, -1.0, 3.0, accuracy)
    assert abs(at.best - least) <= 3.0 * accuracy
    assert np.linspace(-1.0, 3.0, 9).tolist() == at.asked[:9]
    assert 3.5 not in at.asked


def test_a_narrow_range_is_found_by_a_finer_look() -> None:
    at = _bowl(0.53, 0.52, 0.56)
    lever_search._narrow(at, 0.0, 3.2, 1e-4)
    assert abs(at.best - 0.53) < 1e-3
    assert at.asked[9:138] == np.linspace(0.0, 3.2, 129).tolist()
    nowhere = _bowl(0.0, 5.0)
    lever_search._narrow(nowhere, 0.0, 3.2, 1e-4)
    assert len(nowhere.asked) == 9 + 129


def test_a_minimum_at_an_end_is_looked_for_there() -> None:
    for least, end in ((-5.0, -1.0), (9.0, 3.0)):
        at = _bowl(least)
        lever_search._narrow(at, -1.0, 3.0, 1e-4)
        assert at.best == end
        assert min(at.asked) >= -1.0
        assert max(at.asked) <= 3.0


def test_infinity_does_not_end_a_refinement() -> None:
    at = _bowl(0.2, -0.5, 0.45)
    lever_search._refine(at, -1.0, 1.0, 1e-6)
    assert abs(at.best - 0.2) < 1e-5
    # Above any number, even where nothing is finite at the ends
    high = Watched(lambda x: 2e6 + (x - 0.2) ** 2)
    lever_search._refine(high, -1.0, 1.0, 1e-6)
    assert {-1.0, 1.0, 0.0} <= set(high.asked)


# Whole numbers


@pytest.mark.parametrize("best", [1, 2, 3, 7, 14, 16, 18, 20, 40, 62, 63, 64, 500])
@pytest.mark.parametrize(("least", "most"), [(1, 64), (2, 1000), (5, 5), (1, 3)])
def test_the_best_whole_number_is_found(best: int, least: int, most: int) -> None:
    at = Watched(lambda x: (x - math.log(best)) ** 2)
    lever_search._whole(at, math.log(least), math.log(most))
    wanted = min(range(least, most + 1), key=lambda k: (math.log(k / best)) ** 2)
    assert round(math.exp(at.best)) == wanted
    asked = {math.exp(x) for x in at.asked}
    assert all(abs(number - round(number)) < 1e-9 for number in asked)
    assert min(asked) >= least - 1e-9
    assert max(asked) <= most + 1e-9


def test_whole_numbers_are_few() -> None:
    at = Watched(lambda x: (x - math.log(700.0)) ** 2)
    lever_search._whole(at, 0.0, math.log(1000.0))
    numbers = sorted({round(math.exp(x)) for x in at.asked})
    # A quarter apart, then thirds of what is left, then each: not all of a thousand
    assert {1, 2, 3, 4, 5, 6, 7, 9, 12, 15, 18, 23, 28, 36, 44, 56, 69, 87, 108, 136, 169, 212} <= set(numbers)
    assert {265, 331, 414, 517, 646, 808, 1000} <= set(numbers)
    assert {699, 700, 701} <= set(numbers)
    assert len(numbers) <= 50


@pytest.mark.parametrize(("low", "high"), [(13, 13), (13, 14), (100, 121), (170, 175), (340, 900)])
def test_a_whole_number_in_a_narrow_range_is_found_where_a_step_of_a_quarter_hits_it(low: int, high: int) -> None:
    ladder = {round(1.25**i) for i in range(200)}
    at = Watched(lambda x: x if low - 0.5 < math.exp(x) < high + 0.5 else math.inf)
    lever_search._whole(at, 0.0, math.log(1000.0))
    if any(low <= number <= high for number in ladder):
        assert round(math.exp(at.best)) == low


@pytest.mark.parametrize(("low", "high", "numbers"), [(2.0, 2.0, [2]), (2.2, 2.9, []), (1.5, 3.5, [2, 3])])
def test_whole_numbers_between_others(low: float, high: float, numbers: list[int]) -> None:
    at = Watched(lambda x: x)
    lever_search._whole(at, math.log(low), math.log(high))
    assert sorted({round(math.exp(x)) for x in at.asked}) == numbers


# What leaves the target within reach


class Penalty:
    """A lever that adds 0.5/x to the loss."""

    kind, variable, whole, low, high = "penalty", "x", False, 0.5, 8.0

    def held(self, law: LossLaw, value: float) -> LossLaw:
        return replace(law, E=law.E + 0.5 / value)


class Burden(Penalty):
    """One that adds x/10."""

    def held(self, law: LossLaw, value: float) -> LossLaw:
        return replace(law, E=law.E + 0.1 * value)


def _problem(loss: float) -> Problem:
    cost = monomial("training", 6.0, {"params": 1.0, "tokens": 1.0}, drivers=("training_price",))
    return Problem(law=SARDANA, target_loss=loss, cost=cost, flops=cost)


@pytest.mark.parametrize(
    ("lever", "above", "low", "high"),
    [
        (Penalty(), 1.5, 0.5, 8.0),
        (Penalty(), 0.25, 2.0, 8.0),
        (Burden(), 0.25, 0.5, 2.5),
        (Burden(), 0.9, 0.5, 8.0),
    ],
)
def test_a_number_is_searched_where_the_target_is_in_reach(
    lever: Penalty, above: float, low: float, high: float
) -> None:
    found = reach(_problem(SARDANA.E + above), lever)  # type: ignore[arg-type]
    assert found is not None
    assert [math.exp(x) for x in found] == pytest.approx([low, high], rel=1e-12)
    assert found[0] <= found[1]
    for end in found:
        assert SARDANA.E + above > lever.held(SARDANA, math.exp(end)).E


def test_a_target_that_no_number_reaches_is_out_of_reach() -> None:
    assert reach(_problem(SARDANA.E + 0.05), Penalty()) is None  # type: ignore[arg-type]
    assert reach(_problem(SARDANA.E + 0.04), Burden()) is None  # type: ignore[arg-type]


def test_a_term_without_a_number_takes_nearly_nothing_to_nearly_all() -> None:
    class Term(Penalty):
        variable = ""

    found = reach(_problem(SARDANA.E + 0.25), Term())  # type: ignore[arg-type]
    assert found is not None
    assert math.exp(found[0]) == pytest.approx(0.25e-14, rel=1e-9)
    assert 1.0 - math.exp(found[1]) / 0.25 == pytest.approx(1e-9, rel=1e-5)


# Tangents


@pytest.mark.parametrize(
    ("root", "start", "bracket", "asked"),
    [
        (0.0, 0.0, (0.0, 0.0), [0.0]),
        (1.0, 0.9, (0.9, 1.05), None),
        (23.02, 23.0, (23.0, 23.05), [23.0, 23.05]),
        (23.1, 23.0, (23.05, 23.15), [23.0, 23.05, 23.15]),
        (23.3, 23.0, (23.15, 23.35), [23.0, 23.05, 23.15, 23.35]),
        (22.98, 23.0, (22.95, 23.0), [23.0, 22.95]),
        (22.7, 23.0, (22.65, 22.85), [23.0, 22.95, 22.85, 22.65]),
        (69.0, 23.0, (48.55, 74.15), None),
        (74.3, 23.0, None, None),
        (0.5, 23.0, (-2.55, 10.25), None),
        (-2.6, 23.0, None, None),
    ],
)
def test_a_change_of_sign_is_bracketed_by_steps_that_double(
    root: float, start: float, bracket: tuple[float, float] | None, asked: list[float] | None
) -> None:
    step = Watched(lambda n: root - n)
    found = _bracket(step, start)
    if asked is not None:
        assert step.asked == pytest.approx(asked)
    if bracket is None:
        assert found is None
    elif root == 1.0:
        assert found is not None
        assert found[0] <= 1.0 <= found[1]
    else:
        assert found == pytest.approx(bracket)


@pytest.mark.parametrize("found", [(8.0, -8.0), (4.0, -3.0), (2.0, -0.5), (0.5, 1.375)])
def test_a_point_is_halved_towards_a_safe_one(found: tuple[float, float]) -> None:
    assert _towards((8.0, -8.0), (0.0, 2.0), lambda logs: logs[0] <= found[0]) == found


def test_how_often_a_point_is_halved() -> None:
    asked: list[tuple[float, float]] = []

    def never(logs: tuple[float, float]) -> bool:
        asked.append(logs)
        return False

    assert _towards((8.0, -8.0), (0.0, 2.0), never) == (0.0, 2.0)
    assert len(asked) == 60


@pytest.mark.parametrize(
    ("alpha", "beta", "has"),
    [(1.0, 1.0, True), (1.1e-4, 1.1e-4, True), (0.9e-4, 1.0, False), (1.0, 0.9e-4, False), (0.9e-4, 0.9e-4, False)],
)
def test_a_law_that_is_next_to_flat_has_no_optimum(alpha: float, beta: float, has: bool) -> None:
    touching = replace(SARDANA, alpha=alpha * SARDANA.alpha, beta=beta * SARDANA.beta)
    assert has_optimum(touching, SARDANA) is has


# All numbers at once


@dataclass(frozen=True)
class Number:
    """A lever of one number, which adds G/x to the loss."""

    kind: str
    variable: str = "x"
    whole: bool = False
    low: float = 1.0
    high: float = 64.0

    def terms(self, law: LossLaw) -> tuple[Term, ...]:
        return (Term(label=self.kind, coefficient=0.1 * law.E, powers={"params": -0.5}),)

    def held(self, law: LossLaw, value: float) -> LossLaw:
        return replace(law, E=law.E + 0.01 * value)


def _levers(*levers: Number) -> Any:
    return replace(_problem(2.0), levers=levers)


def test_whole_numbers_are_rounded_both_ways_within_their_bounds() -> None:
    both = _levers(Number("a", whole=True), Number("b"), Number("c", whole=True, low=3.0, high=9.0))

    def rounded(a: float, c: float) -> list[tuple[float, float]]:
        found = lever_program._roundings(both, {"a": a, "b": 2.5, "c": c})
        assert {one["b"] for one in found} == {2.5}
        return sorted((one["a"], one["c"]) for one in found)

    assert rounded(4.5, 6.0) == [(4.0, 6.0), (5.0, 6.0)]
    assert rounded(4.5, 6.5) == [(4.0, 6.0), (4.0, 7.0), (5.0, 6.0), (5.0, 7.0)]
    # Of rounding alone no second number
    assert rounded(5.0 - 0.5e-9, 6.0 + 0.5e-9) == [(5.0, 6.0)]
    assert rounded(5.0 - 3e-9, 6.0) == [(4.0, 6.0), (5.0, 6.0)]
    assert rounded(5.0 + 3e-9, 6.0) == [(5.0, 6.0), (6.0, 6.0)]
    assert rounded(64.5, 2.5) == [(64.0, 3.0)]
    assert rounded(0.5, 9.5) == [(1.0, 9.0)]


def test_numbers_at_a_point_lie_within_their_bounds() -> None:
    free, fixed, whole = Number("a", "x"), Number("b", "y"), Number("c", "z", whole=True)
    term = Number("d", "")
    problem = _levers(free, fixed, whole, term)

    def values(x: float, z: float) -> dict[str, float]:
        logs = {"x": math.log(x), "z": math.log(z), "params": math.log(1e10), "tokens": 25.0}
        return lever_program.values_of(problem, logs, {"b": 7.25})

    found = values(8.0, 8.2)
    assert (found["a"], found["b"], found["c"]) == (pytest.approx(8.0), 7.25, 8.0)
    # The law as the levers before it leave it
    E = SARDANA.E + 0.01 * (found["a"] + found["b"] + found["c"])
    assert found["d"] == pytest.approx(0.1 * E * 1e-5, rel=1e-12)
    for near, value in ((math.exp(-0.5e-9), 1.0), (math.exp(0.9e-9), 1.0), (0.5, 1.0), (100.0, 64.0)):
        assert values(near, 8.0)["a"] == value
    assert values(64.0 * math.exp(-0.9e-9), 8.0)["a"] == 64.0
    assert values(64.0 * math.exp(-2e-9), 8.0)["a"] == pytest.approx(64.0 * math.exp(-2e-9), rel=1e-13)
    assert values(math.exp(2e-9), 8.0)["a"] > 1.0


def test_a_first_guess_lies_in_the_middle_of_the_bounds() -> None:
    problem = _levers(Number("a", low=4.0, high=64.0), Number("d", ""))
    found = lever_program.guess(problem)
    point = SARDANA.compute_optimal(loss=2.0)
    assert (found.params, found.tokens) == pytest.approx((float(point.params), float(point.tokens)), rel=1e-12)
    assert found.held["a"] == 16.0
    assert math.isnan(found.held["d"])
    flat = replace(SARDANA, A=1e-30, B=1e250)
    far = lever_program.guess(replace(problem, law=flat))
    assert (far.params, far.tokens) == (1.0, 1e30)
