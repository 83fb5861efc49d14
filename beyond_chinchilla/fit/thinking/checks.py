"""Whether a law with thinking may be used: what the rows leave open, ridges, bends in k, extrapolation, intervals."""

from __future__ import annotations

import math

import numpy as np

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.diagnostics import (
    DEGENERATE,
    EXPLAINED,
    FAILED,
    RIDGE,
    STRUCTURE_ERRORS,
    STRUCTURE_SHARE,
    TOO_LITTLE_EXPLAINED,
    TOO_MANY_FAILED,
    WORDS,
    Diagnosis,
    Finding,
    Word,
)
from beyond_chinchilla.fit.thinking.bootstrap import ThinkingBootstrap, predicted
from beyond_chinchilla.fit.thinking.law import ThinkingFit
from beyond_chinchilla.laws.thinking import WORDS as OF_K
from beyond_chinchilla.units import format_number, format_percent, format_size, format_times

# A term below this share of the loss in every row is not there.
VANISHED = 1e-4
# With fewer models intervals are themselves uncertain.
FEW_MODELS = 8
# Ratio of the ends of g's interval: thinking 16 times as much divides the loss that it can take away by 16^g, which
# for g about 0.4 is uncertain by a half at 1.5, and unknown at 4.
WIDE, TOO_WIDE = 1.5, 4.0
# Mean relative error of the loss at the largest k, predicted from the others: Roberts et al. 2026 report 2.8% to 8.4%.
HELD_OUT_ERROR, TOO_LARGE_ERROR = 0.084, 0.25
# Levels of k of which the largest can be left out and the law still be fitted.
_LEVELS = 4


def diagnose_thinking(fit: ThinkingFit) -> Diagnosis:
    """Judge a fit with thinking by everything but its intervals."""
    found = [_undetermined(fit), _terms(fit), _starts(fit), _ridge(fit), _explained(fit), _models(fit), _bends(fit)]
    if not fit.undetermined:
        found.append(_largest(fit))
    return Diagnosis(tuple(found))


def judge_thinking_intervals(bootstrap: ThinkingBootstrap) -> Finding:
    """Return what the bootstrap's interval of g allows."""
    low, high = bootstrap.interval("g")
    failed = bootstrap.failures / len(bootstrap.samples)
    word = max(_grade(high / low, WIDE, TOO_WIDE), _grade(failed, FAILED, TOO_MANY_FAILED), key=WORDS.index)
    sentence = f"Resampled models put the exponent g between {low:.3f} and {high:.3f}"
    if high / low > TOO_WIDE:
        sentence += ": they do not say what thinking brings"
    sentence += f"; {bootstrap.failures} of {len(bootstrap.samples)} resamples make no law." if failed else "."
    return Finding(check="intervals", word=word, sentence=sentence, figures={"g": [low, high], "failed": failed})


def no_thinking_intervals(error: FitError) -> Finding:
    """Return what it means that a fit has no bootstrap: its law may be right, and nobody can say how sure it is."""
    return Finding(check="intervals", word="usable", sentence=f"No intervals: {error}.")


def _grade(value: float, usable: float, refuse: float) -> Word:
    return "good" if value <= usable else "usable" if value <= refuse else "do not use"


def _undetermined(fit: ThinkingFit) -> Finding:
    if not fit.undetermined:
        return Finding(check="determined", word="good", sentence="The rows tell all constants apart.")
    return Finding(
        check="determined",
        word="do not use",
        sentence=f"Not determined: {'; '.join(fit.undetermined)}.",
        figures={"undetermined": list(fit.undetermined)},
    )


def _terms(fit: ThinkingFit) -> Finding:
    names = {"A": "model size", "B": "data", "G": "thinking"}
    # What was left out for want of levels has been said.
    gone = [name for name in names if fit.shares[name] < VANISHED and fit.values[name] > 0]
    if gone:
        listed = " and ".join(f"{names[name]} ({name})" for name in gone)
        sentence = f"The term{'s' if len(gone) > 1 else ''} of {listed} vanish{'' if len(gone) > 1 else 'es'}: below "
        sentence += "0.01% of the loss in every row."
        return Finding(check="terms", word="do not use", sentence=sentence, figures={"vanished": gone})
    if fit.irreducible is None and fit.shares["E"] < VANISHED:
        sentence = "E is at its bound 0: below 0.01% of the loss in every row."
        return Finding(check="terms", word="usable", sentence=sentence, figures={"vanished": ["E"]})
    return Finding(check="terms", word="good", sentence="No term vanishes.", figures={"vanished": []})


def _starts(fit: ThinkingFit) -> Finding:
    word: Word = "good" if 2 * fit.reached_best >= fit.starts else "usable"
    return Finding(
        check="starts",
        word=word,
        sentence=f"{fit.reached_best} of {fit.starts} starts reach the best minimum.",
        figures={"starts": fit.starts, "reached_best": fit.reached_best},
    )


def _ridge(fit: ThinkingFit) -> Finding:
    word = _grade(fit.condition, RIDGE, DEGENERATE)
    first, second = fit.ridge
    condition = format_number(fit.condition, 2) if fit.condition < 1e12 else "beyond 1e12"
    sentence = f"The minimum is well rounded (condition {condition})."
    if word == "usable":
        sentence = f"Flat ridge: {first} and {second} trade off (condition {condition})."
    elif word == "do not use":
        sentence = f"Degenerate: the rows do not tell {first} from {second} (condition {condition})."
    return Finding(
        check="ridge", word=word, sentence=sentence, figures={"condition": fit.condition, "pair": [first, second]}
    )


def _explained(fit: ThinkingFit) -> Finding:
    logs = np.log(fit.runs.loss)
    spread = float(np.mean(np.abs(logs - np.median(logs))))
    share = 1.0 - float(np.mean(np.abs(fit.residuals))) / spread if spread > 0 else 0.0
    sentence = (
        f"The law explains {format_percent(max(share, 0.0), 0)} of the spread of the losses; "
        f"residuals scatter by {format_percent(fit.scatter, 2)}."
    )
    return Finding(
        check="explained",
        word=_grade(1.0 - share, 1.0 - EXPLAINED, 1.0 - TOO_LITTLE_EXPLAINED),
        sentence=sentence,
        figures={"share": share, "scatter": fit.scatter},
    )


def _models(fit: ThinkingFit) -> Finding:
    models, rows = int(fit.runs.models.max()) + 1, fit.residuals.size
    few = models < FEW_MODELS and fit.base is None
    sentence = f"{rows} rows of {models} model{'s' if models > 1 else ''} for {fit.freedom.count} constants"
    sentence += f"; with fewer than {FEW_MODELS} models size and data are hardly told." if few else "."
    return Finding(
        check="models", word="usable" if few else "good", sentence=sentence, figures={"models": models, "rows": rows}
    )


def _bends(fit: ThinkingFit) -> Finding:
    """Look for values of k at which the law misses all models on one side: a curve that is no power law."""
    usual = 1.4826 * float(np.median(np.abs(fit.residuals)))
    word, left = OF_K[fit.runs.variable].removesuffix(" per request"), []
    for k in np.unique(fit.runs.k):
        part = fit.residuals[fit.runs.k == k]
        if part.size < 4:
            continue
        middle = float(np.median(part))
        # 1.25 is the standard error of a median against that of a mean.
        error = 1.2533 * usual / math.sqrt(part.size)
        if abs(middle) > 1e-9 and abs(middle) > max(STRUCTURE_ERRORS * error, STRUCTURE_SHARE * usual):
            side = "above" if middle > 0 else "below"
            left.append(f"{format_percent(abs(middle), 1)} {side} the losses at {format_size(float(k))} {word}")
    if not left:
        return Finding(check="shape in k", word="good", sentence=f"Residuals show no structure by {word}.")
    more = f", and at {len(left) - 2} more" if len(left) > 2 else ""
    return Finding(
        check="shape in k",
        word="usable",
        sentence=f"The curve in k is no power law: the law lies {' and '.join(left[:2])}{more}.",
        figures={"left": left},
    )


def _largest(fit: ThinkingFit) -> Finding:
    """Predict the rows of the largest k by a fit of the others."""
    levels = np.unique(fit.runs.k)
    word = OF_K[fit.runs.variable].removesuffix(" per request")
    if levels.size < _LEVELS:
        sentence = f"With {levels.size} values of k none can be left out and predicted; score the models at more."
        return Finding(check="extrapolation", word="usable", sentence=sentence)
    try:
        errors = np.expm1(predicted(fit, fit.runs.k < levels[-1]))
    except (FitError, InputError) as error:
        sentence = f"The rows of fewer {word} make no law to predict the most with: {error}."
        return Finding(check="extrapolation", word="usable", sentence=sentence)
    mean = float(np.mean(np.abs(errors)))
    most, next_most = format_size(float(levels[-1])), format_size(float(levels[-2]))
    times = format_times(float(levels[-1] / levels[-2]))
    sentence = (
        f"Fitted up to {next_most} {word}, the law misses the losses at {most} ({times} as many) by "
        f"{format_percent(mean, 1)} on average."
    )
    return Finding(
        check="extrapolation",
        word=_grade(mean, HELD_OUT_ERROR, TOO_LARGE_ERROR),
        sentence=sentence,
        figures={"mean_error": mean},
    )
