"""Thinking at inference: a third power law, and Snell's samples for equal FLOPs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import floats, laws, log_floats, sizes

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.thinking import Thinking, matched_samples

LAW = LossLaw(E=0.1, A=406.4, alpha=0.336, B=410.7, beta=0.283)


@st.composite
def thoughts(draw: st.DrawFn) -> Thinking:
    """Laws of thinking, gentle and steep."""
    return Thinking(G=draw(log_floats(1e-3, 10.0)), g=draw(floats(0.05, 2.0)))


# The law


def test_the_law_by_hand() -> None:
    # 406.4 (7e9)^-0.336 + 410.7 (2e12)^-0.283 + 0.1 + 0.5 * 16^-0.4; ln 7e9 = 22.669175986, ln 2e12 = 28.324168296
    by_hand = 0.1 + 406.4 * math.exp(-0.336 * 22.669175986) + 410.7 * math.exp(-0.283 * 28.324168296) + 0.5 * 2.0**-1.6
    assert float(Thinking(G=0.5, g=0.4).loss(LAW, 7e9, 2e12, 16)) == pytest.approx(by_hand, abs=1e-8)


@given(laws(), thoughts(), sizes(), log_floats(1e9, 1e15), log_floats(1.0, 1e5))
def test_held_law_is_the_full_law_and_terms_are_its_reducible_part(
    law: LossLaw, thinking: Thinking, N: float, D: float, k: float
) -> None:
    full = float(thinking.loss(law, N, D, k))
    assert float(thinking.held(law, k).loss(N, D)) == pytest.approx(full, rel=1e-12)
    point = {"params": N, "tokens": D, "samples": k}
    terms = float(law.posynomial().value(point)) + sum(float(term.value(point)) for term in thinking.terms(law))
    assert law.E + terms == pytest.approx(full, rel=1e-12)


@given(laws(), thoughts(), sizes(), log_floats(1e9, 1e15), log_floats(1.0, 1e5))
def test_more_thinking_lowers_the_loss_and_needed_inverts_it(
    law: LossLaw, thinking: Thinking, N: float, D: float, k: float
) -> None:
    more, less = (float(thinking.loss(law, N, D, each)) for each in (2.0 * k, k))
    assert more < less
    # By the reducible part: E may be so large that k leaves no trace in the last digits of the loss.
    needed = float(thinking.needed(law, N, D, less))
    assert float(thinking.left(needed)) == pytest.approx(less - float(law.loss(N, D)), rel=1e-9)
    assert math.isnan(thinking.needed(law, N, D, law.loss(N, D)))


@given(laws(), thoughts(), *[st.lists(floats(0.0, 1.0), min_size=2, max_size=2) for _ in range(3)], floats(0.0, 1.0))
def test_the_reducible_part_is_convex_in_the_logs(
    law: LossLaw, thinking: Thinking, x: list[float], y: list[float], z: list[float], t: float
) -> None:
    ends = [np.array([16.0 + 14.0 * a, 20.0 + 15.0 * b, 10.0 * c]) for a, b, c in zip(x, y, z, strict=True)]

    def log_reducible(point: np.ndarray) -> float:
        N, D, k = np.exp(point)
        return float(np.log(law.posynomial().value({"params": N, "tokens": D}) + thinking.left(k)))

    between = log_reducible((1.0 - t) * ends[0] + t * ends[1])
    assert between <= (1.0 - t) * log_reducible(ends[0]) + t * log_reducible(ends[1]) + 1e-9


def test_arrays_answer_as_scalars() -> None:
    thinking = Thinking(G=0.5, g=0.4)
    k = np.array([1.0, 4.0, 64.0])
    assert thinking.loss(LAW, 7e9, 2e12, k).tolist() == [float(thinking.loss(LAW, 7e9, 2e12, one)) for one in k]


def test_figures_say_what_thinking_took_away() -> None:
    figures = Thinking(G=0.5, g=0.5).figures(LAW, 7e9, 2e12, 4.0)
    assert figures == {"samples": 4.0, "thinking_loss": 0.25, "thinking_gain": 0.25}


def test_samples_are_whole_and_tokens_of_reasoning_are_not() -> None:
    assert Thinking(G=1.0, g=1.0).whole
    assert not Thinking(G=1.0, g=1.0, variable="reasoning_tokens").whole


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (64.0, []),
        (256.0, ["256 samples per request is 4.00x the most fitted (64)"]),
        (1.0, ["1 samples per request is 0.500x the fewest fitted (2)"]),
    ],
)
def test_departures_from_what_was_fitted(value: float, said: list[str]) -> None:
    assert Thinking(G=0.5, g=0.4, seen=(2.0, 64.0)).departures(7e9, 2e12, value) == said
    assert Thinking(G=0.5, g=0.4).departures(7e9, 2e12, value) == []


@pytest.mark.parametrize(
    ("G", "g", "low", "high", "mistake"),
    [
        (0.0, 0.4, 1.0, 64.0, "G must be > 0 and finite, not 0"),
        (0.5, -0.4, 1.0, 64.0, "g must be > 0 and finite, not -0.4"),
        (0.5, math.nan, 1.0, 64.0, "g must be > 0 and finite, not nan"),
        (math.inf, 0.4, 1.0, 64.0, "G must be > 0 and finite, not inf"),
        (0.5, 0.4, 0.5, 64.0, "0.5 to 64 samples per request holds nothing"),
        (0.5, 0.4, 8.0, 4.0, "8 to 4 samples per request holds nothing"),
        (0.5, 0.4, math.nan, 4.0, "nan to 4 samples per request holds nothing"),
    ],
)
def test_constants_that_are_none(G: float, g: float, low: float, high: float, mistake: str) -> None:
    with pytest.raises(InputError, match=mistake):
        Thinking(G=G, g=g, low=low, high=high)


def test_every_mistake_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Thinking(G=-1.0, g=0.0, variable="thoughts")  # type: ignore[arg-type]
    assert len(str(caught.value).splitlines()) == 3


def test_kaplans_form_takes_no_third_term() -> None:
    with pytest.raises(InputError, match="kaplan form takes none"):
        Thinking(G=0.5, g=0.4).held(published("kaplan-2020"), 4.0)


# Snell et al. 2024: samples for equal FLOPs


@pytest.mark.parametrize(
    ("ratio", "k"),
    [
        # R = D_inf/D_pre of .16, .79 and 22 and a model 14 times as large (the paper's), by M + 3 (M - 1)/R
        (0.16, 257.75),
        (0.79, 63.367),
        (22.0, 15.773),
    ],
)
def test_snells_three_ratios(ratio: float, k: float) -> None:
    assert float(matched_samples(14.0, 1.0, ratio)) == pytest.approx(k, abs=5e-4)


@given(
    log_floats(1.0, 100.0),
    sizes(),
    log_floats(1e9, 1e14),
    log_floats(1e9, 1e16),
    log_floats(0.1, 10.0),
    log_floats(1e3, 1e15),
)
def test_both_sides_cost_the_same_flops(
    M: float, N: float, D: float, served: float, more_data: float, shared: float
) -> None:
    k = float(matched_samples(M, D, served, larger_pretraining_tokens=more_data * D, shared_tokens=shared))
    small = 6.0 * N * D + 2.0 * N * shared + 2.0 * N * k * served
    large = 6.0 * (M * N) * (more_data * D) + 2.0 * (M * N) * (shared + served)
    # Where the larger model has far less data, k is negative and the sides cancel.
    assert small == pytest.approx(large, rel=1e-9, abs=1e-9 * (6.0 * N * D + large))


@given(log_floats(1.0, 100.0), log_floats(1e9, 1e14), log_floats(1e9, 1e16))
def test_by_default_it_is_snells_formula(M: float, D: float, served: float) -> None:
    assert float(matched_samples(M, D, served)) == pytest.approx(M + 3.0 * (D / served) * (M - 1.0), rel=1e-12)


def test_the_samples_fall_to_the_size_ratio_as_demand_grows() -> None:
    k = matched_samples(4.0, 2e12, np.array([1e12, 1e13, 1e16]))
    assert np.all(np.diff(k) < 0)
    assert float(k[-1]) == pytest.approx(4.0, abs=2e-3)


@pytest.mark.parametrize(("M", "D", "served"), [(0.0, 1e12, 1e12), (2.0, -1.0, 1e12), (2.0, 1e12, math.nan)])
def test_numbers_that_match_nothing(M: float, D: float, served: float) -> None:
    with pytest.raises(InputError, match="must be > 0 and finite"):
        matched_samples(M, D, served)


# Edges


def test_what_thinking_is_where_nothing_is_said() -> None:
    plain = Thinking(G=0.5, g=0.4)
    assert (plain.variable, plain.low, plain.high, plain.once, plain.seen) == ("samples", 1.0, 1e6, 1.0, None)
    assert (plain.name, plain.source, plain.kind, plain.baseline) == ("custom", "", "thinking", 1.0)
    assert Thinking(G=0.5, g=0.4, once=32.0, low=32.0, variable="reasoning_tokens").baseline == 32.0
    assert Thinking(G=0.5, g=0.4, low=1.0, high=1.0).high == 1.0


@pytest.mark.parametrize(
    "given",
    [
        {"low": np.nextafter(1.0, 0.0)},
        {"high": math.inf},
        {"low": 4.0, "high": np.nextafter(4.0, 0.0)},
        {"once": np.nextafter(1.0, 0.0)},
        {"once": math.inf},
        {"once": math.nan},
    ],
)
def test_bounds_that_hold_nothing(given: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"^thinking: .* holds nothing; the least is 1, and the most no less than"):
        Thinking(G=0.5, g=0.4, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", ["G", "g"])
@pytest.mark.parametrize("value", [0.0, math.inf, math.nan, -1.0])
def test_each_constant_is_positive_and_finite(key: str, value: float) -> None:
    with pytest.raises(InputError) as caught:
        Thinking(**({"G": 0.5, "g": 0.4} | {key: value}))
    assert str(caught.value) == f"thinking: {key} must be > 0 and finite, not {value:g}"


def test_a_tenth_beyond_the_samples_seen_is_no_departure() -> None:
    seen = Thinking(G=0.5, g=0.4, seen=(2.0, 64.0))
    high, low = 1.1 * 64.0, 2.0 / 1.1
    assert seen.departures(1e9, 1e10, high) == seen.departures(1e9, 1e10, low) == []
    assert seen.departures(1e9, 1e10, float(np.nextafter(high, 99.0)))[0].endswith("is 1.10x the most fitted (64)")
    assert seen.departures(1e9, 1e10, float(np.nextafter(low, 0.0)))[0].endswith("is 0.909x the fewest fitted (2)")
    tokens = Thinking(G=0.5, g=0.4, seen=(100.0, 1000.0), variable="reasoning_tokens")
    assert tokens.departures(1e9, 1e10, 4000.0) == ["4k reasoning tokens per request is 4.00x the most fitted (1k)"]


def test_figures_against_not_thinking() -> None:
    # .5 (16^-.5) of .5 (4^-.5)
    found = Thinking(G=0.5, g=0.5, variable="reasoning_tokens", once=4.0, low=4.0)
    assert found.figures(LAW, 7e9, 2e12, 16.0) == {
        "reasoning_tokens": 16.0, "thinking_loss": 0.125, "thinking_gain": 0.125,
    }  # fmt: skip
    (term,) = found.terms(LAW)
    assert (term.label, term.coefficient, dict(term.powers)) == ("thinking", 0.5, {"reasoning_tokens": -0.5})


@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
@pytest.mark.parametrize(
    "name",
    ["size_ratio", "pretraining_tokens", "inference_tokens", "larger_pretraining_tokens", "shared_tokens"],
)
def test_each_number_that_matches_nothing_is_named(name: str, value: float) -> None:
    good = {"size_ratio": 4.0, "pretraining_tokens": 1e12, "inference_tokens": 1e12}
    least = ">=" if name == "shared_tokens" else ">"
    with pytest.raises(InputError) as caught:
        matched_samples(**(good | {name: value}))  # type: ignore[arg-type]
    assert str(caught.value) == f"{name} must be {least} 0 and finite, not {value}"
    # 4 + 3 (4 - 1), and with 2e12 shared tokens (4 - 1) 2 more
    assert float(matched_samples(**good, shared_tokens=0.0)) == 13.0  # type: ignore[arg-type]
    assert float(matched_samples(**good, shared_tokens=2e12)) == 19.0  # type: ignore[arg-type]
    if name != "shared_tokens":
        with pytest.raises(InputError, match=f"^{name} must be > 0 and finite, not 0.0$"):
            matched_samples(**(good | {name: 0.0}))  # type: ignore[arg-type]
