"""What plots are tested on: solved scenarios, and analyses whose figures were made up to be read off axes."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.deployment import problem_of
from beyond_chinchilla.analyse.risk.figures import QUANTILES, Information, Interval, Risk, RiskPlan
from beyond_chinchilla.analyse.sensitivity import Bar, Sensitivity
from beyond_chinchilla.analyse.sobol import SobolRow
from beyond_chinchilla.report.plots import gallery
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import THEMES, styled
from beyond_chinchilla.report.plots.subject import Subject

SCENARIOS = Path(__file__).parents[2] / "scenarios"
SIZES = np.geomspace(4e9, 1.2e11, 60)


def painted(picture: Picture) -> Figure:
    """Return a figure without the time that its layout takes."""
    figure = Figure(picture.size)
    with styled(THEMES["light"]):
        picture.paint(figure, THEMES["light"])
    return figure


def drawn(name: str, subject: Any) -> list[Axes]:
    """Return the axes of a plot."""
    return painted(gallery.picture(name, subject)).axes


def line(axes: Axes, label: str) -> tuple[Any, Any]:
    """Return x and y of the line whose label starts so."""
    found = next(each for each in axes.lines if str(each.get_label()).startswith(label))
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


@functools.cache
def solved(stem: str) -> Subject:
    """Return a scenario of the repository with its plan."""
    return subject_of(bc.load(SCENARIOS / f"{stem}.yaml"))


def subject_of(scenario: bc.Scenario) -> Subject:
    """Return any scenario with its plan."""
    plan = bc.solve(scenario)
    return Subject(scenario=scenario, problem=problem_of(scenario, plan), plan=plan)


def analysed(**changes: Any) -> Subject:
    """Return a plain scenario with risk and sensitivity."""
    return replace(solved("1B-requests"), **{"risk": risk(), "sensitivity": sensitivity(), **changes})


def risk(**changes: Any) -> Risk:
    """Return an assessment with round figures: the chosen size is 17.5B, its mean $1.6M."""
    draws = np.random.default_rng(0).normal(size=400)
    figures = {"params": 16e9 * np.exp(0.3 * draws), "tokens": 4e12 * np.exp(-draws), "total": 1.5e6 * np.exp(draws)}
    # A world out of reach has no optimum.
    figures["params"][0] = np.nan
    mean = 1.6e6 * (1.0 + 0.6 * np.log(SIZES / 17.5e9) ** 2)
    plans = (
        _plan("least mean", 17.5e9, 1.6e6, 0.02),
        _plan("least CVaR", 21e9, 1.62e6, 0.007),
        _plan("point estimate", 15.7e9, 1.61e6, 0.034),
        _plan("Chinchilla", 30e9, 1.9e6, 0.001),
    )
    found: dict[str, Any] = {
        "name": "made up", "unit": "USD", "samples": 400, "seed": 1, "aversion": 0.0, "level": 0.9,
        "max_failure": 0.05, "budget": 3e13, "inputs": ("demand.requests: lognormal, median 1B, p90 4B",),
        "intervals": {name: _interval(values) for name, values in figures.items()}, "out_of_reach": (0.01, 0.001),
        "binding": {}, "sizes": SIZES, "mean": mean, "cvar": 2.0 * mean, "failure": 1.0 / (1.0 + (SIZES / 9e9) ** 6),
        "quantiles": np.array([0.3, 0.6, 0.9, 1.3, 2.0])[:, None] * mean, "plans": plans, "chosen": 0,
        "range_1": (15e9, 20e9), "range_5": (12e9, 25e9), "perfect_information": 1.2e5, "perfect_error": 4e3,
        "information": (
            Information(group="law", value=2.1e4, share_of_mean=0.013, error=2e3),
            Information(group="demand", value=8.4e4, share_of_mean=0.052, error=3e3),
        ),
        "convergence": "", "draws_of": figures,
    }  # fmt: skip
    return Risk(**{**found, **changes})


def sensitivity(**changes: Any) -> Sensitivity:
    """Return an analysis with round figures, one of which has no plan at one end."""
    found: dict[str, Any] = {
        "name": "made up",
        "unit": "USD",
        "bars": (
            bar("demand.requests", 5e8, 2e9, 9e5, 2.2e6),
            bar("training.mfu", 0.4, 0.6, 1.5e6, 1.3e6),
            bar("law", None, None, 1.35e6, 1.5e6),
        ),
        "elasticities": (),
        "sobol": tuple(
            SobolRow(group=group, figure=figure, first=first, first_error=0.02, total=first + 0.05, total_error=0.03)
            for figure in ("params", "total")
            for group, first in (("law", 0.35), ("demand and prices", 0.55))
        ),
        "break_evens": (),
        "notes": (),
    }
    return Sensitivity(**{**found, **changes})


def bar(label: str, low: float | None, high: float | None, low_total: float | None, high_total: float | None) -> Bar:
    """Return a bar around $1.4M."""
    return Bar(
        label=label, group="demand", low=low, high=high, low_total=low_total, high_total=high_total, low_params=1e10,
        high_params=2e10, total=1.4e6, params=16e9,
    )  # fmt: skip


def _interval(values: Any) -> Interval:
    p5, p25, median, p75, p95 = (float(value) for value in np.nanquantile(values, QUANTILES))
    return Interval(median=median, half=(p25, p75), ninety=(p5, p95))


def _plan(label: str, params: float, mean: float, failure: float) -> RiskPlan:
    flat = Interval(median=mean, half=(mean, mean), ninety=(mean, mean))
    return RiskPlan(
        label=label, params=params, mean=mean, cvar=2.0 * mean, failure=failure, missed=failure, mean_regret=1e5,
        regret_p90=3e5, tokens=flat, total=flat, feasible=failure <= 0.05,
    )  # fmt: skip
