"""What a fit, its resamples and its profiles say of themselves, against plain linear algebra and made records."""

from __future__ import annotations

import inspect
import json
import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from scipy.linalg import null_space

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit import bootstrap as module
from beyond_chinchilla.fit import parametric
from beyond_chinchilla.fit.bootstrap import Bootstrap, bootstrap
from beyond_chinchilla.fit.huber import UNLIMITED
from beyond_chinchilla.fit.levenberg import Minima, minimise
from beyond_chinchilla.fit.parametric import GRID, fit_parametric
from beyond_chinchilla.fit.profile import _crossing, _direction, deviance_scale, profile
from beyond_chinchilla.fit.result import Starts, hold
from beyond_chinchilla.laws.loss_law import LossLaw

LAW = LossLaw(E=1.8172, A=482.01, alpha=0.3478, B=2085.43, beta=0.3658)
TRUTH = np.array([[math.log(482.01), math.log(2085.43), math.log(1.8172), 0.3478, 0.3658]])
RANDOM = np.random.default_rng(1)
N = 10 ** RANDOM.uniform(7.7, 10.3, 40)
D = N * 10 ** RANDOM.uniform(0.0, 2.7, 40)
L = LAW.loss(N, D) * np.exp(0.01 * RANDOM.standard_normal(40))


def fitted(**options):
    return fit_parametric(N, D, L, grid=TRUTH, **options)


@pytest.fixture(scope="module")
def fit():
    return fitted(objective="least-squares")


def slopes(law, x=0.0, y=0.0):
    """Return d ln L by ln A, ln B, ln E, alpha, beta, the terms taken at ln N = x and ln D = y."""
    parts = np.stack([law.A * N**-law.alpha, law.B * D**-law.beta, np.full(40, law.E)])
    u, v, w = parts / parts.sum(axis=0)
    return np.stack([u, v, w, -(np.log(N) - x) * u, -(np.log(D) - y) * v], axis=1)


# Approach 3


def test_the_grid_is_hoffmanns():
    assert GRID.shape == (4500, 5)
    levels = [0, 5, 10, 15, 20, 25]
    for column, values in enumerate((levels, levels, [-1, -0.5, 0, 0.5, 1], [0, 0.5, 1, 1.5, 2], [0, 0.5, 1, 1.5, 2])):
        assert np.unique(GRID[:, column]).tolist() == values
    assert len(np.unique(GRID, axis=0)) == 4500
    assert not GRID.flags.writeable
    defaults = {name: each.default for name, each in inspect.signature(fit_parametric).parameters.items()}
    assert (defaults["delta"], defaults["tied"], defaults["irreducible"]) == (1e-3, False, None)


@pytest.mark.parametrize("options", [{}, {"tied": True}, {"irreducible": 1.8}, {"tied": True, "irreducible": 1.8}])
def test_condition_ridge_and_correlations(options):
    fit = fitted(objective="least-squares", **options)
    middle = slopes(fit.law, np.log(N).mean(), np.log(D).mean())
    lengths = np.linalg.norm(middle, axis=0)
    held = hold(options.get("tied", False), options.get("irreducible")).matrix
    # Columns of length 1, in the directions that are left.
    directions = null_space(held / lengths) if len(held) else np.eye(5)
    _, sizes, axes = np.linalg.svd(middle / lengths @ directions)
    assert fit.condition == pytest.approx(sizes[0] / sizes[-1], rel=1e-6)
    flattest = directions @ axes[-1] / lengths
    flattest /= flattest[np.argmax(np.abs(flattest))]
    assert list(fit.ridge) == ["A", "B", "E", "alpha", "beta"]
    assert list(fit.ridge.values()) == pytest.approx(flattest.tolist(), abs=1e-6)
    left = null_space(held) if len(held) else np.eye(5)
    jacobian = slopes(fit.law) @ left
    covariance = left @ np.linalg.inv(jacobian.T @ jacobian) @ left.T
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = covariance / np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    if "irreducible" in options:
        expected[2], expected[:, 2] = np.nan, np.nan
    np.testing.assert_allclose(fit.correlations, expected, atol=1e-4)
    assert fit.free == 5 - len(held)
    assert fit.scatter == pytest.approx(math.sqrt(fit.residuals @ fit.residuals / (40 - fit.free)), rel=1e-12)


def test_the_record_is_whole():
    fit = fit_parametric(N, D, L, grid=np.vstack([TRUTH, GRID[[0, 4499]]]), counts="non-embedding", name="ours")
    record = json.loads(json.dumps(fit.to_dict(), allow_nan=False))
    ends = {"params": N, "tokens": D, "tokens_per_param": D / N, "flops": 6.0 * N * D}
    assert record == {
        "method": "huber",
        "law": {
            **fit.law.to_dict(),
            "name": "ours",
            "counts": "non-embedding",
            "source": (
                "fit of 40 runs by Huber loss, delta 0.001 on log residuals (approach 3 of Hoffmann et al. 2022, D.2)"
            ),
            "fitted": {name: [values.min(), values.max()] for name, values in ends.items()},
        },
        "runs": 40,
        "objective": fit.objective,
        "delta": 1e-3,
        "tied": False,
        "irreducible": None,
        "parameters": dict(zip(("ln_A", "ln_B", "ln_E", "alpha", "beta"), fit.parameters.tolist(), strict=True)),
        "scatter": fit.scatter,
        "starts": {
            "count": 3,
            "reached_best": fit.starts.reached_best,
            "converged": fit.starts.converged,
            "refused": 0,
            "minima": [{"objective": value, "starts": count} for value, count in fit.starts.minima],
        },
        "condition": fit.condition,
        "ridge": fit.ridge,
        "bounds": [],
    }
    assert fit.parameters[:3] == pytest.approx(np.log([fit.law.A, fit.law.B, fit.law.E]).tolist(), rel=1e-12)
    assert fit.objective == fit.starts.minima[0][0]
    squares = fitted(objective="least-squares", irreducible=0.0)
    assert squares.law.source.startswith("fit of 40 runs by least squares on log residuals")
    assert (squares.to_dict()["delta"], squares.delta, squares.core_delta) == (None, math.inf, 1e3)
    assert (squares.law.E, squares.parameters[2], squares.minima[0][2]) == (0.0, -math.inf, -60.0)
    assert fit.core_delta == 1e-3


def minima_of(fit, factors, alphas=None):
    """Return as many ends of starts at the minimum of a fit, their objectives times factors."""
    count = len(factors)
    parameters = np.repeat(fit.minima[:1].T, count, axis=1)
    if alphas is not None:
        parameters[3] = np.where(np.isnan(alphas), parameters[3], alphas)
    return Minima(
        parameters, fit.objective * np.array(factors), np.arange(count) % 2 == 0, np.ones(count, dtype=np.int64)
    )


def test_starts_are_counted_by_where_they_end(fit):
    factors = [1.0, 1.0 + 0.9e-6, 1.0 + 1.2e-6, 1.0 + 1.3e-6, 1.05, *np.arange(2.0, 12.0)]
    held = hold(False, None)
    starts, minima = parametric._choose(fit.rows, minima_of(fit, factors), UNLIMITED, held)
    values = [fit.objective * factor for factor in (1.0, 1.0 + 1.2e-6, 1.05, *range(2, 9))]
    counts = [2, 2, 1] + [1] * 7
    assert [value for value, _ in starts.minima] == pytest.approx(values, rel=1e-9)
    assert [count for _, count in starts.minima] == counts
    assert starts == Starts(count=15, reached_best=2, converged=8, minima=starts.minima, refused=0)
    np.testing.assert_allclose(minima, fit.minima[:1], rtol=1e-6)
    # Lower, but with an exponent of 0 or less; the third is as good as the best and no rival.
    alphas = np.array([np.nan, np.nan, np.nan, 0.0, -0.1, -0.1])
    found = minima_of(fit, [1.0, 1.0, 1.0, 0.5, 1.0 - 1.2e-6, 1.0 - 0.8e-6], alphas)
    starts, _ = parametric._choose(fit.rows, found, UNLIMITED, held)
    assert (starts.refused, starts.reached_best) == (2, 3)
    # Half of all may be lower, not more.
    alphas = np.array([np.nan, np.nan, -1.0, -1.0])
    assert parametric._choose(fit.rows, minima_of(fit, [1, 1, 0.5, 0.5], alphas), UNLIMITED, held)[0].refused == 2
    with pytest.raises(FitError, match=r"^2 of 3 starts end in a law whose loss rises with N or D, lower than any"):
        parametric._choose(fit.rows, minima_of(fit, [1, 0.5, 0.5], alphas[1:]), UNLIMITED, held)
    for alphas in ([0.0, -1.0], [-1.0, 0.0]):
        with pytest.raises(FitError, match=r"^no start found a law whose loss falls with both N and D"):
            parametric._choose(fit.rows, minima_of(fit, [1, 1], np.array(alphas)), UNLIMITED, held)


def test_rivals_within_a_tenth_are_kept_four_at_most(fit, monkeypatch):
    factors = [1.0, 1.02, 1.04, 1.06, 1.09, 1.11]
    seen = []

    def refine(rows, start, **options):
        seen.append(start.shape[1])
        assert options["widest"] == options["delta"] == UNLIMITED
        assert (options["max_iterations"], options["tolerance"]) == (600, 1e-15)
        parameters = start + 1e-3 * np.arange(start.shape[1])
        objective = fit.objective * np.array([1.0 + 0.5e-6, 1.0, 1.04, 1.06, 1.09][: start.shape[1]])
        return Minima(parameters, objective, np.ones(start.shape[1], bool), np.ones(start.shape[1], dtype=np.int64))

    monkeypatch.setattr(parametric, "minimise", refine)
    _, minima = parametric._choose(fit.rows, minima_of(fit, factors), UNLIMITED, hold(False, None))
    assert seen == [5]
    # The first two are one minimum: the lower of them stands for both.
    np.testing.assert_allclose(minima[:, 3] - fit.minima[0][3], [1e-3, 2e-3, 3e-3, 4e-3], atol=1e-12)
    many = minima_of(fit, 1.0 + 1e-4 * np.arange(40))
    monkeypatch.setattr(
        parametric, "minimise",
        lambda rows, start, **_: seen.append(start.shape[1]) or Minima(
            np.where(np.arange(5)[:, None] == 4, 0.0, start), np.ones(start.shape[1]), None, None),
    )  # fmt: skip
    with pytest.raises(FitError, match=r"^the best minimum drifts to an exponent of 0; hold E"):
        parametric._choose(fit.rows, many, UNLIMITED, hold(False, None))
    assert seen[-1] == 16


def test_a_term_beyond_any_number_is_no_law(fit):
    def described(log_A):
        # On params around 1 such a term is as large as any other.
        minima = np.array([[log_A, 7.0, 0.6, log_A / np.log(N).mean(), 0.36]])
        starts = Starts(count=1, reached_best=1, converged=1, minima=((1.0, 1),), refused=0)
        return parametric._describe(
            fit.rows, starts, minima, method="huber", delta=1e-3, tied=False, irreducible=None, runs=(N, D, L),
            label=("total", "fit"),
        )  # fmt: skip

    assert pytest.approx(math.exp(699.5)) == described(699.5).law.A
    with pytest.raises(FitError, match=r"^the best law has ln A = 701, ln B = 7: a term beyond any number; the runs"):
        described(701.0)


def test_what_vanished_is_said():
    two = np.array([1e8, 1e8, 1e9])
    three = np.array([1e8, 3e8, 1e9])
    law = LossLaw(E=0.01, A=1.0, alpha=0.3, B=1.0, beta=0.3)

    def said(u, v, irreducible=None, N=three, D=three):
        return parametric._bounds(np.full(3, u), np.full(3, v), law, irreducible, N, D)

    assert said(1.1e-4, 1.1e-4) == ()
    assert said(0.9e-4, 0.5) == ("the model size term vanishes: below 0.01% of the loss in every run",)
    assert said(0.5, 0.9e-4) == ("the data term vanishes: below 0.01% of the loss in every run",)
    assert said(0.5, 0.49989) == ()
    assert said(0.5, 0.49991) == ("E = 0.01 is at its bound 0: below 0.01% of the loss in every run",)
    assert said(0.5, 0.49991, irreducible=0.01) == ()
    assert said(0.3, 0.3, N=two) == ("only two values of size: its exponent cannot be told from E",)
    assert said(0.3, 0.3, D=two) == ("only two values of tokens: its exponent cannot be told from E",)
    assert said(0.3, 0.3, irreducible=0.01, D=two) == ()
    # One run above the share is enough for a term to be there.
    assert parametric._bounds(np.array([0.0, 0.0, 2e-4]), np.full(3, 0.5), law, None, three, three) == ()


def test_runs_that_cannot_tell_parameters_apart():
    # Sizes that differ by less than 1e-9 in their logarithm are one.
    step = np.arange(12.0) / 11
    other = np.tile([1e10, 1e11, 1e12], 4)
    for width, fine in ((2e-9, True), (0.5e-9, False)):
        if fine:
            parametric._check_support(1e9 * np.exp(width * step), other, 5)
        else:
            with pytest.raises(
                InputError, match=r"^every run has N = 1\.00B, so that nothing says how the loss falls with N"
            ):
                parametric._check_support(1e9 * np.exp(width * step), other, 5)
            with pytest.raises(InputError, match="loss falls with D; add runs of other numbers of tokens"):
                parametric._check_support(other, 1e11 * np.exp(width * step), 5)
    # Tokens that follow size but for a wobble: 1 - r^2 of 1e-12 at a wobble of 1e-6.
    size = np.geomspace(1e8, 1e10, 12)
    for wobble, fine in ((3e-6, True), (0.3e-6, False)):
        tokens = 20 * size * np.exp(wobble * np.cos(7 * np.arange(12)))
        if fine:
            parametric._check_support(size, tokens, 5)
        else:
            with pytest.raises(InputError, match=r"^D follows from N in every run \(D/N = 20\.0 in the first\)"):
                parametric._check_support(size, tokens, 5)
    with pytest.raises(InputError, match=r"^5 runs for 5 parameters; give at least 6, or hold some"):
        parametric._check_support(size[:5], size[5:10], 5)


def test_options_at_their_ends():
    lowest = float(L.min())
    with pytest.raises(InputError, match="is not in 0 <= E <"):
        fitted(irreducible=lowest)
    with pytest.raises(InputError, match=r"irreducible loss -0\.1 is not in"):
        fitted(irreducible=-0.1)
    with pytest.raises(InputError, match="rows of five finite numbers, ln_A, ln_B, ln_E, alpha, beta"):
        fit_parametric(N, D, L, grid=[[1.0, 2.0, 3.0, 4.0, math.inf]])
    # A delta beyond all residuals is least squares, whatever the method is called.
    wide = fitted(delta=5e3)
    assert wide.objective == pytest.approx(0.5 * wide.residuals @ wide.residuals, rel=1e-9)
    assert wide.core_delta == 1e3


# Resamples


def made(samples, usable=None, **fields):
    samples = np.array(samples, dtype=float)
    defaults = {"objective": np.zeros(len(samples)), "unconverged": 0, "seed": 7, "level": 0.5, "flops": (6e20, 6e22)}
    return Bootstrap(
        samples=samples, usable=np.ones(len(samples), bool) if usable is None else usable, **(defaults | fields)
    )


SAMPLES = [
    [6.0, 7.0, 0.5, 0.3, 0.3],
    [6.2, 7.4, 0.6, 0.32, 0.4],
    [5.9, 7.1, 0.55, 0.35, 0.3],
    [9.0, 9.0, 9.0, -0.1, 1.0],
]


def test_the_record_of_resamples_is_whole():
    drawn = made(SAMPLES, np.array([True, True, True, False]), unconverged=2)
    kept = np.array(SAMPLES[:3])
    values = dict(zip(("A", "B", "E"), np.exp(kept[:, :3]).T, strict=True))
    values |= {"alpha": kept[:, 3], "beta": kept[:, 4]}
    values |= {"a": kept[:, 4] / (kept[:, 3] + kept[:, 4]), "b": kept[:, 3] / (kept[:, 3] + kept[:, 4])}
    laws = [LossLaw(E=math.exp(e), A=math.exp(a), alpha=p, B=math.exp(b), beta=q) for a, b, e, p, q in kept.tolist()]
    ratios = []
    for flops in (6e20, 6e22):
        best = [law.compute_optimal(flops=flops) for law in laws]
        ratios.append([float(each.tokens / each.params) for each in best])
    record = json.loads(json.dumps(drawn.to_dict(samples=True), allow_nan=False))
    assert record == {
        "samples": 4,
        "failures": 1,
        "unconverged": 2,
        "seed": 7,
        "level": 0.5,
        "intervals": {key: pytest.approx(list(np.percentile(each, [25, 75]))) for key, each in values.items()},
        "standard_errors": {key: pytest.approx(np.std(each, ddof=1)) for key, each in values.items()},
        "tokens_per_param": [
            {"flops": flops, "interval": pytest.approx(list(np.percentile(each, [25, 75])))}
            for flops, each in zip((6e20, 6e22), ratios, strict=True)
        ],
        "covariance": {
            "of": ["ln_A", "ln_B", "ln_E", "alpha", "beta"],
            "values": [pytest.approx(row) for row in np.cov(kept.T).tolist()],
        },
        "parameters": kept.tolist(),
    }
    assert "parameters" not in drawn.to_dict()


def test_laws_of_resamples_keep_the_conventions_of_the_fit():
    fit = fitted(counts="non-embedding", name="ours")
    first = made(SAMPLES[:2]).laws(fit)[0]
    assert (first.name, first.counts, first.source) == ("ours, resampled", "non-embedding", fit.law.source)
    assert first.fitted == fit.law.fitted
    figures = (first.A, first.B, first.E, first.alpha, first.beta)
    assert figures == pytest.approx((math.exp(6), math.exp(7), math.exp(0.5), 0.3, 0.3))


def test_defaults_are_the_published_ones():
    defaults = {name: each.default for name, each in inspect.signature(bootstrap).parameters.items()}
    assert defaults == {
        "fit": inspect.Parameter.empty, "samples": 4000, "seed": 0, "level": 0.95, "flops": (1e21, 1e23, 5.76e23),
        "pool": None,
    }  # fmt: skip


def answer(monkeypatch, samples, converged=None):
    """Let refits end at given places."""
    samples = np.array(samples, dtype=float)
    flags = np.ones(len(samples), bool) if converged is None else np.array(converged)
    monkeypatch.setattr(module, "_refit", lambda fit, weights: (samples.copy(), np.arange(float(len(samples))), flags))


def test_what_is_a_law_among_refits(fit, monkeypatch):
    good = [6.0, 7.0, 0.5, 0.3, 0.3]
    rows = [good, [699.9, 7, 0.5, 0.3, 0.3], [700.0, 7, 0.5, 0.3, 0.3], [6, 700.0, 0.5, 0.3, 0.3],
            [6, 7, 0.5, 0.0, 0.3], [6, 7, 0.5, 0.3, -1.0], [6, np.nan, 0.5, 0.3, 0.3], good, good, good]  # fmt: skip
    answer(monkeypatch, rows, [True, False, False, True, True, True, True, True, True, False])
    drawn = bootstrap(fit, samples=10)
    assert drawn.usable.tolist() == [True, True, *[False] * 5, True, True, True]
    assert (drawn.failures, drawn.unconverged, drawn.seed, drawn.level) == (5, 2, 0, 0.95)
    assert drawn.objective.tolist() == list(range(10))
    # Half of them must be laws, and two at least.
    answer(monkeypatch, rows[1:])
    with pytest.raises(FitError, match=r"^only 4 of 9 resamples give a law whose loss falls with N and D; add runs"):
        bootstrap(fit, samples=9)
    answer(monkeypatch, rows[5:7] + rows[:1])
    with pytest.raises(FitError, match=r"^only 1 of 3"):
        bootstrap(fit, samples=3)
    answer(monkeypatch, [good, rows[4]])
    with pytest.raises(FitError, match=r"^only 1 of 2"):
        bootstrap(fit, samples=2)
    answer(monkeypatch, [good, good])
    assert bootstrap(replace(fit, irreducible=0.0), samples=2).samples[:, 2].tolist() == [-math.inf] * 2


@pytest.mark.parametrize(
    "wrong",
    [{"samples": 1}, {"level": 0.0}, {"level": 1.0}, {"flops": [1e20, 0.0]}, {"flops": [math.inf]}, {"flops": [-1.0]}],
)
def test_options_of_a_bootstrap(fit, wrong):
    with pytest.raises(InputError):
        bootstrap(fit, **({"samples": 3} | wrong))


def test_runs_are_drawn_block_by_block_with_one_seed(monkeypatch):
    def blocks(runs, samples):
        return [len(block) for block in module._resampled(runs, samples, 3)]

    assert blocks(40, 2500) == [1000, 1000, 500]
    assert blocks(40, 1000) == [1000]
    monkeypatch.setattr(module, "_AT_ONCE", 90)
    assert blocks(40, 5) == [2, 2, 1]
    assert blocks(91, 2) == [1, 1]
    drawn = np.concatenate(list(module._resampled(5, 20, 3)))
    rng = np.random.default_rng(3)
    np.testing.assert_array_equal(drawn, rng.multinomial(5, np.full(5, 0.2), size=20))


def test_of_several_paths_the_best_law_counts(fit, monkeypatch):
    """Four samples, two rivals, near and far."""
    asked = []
    ends = {
        # From the best: a law but for the last. From its rival: lower, higher, lower but no law, a law.
        (0.0, 3.0): ([1.0, 1.0, 1.0, 1.0], [0.3, 0.3, 0.3, -0.1]),
        (1.0, 3.0): ([0.5, 2.0, 0.5, 9.0], [0.4, 0.4, -0.1, 0.4]),
        (0.0, 50.0): ([0.4, 1.0, 2.0, 9.5], [0.5, 0.5, 0.5, 0.5]),
        (1.0, 50.0): ([1.0, 1.0 - 0.9e-6, 1.0, 9.0], [0.6, 0.6, 0.6, 0.6]),
    }

    def descend(fit, start, widening, weights):
        asked.append((start[0], widening, len(weights)))
        rows = weights[:, 0].astype(int)
        objective, alpha = (np.array(part)[rows] for part in ends[start[0], widening])
        parameters = np.full((5, rows.size), 0.3)
        parameters[3] = alpha
        return Minima(parameters, objective, objective < 5, np.ones(rows.size, dtype=np.int64))

    monkeypatch.setattr(module, "_descend", descend)
    monkeypatch.setattr(module, "_PILOT", 2)
    two = replace(fit, minima=np.array([[0.0] * 5, [1.0] * 5]), delta=1e-3)
    parameters, objective, converged = module._refit(two, np.arange(4.0)[:, None])
    assert asked == [(0.0, 3.0, 4), (1.0, 3.0, 2), (1.0, 3.0, 2), (0.0, 50.0, 2), (0.0, 50.0, 2), (1.0, 50.0, 2)]
    assert objective.tolist() == [0.4, 1.0, 1.0, 9.0]
    assert parameters[:, 3].tolist() == [0.5, 0.3, 0.3, 0.4]
    assert converged.tolist() == [True, True, True, False]
    # Least squares has no valley to leave.
    asked.clear()
    module._refit(replace(two, delta=math.inf, minima=two.minima[:1]), np.arange(4.0)[:, None])
    assert asked == [(0.0, 3.0, 4)]


def test_a_refit_goes_down_from_three_times_delta(monkeypatch):
    fit = fitted()
    asked = {}
    monkeypatch.setattr(module, "minimise", lambda rows, start, **options: asked.update(options, start=start))
    module._descend(fit, fit.minima[0], 3.0, np.ones((2, 40)))
    np.testing.assert_array_equal(asked["start"], np.repeat(fit.minima[:1].T, 2, axis=1))
    assert (asked["delta"], asked["widest"], asked["tolerance"]) == (1e-3, 3e-3, 1e-10)
    module._descend(replace(fit, delta=math.inf), fit.minima[0], 3.0, np.ones((2, 40)))
    assert (asked["delta"], asked["widest"]) == (1e3, 1e3)


# Profiles


def test_a_crossing_is_where_the_root_of_the_deviance_meets_the_limits():
    offsets = np.array([0.0, -1.0, -2.0, -3.0])
    # Quadratic: the root is a line.
    assert _crossing(offsets, 2.0 * offsets**2, 4.5) == pytest.approx(-1.5)
    assert _crossing(offsets, np.array([0.0, 1.0, 4.0, 4.0]), 4.0) is None
    assert _crossing(offsets, np.array([0.0, 1.0, 16.0, 1.0]), 4.0) == pytest.approx(-1.0 - 1.0 / 3.0)
    assert _crossing(offsets + 0.5, np.full(4, 5.0), 4.0) == 0.5


@pytest.mark.parametrize("count", [20, 200])
def test_deviance_scale_by_hand(count):
    residuals = np.random.default_rng(2).standard_normal(count)
    size = np.abs(residuals)
    # Least squares: twice over the variance.
    assert deviance_scale(residuals, 5, math.inf) == pytest.approx(2.0 * (count - 5) / (residuals @ residuals))
    for delta in (0.01, 1.0):
        width = 1.48 * np.median(size) * count**-0.2
        window = max(delta, width)
        slope = ((size <= window).sum() - 5) / (count - 5) * min(1.0, delta / window)
        power = (np.minimum(size, delta) ** 2).sum() / (count - 5)
        assert deviance_scale(residuals, 5, delta) == pytest.approx(2.0 * slope / power, rel=1e-12)
    # However few are left inside, one counts.
    far = np.r_[np.full(5, 0.1), np.linspace(5.0, 6.0, count - 5)]
    assert deviance_scale(far, 5, 4.9) == pytest.approx(2.0 / (0.05 + 4.9**2 * (count - 5)))
    assert deviance_scale(np.zeros(20), 5, 1.0) == pytest.approx(2.0 / 1e-300)


@pytest.mark.parametrize("options", [{}, {"tied": True}])
def test_the_direction_of_a_profile_is_that_of_least_squares(options):
    fit = fitted(objective="least-squares", **options)
    left = null_space(hold(options.get("tied", False), None).matrix) if options else np.eye(5)
    jacobian = slopes(fit.law) @ left
    covariance = left @ np.linalg.inv(jacobian.T @ jacobian) @ left.T
    for which in range(5):
        direction, deviation = _direction(fit, which)
        assert direction == pytest.approx(covariance[:, which] / covariance[which, which], rel=1e-5)
        assert deviation == pytest.approx(fit.scatter * math.sqrt(covariance[which, which]), rel=1e-5)
    exact = replace(fit, residuals=fit.residuals * 1e-20)
    assert _direction(exact, 0)[1] == pytest.approx(1e-9 * math.sqrt(covariance[0, 0]), rel=1e-5)


@pytest.mark.parametrize("parameter", ["A", "E", "beta"])
def test_a_profile_steps_four_deviations_each_way(fit, parameter):
    found = profile(fit, parameter, points=9, level=0.9)
    which = ("A", "B", "E", "alpha", "beta").index(parameter)
    centre, deviation = fit.minima[0][which], _direction(fit, which)[1]
    inner = np.log(found.values) if parameter in "AE" else found.values
    if parameter == "E":
        steps, expected = found.values, math.exp(centre) * (1 + 4.0 * deviation * np.linspace(-1, 1, 9))
    else:
        steps, expected = inner, centre + 4.0 * deviation * np.linspace(-1, 1, 9)
    np.testing.assert_allclose(steps, expected, rtol=1e-7)
    # The least objective with the parameter held.
    held = fit.constraint.also(np.eye(5)[[which]], inner[None, :])
    start = fit.minima.T + np.outer(_direction(fit, which)[0], inner - centre)
    again = minimise(fit.rows, start + 1e-3, delta=UNLIMITED, constraint=held)
    np.testing.assert_allclose(found.objective, again.objective, rtol=1e-6)
    deviance = 2.0 * 35 / (fit.residuals @ fit.residuals) * (found.objective - fit.objective)
    np.testing.assert_allclose(found.deviance, np.maximum(deviance, 0.0), rtol=1e-5, atol=1e-6)
    limit = NormalDist().inv_cdf(0.95) ** 2
    low = np.interp(math.sqrt(limit), np.sqrt(found.deviance[4::-1]), steps[4::-1])
    high = np.interp(math.sqrt(limit), np.sqrt(found.deviance[4:]), steps[4:])
    ends = (math.exp(low), math.exp(high)) if parameter == "A" else (low, high)
    assert (found.low, found.high) == pytest.approx(ends, rel=1e-6)
    assert found.to_dict() == {
        "parameter": parameter,
        "level": 0.9,
        "interval": [found.low, found.high],
        "values": found.values.tolist(),
        "objective": found.objective.tolist(),
        "deviance": found.deviance.tolist(),
    }
    defaults = {name: each.default for name, each in inspect.signature(profile).parameters.items()}
    assert (defaults["level"], defaults["points"]) == (0.95, 41)


def test_a_profile_reaches_out_until_both_ends_are_over_the_limit(fit):
    # At this level 4 deviations are short of the 5 that the interval asks for.
    found = profile(fit, "alpha", points=9, level=1 - 6e-7)
    deviation = _direction(fit, 3)[1]
    assert found.low == pytest.approx(fit.law.alpha - 5 * deviation, rel=0.1)
    assert found.high == pytest.approx(fit.law.alpha + 5 * deviation, rel=0.1)
    assert found.values[-1] - fit.law.alpha == pytest.approx(8.0 * deviation, rel=1e-6)
    assert fit.law.alpha - found.values[0] == pytest.approx(8.0 * deviation, rel=1e-6)
    for points in (7, 10):
        with pytest.raises(InputError, match=f"^{points} points: give an odd number of at least 9$"):
            profile(fit, "alpha", points=points)
    for option, name in (({"tied": True}, None), ({"irreducible": 1.8}, "E")):
        held = fitted(**option)
        if name is not None:
            with pytest.raises(InputError, match=r"^E was held in this fit, so that it has no profile; fit again"):
                profile(held, name)
        assert profile(held, "alpha", points=9).low < held.law.alpha
