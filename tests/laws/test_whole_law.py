"""A law with all that bends it: its inverse against brute force, its slopes against differences, batches row by row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import log_floats

from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.catalogue import law as catalogue_law
from beyond_chinchilla.laws.precision import Quantisation
from beyond_chinchilla.laws.repetition import Repetition
from beyond_chinchilla.laws.whole_law import WholeLaw, stacked_laws

LAW = catalogue_law("sardana-2024")
SIZES = np.geomspace(1e9, 1e12, 40)


def repetitions() -> st.SearchStrategy[Repetition]:
    return st.builds(
        Repetition, unique_tokens=log_floats(1e10, 1e14), R_D=log_floats(2.0, 60.0), R_N=log_floats(1.0, 60.0)
    )


def quantisations() -> st.SearchStrategy[Quantisation]:
    return st.builds(
        Quantisation,
        coefficient=log_floats(1e-6, 1e-2),
        gamma_D=st.floats(0.1, 0.9),
        gamma_N=st.floats(0.1, 0.9),
        bits=st.just(4.0),
    )


def wholes() -> st.SearchStrategy[WholeLaw]:
    return st.builds(
        WholeLaw,
        law=st.just(LAW),
        repetition=st.none() | repetitions(),
        quantisation=st.none() | quantisations(),
    )


@given(wholes(), log_floats(1e8, 1e13), st.floats(1.75, 3.0))
def test_fewest_tokens_reach_the_loss_and_fewer_do_not(whole: WholeLaw, N: float, loss: float) -> None:
    D = float(whole.tokens_for(N, loss))
    every = np.geomspace(1e6, 1e22, 4001)
    losses = whole.loss(N, every)
    if math.isnan(D):
        # A hair of the least loss is left to rounding.
        assert np.all(losses > loss - 1e-9)
        return
    assert float(whole.loss(N, D)) == pytest.approx(loss, abs=1e-9)
    assert np.all(losses[every < D * (1.0 - 1e-6)] > loss - 1e-12)


@given(wholes(), log_floats(1e8, 1e13), log_floats(1e9, 1e16))
def test_slopes_are_those_of_the_loss(whole: WholeLaw, N: float, D: float) -> None:
    step = 1e-5
    by_size, by_data = whole.slopes(N, D)
    up, down = math.exp(step), math.exp(-step)
    # At U and at U_N the slope bends, which a difference straddles.
    around = float(whole.loss(N * up, D) - whole.loss(N * down, D)) / (2.0 * step)
    assert float(by_size) == pytest.approx(around, rel=1e-3, abs=1e-8)
    around = float(whole.loss(N, D * up) - whole.loss(N, D * down)) / (2.0 * step)
    assert float(by_data) == pytest.approx(around, rel=1e-3, abs=1e-8)


@pytest.mark.parametrize("kinds", ["", "repetition", "quantisation", "repetition quantisation"])
def test_laws_as_columns_and_sizes_as_a_row_are_each_law_by_itself(kinds: str) -> None:
    rng = np.random.default_rng(3)
    constants = {
        key: getattr(LAW, key) * np.exp(0.03 * rng.standard_normal(6)) for key in ("E", "A", "alpha", "B", "beta")
    }
    batch = LawBatch(**constants, name="near")
    repetition = Repetition(unique_tokens=1e12, R_D=15.387756, R_N=5.309743) if "repetition" in kinds else None
    bits = Quantisation(coefficient=1e-5, gamma_D=0.5, gamma_N=0.35, bits=4.0) if "quantisation" in kinds else None
    whole = WholeLaw(law=batch, repetition=repetition, quantisation=bits)
    found = whole.at((slice(None), None)).tokens_for(SIZES, 2.0)
    assert found.shape == (6, 40)
    for number in range(6):
        alone = whole.row(number)
        assert np.array_equal(found[number], alone.tokens_for(SIZES, 2.0), equal_nan=True)
        if bits is None:
            # What A and B are taught of: the formulas of the class that each bend brings along.
            plain = batch.row(number)
            own = plain.tokens_for(SIZES, 2.0) if repetition is None else repetition.tokens_for(plain, SIZES, 2.0)
            np.testing.assert_allclose(found[number], own, rtol=1e-12)


def test_what_differs_from_law_to_law_is_stacked() -> None:
    rows = [
        WholeLaw(law=LAW, repetition=Repetition(unique_tokens=tokens, R_D=15.387756, R_N=5.309743))
        for tokens in (5e11, 1e12, 3e12)
    ]
    both = stacked_laws(rows, name="three")
    assert np.ndim(both.repetition.unique_tokens) == 1  # type: ignore[union-attr]
    assert both.repetition.R_D == 15.387756  # type: ignore[union-attr]
    for number, row in enumerate(rows):
        assert float(both.loss(2e10, 3e12)[number]) == pytest.approx(float(row.loss(2e10, 3e12)), rel=1e-15)
        assert float(both.at(np.array([number])).tokens_for(2e10, 2.0)[0]) == pytest.approx(
            float(row.tokens_for(2e10, 2.0)), rel=1e-13
        )
        assert both.row(number).repetition == row.repetition


def test_stacked_bends_by_hand() -> None:
    bits = [Quantisation(coefficient=c, gamma_D=0.5, gamma_N=0.35, bits=b) for c, b in ((1e-5, 4.0), (1e-4, 3.0))]
    limits = [Repetition(unique_tokens=1e12, R_D=15.0, R_N=R) for R in (5.0, 6.0)]
    rows = [WholeLaw(law=LAW, repetition=limit, quantisation=bend) for limit, bend in zip(limits, bits, strict=True)]
    both = stacked_laws(rows, name="two")
    assert both.repetition is not None
    assert both.quantisation is not None
    # What differs is an array, and nothing else is.
    assert (both.repetition.unique_tokens, both.repetition.R_D, list(both.repetition.R_N)) == (1e12, 15.0, [5.0, 6.0])
    assert list(both.quantisation.coefficient) == [1e-5, 1e-4]
    assert list(both.quantisation.bits) == [4.0, 3.0]
    assert (both.quantisation.gamma_D, both.quantisation.gamma_N) == (0.5, 0.35)
    found = both.tokens_for(3e10, 2.1)
    for number, row in enumerate(rows):
        assert float(found[number]) == pytest.approx(float(row.tokens_for(3e10, 2.1)), rel=1e-12)
        assert (both.row(number).repetition, both.row(number).quantisation) == (row.repetition, row.quantisation)
    last = both.at(slice(1, 2))
    assert last.quantisation is not None
    assert list(last.quantisation.bits) == [3.0]
    assert float(last.loss(3e10, 1e12)[0]) == pytest.approx(float(rows[1].loss(3e10, 1e12)), rel=1e-14)
    # Alike, they stay as they are; a plain law is its own row.
    same = stacked_laws(rows[:1] * 2, name="same")
    assert same.quantisation is bits[0]
    assert same.repetition is limits[0]
    assert rows[0].row(0).law is LAW
    assert rows[0].at(slice(None)).quantisation is bits[0]


def test_a_law_without_bends_is_plain() -> None:
    plain = WholeLaw(law=LAW)
    assert plain.is_plain
    assert not WholeLaw(law=LAW, repetition=Repetition(unique_tokens=1e12, R_D=15.0, R_N=5.0)).is_plain
    assert not WholeLaw(
        law=LAW, quantisation=Quantisation(coefficient=1e-5, gamma_D=0.5, gamma_N=0.35, bits=4.0)
    ).is_plain
    assert plain.at(0).repetition is None
    assert plain.row(0).quantisation is None
    assert stacked_laws([plain, plain], name="two").is_plain
    assert float(plain.tokens_for(7e9, 2.1)) == float(LAW.tokens_for(7e9, 2.1))


@pytest.mark.parametrize("epochs", [0.4, 1.0, 6.0, 40.0])
def test_both_bends_at_once_against_the_loss_itself(epochs: float) -> None:
    # Few and many passes: the tokens that the loss was made of come back, left of the least loss.
    repetition = Repetition(unique_tokens=2e11, R_D=15.0, R_N=5.0)
    whole = WholeLaw(
        law=LAW, repetition=repetition,
        quantisation=Quantisation(coefficient=1e-6, gamma_D=0.4, gamma_N=0.3, bits=4.0),
    )  # fmt: skip
    N, D = np.array([2e9, 2e10]), epochs * 2e11
    assert np.all(whole.slopes(N, D)[1] < 0.0)
    assert whole.tokens_for(N, whole.loss(N, D)).tolist() == pytest.approx([D, D], rel=1e-9)
    # A size that is too small for the loss has no tokens, whatever its neighbours have.
    found = whole.tokens_for(np.array([2e8, 2e10]), float(whole.loss(2e10, D)))
    assert math.isnan(found[0])
    assert float(found[1]) == pytest.approx(D, rel=1e-9)
