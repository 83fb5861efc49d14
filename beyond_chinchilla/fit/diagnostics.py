"""Whether a fit may be used: starts, ridges, residuals, single runs, extrapolation and a second approach.

Every check gives one finding with its own word; the verdict is the worst of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.bootstrap import Bootstrap
from beyond_chinchilla.fit.huber import UNLIMITED, Array
from beyond_chinchilla.fit.isoflop import IsoflopFit
from beyond_chinchilla.fit.levenberg import minimise
from beyond_chinchilla.fit.parametric import GRID, fit_parametric
from beyond_chinchilla.fit.result import Fit
from beyond_chinchilla.units import format_number, format_percent

Word = Literal["good", "usable", "do not use"]
WORDS: tuple[Word, ...] = ("good", "usable", "do not use")

# Chinchilla's 240 points: 96% of the starts end at the best minimum; of pure noise, 0.1% to 11%.
FEW_STARTS, TOO_FEW_STARTS = 0.5, 0.005
# Starts that find a better fit with a rising loss: from here on the best "law" is none.
REFUSED_STARTS = 0.01
# Condition of the residuals' derivatives: 33 for the 240 points, 160 to 810 on the flat ridges of Sardana et al. 2024;
# at 1e6 a direction is fixed by round-off, not by runs.
RIDGE, DEGENERATE = 100.0, 1e6
# Share of the losses' spread (mean absolute deviation of ln L) that the law takes away; noise leaves most of it.
EXPLAINED, TOO_LITTLE_EXPLAINED = 0.8, 0.5
# A fifth of the runs whose median residual is this many standard errors off, and half the usual residual at least.
STRUCTURE_ERRORS, STRUCTURE_SHARE = 4.0, 0.5
# One run that moves a by 0.05 moves N_opt by 12% per decade of compute beyond the runs; by 0.25, by 78%.
INFLUENCE, TOO_MUCH_INFLUENCE = 0.05, 0.25
# Mean relative error on the largest runs: 1.5% of a loss of 2 is 0.03 nats, less than doubling the compute gains
# there under the catalogue's laws; 5% is most of what a decade gains.
HELD_OUT_ERROR, TOO_LARGE_ERROR = 0.015, 0.05
# Share of runs, by compute, that predict the rest.
HELD_IN = 0.7
# Approaches 2 and 3 of Hoffmann et al. 2022 differ by 0.03 in a; the dispute with Kaplan is over 0.23.
DISAGREEMENT = 0.1
# Width of the interval of a in [0, 1]: past 0.15 tokens per parameter are open by x2 per decade; past half the whole
# range, the runs do not say whether to grow models or data.
WIDE, TOO_WIDE = 0.15, 0.5
# Refits that are no law.
FAILED, TOO_MANY_FAILED = 0.01, 0.25
FEW_RUNS = 20
# More runs than these are judged by those of largest residual and reach.
MOST_LEFT_OUT = 500


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    check : str
    word : {"good", "usable", "do not use"}
        What it allows.
    sentence : str
        For people, with the figures.
    figures : dict
        For programs.
    """

    check: str
    word: Word
    sentence: str
    figures: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as JSON holds it."""
        return {"check": self.check, "word": self.word, "sentence": self.sentence, **self.figures}


@dataclass(frozen=True)
class Diagnosis:
    """What every check found.

    Attributes
    ----------
    findings : tuple of Finding
    """

    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Word:
        """The worst word of all."""
        return max((found.word for found in self.findings), key=WORDS.index, default="good")

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the verdict is not good, the gravest first."""
        doubtful = [found for found in self.findings if found.word != "good"]
        return tuple(found.sentence for found in sorted(doubtful, key=lambda found: -WORDS.index(found.word)))

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as JSON holds it."""
        return {
            "word": self.verdict,
            "reasons": list(self.reasons),
            "checks": [found.to_dict() for found in self.findings],
        }


def diagnose(
    fit: Fit,
    *,
    bootstrap: Bootstrap | None = None,
    isoflop: IsoflopFit | None = None,
    flops: Array | None = None,
) -> Diagnosis:
    """Judge a fit.

    Parameters
    ----------
    fit : Fit
    bootstrap : Bootstrap, optional
        Its intervals are judged, too.
    isoflop : IsoflopFit, optional
        Approach 2 on the same runs, to compare exponents with.
    flops : array, shape (runs,), optional
        Training compute of each run [FLOP], to order them by; by default 6ND.

    Examples
    --------
    >>> from beyond_chinchilla.laws.loss_law import LossLaw
    >>> law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
    >>> N, D = np.meshgrid(np.geomspace(1e8, 1e10, 6), np.geomspace(1e10, 1e12, 6))
    >>> diagnose(fit_parametric(N.ravel(), D.ravel(), law.loss(N, D).ravel())).verdict
    'good'
    """
    compute = 6.0 * fit.params * fit.tokens if flops is None else np.asarray(flops, dtype=float)
    found = [_starts(fit), _bounds(fit), _ridge(fit), _explained(fit), _number(fit), _residuals(fit)]
    found += [_influence(fit), _held_out(fit, compute)]
    if isoflop is not None and (agreement := _agreement(fit, isoflop)) is not None:
        found.append(agreement)
    if bootstrap is not None:
        found.append(judge_intervals(bootstrap))
    return Diagnosis(tuple(found))


def no_intervals(error: FitError) -> Finding:
    """Return what it means that a fit has no bootstrap."""
    return Finding(check="intervals", word="do not use", sentence=f"No intervals: {error}.")


def frontier_exponent(alpha: float, beta: float) -> float:
    """Return a = beta / (alpha + beta) of N_opt ~ C^a (Hoffmann et al. 2022, Eq. 4)."""
    return beta / (alpha + beta)


def _grade(value: float, usable: float, refuse: float) -> Word:
    """Return the word of a figure that should be small."""
    return "good" if value <= usable else "usable" if value <= refuse else "do not use"


def _starts(fit: Fit) -> Finding:
    starts = fit.starts
    share, refused = starts.reached_best / starts.count, starts.refused / starts.count
    word: Word = "good" if share >= FEW_STARTS else "usable" if share >= TOO_FEW_STARTS else "do not use"
    sentence = f"{starts.reached_best} of {starts.count} starts reach the best minimum."
    if starts.refused:
        word = "do not use" if refused >= REFUSED_STARTS else max(word, "usable", key=WORDS.index)
        sentence = (
            f"{starts.refused} of {starts.count} starts fit better with a loss that rises with N or D, which is no "
            f"law; {starts.reached_best} reach the best law."
        )
    figures = {"starts": starts.count, "reached_best": starts.reached_best, "refused": starts.refused}
    return Finding(check="starts", word=word, sentence=sentence, figures=figures)


def _bounds(fit: Fit) -> Finding:
    if not fit.bounds:
        return Finding(check="bounds", word="good", sentence="No parameter is at a bound, no term vanishes.")
    # E = 0 is a value like any other; a term without effect or an exponent that nothing tells from E is not.
    word: Word = "usable" if all(each.startswith("E = ") for each in fit.bounds) else "do not use"
    text = "; ".join(fit.bounds)
    return Finding(check="bounds", word=word, sentence=f"{text[0].upper()}{text[1:]}.", figures={"hit": [*fit.bounds]})


def _ridge(fit: Fit) -> Finding:
    word = _grade(fit.condition, RIDGE, DEGENERATE)
    first, second = sorted(fit.ridge, key=lambda name: -abs(fit.ridge[name]))[:2]
    condition = format_number(fit.condition, 2) if fit.condition < 1e12 else "beyond 1e12"
    figures = {"condition": fit.condition, "direction": dict(fit.ridge), "pair": [first, second]}
    if word == "good":
        sentence = f"The minimum is well rounded (condition {condition})."
    elif word == "usable":
        sentence = (
            f"Flat ridge: {first} and {second} trade off (condition {condition}); plans inside the range of the runs "
            "hardly feel it, exponents and extrapolations do."
        )
    else:
        sentence = f"Degenerate: the runs do not tell {first} from {second} (condition {condition})."
    return Finding(check="ridge", word=word, sentence=sentence, figures=figures)


def _explained(fit: Fit) -> Finding:
    logs = np.log(fit.loss)
    spread = float(np.mean(np.abs(logs - np.median(logs))))
    left = float(np.mean(np.abs(fit.residuals)))
    share = 1.0 - left / spread if spread > 0 else 0.0
    word = _grade(1.0 - share, 1.0 - EXPLAINED, 1.0 - TOO_LITTLE_EXPLAINED)
    sentence = (
        f"The law explains {format_percent(max(share, 0.0), 0)} of the spread of the losses; "
        f"residuals scatter by {format_percent(fit.scatter, 2)}."
    )
    return Finding(check="explained", word=word, sentence=sentence, figures={"share": share, "scatter": fit.scatter})


def _number(fit: Fit) -> Finding:
    runs = fit.residuals.size
    word: Word = "good" if runs >= FEW_RUNS else "usable"
    few = "" if word == "good" else f"; with fewer than {FEW_RUNS} intervals are themselves uncertain"
    return Finding(check="runs", word=word, sentence=f"{runs} runs for {fit.free} parameters{few}.")


def _residuals(fit: Fit) -> Finding:
    """Look for a fifth of the runs, by N, D or D/N, that the law misses on one side."""
    residuals = fit.residuals
    usual = 1.4826 * float(np.median(np.abs(residuals)))
    left, figures = [], {}
    for name, values in (("N", fit.params), ("D", fit.tokens), ("D/N", fit.tokens / fit.params)):
        ranks = np.argsort(np.argsort(values, kind="stable")).astype(float)
        others = np.argsort(np.argsort(residuals, kind="stable")).astype(float)
        figures[name] = float(np.corrcoef(ranks, others)[0, 1])
        for part in np.array_split(np.argsort(values, kind="stable"), 5):
            if part.size < 4:
                continue
            middle = float(np.median(residuals[part]))
            # 1.25 is the standard error of a median against that of a mean.
            error = 1.2533 * usual / math.sqrt(part.size)
            if abs(middle) > 1e-9 and abs(middle) > max(STRUCTURE_ERRORS * error, STRUCTURE_SHARE * usual):
                low, high = (format_number(value) for value in (values[part].min(), values[part].max()))
                side = "above" if middle > 0 else "below"
                left.append(f"{format_percent(abs(middle), 2)} {side} the runs with {name} from {low} to {high}")
    if not left:
        return Finding(
            check="residuals", word="good", sentence="Residuals show no structure by N, D or D/N.",
            figures={"rank_correlation": figures},
        )  # fmt: skip
    more = f", and {len(left) - 2} more such" if len(left) > 2 else ""
    return Finding(
        check="residuals",
        word="usable",
        sentence=f"Structure is left: the law lies {' and '.join(left[:2])}{more}.",
        figures={"rank_correlation": figures, "left": left},
    )


def _influence(fit: Fit) -> Finding:
    """Leave out every run in turn, as weights of one vectorised problem."""
    count = fit.residuals.size
    if count <= fit.free + 1:
        return Finding(check="influence", word="usable", sentence="Too few runs to leave one out.")
    rows = np.arange(count)
    if count > MOST_LEFT_OUT:
        reach = np.abs(fit.rows.log_params) / np.ptp(fit.rows.log_params)
        reach += np.abs(fit.rows.log_tokens) / np.ptp(fit.rows.log_tokens)
        pull = np.minimum(np.abs(fit.residuals), fit.delta) * reach
        rows = np.sort(np.argsort(-pull, kind="stable")[:MOST_LEFT_OUT])
    weights = np.ones((rows.size, count))
    weights[np.arange(rows.size), rows] = 0.0
    found = minimise(
        fit.rows,
        np.repeat(fit.minima[0][:, None], rows.size, axis=1),
        delta=fit.core_delta,
        weights=weights,
        constraint=fit.constraint,
        widest=min(3.0 * fit.core_delta, UNLIMITED),
        tolerance=1e-10,
    )
    alpha, beta = found.parameters[3:]
    law = (alpha > 0) & (beta > 0)
    a = np.where(law, beta / np.where(law, alpha + beta, 1.0), math.inf)
    moves = np.abs(a - frontier_exponent(fit.law.alpha, fit.law.beta))
    worst = int(np.argmax(moves))
    at, move = int(rows[worst]), float(moves[worst])
    run = f"{format_number(fit.params[at])} params on {format_number(fit.tokens[at])} tokens, loss {fit.loss[at]:.4g}"
    figures = {
        "index": at,
        "params": float(fit.params[at]),
        "tokens": float(fit.tokens[at]),
        "loss": float(fit.loss[at]),
        "moves_a": move if math.isfinite(move) else None,
    }
    sentence = f"Without one run ({run}) the exponent a moves by {move:.3f}, more than without any other."
    if not math.isfinite(move):
        sentence = f"Without one run ({run}) there is no law."
    return Finding(
        check="influence", word=_grade(move, INFLUENCE, TOO_MUCH_INFLUENCE), sentence=sentence, figures=figures
    )


def _held_out(fit: Fit, compute: Array) -> Finding:
    """Fit the runs of less compute and predict the others."""
    order = np.argsort(compute, kind="stable")
    small, large = np.split(order, [math.ceil(HELD_IN * order.size)])
    try:
        if not large.size:
            raise InputError("no run is left")
        lesser = fit_parametric(
            fit.params[small],
            fit.tokens[small],
            fit.loss[small],
            objective=fit.method,
            delta=fit.delta if math.isfinite(fit.delta) else 1.0,
            tied=fit.tied,
            irreducible=fit.irreducible,
            # A ninth of the grid and the fit's own minimum: enough to find the valley.
            grid=np.vstack([GRID[4::9], fit.minima[:1]]),
        )
    except (FitError, InputError) as error:
        sentence = (
            f"The smaller {format_percent(HELD_IN, 0)} of the runs make no law to predict the others with: {error}."
        )
        return Finding(check="extrapolation", word="usable", sentence=sentence)
    errors = np.asarray(lesser.law.loss(fit.params[large], fit.tokens[large])) / fit.loss[large] - 1.0
    mean, worst = float(np.mean(np.abs(errors))), float(errors[np.argmax(np.abs(errors))])
    sentence = (
        f"Fitted to the {small.size} runs of least compute (up to {format_number(compute[small].max())} FLOP), the law "
        f"misses the {large.size} others by {format_percent(mean, 2)} on average, {format_percent(abs(worst), 1)} at "
        "worst."
    )
    figures = {"fitted": int(small.size), "predicted": int(large.size), "mean_error": mean, "worst_error": worst}
    return Finding(
        check="extrapolation", word=_grade(mean, HELD_OUT_ERROR, TOO_LARGE_ERROR), sentence=sentence, figures=figures
    )


def _agreement(fit: Fit, isoflop: IsoflopFit) -> Finding | None:
    used = len(isoflop.budgets) - len(isoflop.set_aside)
    # Runs that no one laid out by budget make chance groups: no second opinion.
    if used < 3 or used < len(isoflop.budgets) / 2:
        return None
    mine, theirs = frontier_exponent(fit.law.alpha, fit.law.beta), isoflop.law.a
    gap = abs(mine - theirs)
    ends = isoflop.law.a_interval
    word: Word = "good" if gap <= DISAGREEMENT or (ends is not None and ends[0] <= mine <= ends[1]) else "usable"
    spread = "" if ends is None else f" ({ends[0]:.3f} to {ends[1]:.3f})"
    verb = "agrees" if word == "good" else "disagrees"
    sentence = f"Approach 2 {verb}: a = {theirs:.3f}{spread} from {used} isoFLOP budgets, {mine:.3f} here."
    return Finding(check="approach 2", word=word, sentence=sentence, figures={"a": theirs, "budgets": used})


def judge_intervals(bootstrap: Bootstrap) -> Finding:
    """Return what the bootstrap's interval of the frontier exponent allows."""
    low, high = bootstrap.interval("a")
    failed = bootstrap.failures / len(bootstrap.samples)
    word = max(_grade(high - low, WIDE, TOO_WIDE), _grade(failed, FAILED, TOO_MANY_FAILED), key=WORDS.index)
    sentence = f"Resampled runs put the exponent a between {low:.3f} and {high:.3f}"
    if high - low > TOO_WIDE:
        sentence += ": they do not say whether to grow models or data"
    sentence += f"; {bootstrap.failures} of {len(bootstrap.samples)} resamples make no law." if failed else "."
    return Finding(check="intervals", word=word, sentence=sentence, figures={"a": [low, high], "failed": failed})
