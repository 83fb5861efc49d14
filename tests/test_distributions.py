"""Quantiles: stated ones come back exactly, all are monotone, and what no field can hold is refused."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.distributions import (
    MOST_SAMPLES,
    Z90,
    Distribution,
    Lognormal,
    Normal,
    Samples,
    Triangular,
    Uniform,
)
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.stated_distributions import PLAIN, Reader, is_distribution, read_distribution

U = np.linspace(1e-6, 1 - 1e-6, 401)
positive = st.floats(-12.0, 18.0).map(lambda power: 10.0**power)
ratios = st.floats(1.01, 50.0)


@st.composite
def distributions(draw: st.DrawFn) -> Distribution:
    """Any distribution of positive numbers."""
    low = draw(positive)
    high = low * draw(ratios)
    kind = draw(st.sampled_from(["median", "p10", "triangular", "uniform", "normal", "samples"]))
    if kind == "median":
        return Lognormal(middle=low, p90=high)
    if kind == "p10":
        return Lognormal(p10=low, p90=high)
    if kind == "triangular":
        return Triangular(low=low, mode=low + draw(st.floats(0.0, 1.0)) * (high - low), high=high)
    if kind == "uniform":
        return Uniform(low=low, high=high)
    if kind == "normal":
        return Normal(mean=high, sd=high / draw(st.floats(2.0, 20.0)), low=0.0)
    values = np.random.default_rng(draw(st.integers(0, 99))).uniform(low, high, draw(st.integers(100, 300)))
    return Samples(values=tuple(values.tolist()), source="runs.csv")


def test_the_90_percent_quantile_is_the_normals():
    assert pytest.approx(NormalDist().inv_cdf(0.9), rel=1e-15) == Z90


@given(distributions())
def test_quantiles_rise_and_the_median_is_that_of_one_half(distribution: Distribution):
    found = distribution.quantile(U)
    assert found.shape == U.shape
    assert (np.diff(found) >= -1e-12 * np.abs(found[1:])).all()
    assert (found >= 0).all()
    assert float(distribution.quantile(0.5)) == pytest.approx(distribution.median, rel=1e-12)


@given(positive, ratios)
def test_a_lognormal_has_its_stated_quantiles(median: float, ratio: float):
    one = Lognormal(middle=median, p90=ratio * median)
    assert one.median == median
    np.testing.assert_allclose(one.quantile([0.5, 0.9, 0.1]), [median, ratio * median, median / ratio], rtol=1e-12)
    two = Lognormal(p10=median, p90=ratio * median)
    np.testing.assert_allclose(two.quantile([0.1, 0.9]), [median, ratio * median], rtol=1e-12)
    assert two.median == pytest.approx(median * math.sqrt(ratio), rel=1e-14)


@given(distributions(), st.floats(1e-3, 1e3))
def test_a_scaled_distribution_has_scaled_quantiles(distribution: Distribution, factor: float):
    np.testing.assert_allclose(distribution.scaled(factor).quantile(U), factor * distribution.quantile(U), rtol=1e-9)


@given(distributions())
def test_what_is_written_is_read_back(distribution: Distribution):
    stated = distribution.to_dict()
    assert is_distribution(stated)
    reader = Reader(number=float, spread=float, low=0.0)
    found, mistakes = read_distribution(stated, reader)
    assert mistakes == []
    assert found is not None
    np.testing.assert_array_equal(found.quantile(U), distribution.quantile(U))
    assert found.to_dict() == stated


def test_a_triangle_has_half_its_area_on_each_side_of_its_median():
    # (b - m)^2 / ((b - a)(b - c)) = 1/2 for a mode c below the middle of [a, b].
    triangle = Triangular(low=1, mode=2, high=5)
    assert triangle.median == pytest.approx(5 - math.sqrt(0.5 * 4 * 3), rel=1e-15)
    # The mode is the quantile of (c - a)/(b - a).
    np.testing.assert_allclose(triangle.quantile([0.0, 0.25, 1.0]), [1, 2, 5], rtol=1e-12)


def test_a_cut_normal_is_the_normal_given_that_it_lies_inside():
    cut = Normal(mean=2.0, sd=1.0, low=0.0, high=4.0)
    plain = NormalDist(2.0, 1.0)
    inside = plain.cdf(4.0) - plain.cdf(0.0)
    for share in (0.01, 0.3, 0.5, 0.9):
        value = float(cut.quantile(share))
        assert (plain.cdf(value) - plain.cdf(0.0)) / inside == pytest.approx(share, rel=1e-10)
    assert cut.quantile([1e-12, 1 - 1e-12]) == pytest.approx([0.0, 4.0], abs=1e-9)
    skewed = Normal(mean=1.8, sd=1.0, low=0.0)
    assert skewed.median > 1.8
    assert float(skewed.quantile(0.5)) == pytest.approx(skewed.median, rel=1e-14)


def test_samples_have_their_own_median_and_stay_within_themselves():
    values = tuple(np.random.default_rng(3).lognormal(size=1001).tolist())
    samples = Samples(values=values)
    assert samples.median == pytest.approx(float(np.median(values)), rel=1e-15)
    assert samples.quantile(U).min() >= min(values)
    assert samples.quantile(U).max() <= max(values)
    assert float(samples.quantile(0.9)) == pytest.approx(float(np.quantile(values, 0.9, method="hazen")), rel=1e-12)


def test_many_samples_are_thinned_to_their_quantiles():
    values = tuple(np.random.default_rng(3).lognormal(size=40_000).tolist())
    kept, mistakes = read_distribution({"samples": list(values)})
    assert mistakes == []
    assert isinstance(kept, Samples)
    assert len(kept.values) == MOST_SAMPLES
    np.testing.assert_allclose(kept.quantile([0.05, 0.5, 0.95]), np.quantile(values, [0.05, 0.5, 0.95]), rtol=1e-3)


@pytest.mark.parametrize(
    ("stated", "within", "told"),
    [
        ({"median": 4, "p90": 1}, (), "p90 1 is not above the median 4"),
        ({"median": 4, "p90": 4}, (), "p90 4 is not above the median 4"),
        ({"p10": 4, "p90": 1}, (), "p90 1 is not above the p10 4"),
        ({"median": 0, "p90": 1}, (), "median 0 is not above zero; give {low, mode, high}"),
        ({"p10": -1, "p90": 1}, (), "p10 -1 is not above zero"),
        ({"low": 4, "mode": 2, "high": 6}, (), "they must rise"),
        ({"low": 4, "mode": 4, "high": 4}, (), "they must rise"),
        ({"low": 4, "high": 4}, (), "high 4 is not above low 4"),
        ({"normal": {"mean": 1, "sd": 0}}, (), "sd 0 is not above zero"),
        ({"normal": {"mean": 1, "sd": "x"}}, ("normal", "sd"), "'x' is not a number"),
        ({"normal": {"mean": 1}}, (), "takes mean and sd alone"),
        ({"normal": 3}, (), "takes mean and sd alone"),
        ({"normal": {"mean": 1, "sd": 1}, "p90": 3}, (), "takes mean and sd alone"),
        ({"median": "one", "p90": 3}, ("median",), "'one' is not a number"),
        ({"median": 1, "p9": 3}, ("p9",), "did you mean 'p90'?"),
        ({"median": 1}, (), "median makes no distribution; write {median: 1, p90: 4}"),
        ({"mean": 1, "sd": 2}, (), "mean, sd makes no distribution; write"),
        ({"samples": [1.0] * 50}, ("samples",), "50 usable samples say too little; give 100 at least"),
        ({"samples": [2.0] * 200}, ("samples",), "all samples are equal"),
        ({"samples": [*range(200), "x", math.nan]}, ("samples",), "2 of 202 cannot be used, the first: 'x'"),
        ({"samples": 7}, ("samples",), "neither a file beside the scenario nor a list"),
        ({"samples": [1.0] * 200, "median": 1}, ("median",), "does not go with samples"),
    ],
)
def test_what_is_no_distribution_is_told(stated: dict[str, object], within: tuple[str, ...], told: str):
    found, mistakes = read_distribution(stated, PLAIN)
    assert found is None
    assert [keys for keys, _ in mistakes] == [within]
    assert told in mistakes[0][1]
    assert "\n" not in mistakes[0][1]


def test_a_lognormal_beyond_its_field_is_refused_and_never_clipped():
    with pytest.raises(
        InputError, match=r"is above 1, which is not possible here, in .*% of cases; give \{low, mode, high\} instead"
    ):
        Lognormal(middle=0.5, p90=0.8, low=0.01, high=1.0)
    close = Lognormal(middle=0.4, p90=0.5, low=1e-18, high=1.0)
    assert close.quantile(1 - 1e-15) <= 1.0
    assert float(close.quantile(0.9)) == pytest.approx(0.5, rel=1e-6)


def test_a_normal_of_which_much_would_be_cut_is_refused():
    with pytest.raises(InputError, match=r"has 16% beyond what is above 0, .* give \{median, p90\}"):
        Normal(mean=1.0, sd=1.0, low=0.0)


def test_samples_that_are_no_numbers_are_counted():
    with pytest.raises(InputError, match="2 of 200 samples are no numbers"):
        Samples(values=(*[float(i) for i in range(198)], math.nan, math.inf))


def test_a_lognormal_takes_one_pair_of_quantiles():
    with pytest.raises(InputError, match="give one pair"):
        Lognormal(middle=1.0, p10=0.5, p90=2.0)


@given(st.dictionaries(st.sampled_from(["median", "p90", "p10", "low", "high", "mode", "normal", "samples", "x"]),
                       st.one_of(st.floats(), st.text(max_size=5), st.none(), st.lists(st.floats(), max_size=3),
                                 st.dictionaries(st.sampled_from(["mean", "sd"]), st.floats()))))  # fmt: skip
def test_anything_is_a_distribution_or_mistakes(stated: dict[str, object]):
    found, mistakes = read_distribution(stated)
    assert (found is None) == bool(mistakes)
    if found is not None:
        assert math.isfinite(found.median)


@given(distributions())
def test_a_description_is_one_short_line(distribution: Distribution):
    said = distribution.describe()
    assert "\n" not in said
    assert 5 < len(said) < 90
