"""Whether R_D and R_N may be used: the ridge between them, the base law, what decay explains, and the intervals."""

from __future__ import annotations

import numpy as np

from beyond_chinchilla.fit.diagnostics import FEW_RUNS, FEW_STARTS, WORDS, Diagnosis, Finding, Word
from beyond_chinchilla.fit.repetition.law import ONE_EPOCH, RepetitionFit
from beyond_chinchilla.fit.repetition.ridge import RepetitionBootstrap, Ridge
from beyond_chinchilla.units import format_number, format_percent, format_size, format_times

# Correlation of ln R_D and ln R_N: at -.95 the error of one is three times what it would be with the other known.
RIDGE = 0.95
# Ratio of largest to smallest tokens per parameter below which all runs count as being of one ratio.
ONE_RATIO = 2.0
# Mean relative error on the runs of one epoch, as for the largest runs of a base law's own fit.
BASE_ERROR, TOO_LARGE_BASE_ERROR = 0.015, 0.05
# Share of the objective that decay takes away.
EXPLAINED, TOO_LITTLE_EXPLAINED = 0.3, 0.02
# Four passes are worth 3.7 to 3.9 new ones for any R_D from 10 on: a wider interval leaves plans open.
WIDE = 4.0
WITHOUT_END = 0.025
FEW_EPOCHS = 4.0


def diagnose_repetition(
    fit: RepetitionFit, *, ridges: tuple[Ridge, ...] = (), bootstrap: RepetitionBootstrap | None = None
) -> Diagnosis:
    """Judge a fit of R_D and R_N.

    Parameters
    ----------
    fit : RepetitionFit
    ridges : tuple of Ridge
        Profiles of what was not held; those of both say whether the ridge has ends.
    bootstrap : RepetitionBootstrap, optional
        Its intervals are judged, too.
    """
    found = [_ridge(fit, ridges), _explained(fit), _base(fit), _reach(fit), _number(fit), _starts(fit)]
    if bootstrap is not None:
        found.append(_intervals(fit, bootstrap))
    return Diagnosis(tuple(found))


def _ridge(fit: RepetitionFit, ridges: tuple[Ridge, ...]) -> Finding:
    if fit.held:
        ((name, value),) = fit.held.items()
        other = "R_N" if name == "R_D" else "R_D"
        sentence = f"{name} is held at {format_number(value)}: {other} is what these runs say if that is right."
        return Finding(check="ridge", word="usable", sentence=sentence, figures={"held": dict(fit.held)})
    correlation = fit.correlation
    figures = {"correlation": correlation, "intervals": {each.parameter: [each.low, each.high] for each in ridges}}
    if correlation is not None and abs(correlation) < RIDGE:
        sentence = f"The runs tell R_D from R_N (correlation {correlation:.2f})."
        return Finding(check="ridge", word="good", sentence=sentence, figures=figures)
    endless = bool(ridges) and all(each.high is None or each.low is None for each in ridges)
    # Bounds that say nothing about one leave nothing to use of it.
    word: Word = "do not use" if endless or correlation is None else "usable"
    size = "complete" if correlation is None else f"{correlation:.3f}"
    sentence = f"Ridge: R_D and R_N trade off (correlation {size})"
    if ridges:
        sentence += f"; {' and '.join(_span(each) for each in ridges)} fit almost alike"
    ratios = fit.rows.tokens / fit.rows.params
    if ratios.max() < ONE_RATIO * ratios.min():
        sentence += f", since every run has about {format_number(float(np.median(ratios)), 2)} tokens per parameter"
    sentence += ". Hold one of them (--hold R_N=5.31), or add runs of other ratios."
    return Finding(check="ridge", word=word, sentence=sentence, figures=figures)


def _span(ridge: Ridge) -> str:
    low, high = (None if end is None else format_number(end, 2) for end in (ridge.low, ridge.high))
    if low is None and high is None:
        return f"all {ridge.parameter}"
    if low is None or high is None:
        return f"{ridge.parameter} from {low} up" if high is None else f"{ridge.parameter} up to {high}"
    return f"{ridge.parameter} from {low} to {high}"


def _explained(fit: RepetitionFit) -> Finding:
    share = 1.0 - fit.objective / fit.as_new if fit.as_new > 0 else 0.0
    word: Word = "good" if share >= EXPLAINED else "usable" if share >= TOO_LITTLE_EXPLAINED else "do not use"
    sentence = (
        f"Decay takes away {format_percent(max(share, 0.0), 0)} of the misfit of a law to which repeated tokens are as "
        f"good as new; residuals scatter by {format_percent(fit.scatter, 2)}."
    )
    return Finding(check="explained", word=word, sentence=sentence, figures={"share": share, "scatter": fit.scatter})


def _base(fit: RepetitionFit) -> Finding:
    """Compare the base law, with E as it was fitted, to the runs of one epoch."""
    shifts = [
        f"{value:.3f}{f' for {label}' if label else ''}" for label, value in fit.E.items() if fit.E_fitted
    ]  # fmt: skip
    fitted = f"E is fitted: {', '.join(shifts)} (it is {fit.law.E:.3f} in {fit.law.name}). " if shifts else ""
    once = fit.epochs <= ONE_EPOCH
    if not once.any():
        sentence = f"{fitted}No run of one epoch says whether the base law {fit.law.name} is that of these data."
        return Finding(check="base law", word="usable", sentence=sentence)
    error = float(np.mean(np.abs(np.expm1(fit.residuals[once]))))
    word: Word = "good" if error <= BASE_ERROR else "usable" if error <= TOO_LARGE_BASE_ERROR else "do not use"
    count = int(np.count_nonzero(once))
    sentence = (
        f"{fitted}The base law misses the {count} run{'s' if count > 1 else ''} of one epoch by "
        f"{format_percent(error, 2)} on average."
    )
    return Finding(check="base law", word=word, sentence=sentence, figures={"mean_error": error, "E": dict(fit.E)})


def _reach(fit: RepetitionFit) -> Finding:
    most, largest = float(fit.epochs.max()), float((fit.rows.params / fit.rows.unique_params).max())
    word: Word = "good" if most >= FEW_EPOCHS else "usable"
    sentence = (
        f"Runs reach {format_size(float(f'{most:.3g}'))} epochs, and {format_times(largest)} the parameters that are "
        "optimal for their unique tokens; plans beyond are extrapolations."
    )
    return Finding(check="reach", word=word, sentence=sentence, figures={"epochs": most, "size": largest})


def _number(fit: RepetitionFit) -> Finding:
    runs, free = fit.rows.count, len(fit.free)
    word: Word = "good" if runs >= FEW_RUNS else "usable"
    few = "" if word == "good" else f"; with fewer than {FEW_RUNS} intervals are themselves uncertain"
    return Finding(check="runs", word=word, sentence=f"{runs} runs for {free} parameters{few}.")


def _starts(fit: RepetitionFit) -> Finding:
    word: Word = "good" if fit.reached_best >= FEW_STARTS * fit.starts else "usable"
    sentence = f"{fit.reached_best} of {fit.starts} starts reach the best minimum."
    return Finding(check="starts", word=word, sentence=sentence)


def _intervals(fit: RepetitionFit, bootstrap: RepetitionBootstrap) -> Finding:
    said, words, figures = [], [], {}
    for name in ("R_D", "R_N"):
        if name in fit.held:
            continue
        low, high = bootstrap.interval(name)
        endless = bootstrap.at_bound(name)
        figures[name] = [low, high]
        if endless > WITHOUT_END:
            words.append("usable")
            said.append(f"{name} from {format_number(low)} up, without an end in {format_percent(endless, 0)} of them")
        else:
            words.append("good" if high <= WIDE * low else "usable")
            said.append(f"{name} between {format_number(low)} and {format_number(high)}")
    word: Word = "usable" if "usable" in words else "good"
    assert word in WORDS
    return Finding(check="intervals", word=word, sentence=f"Resampled runs put {' and '.join(said)}.", figures=figures)
