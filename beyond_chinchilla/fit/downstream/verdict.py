"""Whether a map from loss to error may be used: enough pairs, a clear fall, a bend, and the best models predicted."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.fit.diagnostics import Diagnosis, Finding, Word
from beyond_chinchilla.fit.downstream.map import MapFit, least_squares, map_of
from beyond_chinchilla.laws.downstream import DownstreamMap
from beyond_chinchilla.units import format_percent

Array = NDArray[np.float64]

# Gadre et al. 2024 fitted theirs to 6 models, and were 0.1% to 6% off on larger ones.
FEW_PAIRS = 10
# The map must fall by so many residuals over the losses seen; pairs near chance do not.
CLEAR_FALL, FALL = 8.0, 4.0
# F-test of the one constant that a map has more than a line.
BEND = 4.0
# Mean error on the best 30% of the models, predicted from the others [share of the tasks].
HELD_IN, MISS, LARGE_MISS = 0.7, 0.02, 0.05
FEWEST_HELD_IN = 6
# Resamples that make no map.
FAILED = 0.01


def judge_map(fit: MapFit) -> Diagnosis:
    """Judge a fitted map; each check gives one finding, and the verdict is the worst of them.

    Examples
    --------
    >>> from beyond_chinchilla.fit.downstream.map import fit_downstream
    >>> L = np.linspace(2.4, 5.0, 20)
    >>> judge_map(fit_downstream(L, 0.85 - 2.0 * np.exp(-0.75 * L), samples=0)).verdict
    'good'
    """
    loss, error = fit.loss, fit.error
    findings = [_number(loss), _fall(fit.map, loss), _bend(fit.map, loss, error)]
    if findings[1].word != "do not use":
        # Among models near chance there are no best ones.
        findings.append(_best_models(loss, error))
    if fit.failures:
        failed = fit.failures / (fit.failures + len(fit.refits))
        word: Word = "good" if failed < FAILED else "usable"
        sentence = f"{format_percent(failed)} of the resamples make no map."
        findings.append(Finding(check="resampling", word=word, sentence=sentence, figures={"failed": failed}))
    return Diagnosis(tuple(findings))


def _number(loss: Array) -> Finding:
    few = loss.size < FEW_PAIRS
    return Finding(
        check="number",
        word="usable" if few else "good",
        sentence=f"{loss.size} pairs for 3 constants{': each one moves them' if few else ''}.",
        figures={"pairs": int(loss.size)},
    )


def _fall(found: DownstreamMap, loss: Array) -> Finding:
    """Say whether the errors fall by more than they scatter."""
    fall, scatter = float(found.error(loss.max()) - found.error(loss.min())), found.residual
    told = f"The error falls by {_points(fall)} over the losses seen; one model's scatter is {_points(scatter)}"
    figures = {"fall": fall, "residual": scatter}
    if fall < FALL * scatter:
        sentence = f"{told}: all are near chance, or as good as each other; evaluate better models."
        return Finding(check="fall", word="do not use", sentence=sentence, figures=figures)
    word: Word = "good" if fall >= CLEAR_FALL * scatter else "usable"
    return Finding(check="fall", word=word, sentence=f"{told}.", figures=figures)


def _bend(found: DownstreamMap, loss: Array, error: Array) -> Finding:
    """Say whether the map does better than a straight line: if not, epsilon is not determined."""
    misses = np.asarray(found.error(loss)) - error
    line = np.polyval(np.polyfit(loss, error, 1), loss) - error
    squares, straight = float(misses @ misses), float(line @ line)
    noise = squares / max(loss.size - 3, 1)
    gain = max(straight - squares, 0.0) / noise if noise > 0.0 else math.inf
    if gain >= BEND:
        sentence = f"The errors level off towards {format_percent(float(found.epsilon))}."
    else:
        sentence = (
            "A straight line fits as well: epsilon, the error of a model that knows nothing, is not determined, and "
            "the map holds among the losses seen alone; add weaker models, or better ones."
        )
    figures = {"gain_over_a_line": gain if math.isfinite(gain) else None}
    return Finding(check="bend", word="good" if gain >= BEND else "usable", sentence=sentence, figures=figures)


def _best_models(loss: Array, error: Array) -> Finding:
    """Predict the best models from the others, as whoever plans a better one does."""
    order = np.argsort(-loss, kind="stable")
    known = round(HELD_IN * loss.size)
    seen, rest = order[:known], order[known:]
    if known < FEWEST_HELD_IN or np.unique(loss[seen]).size < FEWEST_HELD_IN:
        sentence = "Too few pairs to predict the best models from the others."
        return Finding(check="best models", word="usable", sentence=sentence)
    (row,) = least_squares(loss[seen], error[seen], np.ones((1, seen.size)))
    if not np.isfinite(row).all():
        sentence = "The weaker models alone make no map that would predict the best ones."
        return Finding(check="best models", word="usable", sentence=sentence)
    miss = float(np.abs(map_of(row).error(loss[rest]) - error[rest]).mean())
    word: Word = "good" if miss <= MISS else "usable" if miss <= LARGE_MISS else "do not use"
    sentence = f"From the others, the {rest.size} best models are predicted {_points(miss)} off in the mean."
    return Finding(check="best models", word=word, sentence=sentence, figures={"miss": miss, "models": int(rest.size)})


def _points(share: float) -> str:
    return f"{share * 100:.2f} points" if share < 1.0 else "over 100 points"
