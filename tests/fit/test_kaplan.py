"""Kaplan et al. 2020: the closed forms at half their last printed digit, and the fit of L(N, D)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit import kaplan
from beyond_chinchilla.fit.kaplan import fit_kaplan
from beyond_chinchilla.laws import catalogue

N, D = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e5, 1.5e9, 8), np.geomspace(2.2e7, 2.3e10, 7)))
LAW = catalogue.law("kaplan-2020")


def test_losses_of_one_variable():
    # Constants of Eq. 1.1 and 1.2.
    assert float(kaplan.loss_of_params(1.5e9)) == pytest.approx(2.3036, abs=5e-5)
    assert float(kaplan.loss_of_tokens(22e9)) == pytest.approx(2.0992, abs=5e-5)
    assert float(kaplan.loss_of_params(8.8e13)) == 1.0
    # Section 6.3: the laws of compute and data meet near C* = 1e4 PF-days at L* = 1.7.
    assert float(kaplan.loss_of_compute(1e4)) == pytest.approx(1.7, abs=0.05)
    assert float(kaplan.loss_of_compute(3.1e8)) == 1.0
    assert float(kaplan.loss_of_compute_at_fixed_batch(1.6e7 / np.e)) == pytest.approx(np.exp(0.057), rel=1e-12)


def test_pf_days():
    assert float(kaplan.pf_days(1e15 * 86400)) == 1.0
    assert float(kaplan.flops(kaplan.pf_days(3e21))) == pytest.approx(3e21, rel=1e-15)
    assert float(kaplan.training_compute(1e9, 5e5, 1e5)) == pytest.approx(6 * 1e9 * 5e10 / 8.64e19)


def test_loss_of_both_is_the_catalogue_law():
    assert kaplan.loss_of_params_and_tokens(N, D) == pytest.approx(LAW.loss(N, D), rel=1e-12)
    # Either term alone: Table 2's one-variable laws.
    assert float(kaplan.loss_of_params_and_tokens(1e8, 1e30)) == pytest.approx((6.4e13 / 1e8) ** 0.076, rel=1e-12)
    assert float(kaplan.loss_of_params_and_tokens(1e30, 1e9)) == pytest.approx((1.8e13 / 1e9) ** 0.103, rel=1e-6)


def test_loss_of_steps():
    late = float(kaplan.loss_of_params_and_steps(1e9, 1e30))
    assert late == pytest.approx((6.5e13 / 1e9) ** 0.077, rel=1e-12)
    assert float(kaplan.loss_of_params_and_steps(1e9, 2.1e3)) == pytest.approx(late + 1.0, rel=1e-12)


def test_critical_batch_and_what_it_splits():
    # With the text's B_* = 2e8.
    assert float(kaplan.critical_batch(3.0, B_star=2e8)) == pytest.approx(1.069e6, abs=5e2)
    assert float(kaplan.critical_batch(2.0, B_star=2e8)) == pytest.approx(7.37e6, abs=5e3)
    assert float(kaplan.critical_batch(1.0)) == 2.1e8
    # At the critical batch size twice the steps and twice the compute (Eq. 5.1 to 5.5).
    B = float(kaplan.critical_batch(2.5))
    assert float(kaplan.least_steps(1000.0, B, 2.5)) == pytest.approx(500.0)
    assert float(kaplan.least_compute(10.0, B, 2.5)) == pytest.approx(5.0)
    # Eq. 5.1 holds at any batch size: E/E_min = C/C_min.
    for batch in (0.1 * B, 3 * B):
        steps = 1000.0 / float(kaplan.least_steps(1000.0, batch, 2.5))
        compute = 1.0 / float(kaplan.least_compute(1.0, batch, 2.5))
        assert float(kaplan.examples_for_steps(steps)) == pytest.approx(compute, rel=1e-12)
    assert np.isinf(kaplan.examples_for_steps(1.0))
    assert np.isnan(kaplan.examples_for_steps(0.5))


def test_overfitting():
    # Eq. 4.4, and what it was derived from: at that data L(N, D) is about 2% above L(N, infinity).
    assert float(kaplan.tokens_against_overfitting(1e9)) == pytest.approx(5e3 * 10**6.66, rel=1e-12)
    assert float(kaplan.overfitting(1e9, kaplan.tokens_against_overfitting(1e9))) == pytest.approx(0.02, abs=0.005)
    exact = kaplan.loss_of_params_and_tokens(N, D) / kaplan.loss_of_params_and_tokens(N, 1e40) - 1
    assert kaplan.overfitting(N, D) == pytest.approx(exact, rel=1e-9)


def test_compute_efficient_training():
    assert float(kaplan.optimal_params(1.0)) == 1.3e9
    assert float(kaplan.optimal_batch(1.0)) == 2.0e6
    assert float(kaplan.optimal_steps(1.0)) == 5.4e3
    assert float(kaplan.optimal_tokens(1.0)) == 2e10
    assert float(kaplan.tokens_used(1.0)) == 4e10
    # Section 6.3: near C* = 1e4 PF-days N* ~ 1e12 and D* ~ 1e12.
    assert float(kaplan.optimal_params(1e4)) == pytest.approx(1.08e12, abs=5e9)
    assert float(kaplan.tokens_used(1e4)) == pytest.approx(4.4e11, abs=1e10)
    # C = 6NBS with the four laws (the rounded exponents .73 + .24 + .03 add up to 1; constants agree to 3%).
    C = 100.0
    product = kaplan.training_compute(kaplan.optimal_params(C), kaplan.optimal_batch(C), kaplan.optimal_steps(C))
    assert float(product) == pytest.approx(C, rel=0.03)


def test_appendix_b():
    assert 0.052 <= kaplan.compute_exponent() <= 0.054
    # Eq. B.16: models from .6x to 2.2x the efficient size cost about 20% more.
    overhead = kaplan.compute_overhead([0.6, 1.0, 2.2, 5.0])
    assert overhead[0] == pytest.approx(1.1645, abs=5e-5)
    assert overhead[1] == 1.0
    assert overhead[2] == pytest.approx(1.2035, abs=5e-5)
    assert overhead[3] == pytest.approx(1.825, abs=5e-4)
    assert float(kaplan.compute_overhead(0.3)) == pytest.approx(19.6, abs=0.05)
    # Too small a model never gets there.
    assert np.isnan(kaplan.compute_overhead(0.1))


# The fit


def test_noise_free_runs_give_the_law_back():
    fit = fit_kaplan(N, D, LAW.loss(N, D))
    for name, value in kaplan.TABLE_2.items():
        assert getattr(fit, name) == pytest.approx(value, rel=1e-6)
    law = fit.law
    for name in ("A", "alpha", "B", "beta", "power"):
        assert getattr(law, name) == pytest.approx(getattr(LAW, name), rel=1e-6)
    assert (law.E, law.counts, law.form) == (0.0, "non-embedding", "kaplan")
    assert law.fitted.params == (1e5, 1.5e9)
    assert fit.rmse < 1e-9
    assert (fit.runs, fit.starts) == (56, 4)
    assert fit.reached >= 3


@pytest.mark.own_step
def test_standard_errors_tell_the_spread():
    rng = np.random.default_rng(4)
    fits = [fit_kaplan(N, D, LAW.loss(N, D) * np.exp(0.005 * rng.normal(size=N.size))) for _ in range(60)]
    values = np.array([[fit.alpha_N, fit.alpha_D, np.log(fit.N_c), np.log(fit.D_c)] for fit in fits])
    stated = np.mean([np.sqrt(np.diag(fit.covariance)) for fit in fits], axis=0)
    assert values.std(axis=0, ddof=1) == pytest.approx(stated, rel=0.35)
    assert values.mean(axis=0) == pytest.approx([0.076, 0.103, np.log(6.4e13), np.log(1.8e13)], rel=0.01)
    assert np.mean([fit.rmse for fit in fits]) == pytest.approx(0.005, rel=0.1)
    json.dumps(fits[0].to_dict(), allow_nan=False)


def test_four_runs_fit_exactly_without_a_covariance():
    corners = [0, 7, 48, 55]
    fit = fit_kaplan(N[corners], D[corners], LAW.loss(N[corners], D[corners]))
    assert fit.alpha_D == pytest.approx(0.103, rel=1e-5)
    assert fit.to_dict()["covariance"] is None
    assert fit.covariance.shape == (4, 4)
    assert np.isnan(fit.covariance).all()


def test_what_the_form_cannot_hold_is_refused():
    for loss in (np.full(N.size, 2.0), 3.0 + np.log(N) / 10, LAW.loss(N, 1e30)):
        with pytest.raises(FitError, match="Kaplan's") as caught:
            fit_kaplan(N, D, loss)
        assert "parametric fit" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="there are 3 runs"):
        fit_kaplan(N[:3], D[:3], LAW.loss(N, D)[:3])
    with pytest.raises(InputError, match="one size or one number of tokens"):
        fit_kaplan(np.full(5, 1e8), np.geomspace(1e9, 1e10, 5), np.linspace(3, 2, 5))
    with pytest.raises(InputError, match=r"tokens\[0\] is -1"):
        fit_kaplan(N, np.where(np.arange(N.size) == 0, -1.0, D), LAW.loss(N, D))


def test_the_laws_of_compute_are_powers_with_the_printed_constants():
    # Appendix A and Eq. 1.3, 4.4 and 6.7, away from 1, where an exponent shows.
    C = 100.0
    for function, coefficient, exponent in (
        (kaplan.loss_of_compute, 3.1e8**0.05, -0.05),
        (kaplan.loss_of_compute_at_fixed_batch, 1.6e7**0.057, -0.057),
        (kaplan.optimal_params, 1.3e9, 0.73),
        (kaplan.optimal_batch, 2.0e6, 0.24),
        (kaplan.optimal_steps, 5.4e3, 0.03),
        (kaplan.optimal_tokens, 2e10, 0.27),
        (kaplan.tokens_used, 4e10, 0.26),
        (kaplan.tokens_against_overfitting, 5e3, 0.74),
    ):
        assert float(function(C)) == pytest.approx(coefficient * C**exponent, rel=1e-12), function.__name__
        assert function([1.0, C]).shape == (2,)
    assert kaplan.compute_exponent() == pytest.approx(1 / (1 / 0.76 + 1 / 0.21 + 1 / 0.077), rel=1e-12)
    assert kaplan.compute_exponent(alpha_N=0.5, alpha_S=0.25, alpha_B=0.125) == pytest.approx(1 / 14, rel=1e-12)
    assert float(kaplan.compute_overhead(2.0, alpha_N=1.0, alpha_S=0.5)) == pytest.approx(2 * 1.25**-2, rel=1e-12)
    assert float(kaplan.compute_overhead(0.5)) == pytest.approx(
        0.5 * (1 + 10 * (1 - 2**0.076)) ** (-1 / 0.76), rel=1e-12
    )


# ln N_c and ln D_c lie in -200 to 600, both exponents in e^-12 to e^4: beyond, a power or a constant is no number.


def exact_runs(alpha_N, alpha_D, log_N_c, log_D_c, width=3.0):
    """Return noise-free runs of the form on a square of 16 around N = D = 1."""
    n, d = (axis.ravel() for axis in np.meshgrid(*2 * [np.linspace(-width, width, 4)]))
    log_loss = alpha_D * np.logaddexp(alpha_N / alpha_D * (log_N_c - n), log_D_c - d)
    return np.exp(n), np.exp(d), np.exp(log_loss)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ((0.05, 0.05, -199.6, -199.7), (0.05, 0.05, -200.4, -199.7)),
        ((0.05, 0.05, -199.7, -199.6), (0.05, 0.05, -199.7, -200.4)),
        ((0.1, 0.1, 599.6, 599.5), (0.1, 0.1, 600.4, 599.5)),
        ((0.1, 0.1, 599.5, 599.6), (0.1, 0.1, 599.5, 600.4)),
        ((np.exp(3.6), 1.0, 0.0, 0.0, 0.1), (np.exp(4.4), 1.0, 0.0, 0.0, 0.1)),
        ((np.exp(3.6), np.exp(3.6), 0.0, 0.0, 0.1), (np.exp(3.6), np.exp(4.4), 0.0, 0.0, 0.1)),
        ((np.exp(-11.6), 0.1, 0.0, 0.0), (np.exp(-12.4), 0.1, 0.0, 0.0)),
        ((0.1, np.exp(-11.6), 0.0, 0.0), (0.1, np.exp(-12.4), 0.0, 0.0)),
    ],
)
def test_constants_are_found_up_to_their_bounds_and_refused_beyond(inside, outside):
    fit = fit_kaplan(*exact_runs(*inside))
    found = (fit.alpha_N, fit.alpha_D, np.log(fit.N_c), np.log(fit.D_c))
    assert found == pytest.approx(inside[:4], rel=1e-8, abs=1e-8)
    with pytest.raises(FitError, match="runs off to an exponent or a constant without bound"):
        fit_kaplan(*exact_runs(*outside))


@pytest.mark.parametrize("runs", [5, 56])
def test_covariance_and_rmse_are_those_of_least_squares(runs):
    """Against central differences of the printed form, and the normal equations."""
    chosen = np.linspace(0, 55, runs).astype(int)
    size, data = N[chosen], D[chosen]
    loss = LAW.loss(size, data) * np.exp(0.005 * np.random.default_rng(4).normal(size=runs))
    fit = fit_kaplan(size, data, loss)

    def residuals(a, d, log_N_c, log_D_c):
        return d * np.log((np.exp(log_N_c) / size) ** (a / d) + np.exp(log_D_c) / data) - np.log(loss)

    best = np.array([fit.alpha_N, fit.alpha_D, np.log(fit.N_c), np.log(fit.D_c)])
    steps = 1e-5 * np.abs(best)
    jacobian = np.stack(
        [(residuals(*(best + h)) - residuals(*(best - h))) / (2 * h.sum()) for h in np.diag(steps)], axis=1
    )
    off = residuals(*best)
    # A minimum, and the only one of the four starts.
    assert np.abs(jacobian.T @ off / np.linalg.norm(jacobian, axis=0)).max() < 1e-8
    assert fit.reached == 4
    assert fit.rmse == pytest.approx(np.sqrt(np.mean(off**2)), rel=1e-9)
    expected = off @ off / (runs - 4) * np.linalg.inv(jacobian.T @ jacobian)
    errors = np.sqrt(np.diag(expected))
    assert fit.covariance / np.outer(errors, errors) == pytest.approx(expected / np.outer(errors, errors), abs=2e-3)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(errors, rel=1e-3)


def test_the_record_has_every_constant_and_the_range():
    fit = fit_kaplan(N, D, LAW.loss(N, D) * np.exp(0.001 * np.cos(np.arange(56.0))))
    record = json.loads(json.dumps(fit.to_dict(), allow_nan=False))
    assert record == {
        "form": "kaplan",
        "alpha_N": fit.alpha_N,
        "alpha_D": fit.alpha_D,
        "N_c": fit.N_c,
        "D_c": fit.D_c,
        "covariance_of": ["alpha_N", "alpha_D", "ln N_c", "ln D_c"],
        "covariance": fit.covariance.tolist(),
        "rmse": fit.rmse,
        "runs": 56,
        "starts": 4,
        "reached": 4,
        "range": {
            "params": [1e5, 1.5e9],
            "tokens": pytest.approx([2.2e7, 2.3e10]),
            "tokens_per_param": pytest.approx([2.2e7 / 1.5e9, 2.3e5]),
            "flops": pytest.approx([6 * 1e5 * 2.2e7, 6 * 1.5e9 * 2.3e10]),
        },
        "law": {
            "name": "kaplan-fit",
            "form": "kaplan",
            "E": 0.0,
            "A": pytest.approx(fit.N_c ** (fit.alpha_N / fit.alpha_D)),
            "alpha": pytest.approx(fit.alpha_N / fit.alpha_D),
            "B": fit.D_c,
            "beta": 1.0,
            "power": fit.alpha_D,
            "counts": "non-embedding",
        },
    }
    assert fit.law.source == "fit of 56 runs in the form of Kaplan et al. 2020, Eq. 1.5"


def test_two_sizes_and_two_numbers_of_tokens_are_enough_and_less_is_not():
    square = np.array([1e6, 1e6, 1e9, 1e9, 1e9]), np.array([1e8, 1e10, 1e8, 1e10, 1e10])
    assert fit_kaplan(*square, LAW.loss(*square)).alpha_N == pytest.approx(0.076, rel=1e-5)
    for N_, D_ in ((np.full(5, 1e9), square[1]), (square[0], np.full(5, 1e9))):
        with pytest.raises(InputError, match="one size or one number of tokens"):
            fit_kaplan(N_, D_, np.linspace(3, 2, 5))
    # A loss that the tokens have no part in leaves D_c free.
    some = 1e9 * (1.0 + np.arange(56) % 2)
    with pytest.raises(FitError, match="leave one of Kaplan's constants free"):
        fit_kaplan(N, some, LAW.loss(N, 1e30))
