"""The design of next runs from the inside: variances, bounds and exchanges against plain linear algebra."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import null_space

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.fit import suggest as module
from beyond_chinchilla.fit.bootstrap import Bootstrap
from beyond_chinchilla.fit.knowledge import Knowledge
from beyond_chinchilla.fit.parametric import fit_parametric
from beyond_chinchilla.fit.result import hold
from beyond_chinchilla.fit.suggest import SuggestedRun, Suggestion, check_count, suggest
from beyond_chinchilla.laws.loss_law import LossLaw

LAW = LossLaw(E=1.8172, A=482.01, alpha=0.3478, B=2085.43, beta=0.3658)
TRUTH = np.array([[math.log(482.01), math.log(2085.43), math.log(1.8172), 0.3478, 0.3658]])
RANDOM = np.random.default_rng(3)
N = 10 ** RANDOM.uniform(7.7, 10.3, 40)
D = N * 10 ** RANDOM.uniform(0.3, 2.7, 40)
L = LAW.loss(N, D) * np.exp(0.01 * RANDOM.standard_normal(40))
C = 1e23


def fitted(**options):
    return fit_parametric(N, D, L, grid=TRUTH, objective="least-squares", **options)


@pytest.fixture(scope="module")
def fit():
    return fitted()


def slopes(law, N, D):
    """Return d ln L by ln A, ln B, ln E, alpha, beta."""
    parts = np.stack([law.A * N**-law.alpha, law.B * D**-law.beta, np.full(np.shape(N), law.E)])
    u, v, w = parts / parts.sum(axis=0)
    return np.stack([u, v, w, -np.log(N) * u, -np.log(D) * v], axis=-1)


def gradient(law):
    """Return d ln N* at C by the same."""
    log_N = math.log(float(law.compute_optimal(flops=C).params))
    total = law.alpha + law.beta
    return np.array([1, -1, 0, 1 / law.alpha - log_N, math.log(C / 6) - log_N - 1 / law.beta]) / total


def classical(fit, more_N=(), more_D=(), options=None):
    """Return the standard error of ln N* after further runs, by the normal equations."""
    options = options or {}
    held = hold(options.get("tied", False), options.get("irreducible")).matrix
    left = null_space(held) if len(held) else np.eye(5)
    J = slopes(fit.law, np.append(N, more_N), np.append(D, more_D)) @ left
    g = gradient(fit.law) @ left
    return fit.scatter * math.sqrt(g @ np.linalg.solve(J.T @ J, g))


@pytest.mark.parametrize("options", [{}, {"tied": True}, {"irreducible": 1.8}, {"tied": True, "irreducible": 1.8}])
def test_standard_errors_are_the_classical_ones(options):
    fit = fitted(**options)
    known = Knowledge(fit=fit, flops=C)
    assert known.noise == fit.scatter
    assert known.standard_error() == pytest.approx(classical(fit, options=options), rel=1e-6)
    more = [1e9, 3e10], [1e12, 1e11]
    assert known.standard_error(*more) == pytest.approx(classical(fit, *more, options=options), rel=1e-6)
    # One more run beside others, for each candidate.
    x, y = np.log([2e8, 5e9, 4e10]), np.log([1e12, 1e10, 3e11])
    expected = [
        classical(fit, [*more[0], np.exp(a)], [*more[1], np.exp(b)], options) ** 2 for a, b in zip(x, y, strict=True)
    ]
    np.testing.assert_allclose(known.variances(x, y, tuple(np.log(more))), expected, rtol=1e-6)
    value, _, _ = known.log_variance(*np.log(more))
    assert value == pytest.approx(math.log(known.standard_error(*more) ** 2), rel=1e-9)
    assert Knowledge(fit=fit).flops == 5.76e23


def resampled(fit, spread, floor=None):
    """Return refits around a fit that spread as its own covariance, times a factor."""
    J = slopes(fit.law, N, D)
    keep = [0, 1, 3, 4] if floor is not None else slice(None)
    J = J[:, keep]
    root = np.linalg.cholesky(fit.scatter**2 * np.linalg.inv(J.T @ J))
    steps = np.random.default_rng(0).standard_normal((400, J.shape[1]))
    # Of exactly this covariance.
    steps = (steps - steps.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(steps.T))).T
    samples = np.repeat(fit.minima[:1], 400, axis=0)
    samples[:, keep] += spread * steps @ root.T
    if floor is not None:
        samples[:, 2] = floor
    return Bootstrap(
        samples=samples, objective=np.zeros(400), usable=np.ones(400, bool), unconverged=0, seed=0, level=0.95,
        flops=(1e21, C),
    )  # fmt: skip


@pytest.mark.parametrize("irreducible", [None, 0.0])
def test_a_bootstrap_of_twice_the_spread_is_twice_the_noise(irreducible):
    fit = fitted(irreducible=irreducible)
    floor = None if irreducible is None else -math.inf
    plain = Knowledge(fit=fit, flops=C)
    known = Knowledge(fit=fit, bootstrap=resampled(fit, 2.0, floor), flops=C)
    assert known.standard_error() == pytest.approx(2.0 * plain.standard_error(), rel=1e-4)
    assert known.noise == pytest.approx(2.0 * fit.scatter, rel=1e-4)
    # Everything doubled, a further run is worth as much.
    assert known.standard_error([1e9], [1e12]) == pytest.approx(2.0 * plain.standard_error([1e9], [1e12]), rel=1e-3)


# The region


def test_where_runs_may_lie(fit):
    region = module._Region.of(fit, 1e22, 3)
    assert region.sizes == pytest.approx((math.log(N.min()), math.log(3 * N.max())))
    assert region.tokens == pytest.approx((math.log(D.min()), math.log(3 * D.max())))
    assert region.ratios == pytest.approx((0.0, math.log(1000.0)))
    assert region.least == pytest.approx(math.log((N * D).min()))
    assert (region.budget, region.count) == (pytest.approx(math.log(1e22 / 6)), 3)
    x, y = region.candidates
    points = [(a, b) for a in np.linspace(*region.sizes, 41) for b in np.linspace(*region.tokens, 41)]
    inside = [(a, b) for a, b in points if 0 <= b - a <= math.log(1000) and a + b >= region.least]
    np.testing.assert_allclose(sorted(zip(x.tolist(), y.tolist(), strict=True)), sorted(inside))
    assert (np.diff(x + y) >= 0).all()
    # The cheapest, then the cheapest of those that are half as large or long again at least.
    chosen = []
    for a, b in zip(x, y, strict=True):
        if all(math.hypot(a - c, b - d) > math.log(1.5) for c, d in chosen):
            chosen.append((a, b))
        if len(chosen) == 3:
            break
    np.testing.assert_allclose(np.transpose(region.cheapest), chosen)


def test_a_budget_that_pays_for_the_cheapest_runs_and_one_that_does_not(fit):
    cost = 6 * np.exp(sum(module._Region.of(fit, 1e22, 2).cheapest)).sum()
    assert module._Region.of(fit, cost * (1 + 1e-9), 2).count == 2
    with pytest.raises(InputError) as caught:
        module._Region.of(fit, cost * (1 - 1e-9), 2)
    assert str(caught.value) == (
        f"a budget of {cost:.3g} FLOP does not pay for 2 runs as large as the smallest fitted "
        f"({6 * (N * D).min():.3g} FLOP): give {1.01 * cost:.2e} FLOP, or ask for fewer"
    )
    with pytest.raises(InputError, match=r"^a budget of 1e\+10 FLOP does not pay for 1 run as large"):
        module._Region.of(fit, 1e10, 1)
    # Runs within a factor of 1.1 leave no room for many.
    narrow = replace(fit, params=1e9 * (N / N.max()) ** 1e-3, tokens=1e11 * (D / D.max()) ** 1e-3)
    with pytest.raises(InputError) as caught:
        module._Region.of(narrow, 1e25, 20)
    assert str(caught.value) == (
        "among the fitted sizes and tokens, and up to 3 times beyond, there is no room for 20 runs of 1 to 1000 tokens "
        "per param, each 1.5 times larger or longer than the others; ask for fewer"
    )


def test_distances():
    found = module._distances(np.array([0.0, 3.0]), np.array([0.0, 4.0]), (np.array([0.0, 6.0, 3.0]), np.zeros(3)))
    np.testing.assert_allclose(found, [[0.0, 6.0, 3.0], [5.0, 5.0, 4.0]])


@pytest.mark.parametrize("share", [1.0, 0.05])
def test_an_exchange_takes_the_best_that_is_allowed(fit, share):
    known, region = Knowledge(fit=fit, flops=C), module._Region.of(fit, 3e21, 3)
    x, y = (list(part) for part in region.cheapest)
    grid = list(zip(*region.candidates, strict=True))
    for sweep in range(4):
        for i in range(3):
            others = [(x[j], y[j]) for j in range(3) if j != i]
            left = 3e21 / 6 - sum(math.exp(a + b) for a, b in others)
            most = min(left, share * 3e21 / 6) if sweep == 0 else left
            free = [
                (a, b)
                for a, b in grid
                if math.exp(a + b) <= most and all(math.hypot(a - c, b - d) > math.log(1.5) for c, d in others)
            ]
            if free:
                told = known.variances(*np.transpose(free), tuple(np.transpose(others)))
                x[i], y[i] = free[int(np.argmin(told))]
    found = module._exchange(known, region, region.cheapest, math.log(share))
    np.testing.assert_allclose(found, [x, y], rtol=1e-12)


def test_starts_are_exchanges_at_five_shares_and_the_cheapest(fit, monkeypatch):
    region = module._Region.of(fit, 3e21, 3)
    asked = []
    monkeypatch.setattr(module, "_exchange", lambda known, where, start, cap: asked.append((start, cap)) or "design")
    found = module._starts(None, region)
    assert found == ["design"] * 5 + [region.cheapest]
    assert [math.exp(cap) for _, cap in asked] == pytest.approx([1.0, 0.5, 0.2, 0.05, 0.005])
    assert all(start is region.cheapest for start, _ in asked)


def test_polish_goes_down_to_a_design_that_no_small_step_betters(fit):
    known, region = Knowledge(fit=fit, flops=C), module._Region.of(fit, 3e21, 3)
    start = module._exchange(known, region, region.cheapest, 0.0)
    value, x, y = module._descend(known, region, start)
    assert value == pytest.approx(known.log_variance(x, y)[0])
    assert value < known.log_variance(*start)[0] - 1e-4

    def allowed(x, y, slack=1e-8):
        apart = [math.hypot(x[i] - x[j], y[i] - y[j]) for i in range(3) for j in range(i)]
        bounds = ((x, region.sizes), (y, region.tokens), (y - x, region.ratios))
        inside = all(low - slack <= part.min() and part.max() <= high + slack for part, (low, high) in bounds)
        paid = np.exp(x + y).sum() <= math.exp(region.budget) * (1 + slack)
        return inside and paid and (x + y).min() >= region.least - slack and min(apart) >= math.log(1.5) - slack

    assert allowed(x, y)
    random = np.random.default_rng(1)
    tried = 0
    for _ in range(3000):
        step = 1e-3 * random.standard_normal((2, 3))
        if allowed(x + step[0], y + step[1], 0.0):
            tried += 1
            assert known.log_variance(x + step[0], y + step[1])[0] >= value - 2e-6
    assert tried > 30
    # From a start that nothing betters, the start.
    again = module._descend(known, region, (x, y))
    assert again[0] <= value


def test_the_record_of_a_suggestion_is_whole(fit):
    found = suggest(fit, count=2, budget=3e21, flops=C)
    point = fit.law.compute_optimal(flops=C)
    runs = [(run.params, run.tokens) for run in found.runs]
    errors = [classical(fit, [runs[1 - i][0]], [runs[1 - i][1]]) for i in range(2)]
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record == {
        "runs": [
            {
                "params": params,
                "tokens": tokens,
                "tokens_per_param": pytest.approx(tokens / params),
                "flops": pytest.approx(6 * params * tokens),
                "share": pytest.approx(6 * params * tokens / 3e21),
                "standard_error_without": pytest.approx(error, rel=1e-6),
            }
            for (params, tokens), error in zip(runs, errors, strict=True)
        ],
        "budget": 3e21,
        "for_flops": C,
        "params": float(point.params),
        "tokens": float(point.tokens),
        "standard_error": {
            "before": pytest.approx(classical(fit), rel=1e-6),
            "after": pytest.approx(classical(fit, *np.transpose(runs)), rel=1e-6),
        },
        "noise": fit.scatter,
        "covariance": "derivatives",
        "bounds": {
            "params": pytest.approx([N.min(), 3 * N.max()]),
            "tokens": pytest.approx([D.min(), 3 * D.max()]),
            "tokens_per_param": [1.0, 1000.0],
        },
    }
    assert record["runs"][0]["flops"] > record["runs"][1]["flops"]


def test_compute_that_is_not_stated_and_counts_at_their_ends(fit, monkeypatch):
    assert suggest(fit, count=1, budget=3e20).flops == 5.76e23
    assert suggest(fit, count=1, budget=3e20, bootstrap=resampled(fit, 1.0)).flops == C
    check_count(1)
    check_count(20)
    for count in (0, 21):
        with pytest.raises(InputError, match=f"^{count} runs: suggest 1 to 20$"):
            check_count(count)
    # Round-off is no noise: residuals of 1e-12 and less.
    for size, fine in ((2e-12, True), (0.5e-12, False)):
        quiet = replace(fit, residuals=size * np.sqrt(35 / 40) * np.ones(40))
        if fine:
            assert suggest(quiet, count=1, budget=3e20).noise == pytest.approx(2e-12)
        else:
            with pytest.raises(InputError, match="follow the law without noise"):
                suggest(quiet, count=1, budget=3e20)
    run = SuggestedRun(params=2.0, tokens=6.0, flops=72.0, share=0.5, without=0.1)
    assert run.to_dict()["tokens_per_param"] == 3.0
    made = Suggestion(
        runs=(run,), budget=1.0, flops=2.0, params=3.0, tokens=4.0, before=5.0, after=6.0, noise=7.0, resampled=True,
        sizes=(1.0, 2.0), lengths=(3.0, 4.0),
    )  # fmt: skip
    assert made.to_dict()["covariance"] == "bootstrap"
