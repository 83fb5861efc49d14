"""Plots of fits and races hold the fit's and the race's own figures."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from plot_subjects import drawn, line

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.fit.bootstrap import bootstrap
from beyond_chinchilla.fit.curves import Curve, read_curve
from beyond_chinchilla.fit.diagnostics import Diagnosis
from beyond_chinchilla.fit.isoflop import fit_isoflop
from beyond_chinchilla.fit.parametric import fit_parametric
from beyond_chinchilla.fit.profile import profile
from beyond_chinchilla.fit.race import race
from beyond_chinchilla.fit.runs import read_runs
from beyond_chinchilla.laws.catalogue import law
from beyond_chinchilla.report.fits import Result
from beyond_chinchilla.report.plots import gallery
from beyond_chinchilla.report.plots.subject import FitSubject, RaceSubject


@pytest.fixture(scope="module")
def subject(tmp_path_factory) -> FitSubject:
    """Return the fit of 60 simulated runs at six budgets, with 100 bootstraps."""
    budgets = np.repeat(np.geomspace(1e19, 3e21, 6), 10)
    truth = law("besiroglu-2024")
    params = np.asarray(truth.compute_optimal(flops=budgets).params) * np.tile(np.geomspace(0.2, 5.0, 10), 6)
    tokens = budgets / (6.0 * params)
    loss = np.asarray(truth.loss(params, tokens)) * np.exp(np.random.default_rng(3).normal(0.0, 0.003, 60))
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    rows = [f"{n:.6g},{d:.6g},{el:.6g}" for n, d, el in zip(params, tokens, loss, strict=True)]
    path.write_text("\n".join(["params,tokens,loss", *rows]))
    runs = read_runs(str(path))
    fit = fit_parametric(runs.params, runs.tokens, runs.loss, name="simulated")
    drawn = bootstrap(fit, samples=100)
    # Only the page of a fit needs its verdict.
    return FitSubject(result=Result(runs=runs, fit=fit, bootstrap=drawn, diagnosis=Diagnosis(())))


def test_residuals_are_the_laws_over_the_losses(subject):
    fit = subject.result.fit
    off = np.asarray(fit.law.loss(fit.params, fit.tokens)) / fit.loss - 1.0
    for axes, values in zip(
        drawn("residuals", subject), (fit.params, fit.tokens, fit.tokens / fit.params), strict=True
    ):
        dots = next(each for each in axes.lines if len(each.get_xdata()) == 60)
        assert dots.get_xdata() == pytest.approx(values)
        assert dots.get_ydata() == pytest.approx(off, abs=1e-12)
        low, high = axes.get_ylim()
        assert low < off.min() < off.max() < high


def test_every_run_lies_by_its_own_parabola(subject):
    fit = subject.result.fit
    found = fit_isoflop(fit.params, fit.tokens, fit.loss, samples=0)
    left, right = drawn("isoflop", subject)
    vertices = line(left, "least loss")
    assert vertices[0] == pytest.approx([budget.params for budget in found.budgets])
    assert vertices[1] == pytest.approx([budget.loss for budget in found.budgets])
    curves = [each for each in left.lines if str(each.get_label()).endswith("FLOP")]
    dots = [each for each in left.lines if len(each.get_xdata()) == 10]
    assert len(curves) == len(dots) == len(found.budgets) == 6
    for budget, curve, runs in zip(found.budgets, curves, dots, strict=True):
        between = np.interp(np.log(runs.get_xdata()), np.log(curve.get_xdata()), curve.get_ydata())
        assert np.sqrt(np.mean((between - runs.get_ydata()) ** 2)) == pytest.approx(budget.rmse, rel=0.05)
    flops, sizes = line(right, "through them")
    assert sizes == pytest.approx(found.law.params(flops))


def test_profiles_cross_their_level_at_their_ends(subject):
    limit = NormalDist().inv_cdf(0.975) ** 2
    every = drawn("profile", subject)
    assert [axes.get_xlabel().split()[0] for axes in every] == ["A", "B", "E", "alpha", "beta"]
    known = profile(subject.result.fit, "alpha")
    curve = every[3].lines[0]
    assert curve.get_xdata() == pytest.approx(known.values)
    (band,) = every[3].patches
    for end in (band.get_x(), band.get_x() + band.get_width()):
        assert np.interp(end, curve.get_xdata(), curve.get_ydata()) == pytest.approx(limit, rel=0.1)


def test_a_held_parameter_has_no_panel(subject):
    stated = replace(subject.result, fit=replace(subject.result.fit, irreducible=subject.result.fit.law.E))
    names = [axes.get_xlabel().split()[0] for axes in drawn("profile", replace(subject, result=stated))]
    assert names == ["A", "B", "alpha", "beta"]


def test_clouds_are_the_bootstraps(subject):
    left, right = drawn("bootstrap", subject)
    found = subject.result.bootstrap
    assert line(left, "resampled runs")[0] == pytest.approx(found.draws("alpha"))
    assert line(left, "all runs")[1] == subject.result.fit.law.beta
    band = right.collections[0].get_paths()[0].vertices
    flops = max(found.flops)
    low, high = np.quantile(np.sqrt(flops / (6.0 * found.tokens_per_param(flops)[:, 0])), [0.025, 0.975])
    at_end = band[np.isclose(band[:, 0], flops)][:, 1]
    assert (at_end.min(), at_end.max()) == pytest.approx((low, high))


def test_without_intervals_there_is_no_cloud(subject):
    bare = replace(subject, result=replace(subject.result, bootstrap=None))
    with pytest.raises(InputError, match="bootstrap needs a fit with intervals"):
        gallery.picture("bootstrap", bare)


def test_runs_without_budgets_have_no_parabolas(subject):
    fit = subject.result.fit
    few = replace(fit, params=fit.params[:5], tokens=fit.tokens[:5], loss=fit.loss[:5], residuals=fit.residuals[:5])
    with pytest.raises(InputError, match="isoflop: approach 2 needs two budgets"):
        gallery.picture("isoflop", replace(subject, result=replace(subject.result, fit=few)))


# Races


def raced(**changes):
    """Return a race in which the larger model passes at 10 hours."""
    hours = np.geomspace(1, 1000, 200)
    curves = [Curve("small $x", hours, 2.2 + 1.0 / hours), Curve("large", hours, 2.0 + 3.0 / hours)]
    return RaceSubject(race=race(curves, window=0, **changes))


def test_the_race_shows_the_curves_who_leads_and_who_passes():
    subject = raced()
    (axes,) = drawn("race", subject)
    hours, losses = line(axes, "small")
    assert losses == pytest.approx(2.2 + 1.0 / hours, rel=1e-4)
    at, level = line(axes, "passes")
    assert (at[0], level[0]) == pytest.approx((10.0, 2.3), rel=1e-3)
    bands = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in axes.patches]
    assert bands[0][1] == pytest.approx(10.0, rel=1e-3)
    assert bands[1] == pytest.approx((10.0, 1000.0), rel=1e-3)
    assert gallery.describe("race", subject) == (
        "Training loss against GPU-hours: Ahead: small $x to 10 GPU-hours, then large."
    )


def test_a_price_puts_dollars_above_the_hours():
    (axes,) = drawn("race", raced(price=2.0))
    (money,) = axes.child_axes
    assert money.get_xlabel() == "[USD]"


def test_the_llama_race_draws(bc_data):
    paths = [bc_data / f"llama_curves/llama2-{size}.tsv" for size in ("7B", "13B", "34B", "70B")]
    (axes,) = drawn("race", RaceSubject(race=race([read_curve(path) for path in paths])))
    ends = {each.get_label(): each.get_ydata()[np.isfinite(each.get_ydata())][-1] for each in axes.lines[:4]}
    # Final losses of the digitised curves.
    assert ends == {
        "llama2-7B": pytest.approx(1.7438, abs=0.01), "llama2-13B": pytest.approx(1.6635, abs=0.01),
        "llama2-34B": pytest.approx(1.5754, abs=0.01), "llama2-70B": pytest.approx(1.4957, abs=0.01),
    }  # fmt: skip
