"""Tangents, chords and the branches between them, on a mixture whose least costs are written down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest

from beyond_chinchilla.errors import SolverError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise import outright
from beyond_chinchilla.optimise.bill import BATCH
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past import extended, touched
from beyond_chinchilla.optimise.past.held import NOWHERE
from beyond_chinchilla.posynomial import Posynomial

SARDANA = published("sardana-2024")


class Experts:
    """All but 10^-batch of them are touched."""

    def touched(self, batch: float) -> float:
        return -math.expm1(-batch * math.log(10.0))

    def tangent(self, batch: float) -> tuple[float, ...]:
        return (batch,)

    def chord(self, low: float, high: float) -> tuple[float, ...]:
        return (low, high)


@dataclass(frozen=True)
class FakeBill:
    share: tuple[float, ...] = ()
    mixture: ClassVar[Experts] = Experts()

    def touching(self, share: tuple[float, ...]) -> FakeBill:
        return replace(self, share=share)


@dataclass(frozen=True)
class Asked:
    """As much of a problem as the search over batches reads."""

    bill: FakeBill = FakeBill()
    relations: tuple[Posynomial, ...] = ()
    name: str = "experts"

    @property
    def mixture(self) -> Experts:
        return self.bill.mixture


ASKED: Any = Asked()


@dataclass
class Inner:
    """Answers with the cost and the batch that a tangent or a chord leads to; None is no plan."""

    tangent: Callable[[float], tuple[float, float] | None]
    chord: Callable[[float, float], tuple[float, float] | None] = lambda low, high: None
    asked: list[tuple[float, ...]] = field(default_factory=list)

    def __call__(self, problem: Any) -> Located:
        share = problem.bill.share
        self.asked.append(share)
        found = self.tangent(*share) if len(share) == 1 else self.chord(*share)
        if found is None:
            return NOWHERE
        cost, batch = found
        return Located(1e9, 1e11, "gp", log_ratio=cost, variables={BATCH: batch})


@pytest.fixture(autouse=True)
def _written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(touched, "_log_cost", lambda problem, found: found.log_ratio)
    monkeypatch.setattr(outright, "broken_outright", lambda problem: "")


# What a stretch of batches is


def test_a_problem_is_drawn_with_a_tangent_and_held_between_two_batches() -> None:
    assert touched.drawn(ASKED, 7.0) == Asked(FakeBill((7.0,)))
    part = touched._stretch(ASKED, 2.0, 8.0)
    assert part.bill.share == (2.0, 8.0)  # type: ignore[union-attr]
    assert [float(row.value({BATCH: 4.0})) for row in part.relations] == [0.5, 0.5]
    assert [float(row.value({BATCH: 2.0})) for row in part.relations] == [1.0, 0.25]
    endless = touched._stretch(part, 3.0, math.inf)
    assert [float(row.value({BATCH: 6.0})) for row in endless.relations] == [2.0 / 6.0, 6.0 / 8.0, 0.5]
    assert touched.hopeful(ASKED) == touched._stretch(ASKED, 1.0, math.inf)


@pytest.mark.parametrize(
    ("at", "low", "high", "middle"),
    [
        (4.0, 2.0, 8.0, 4.0),
        (2.19, 2.0, 8.0, 4.0),
        (2.21, 2.0, 8.0, 2.21),
        (7.2, 2.0, 8.0, 7.2),
        (7.3, 2.0, 8.0, 4.0),
        (2.0, 2.0, 32.0, 8.0),
        (5.0, 2.0, math.inf, 5.0),
        (2.0, 2.0, math.inf, 8.0),
        (1.5, 2.0, math.inf, 8.0),
        (2.1, 2.0, math.inf, 8.4),
    ],
)
def test_a_stretch_is_split_at_its_plan_but_for_ends(at: float, low: float, high: float, middle: float) -> None:
    assert touched._inside(at, low, high) == pytest.approx(middle, rel=1e-15)


def test_when_two_tangents_are_one() -> None:
    assert [touched._reads_all(ASKED, batch) for batch in (1.0, 7.99, 8.01, 20.0)] == [False, False, True, True]
    assert [touched._same(ASKED, math.inf, batch) for batch in (7.99, 8.01)] == [False, True]
    for by, same in ((0.0, True), (0.9e-9, True), (1.1e-9, False), (1.0, False)):
        assert touched._same(ASKED, 3.0, 3.0 * math.exp(by)) is same
        assert touched._same(ASKED, 3.0, 3.0 * math.exp(-by)) is same


def test_a_size_is_run_at_the_batch_of_its_own_tangent() -> None:
    def halfway(part: Any) -> float:
        (batch,) = part.bill.share
        return 6.0 if math.isinf(batch) else 2.0 + 0.5 * (batch - 2.0)

    part: Any = touched.settled_at(ASKED, halfway)
    assert part.bill.share[0] == pytest.approx(2.0, abs=1e-8)
    assert part.bill.share[0] > 2.0
    # All is read: the first tangent is the last.
    assert touched.settled_at(ASKED, lambda part: 9.0) == touched.drawn(ASKED, math.inf)
    asked = []

    def restless(part: Any) -> float:
        asked.append(part.bill.share[0])
        return 3.0 if len(asked) % 2 else 4.0

    assert touched.settled_at(ASKED, restless) == touched.drawn(ASKED, 4.0)
    assert len(asked) == 40


# Tangents only gain


def test_tangents_are_drawn_anew_as_long_as_they_gain() -> None:
    costs = {math.inf: (3.0, 6.0), 6.0: (2.0, 5.0), 5.0: (1.5, 4.0), 4.0: (1.5 - 0.5e-9, 3.0), 3.0: (0.0, 2.0)}
    inner = Inner(costs.get)
    best = touched._descend(ASKED, inner, math.inf)
    assert best is not None
    # A gain of less than a billionth ends it, and is taken along.
    assert inner.asked == [(math.inf,), (6.0,), (5.0,), (4.0,)]
    assert (best.log_ratio, best.settled) == (1.5 - 0.5e-9, touched.drawn(ASKED, 4.0))
    costs[4.0] = (1.6, 3.0)
    best = touched._descend(ASKED, Inner(costs.get), math.inf)
    assert best is not None
    assert (best.log_ratio, best.settled) == (1.5, touched.drawn(ASKED, 5.0))


def test_a_plan_that_does_not_gain_leaves_the_best_one() -> None:
    best = Located(1e9, 1e11, "gp", log_ratio=1.0, settled=ASKED)
    for cost in (1.0, 1.5):
        inner = Inner(lambda batch, cost=cost: (cost, batch + 1.0))
        assert touched._descend(ASKED, inner, 4.0, best) is best
        assert inner.asked == [(4.0,)]
    better = touched._descend(ASKED, Inner({4.0: (0.5, 4.0)}.get), 4.0, best)
    assert better is not None
    assert better.log_ratio == 0.5
    assert touched._descend(ASKED, Inner(lambda batch: None), 4.0) is None
    assert touched._descend(ASKED, Inner(lambda batch: None), 4.0, best) is best


def test_tangents_end_somewhere() -> None:
    inner = Inner(lambda batch: (0.0, 2.0) if math.isinf(batch) else (-batch, batch + 1.0))
    touched._descend(ASKED, inner, math.inf)
    assert len(inner.asked) == 40

    def fails(problem: Any) -> Located:
        raise SolverError("no")

    assert touched._descend(ASKED, fails, 4.0) is None


def test_what_a_limit_excludes_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outright, "broken_outright", lambda problem: "too much")
    inner = Inner(lambda batch: (0.0, 1.0))
    assert touched._found(ASKED, inner) is None
    assert inner.asked == []


# Branch and bound


def test_a_plan_that_no_stretch_beats_is_the_answer() -> None:
    inner = Inner(lambda batch: (1.0, 4.0), lambda low, high: (1.0 - 0.9e-4, 3.0))
    found = touched.locate(ASKED, inner)
    assert (found.log_ratio, found.settled) == (1.0, touched.drawn(ASKED, math.inf))
    assert inner.asked[-2:] == [(1.0, 4.0), (4.0, math.inf)]
    assert inner.asked[:-2] == [(math.inf,), (4.0,)]


def test_batches_that_read_all_are_not_looked_beyond() -> None:
    inner = Inner(lambda batch: (1.0, 9.0), lambda low, high: (2.0, 3.0))
    touched.locate(ASKED, inner)
    assert inner.asked == [(math.inf,), (1.0, 9.0)]
    # Nor below one sequence.
    inner = Inner(lambda batch: (1.0, 0.5), lambda low, high: (2.0, 3.0))
    touched.locate(ASKED, inner)
    assert inner.asked[-1] == (1.0, math.inf)
    assert (1.0, 1.0) not in inner.asked


def test_a_stretch_that_may_hold_a_better_plan_is_looked_into() -> None:
    def tangent(batch: float) -> tuple[float, float]:
        return (1.0, 6.0) if batch > 5.0 else (0.5, 2.0)

    def chord(low: float, high: float) -> tuple[float, float] | None:
        return (0.2 if (low, high) == (1.0, 6.0) else 0.6, 3.0) if low < 6.0 else None

    inner = Inner(tangent, chord)
    found = touched.locate(ASKED, inner)
    assert (found.log_ratio, found.variables[BATCH]) == (0.5, 2.0)
    # Split at the batch of the bound, whose tangent finds the better plan
    assert inner.asked == [
        (math.inf,), (6.0,), (1.0, 6.0), (3.0,), (2.0,), (6.0, math.inf), (1.0, 3.0), (3.0, 6.0),
    ]  # fmt: skip


def test_a_bound_within_the_slack_is_no_reason_to_look() -> None:
    for below, looks in ((0.9e-4, False), (1.1e-4, True)):
        inner = Inner(
            lambda batch: (1.0, 4.0), lambda low, high, below=below: (1.0 - below, 1.5) if high == 4.0 else None
        )
        touched.locate(ASKED, inner)
        assert ((1.5,) in inner.asked) is looks


def test_where_nothing_is_found_there_is_no_plan() -> None:
    inner = Inner(lambda batch: None)
    found = touched.locate(ASKED, inner)
    assert not found.found
    assert math.isnan(found.tokens)
    assert found.method == "gp"
    assert inner.asked == [(math.inf,), (1.0, math.inf)]
    # Nor a proof of that until the stretches are too short to hold one.
    inner = Inner(
        lambda batch: None, lambda low, high: (0.0, 2.0) if high <= 2.0 or (math.isinf(high) and low < 2.0) else None
    )
    assert not touched.locate(ASKED, inner).found
    narrow = [share for share in inner.asked if len(share) == 2]
    assert all(math.isinf(high) or math.log(high / low) >= math.log(1.02) for low, high in narrow)
    assert any(math.log(high / low) < math.log(1.05) for low, high in narrow if math.isfinite(high))


def test_a_solver_that_fails_is_asked_of_shorter_stretches() -> None:
    def chord(low: float, high: float) -> tuple[float, float]:
        if math.isinf(high) or high / low > 1.5:
            raise SolverError("no")
        return (5.0, low)

    inner = Inner(lambda batch: (1.0, 4.0), chord)
    with pytest.raises(SolverError, match="experts: no proof that another batch is not better in 300 stretches"):
        touched.locate(ASKED, inner)
    assert (1.0, 4.0) in inner.asked
    assert (1.0, 2.0) in inner.asked
    assert (4.0, 16.0) in inner.asked
    assert (16.0, 64.0) in inner.asked
    assert len([share for share in inner.asked if len(share) == 2]) == 300


# A whole number held at one value after the other


@dataclass(frozen=True)
class Lever:
    kind: str = "samples"
    variable: str = "k"
    whole: bool = True
    low: float = 1.0
    high: float = 9.0


@dataclass(frozen=True)
class Levers:
    levers: tuple[Lever, ...]
    repetition: object = None


@pytest.mark.parametrize(
    ("start", "best", "low", "high", "tried"),
    [
        (5.0, 5.0, 1.0, 9.0, {4.0, 5.0, 6.0}),
        (3.0, 6.0, 1.0, 9.0, {2.0, 3.0, 4.0, 5.0, 6.0, 7.0}),
        (6.0, 3.0, 1.0, 9.0, {2.0, 3.0, 4.0, 5.0, 6.0, 7.0}),
        (8.0, 12.0, 1.0, 9.0, {8.0, 9.0}),
        (2.0, 0.0, 1.0, 9.0, {1.0, 2.0, 3.0}),
    ],
)
def test_the_best_whole_number_lies_downhill(
    monkeypatch: pytest.MonkeyPatch, start: float, best: float, low: float, high: float, tried: set[float]
) -> None:
    seen = set()

    def at_once(problem: Any, inner: Any) -> Located:
        (lever,) = problem.levers
        assert lever.low == lever.high
        seen.add(lever.low)
        return Located(1e9, 1e11, "gp", log_ratio=(lever.low - best) ** 2)

    first = Located(1e9, 1e11, "gp", held={"samples": start})
    monkeypatch.setattr(extended, "_at_once", at_once)
    monkeypatch.setattr(extended, "by_program", lambda problem, inner: first)
    monkeypatch.setattr(extended, "log_cost_of", lambda found: found.log_ratio)
    lever: Any = Lever(low=low, high=high)
    found = extended._beside_whole(Levers((lever,), repetition=1), lever, lambda part: NOWHERE)  # type: ignore[arg-type]
    assert found.log_ratio == (min(max(best, low), high) - best) ** 2
    assert seen - {start} <= tried
    assert min(max(best, low), high) in seen
    if start == 8.0:
        assert 10.0 not in seen
    monkeypatch.setattr(extended, "by_program", lambda problem, inner: NOWHERE)
    assert extended._beside_whole(Levers((lever,)), lever, lambda part: NOWHERE) is NOWHERE  # type: ignore[arg-type]


def test_a_whole_number_without_a_plan_is_searched_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    first, searched = Located(1.0, 1.0, "gp", held={"samples": 5.0}), Located(2.0, 2.0, "search")
    monkeypatch.setattr(extended, "_at_once", lambda problem, inner: NOWHERE)
    monkeypatch.setattr(extended, "by_program", lambda problem, inner: first)
    monkeypatch.setattr(extended, "search", lambda problem, lever, inner: searched)
    lever: Any = Lever()
    assert extended._beside_whole(Levers((lever,)), lever, lambda part: NOWHERE) is searched  # type: ignore[arg-type]


@pytest.mark.parametrize("settles", [True, False])
@pytest.mark.parametrize(("whole", "low", "high"), [(True, 1.0, 9.0), (True, 5.0, 5.0), (False, 1.0, 9.0)])
def test_which_way_levers_are_solved_at_once(
    monkeypatch: pytest.MonkeyPatch, settles: bool, whole: bool, low: float, high: float
) -> None:
    ways = {name: Located(1.0, 1.0, name) for name in ("program", "tangents", "beside", "search")}
    monkeypatch.setattr(extended, "by_program", lambda problem, inner: ways["program"])
    monkeypatch.setattr(extended, "by_tangents", lambda problem, inner: ways["tangents"] if settles else None)
    monkeypatch.setattr(extended, "_beside_whole", lambda problem, lever, inner: ways["beside"])
    monkeypatch.setattr(extended, "search", lambda problem, lever, inner: ways["search"])
    lever: Any = Lever(whole=whole, low=low, high=high)
    plain, little = Levers((lever,)), Levers((lever,), repetition=1)
    assert extended._at_once(plain, lambda part: NOWHERE).method == "program"  # type: ignore[arg-type]
    expected = "tangents" if settles else "beside" if whole and low < high else "search"
    assert extended._at_once(little, lambda part: NOWHERE).method == expected  # type: ignore[arg-type]
