"""How good a fit is: residuals, isoFLOP parabolas, profile likelihoods and bootstrap clouds."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.bootstrap import PARAMETERS, Bootstrap
from beyond_chinchilla.fit.diagnostics import frontier_exponent
from beyond_chinchilla.fit.isoflop import Budget, IsoflopFit, fit_isoflop, interval
from beyond_chinchilla.fit.profile import Profile, profile
from beyond_chinchilla.fit.result import Fit
from beyond_chinchilla.report.plots import axes as ax
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import Theme
from beyond_chinchilla.report.plots.subject import FitSubject, demand_of
from beyond_chinchilla.units import format_percent, format_size

Array = NDArray[np.float64]

# Budgets that a reader can tell apart in one picture.
_MOST_BUDGETS = 12
_FINE = 80
_NAMES = {"alpha": "alpha", "beta": "beta", "E": "E [nats/token]", "A": "A", "B": "B"}


def residuals(subject: FitSubject) -> Picture:
    """Draw how far the law lies from each run, over size, tokens and their ratio."""
    fit = subject.result.fit
    off = np.expm1(fit.residuals)
    inside = float(np.mean(np.abs(fit.residuals) <= 2.0 * fit.scatter))
    worst = int(np.argmax(np.abs(off)))
    finding = (
        f"The law misses its {off.size} runs by {format_percent(float(np.mean(np.abs(off))), 2)} on average and "
        f"{format_percent(float(abs(off[worst])), 1)} at worst; {format_percent(inside, 0)} lie within two deviations"
    )

    def paint(figure: Figure, theme: Theme) -> None:
        panels = figure.subplots(1, 3, sharey=True)
        mark = theme.plan
        columns = (
            ("model size [parameters]", fit.params),
            ("training data [tokens]", fit.tokens),
            ("tokens per parameter", fit.tokens / fit.params),
        )
        for axes, (label, values) in zip(panels, columns, strict=True):
            axes.axhspan(-2.0 * fit.scatter, 2.0 * fit.scatter, color=theme.grid, alpha=0.6, lw=0)
            axes.axhline(0.0, color=theme.ink, lw=1.0)
            axes.plot(values, off, mark.marker, color=mark.colour, mec=theme.paper, mew=0.4, ms=5, alpha=0.85)
            ax.logarithmic(axes, "x", most=5)
            axes.set_xlabel(label)
        reach = 1.15 * max(float(np.abs(off).max()), 2.2 * fit.scatter, 1e-9)
        panels[0].set_ylim(-reach, reach)
        ax.linear(panels[0], "y", lambda share: f"{100 * share:+.3g}%")
        panels[0].set_ylabel("law over loss, less 1; band: 2 deviations")

    return Picture(kind="Residuals of the fit", finding=finding, footer=subject.footer, paint=paint, size=(9.0, 3.8))


def isoflop(subject: FitSubject) -> Picture:
    """Draw each compute budget's valley with its parabola, and the line through the least losses."""
    fit = subject.result.fit
    found = subject.isoflop or _fitted(fit)
    order = np.argsort(6.0 * fit.params * fit.tokens, kind="stable")
    # Budgets are neighbours in compute: their runs are too.
    groups = np.split(order, np.cumsum([budget.runs for budget in found.budgets])[:-1])
    used = [(budget, group) for budget, group in zip(found.budgets, groups, strict=True) if budget.used]
    step = -(-len(used) // _MOST_BUDGETS)
    shown = used[::step]
    left_out = f", {len(found.set_aside)} set aside" if found.set_aside else ""
    law = frontier_exponent(fit.law.alpha, fit.law.beta)
    finding = (
        f"The best size grows as compute to the {found.law.a:.3f} over {len(used)} budgets{left_out}; the fitted law "
        f"says {law:.3f}"
    )

    def paint(figure: Figure, theme: Theme) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for index, (budget, group) in enumerate(shown):
            mark = theme.mark(index)
            left.plot(
                fit.params[group], fit.loss[group], mark.marker, color=mark.colour, mec=theme.paper, mew=0.4, ms=5
            )
            sizes = np.geomspace(*budget.params_range, _FINE)
            label = f"{ax.amount('FLOP')(float(f'{budget.flops:.2g}'))} FLOP"
            left.plot(sizes, _parabola(budget, sizes), color=mark.colour, ls=mark.line, lw=1.5, label=label)
        vertices = [budget for budget, _ in used]
        sizes = np.array([budget.params for budget in vertices], dtype=float)
        left.plot(sizes, [budget.loss for budget in vertices], "x", color=theme.ink, ms=6, label="least loss", zorder=5)
        flops = np.array([budget.flops for budget in vertices])
        right.plot(flops, sizes, "x", color=theme.ink, ms=7, label="least loss")
        reach = np.geomspace(flops.min() / 1.5, flops.max() * 1.5, _FINE)
        right.plot(reach, found.law.params(reach), color=theme.plan.colour, label=f"through them: C^{found.law.a:.3f}")
        best = fit.law.compute_optimal(flops=reach)
        base = theme.baseline
        right.plot(reach, best.params, color=base.colour, ls=base.line, label=f"fitted law: C^{law:.3f}")
        ax.logarithmic(left, "x")
        ax.linear(left, "y", lambda loss: f"{loss:.3g}")
        left.set_xlabel("model size [parameters]")
        left.set_ylabel("loss [nats/token]")
        left.legend(loc="lower left", fontsize=7, ncols=2)
        left.margins(y=0.12)
        ax.logarithmic(right, "x", ax.amount("FLOP"), most=5)
        ax.logarithmic(right, "y")
        right.set_xlabel("training compute [FLOP]")
        right.set_ylabel("best size [parameters]")
        right.legend(loc="upper left")

    return Picture(
        kind="Loss against size at equal compute", finding=finding, footer=subject.footer, paint=paint, size=(9.6, 4.6)
    )


def _fitted(fit: Fit) -> IsoflopFit:
    try:
        return fit_isoflop(fit.params, fit.tokens, fit.loss, samples=0)
    except FitError as error:
        raise InputError(f"isoflop: {error}") from None


def _parabola(budget: Budget, sizes: Array) -> Array:
    assert budget.params is not None
    assert budget.loss is not None
    assert budget.curvature is not None
    return np.asarray(budget.loss + budget.curvature * np.log(sizes / budget.params) ** 2)


def profiles(subject: FitSubject) -> Picture:
    """Draw the profile likelihood of every parameter that was not held."""
    fit = subject.result.fit
    found = []
    for name in PARAMETERS:
        try:
            found.append(profile(fit, name))
        except InputError:
            # Held in this fit: it has no profile.
            continue
    known = {each.parameter: each for each in found}
    said = [f"{name} {_ends(known[name])}" for name in ("alpha", "beta", "E") if name in known]
    finding = f"{format_percent(found[0].level, 0)} of the likelihood: {', '.join(said)}"

    def paint(figure: Figure, theme: Theme) -> None:
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        limit = NormalDist().inv_cdf(0.5 + 0.5 * found[0].level) ** 2
        for axes, each in zip(panels, found, strict=True):
            axes.plot(each.values, each.deviance, color=theme.plan.colour)
            axes.axhline(limit, color=theme.ink, ls="--", lw=1.0)
            low, high = (math.nan if end is None else end for end in (each.low, each.high))
            axes.axvspan(
                each.values[0] if math.isnan(low) else low, each.values[-1] if math.isnan(high) else high,
                color=theme.plan.colour, alpha=0.18, lw=0,
            )  # fmt: skip
            best = getattr(fit.law, each.parameter)
            axes.axvline(best, color=theme.baseline.colour, ls=":", lw=1.4)
            axes.set_title(f"{best:.4g}")
            axes.set_xlabel(_NAMES[each.parameter])
            if each.parameter in ("A", "B") and each.values[0] > 0:
                ax.logarithmic(axes, "x", most=3)
            else:
                ax.linear(axes, "x", lambda value: f"{value:.3g}", most=3)
        panels[0].set_ylim(0.0, 3.0 * limit)
        panels[0].set_ylabel(f"deviance; dashed: {format_percent(found[0].level, 0)}")

    return Picture(
        kind="Profile likelihoods of the law's parameters", finding=finding, footer=subject.footer, paint=paint,
        size=(2.0 * len(found) + 0.8, 3.6),
    )  # fmt: skip


def _ends(each: Profile) -> str:
    low, high = ("open" if end is None else f"{end:.3f}" for end in (each.low, each.high))
    return f"{low} to {high}"


def clouds(subject: FitSubject) -> Picture:
    """Draw the bootstrap's laws: their exponents, and the best size that they ask for at each compute."""
    fit = subject.result.fit
    drawn = demand_of("bootstrap", subject.result.bootstrap, "a fit with intervals; ask for bootstraps")
    low, high = drawn.interval("a")
    correlation = float(np.corrcoef(drawn.draws("alpha"), drawn.draws("beta"))[0, 1])
    finding = (
        f"{len(drawn.kept)} resampled laws put the exponent of the best size between {low:.3f} and {high:.3f}; "
        f"alpha and beta correlate by {correlation:+.2f}"
    )

    def paint(figure: Figure, theme: Theme) -> None:
        left, right = figure.subplots(1, 2)
        mark, base = theme.plan, theme.baseline
        alpha, beta = drawn.draws("alpha"), drawn.draws("beta")
        left.plot(alpha, beta, ".", color=mark.colour, ms=3, alpha=min(1.0, 60.0 / math.sqrt(alpha.size) / 4.0),
                  rasterized=True, label="resampled runs")  # fmt: skip
        left.plot(
            [fit.law.alpha], [fit.law.beta], base.marker, color=base.colour, mec=theme.paper, ms=9, label="all runs"
        )
        for axis, values in (("x", alpha), ("y", beta)):
            ends = np.quantile(values, [0.002, 0.998])
            margin = 0.08 * float(ends[1] - ends[0]) + 1e-6
            # Room for the legend above the cloud.
            above = margin if axis == "x" else 3.0 * margin
            (left.set_xlim if axis == "x" else left.set_ylim)(float(ends[0]) - margin, float(ends[1]) + above)
        ax.linear(left, "x", lambda value: f"{value:.3g}", most=5)
        ax.linear(left, "y", lambda value: f"{value:.3g}", most=5)
        left.set_xlabel("alpha, exponent of the size")
        left.set_ylabel("beta, exponent of the tokens")
        left.legend(loc="upper left")
        _sizes(right, theme, fit, drawn)

    return Picture(kind="Laws of resampled runs", finding=finding, footer=subject.footer, paint=paint, size=(9.0, 4.2))


def _sizes(axes: Axes, theme: Theme, fit: Fit, drawn: Bootstrap) -> None:
    """Draw the best size over compute with the interval of the resampled laws."""
    compute = 6.0 * fit.params * fit.tokens
    flops = np.geomspace(float(compute.min()), max(float(compute.max()), *drawn.flops), _FINE)
    # N = sqrt(C / (6 D/N))
    sizes = np.sqrt(flops / (6.0 * drawn.tokens_per_param(flops)))
    ends = np.array([interval(column, drawn.level) for column in sizes.T])
    mark, base = theme.plan, theme.baseline
    word = f"{format_percent(drawn.level, 0)} of the resampled"
    axes.fill_between(flops, ends[:, 0], ends[:, 1], color=mark.colour, alpha=0.25, lw=0, label=word)
    axes.plot(flops, fit.law.compute_optimal(flops=flops).params, color=base.colour, ls=base.line, label="all runs")
    axes.axvspan(float(compute.min()), float(compute.max()), color=theme.grid, alpha=0.5, lw=0, zorder=0,
                 label="compute of the runs")  # fmt: skip
    ax.logarithmic(axes, "x", ax.amount("FLOP"), most=5)
    ax.logarithmic(axes, "y", most=6)
    last = len(flops) - 1
    ax.flag(axes, theme, f"{format_size(ends[last, 0])} to {format_size(ends[last, 1])}", (flops[last], ends[last, 0]),
            (-6, -6))  # fmt: skip
    axes.set_xlabel("training compute [FLOP]")
    axes.set_ylabel("best size [parameters]")
    axes.legend(loc="upper left")
