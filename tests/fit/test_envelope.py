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


# Against the same, model by model


def sketch():
    """Return six curves of five sizes, noisy and of different lengths."""
    random = np.random.default_rng(5)
    found = []
    for N, first, last in ((1e8, 1e9, 2e11), (2e8, 1e9, 3e11), (2e8, 2e9, 1e11), (4e8, 1e9, 3e11), (8e8, 2e9, 2e11),
                           (16e8, 1e9, 1e11)):  # fmt: skip
        tokens = np.geomspace(first, last, 60)
        found.append(TrainingCurve(N, tokens, LAW.loss(N, tokens) * np.exp(0.003 * random.normal(size=60)), f"{N:g}"))
    return found


def by_hand(models, chosen, flops, window):
    """Return at each FLOP value the least loss, whose it is and whether a smaller and a larger size were there."""
    losses = {}
    for index in chosen:
        own = np.log(models[index].flops)
        smoothed = np.log(smooth(np.log(models[index].tokens), models[index].loss, window))
        losses[index] = (own, smoothed)
    rows = []
    for x in np.log(flops):
        there = {k: np.interp(x, *pair) for k, pair in losses.items() if pair[0][0] - 1e-6 <= x <= pair[0][-1] + 1e-6}
        if not there:
            rows.append((np.nan, -1, False))
            continue
        best = min(there, key=there.__getitem__)
        sizes = [models[k].params for k in there]
        rows.append((np.exp(there[best]), best, min(sizes) < models[best].params < max(sizes)))
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_frontier_law_and_draws_by_hand():
    models = sketch()
    fit = fit_envelope(models, window=0.3, points=40, samples=30, seed=4, level=0.8)
    low, high = 6 * 1e8 * 1e9, 6 * 16e8 * 1e11
    assert fit.flops == pytest.approx(np.geomspace(low, max(high, 6 * 8e8 * 2e11), 40))
    loss, best, inside = by_hand(models, range(6), fit.flops, 0.3)
    np.testing.assert_allclose(fit.loss, loss)
    assert fit.model.tolist() == best.tolist()
    assert fit.inside.tolist() == inside.tolist()
    params = np.array([curve.params for curve in models])
    a, log_k = np.polyfit(np.log(fit.flops[inside]), np.log(params[best[inside]]), 1)
    assert (fit.law.a, fit.law.log_k) == pytest.approx((a, log_k), rel=1e-9)
    rng = np.random.default_rng(4)
    samples = []
    for _ in range(30):
        chosen = np.unique(rng.integers(0, 6, 6))
        _, drawn, between = by_hand(models, chosen, fit.flops, 0.3)
        sizes = np.log(params[drawn[between]])
        if np.unique(sizes).size > 1:
            samples.append(np.polyfit(np.log(fit.flops[between]), sizes, 1)[::-1])
    np.testing.assert_allclose(fit.law.samples, samples, rtol=1e-7)
    assert fit.law.level == 0.8
    lost = 30 - len(samples)
    assert lost > 2
    assert fit.warnings[1:] == (
        (
            f"{lost} of 30 bootstrap draws left fewer than two efficient sizes: the interval rests on the others, "
            "and is too narrow"
        ),
    )
    # The record, stretch by stretch.
    record = fit.to_dict()
    stretches = []
    for k, index in enumerate(best):
        if k and best[k - 1] == index:
            stretches[-1][2].append(k)
        else:
            stretches.append((fit.names[index], index, [k]))
    assert record["frontier"] == [
        {"model": name, "flops": [fit.flops[at[0]], fit.flops[at[-1]]], "inside": pytest.approx(inside[at].mean())}
        for name, _, at in stretches
    ]
    edge = {name: int((~inside[best == index]).sum()) for index, name in enumerate(fit.names)}
    edge = {name: count for index, (name, count) in enumerate(edge.items()) if count}
    assert record["edge"] == list(fit.edge) == sorted(edge, key=float)
    assert fit.warnings[0] == (
        f"at {int((~inside).sum())} of 40 FLOP values no smaller or no larger model was trained as far as the best "
        f"one: left out; best there: {', '.join(f'{name} ({edge[name]})' for name in fit.edge)}"
    )
    assert (record["approach"], record["window"], record["points"], record["points_used"]) == (1, 0.3, 40, inside.sum())
    assert record["warnings"] == list(fit.warnings)
    assert {key: record[key] for key in ("a", "log_k", "level", "samples")} == {
        "a": fit.law.a, "log_k": fit.law.log_k, "level": 0.8, "samples": len(samples),
    }  # fmt: skip


def test_defaults_are_a_tenth_a_thousand_draws_of_seed_0_and_95_percent():
    models = sketch()
    fit = fit_envelope(models)
    assert (fit.window, fit.flops.size, fit.law.level) == (0.1, 1500, 0.95)
    stated = fit_envelope(models, window=0.1, points=1500, samples=1000, seed=0)
    np.testing.assert_array_equal(fit.law.samples, stated.law.samples)
    assert fit.warnings == stated.warnings


def between(edges=(3.0, 3.0), middle=(2.0, 2.0)):
    """Return four models over one range of compute, of which the two in the middle are best, one after the other."""
    flops = np.geomspace(1e18, 1e20, 41)
    x = np.log(flops / 1e19)
    losses = [np.full(41, edges[0]), middle[0] + 0.01 * x, middle[1] - 0.01 * x, np.full(41, edges[1])]
    return [TrainingCurve(N, flops / 6 / N, loss) for N, loss in zip((1e8, 2e8, 4e8, 8e8), losses, strict=True)]


def test_optima_that_were_bracketed_throughout_leave_nothing_out():
    fit = fit_envelope(between(), window=0.0, points=11, samples=0)
    assert fit.inside.all()
    assert (fit.edge, fit.warnings) == ((), ())
    # Equal at 1e19: the first counts.
    assert fit.model.tolist() == [1] * 6 + [2] * 5
    assert [row["inside"] for row in fit.to_dict()["frontier"]] == [1.0, 1.0]
    # No draw is lost where none is made, and 5% of them may be.
    assert fit_envelope(between(), window=0.0, points=2, samples=0).flops.tolist() == pytest.approx([1e18, 1e20])


def test_one_efficient_size_makes_no_law():
    with pytest.raises(
        FitError, match=r"^1 of 4 sizes are efficient between a smaller and a larger one trained as far"
    ):
        fit_envelope(between(middle=(2.0, 2.5)), window=0.0, samples=0)


@pytest.mark.parametrize("wrong", [{"window": -0.1}, {"points": 1}, {"samples": -1}, {"level": 0.0}, {"level": 1.0}])
def test_settings_out_of_range(wrong):
    given = {"window": 0.1, "points": 1500, "samples": 1000, "level": 0.95} | wrong
    with pytest.raises(InputError) as caught:
        fit_envelope(between(), **wrong)
    assert str(caught.value) == (
        "window must be >= 0, points >= 2, samples >= 0 and level between 0 and 1; "
        f"got {given['window']}, {given['points']}, {given['samples']} and {given['level']}"
    )


def test_a_curve_of_one_point_is_none():
    with pytest.raises(InputError, match=r"^the curve of 1B params has 1 point; a curve needs two$"):
        TrainingCurve(1e9, [1e9], [2.0])
    assert TrainingCurve(1e9, [1e9, 2e9], [2.0, 1.9], "mine").name == "mine"
