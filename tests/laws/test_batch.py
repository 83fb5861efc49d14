"""Many laws at once: each of a batch is the law that it would be alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import laws, log_floats, powered_laws

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise import elementwise, universal
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

SARDANA, BESIROGLU, KAPLAN = (published(name) for name in ("sardana-2024", "besiroglu-2024", "kaplan-2020"))


def several() -> st.SearchStrategy[list[LossLaw]]:
    """One to six laws that count alike."""
    return st.one_of(
        st.lists(laws(), min_size=1, max_size=6),
        st.lists(powered_laws(), min_size=1, max_size=6),
    )


@given(several(), log_floats(1e7, 1e13), log_floats(1e9, 1e15))
def test_each_law_of_a_batch_says_what_it_says_alone(found: list[LossLaw], N: float, D: float) -> None:
    batch = LawBatch.of(found)
    assert len(batch) == len(found)
    loss = batch.loss(N, D)
    point = batch.compute_optimal(loss=loss)
    for k, law in enumerate(found):
        alone = law.compute_optimal(loss=law.loss(N, D))
        assert loss[k] == pytest.approx(float(law.loss(N, D)), rel=1e-14)
        assert batch.reducible(loss)[k] == pytest.approx(float(law.reducible(law.loss(N, D))), rel=1e-12)
        assert batch.total_params(point.params)[k] == pytest.approx(float(law.total_params(alone.params)), rel=1e-9)
        assert point.tokens[k] == pytest.approx(float(alone.tokens), rel=1e-9)
        assert batch.posynomial().value({"params": N, "tokens": D})[k] == pytest.approx(
            float(law.posynomial().value({"params": N, "tokens": D})), rel=1e-14
        )
        assert batch.row(k).to_dict() | {"name": ""} == law.to_dict() | {"name": ""}


def test_tokens_for_a_row_of_sizes_and_a_column_of_laws() -> None:
    batch = LawBatch.of([SARDANA, BESIROGLU]).take((slice(None), None))
    found = batch.tokens_for(np.array([2e9, 7e9, 70e9]), 2.0453)
    assert found.shape == (2, 3)
    # 7B of 13B quality: 1.239T tokens under sardana-2024, as the doctest of `tokens_for`.
    assert found[0, 1] == pytest.approx(1.239e12, rel=5e-4)
    assert found[1, 2] == pytest.approx(float(BESIROGLU.tokens_for(70e9, 2.0453)), rel=1e-12)
    # No number of tokens brings 2B there under sardana-2024.
    assert np.isnan(LawBatch.of([SARDANA]).tokens_for(1e9, 1.9)).all()


def test_take_by_slice_numbers_and_flags() -> None:
    batch = LawBatch.of([SARDANA, BESIROGLU, SARDANA])
    assert batch.take(slice(1, 3)).alpha.tolist() == [BESIROGLU.alpha, SARDANA.alpha]
    assert batch.take(np.array([2, 1])).E.tolist() == [SARDANA.E, BESIROGLU.E]
    assert len(batch.take(np.array([True, False, True]))) == 2


def test_a_power_that_differs_is_an_array_of_its_own() -> None:
    bent = LossLaw(E=1.0, A=400.0, alpha=0.34, B=410.0, beta=0.28, power=1.1)
    batch = LawBatch.of([SARDANA, bent])
    assert batch.loss(7e9, 2e12).tolist() == pytest.approx(
        [float(SARDANA.loss(7e9, 2e12)), float(bent.loss(7e9, 2e12))], rel=1e-14
    )
    assert batch.form == "kaplan"
    assert LawBatch.of([SARDANA, BESIROGLU]).form == "chinchilla"
    assert batch.row(1).power == 1.1


def test_json_holds_lists() -> None:
    record = json.loads(json.dumps(LawBatch.of([SARDANA, BESIROGLU]).to_dict()))
    assert record["alpha"] == [SARDANA.alpha, BESIROGLU.alpha]


def test_a_batch_is_itself_alone() -> None:
    batch = LawBatch.of([SARDANA])
    assert batch != batch.take(slice(None))
    assert len({batch, batch}) == 1


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: LawBatch.of([]), "at least one law"),
        (lambda: LawBatch.of([SARDANA, KAPLAN]), "put laws together that count alike"),
        (lambda: LawBatch(E=1.0, A=1.0, alpha=1.0, B=1.0, beta=1.0), "at least one law"),
        (lambda: LawBatch(E=np.ones(2), A=np.ones(3), alpha=np.ones(2), B=np.ones(2), beta=np.ones(2)), "A has shape"),
        (
            lambda: LawBatch(E=np.ones(2), A=np.ones(2), alpha=np.array([1.0, -2.0]), B=np.ones(2), beta=np.ones(2)),
            "alpha must be > 0, not -2.0",
        ),
        (
            lambda: LawBatch(E=np.array([np.nan]), A=np.ones(1), alpha=np.ones(1), B=np.ones(1), beta=np.ones(1)),
            "E must be >= 0, not nan",
        ),
    ],
)
def test_what_is_no_batch(make: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()  # type: ignore[operator]


# Solvers


@given(several(), st.data())
def test_solvers_give_each_law_its_own_optimum(found: list[LossLaw], data: st.DataObject) -> None:
    batch, count = LawBatch.of(found), len(found)
    sizes = np.array([data.draw(log_floats(1e8, 1e12)) for _ in found])
    loss = np.array([float(law.compute_optimal(params=N).loss) for law, N in zip(found, sizes, strict=True)])
    a = np.array([data.draw(log_floats(1e-19, 1e-16)) for _ in found])
    served = np.array([data.draw(log_floats(1e9, 1e15)) for _ in found])
    many = universal.optimum(batch, loss, a, a * served)
    cost = Posynomial(
        (
            Term(label="training", coefficient=a, powers={"params": 1.0, "tokens": 1.0}),
            Term(label="serving", coefficient=a * served, powers={"params": 1.0}),
        )
    )
    newton = elementwise.minimise(batch, loss, cost)
    cap = monomial("tokens", 1.0 / (0.7 * many.tokens), {"tokens": 1.0})
    held = elementwise.minimise(batch, loss, cost, [cap])
    for k in range(count):
        alone = universal.optimum(found[k], loss[k], a[k], a[k] * served[k])
        assert alone.status == many.status[k] == newton.status[k] == 0
        assert many.params[k] == pytest.approx(float(alone.params), rel=1e-11)
        assert many.tokens[k] == pytest.approx(float(alone.tokens), rel=1e-11)
        assert newton.params[k] == pytest.approx(float(alone.params), rel=1e-9)
        limited = elementwise.minimise(
            found[k],
            loss[k],
            Posynomial(
                (
                    Term(label="training", coefficient=a[k], powers={"params": 1.0, "tokens": 1.0}),
                    Term(label="serving", coefficient=a[k] * served[k], powers={"params": 1.0}),
                )
            ),
            [monomial("tokens", 1.0 / (0.7 * many.tokens[k]), {"tokens": 1.0})],
        )
        assert held.status[k] == limited.status
        assert held.params[k] == pytest.approx(float(limited.params), rel=1e-9, nan_ok=True)


def test_a_law_that_does_not_reach_the_loss_has_a_status() -> None:
    batch = LawBatch.of([SARDANA, LossLaw(E=2.5, A=400.0, alpha=0.34, B=410.0, beta=0.28)])
    found = universal.optimum(batch, 2.0453, 6.0, 4e12)
    assert found.status.tolist() == [universal.Status.OPTIMAL, universal.Status.OUT_OF_REACH]
    # 13B quality and 2T tokens: 6.969B, as the doctest of `optimum`.
    assert found.params[0] == pytest.approx(6.969e9, rel=1e-3)
    assert np.isnan(found.params[1])
    assert found.kappa[0] == pytest.approx(float(universal.optimum(SARDANA, 2.0453, 6.0, 4e12).kappa), rel=1e-12)


@given(several())
def test_no_law_depends_on_its_neighbours(found: list[LossLaw]) -> None:
    batch = LawBatch.of(found)
    loss = batch.compute_optimal(params=1e10).loss
    cost = Posynomial(
        (
            Term(label="training", coefficient=6.0, powers={"params": 1.0, "tokens": 1.0}),
            Term(label="serving", coefficient=4e12, powers={"params": 1.0}),
        )
    )
    for solve in (
        lambda laws, at: universal.optimum(laws, at, 6.0, 4e12),
        lambda laws, at: elementwise.minimise(laws, at, cost),
    ):
        whole = solve(batch, loss)
        for k in range(len(found)):
            part = solve(batch.take(slice(k, k + 1)), loss[k : k + 1])
            assert part.params[0] == whole.params[k]
            assert part.tokens[0] == whole.tokens[k]


# The edges of what is a batch

ONES = {"E": np.zeros(2), "A": np.ones(2), "alpha": np.ones(2), "B": np.ones(2), "beta": np.ones(2)}


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        ({"A": np.ones(1)}, ["law custom: A has shape (1,), E has (2,)"]),
        ({"A": np.ones(3)}, ["law custom: A has shape (3,), E has (2,)"]),
        ({"alpha": 1.0}, ["law custom: alpha has shape (), E has (2,)"]),
        ({"power": np.ones(1)}, ["law custom: power has shape (1,), E has (2,)"]),
        ({"power": np.ones(3)}, ["law custom: power has shape (3,), E has (2,)"]),
        ({"power": 0.0}, ["law custom: power must be > 0, not 0.0"]),
        ({"E": np.array([0.0, -1.0])}, ["law custom: E must be >= 0, not -1.0"]),
        ({"B": np.array([1.0, np.inf])}, ["law custom: B must be > 0, not inf"]),
        # The first of several bad values, and every bad constant.
        ({"A": np.array([0.0, -2.0])}, ["law custom: A must be > 0, not 0.0"]),
        (
            {"A": np.ones(3), "beta": np.array([1.0, -3.0])},
            ["law custom: A has shape (3,), E has (2,)", "law custom: beta must be > 0, not -3.0"],
        ),
        ({key: np.ones(0) for key in ONES}, ["law custom: a batch needs at least one law"]),
        (dict.fromkeys(ONES, 1.0), ["law custom: a batch needs at least one law"]),
    ],
)
def test_every_mistake_of_a_batch_is_named(changed: dict[str, object], lines: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        LawBatch(**(ONES | changed))  # type: ignore[arg-type]
    assert str(caught.value).splitlines() == lines


def test_a_floor_of_zero_and_one_power_for_all_are_a_batch() -> None:
    batch = LawBatch(**ONES)  # type: ignore[arg-type]
    assert batch.E.tolist() == [0.0, 0.0]
    assert batch.power == 1.0
    assert np.ndim(batch.power) == 0
    assert batch.to_dict() == {
        "name": "custom",
        "form": "chinchilla",
        "E": [0.0, 0.0],
        **{key: [1.0, 1.0] for key in ("A", "alpha", "B", "beta")},
    }


def test_a_batch_keeps_what_its_laws_have_in_common() -> None:
    batch = LawBatch.of([KAPLAN, KAPLAN])
    assert (batch.name, batch.counts, batch.power) == ("batch", "non-embedding", 0.103)
    assert np.ndim(batch.power) == 0
    assert batch.row(1) == LossLaw(
        E=0.0, A=KAPLAN.A, alpha=KAPLAN.alpha, B=1.8e13, beta=1.0, power=0.103, counts="non-embedding", name="batch"
    )
    with pytest.raises(InputError, match="law sardana-2024 counts total parameters and law kaplan-2020 counts non-em"):
        LawBatch.of([SARDANA, KAPLAN])
