"""Intervals: against published standard errors, against a loop, and against the truth of simulated runs."""

from __future__ import annotations

import csv
import json
import math
from statistics import NormalDist

import numpy as np
import pytest

from beyond_chinchilla.engines import engine
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.fit.bootstrap import PARAMETERS, bootstrap
from beyond_chinchilla.fit.levenberg import minimise
from beyond_chinchilla.fit.parametric import GRID, fit_parametric
from beyond_chinchilla.fit.profile import profile
from beyond_chinchilla.laws.loss_law import LossLaw

LAW = LossLaw(E=1.8172, A=482.01, alpha=0.3478, B=2085.43, beta=0.3658)
TRUTH = np.array([math.log(LAW.A), math.log(LAW.B), math.log(LAW.E), LAW.alpha, LAW.beta])
FIGURES = dict(zip(PARAMETERS, (LAW.A, LAW.B, LAW.E, LAW.alpha, LAW.beta), strict=True))
GRID_SAMPLE = GRID[::141]


def draw_runs(count, *, noise, seed):
    random = np.random.default_rng(seed)
    N = 10 ** random.uniform(7.7, 10.3, count)
    D = N * 10 ** random.uniform(0.0, 2.7, count)
    return N, D, LAW.loss(N, D) * np.exp(noise * random.standard_normal(count))


@pytest.fixture(scope="module")
def fit():
    return fit_parametric(*draw_runs(80, noise=0.01, seed=1), grid=GRID_SAMPLE)


@pytest.fixture(scope="module")
def resampled(fit):
    return bootstrap(fit, samples=300, seed=5)


@pytest.mark.own_step
def test_standard_errors_of_the_240_points_are_besiroglus(bc_data):
    with (bc_data / "epoch_chinchilla_svg_extracted_data.csv").open() as file:
        rows = [[float(row[key]) for key in ("Model Size", "Training FLOP", "loss")] for row in csv.DictReader(file)]
    N, C, L = np.array(sorted(rows, key=lambda row: row[2])[:240]).T
    found = bootstrap(fit_parametric(N, C / (6 * N), L, grid=GRID_SAMPLE))
    assert (len(found.samples), found.failures, found.unconverged) == (4000, 0, 0)
    # Besiroglu et al. 2024: their notebook's 4000 refits (A 124.5, E .02566, alpha .0154, beta .0206, a .020), and 300
    # refits to the exact minimum (A 115, E .0278, alpha .0147, beta .0216, a .0191). These lie between, or within 5%.
    for name, error in {"A": 120, "E": 0.0266, "alpha": 0.0150, "beta": 0.0211, "a": 0.0195}.items():
        assert found.standard_error(name) == pytest.approx(error, rel=0.08), name
    # B has a heavy tail, and its standard error none that settles: 1293 in the notebook, 1766 in 300 refits.
    assert 1200 < found.standard_error("B") < 1800
    # The notebook's 95% intervals.
    published = {"A": (285.2, 743.6), "B": (1042, 5810), "E": (1.769, 1.871)}
    published |= {"alpha": (0.317, 0.373), "beta": (0.331, 0.415)}
    for name, (low, high) in published.items():
        width = high - low
        assert found.interval(name) == (pytest.approx(low, abs=0.05 * width), pytest.approx(high, abs=0.05 * width))
    assert found.covariance[0, 3] / math.sqrt(found.covariance[0, 0] * found.covariance[3, 3]) > 0.99
    low, high = np.percentile(found.tokens_per_param(5.76e23), [2.5, 97.5])
    # About 20 tokens per parameter at Chinchilla's compute, not 70 (Besiroglu et al. 2024, Figure 5).
    assert 5 < low < 20 < high < 45


def test_the_same_seed_gives_the_same_samples(fit, resampled):
    again = bootstrap(fit, samples=300, seed=5)
    np.testing.assert_array_equal(again.samples, resampled.samples)
    assert not np.array_equal(bootstrap(fit, samples=300, seed=6).samples, resampled.samples)


def test_refits_are_those_of_a_loop(fit, resampled):
    # The same draws, one refit after the other, each run repeated as often as it was drawn.
    count = fit.loss.size
    draws = np.random.default_rng(5).multinomial(count, np.full(count, 1 / count), size=300)
    for i in range(4):
        N, D, L = (np.repeat(x, draws[i]) for x in (fit.params, fit.tokens, fit.loss))
        alone = fit_parametric(N, D, L, grid=fit.minima)
        assert resampled.objective[i] <= alone.objective * (1 + 1e-8)
        assert resampled.objective[i] == pytest.approx(alone.objective, rel=1e-3)


def test_figures_follow_from_the_samples(fit, resampled):
    laws = resampled.laws(fit)
    assert len(laws) == 300 - resampled.failures
    ratios = resampled.tokens_per_param([1e21, 1e24])
    optimum = [laws[0].compute_optimal(flops=flops) for flops in (1e21, 1e24)]
    np.testing.assert_allclose(ratios[0], [float(point.tokens / point.params) for point in optimum], rtol=1e-9)
    np.testing.assert_allclose(resampled.draws("a") + resampled.draws("b"), 1.0)
    assert resampled.draws("a")[0] == pytest.approx(laws[0].data_share)
    np.testing.assert_allclose(np.log(resampled.draws("A")), resampled.kept[:, 0])
    low, high = resampled.interval("alpha")
    assert np.mean((resampled.draws("alpha") > low) & (resampled.draws("alpha") < high)) == pytest.approx(
        0.95, abs=0.01
    )
    with pytest.raises(InputError, match="no figure named 'gamma'"):
        resampled.draws("gamma")


def test_the_bootstrap_is_a_record(resampled):
    record = json.loads(json.dumps(resampled.to_dict(), allow_nan=False))
    assert set(record["intervals"]) == {"A", "B", "E", "alpha", "beta", "a", "b"}
    assert [row["flops"] for row in record["tokens_per_param"]] == [1e21, 1e23, 5.76e23]
    assert "parameters" not in record
    assert len(resampled.to_dict(samples=True)["parameters"]) == len(resampled.kept)


def test_constraints_hold_in_every_sample():
    runs = draw_runs(60, noise=0.01, seed=2)
    tied = bootstrap(fit_parametric(*runs, tied=True, grid=GRID_SAMPLE), samples=50)
    np.testing.assert_allclose(tied.samples[:, 3], tied.samples[:, 4], rtol=1e-12)
    held = bootstrap(fit_parametric(*runs, irreducible=1.8, objective="least-squares", grid=GRID_SAMPLE), samples=50)
    np.testing.assert_allclose(held.draws("E"), 1.8)
    none = bootstrap(fit_parametric(*runs, irreducible=0.0, grid=GRID_SAMPLE), samples=20)
    assert none.standard_error("E") == 0.0
    assert (none.draws("E") == 0.0).all()


def test_failures_are_counted():
    # Ten noisy runs: some resamples repeat so few of them that no law is left.
    found = bootstrap(fit_parametric(*draw_runs(10, noise=0.03, seed=1), grid=GRID_SAMPLE), samples=60)
    assert 0 < found.failures == 60 - len(found.kept) < 30
    assert np.isfinite(found.kept).all()
    assert (found.kept[:, 3:] > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "1 samples make no interval"),
        ({"level": 95}, "level 95 is not between 0 and 1"),
        ({"flops": [0.0]}, "must be positive"),
    ],
)
def test_bad_options_of_the_bootstrap(fit, options, message):
    with pytest.raises(InputError, match=message):
        bootstrap(fit, **options)


# Profiles


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_profile_is_the_constrained_minimum(fit, parameter):
    found = profile(fit, parameter, points=11)
    which = PARAMETERS.index(parameter)
    assert found.objective.min() == pytest.approx(fit.objective, rel=1e-9)
    assert np.argmin(found.objective) == 5
    assert found.low < getattr(fit.law, parameter) < found.high
    value = math.log(found.values[8]) if which < 3 else found.values[8]
    # Free minima through the same point cannot be lower: hold it and start elsewhere.
    held = fit.constraint.also(np.eye(5)[[which]], np.full((1, 20), value))
    starts = fit.minima[0][:, None] * np.random.default_rng(3).uniform(0.95, 1.05, (5, 20))
    other = minimise(fit.rows, starts, delta=fit.core_delta, constraint=held)
    assert found.objective[8] <= other.objective.min() * (1 + 1e-6)
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_profile_of_least_squares_is_the_linear_interval_where_noise_is_small():
    fit = fit_parametric(*draw_runs(60, noise=1e-5, seed=9), objective="least-squares", grid=GRID_SAMPLE)
    jacobian = fit.rows.jacobian(fit.rows.inward @ fit.parameters) @ fit.rows.inward
    error = fit.scatter * math.sqrt(np.linalg.inv(jacobian.T @ jacobian)[3, 3])
    found = profile(fit, "alpha")
    half = NormalDist().inv_cdf(0.975) * error
    assert (found.low, found.high) == pytest.approx((fit.law.alpha - half, fit.law.alpha + half), abs=0.01 * half)


def test_a_profile_of_E_ends_at_its_bound():
    # With 12 noisy runs of small models E may be anything down to 0.
    random = np.random.default_rng(4)
    N, D = 10 ** random.uniform(7, 7.6, 12), 10 ** random.uniform(8, 8.6, 12)
    fit = fit_parametric(N, D, LAW.loss(N, D) * np.exp(0.01 * random.standard_normal(12)), grid=GRID_SAMPLE)
    found = profile(fit, "E", points=9)
    assert found.low == found.values[0] == 0.0
    assert found.high is None or LAW.E < found.high < 10.0
    json.dumps(found.to_dict(), allow_nan=False)


def test_bad_options_of_the_profile(fit):
    for parameter, options, message in (
        ("gamma", {}, "no parameter named 'gamma'"),
        ("A", {"points": 10}, "odd number"),
        ("A", {"level": 0.0}, "level 0 is not"),
    ):
        with pytest.raises(InputError, match=message):
            profile(fit, parameter, **options)
    held = fit_parametric(fit.params, fit.tokens, fit.loss, irreducible=1.8, grid=GRID_SAMPLE)
    with pytest.raises(InputError, match="E was held"):
        profile(held, "E")


# Coverage

# At a true coverage of 95% the share among so many has a standard deviation of 2%.
REPLICAS = 100


@pytest.mark.own_step
def test_profiles_cover_the_truth():
    hits = dict.fromkeys(PARAMETERS, 0)
    N, D, _ = draw_runs(100, noise=0.0, seed=7)
    random = np.random.default_rng(7)
    for _ in range(REPLICAS):
        L = LAW.loss(N, D) * np.exp(0.01 * random.standard_normal(N.size))
        # One start is enough where the truth is known to be near the minimum.
        fit = fit_parametric(N, D, L, grid=[TRUTH])
        for name, truth in FIGURES.items():
            found = profile(fit, name, points=9)
            hits[name] += (found.low or 0.0) <= truth <= (found.high or math.inf)
    for name, count in hits.items():
        assert 0.89 * REPLICAS <= count <= 0.99 * REPLICAS, name


@pytest.mark.own_step
def test_percentile_intervals_cover_the_truth():
    hits = np.zeros(5)
    N, D, _ = draw_runs(100, noise=0.0, seed=7)
    random = np.random.default_rng(7)
    for seed in range(REPLICAS):
        L = LAW.loss(N, D) * np.exp(0.01 * random.standard_normal(N.size))
        found = bootstrap(fit_parametric(N, D, L, grid=[TRUTH], objective="least-squares"), samples=150, seed=seed)
        low, high = np.percentile(found.kept, [2.5, 97.5], axis=0)
        hits += (low <= TRUTH) & (high >= TRUTH)
    assert ((hits >= 0.89 * REPLICAS) & (hits <= 0.99 * REPLICAS)).all(), hits


def test_samples_do_not_depend_on_who_refits():
    fit = fit_parametric(*draw_runs(60, noise=0.01, seed=2), grid=[TRUTH])
    with engine("serial") as one, engine("threads", workers=3) as three:
        alone, together = (bootstrap(fit, samples=2300, seed=5, pool=pool) for pool in (one, three))
    np.testing.assert_array_equal(alone.samples, together.samples)
