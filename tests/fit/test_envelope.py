"""Approach 1: the envelope of training curves of a known law."""

from __future__ import annotations

import json

import numpy as np
import pytest

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.curves import merge, smooth
from beyond_chinchilla.fit.envelope import TrainingCurve, fit_envelope
from beyond_chinchilla.laws.loss_law import LossLaw

LAW = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
TOKENS = np.geomspace(3e8, 1e12, 300)
SIZES = np.geomspace(5e7, 1.6e10, 30)


def curves(law=LAW, sizes=SIZES, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return [TrainingCurve(N, TOKENS, law.loss(N, TOKENS) * np.exp(noise * rng.normal(size=TOKENS.size))) for N in sizes]


@pytest.mark.parametrize("law", [LAW, LossLaw(E=1.8, A=480, alpha=0.35, B=2100, beta=0.37)])
def test_the_exponents_of_a_known_law_are_recovered(law):
    fit = fit_envelope(curves(law), window=0, samples=200)
    assert fit.flops.size == 1500
    assert fit.law.a == pytest.approx(law.data_share, abs=3e-3)
    assert fit.law.b == pytest.approx(1 - law.data_share, abs=3e-3)
    low, high = fit.law.a_interval
    assert low < law.data_share < high
    exact = law.compute_optimal(flops=1e21)
    assert float(fit.law.params(1e21)) == pytest.approx(float(exact.params), rel=0.03)
    assert float(fit.law.tokens(1e21)) == pytest.approx(float(exact.tokens), rel=0.03)


def test_noise_widens_the_interval_that_covers_the_truth():
    clean = fit_envelope(curves(), window=0.3, samples=200).law
    noisy = fit_envelope(curves(noise=0.01), window=0.3, samples=200).law
    assert noisy.a == pytest.approx(LAW.data_share, abs=0.03)
    low, high = noisy.a_interval
    assert low < LAW.data_share < high
    assert high - low > clean.a_interval[1] - clean.a_interval[0]


def test_the_envelope_is_never_above_a_curve():
    models = curves(noise=0.01)
    fit = fit_envelope(models, window=0.2, samples=0)
    touched = np.zeros(fit.flops.size, dtype=bool)
    for index, curve in enumerate(models):
        reached = (fit.flops > curve.flops[0]) & (fit.flops < curve.flops[-1])
        own = np.exp(
            np.interp(np.log(fit.flops), np.log(curve.flops), np.log(smooth(np.log(curve.tokens), curve.loss, 0.2)))
        )
        assert (fit.loss[reached] <= own[reached] + 1e-12).all()
        here = reached & (fit.model == index)
        assert fit.loss[here] == pytest.approx(own[here], rel=1e-12)
        touched |= here
    assert touched[1:-1].all()


def test_models_on_the_edge_are_named_and_left_out():
    # Short of compute the smallest model is best, and with much of it the largest.
    fit = fit_envelope(curves(sizes=np.geomspace(3e8, 3e9, 8)), window=0, samples=0)
    assert fit.edge[0] == "300M"
    assert fit.edge[-1] == "3B"
    assert not fit.inside[fit.model == 0].any()
    assert not fit.inside[fit.model == 7].any()
    assert "300M" in fit.warnings[0]
    assert f"{1500 - int(fit.inside.sum())} of 1500" in fit.warnings[0]
    # Left in, the edges would flatten the law.
    kept = np.polyfit(np.log(fit.flops), np.log(fit.params[fit.model]), 1)[0]
    assert abs(fit.law.a - LAW.data_share) < 0.03 < abs(kept - LAW.data_share)


def test_a_gap_in_compute_has_no_frontier():
    short = [TrainingCurve(N, [1e8, 2e8], [4.0, 3.9]) for N in (1e7, 2e7, 4e7)]
    long = [TrainingCurve(N, TOKENS[-100:], LAW.loss(N, TOKENS[-100:])) for N in SIZES]
    fit = fit_envelope([*short, *long], samples=0)
    gap = (fit.flops > 5e16) & (fit.flops < 6 * 5e7 * TOKENS[-100] * 0.99)
    assert gap.any()
    assert np.isnan(fit.loss[gap]).all()
    assert (fit.model[gap] == -1).all()
    json.dumps(fit.to_dict(), allow_nan=False)


def test_the_dict_holds_the_stretches_in_order_of_compute():
    record = fit_envelope(curves(), window=0, samples=0).to_dict()
    ends = [flops for stretch in record["frontier"] for flops in stretch["flops"]]
    assert ends == sorted(ends)
    assert len({stretch["model"] for stretch in record["frontier"]}) == len(record["frontier"]) > 10
    assert record["points"] == 1500 > record["points_used"] > 500
    assert record["a_interval"] is None


def test_several_lengths_of_one_size_count_by_the_least():
    worse = [TrainingCurve(curve.params, curve.tokens, curve.loss + 0.05, "long") for curve in curves()]
    both = fit_envelope([*worse, *curves()], window=0, samples=0)
    assert both.law.a == pytest.approx(fit_envelope(curves(), window=0, samples=0).law.a, abs=1e-12)
    assert (both.model >= SIZES.size).all()


def test_curves_are_put_in_order():
    curve = TrainingCurve(1e9, [3e9, 1e9, 1e9], [2.0, 3.0, 4.0])
    assert curve.tokens.tolist() == [1e9, 3e9]
    assert curve.loss.tolist() == [3.5, 2.0]
    assert curve.name == "1B"
    assert curve.flops.tolist() == [6e18, 18e18]
    x, y = merge(np.array([2.0, 1.0, 2.0]), np.array([1.0, 5.0, 3.0]))
    assert (x.tolist(), y.tolist()) == ([1.0, 2.0], [5.0, 2.0])


def test_smoothing_keeps_lines_and_takes_noise():
    x = np.sort(np.random.default_rng(1).uniform(0, 5, 400))
    assert smooth(x, 3 - 0.4 * x, 0.5) == pytest.approx(3 - 0.4 * x, abs=1e-9)
    noise = np.random.default_rng(2).normal(0, 0.1, 400)
    rest = smooth(x, 3 - 0.4 * x + noise, 0.5) - (3 - 0.4 * x)
    assert rest.std() < 0.35 * noise.std()
    assert smooth(x, noise, 0.0) is noise
    # A point alone in its window stays.
    assert smooth([0.0, 9.0], [1.0, 2.0], 0.1).tolist() == pytest.approx([1.0, 2.0])


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="three sizes, not 2"):
        fit_envelope(curves(sizes=[1e8, 1e8, 1e9]))
    with pytest.raises(InputError, match="window must be"):
        fit_envelope(curves(), window=-1)
    with pytest.raises(InputError, match="a curve needs two"):
        TrainingCurve(1e9, [1e9, 1e9], [2.0, 3.0])
    with pytest.raises(InputError, match=r"params\[0\] is 0"):
        TrainingCurve(0.0, [1e9, 2e9], [2.0, 3.0])
    # The smallest is best everywhere: no optimum was bracketed.
    with pytest.raises(FitError, match="0 of 3 sizes are efficient"):
        fit_envelope([TrainingCurve(N, TOKENS, 2 + N * 1e-9 + 1e4 * TOKENS**-0.5) for N in (1e8, 1e9, 1e10)])
