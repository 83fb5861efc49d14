"""From what a scenario says of its doubts to the `Uncertainty` that draws them, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.correlation import is_possible, nearest_round
from beyond_chinchilla.distributions import LEAST_SAMPLES, Z90, Distribution, Lognormal, Normal
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.scenario.compile import law_of
from beyond_chinchilla.scenario.document import Keys
from beyond_chinchilla.scenario.law_kinds import refits_of
from beyond_chinchilla.scenario.past.suite import map_of
from beyond_chinchilla.scenario.past.uncertain_suite import uncertain_suite
from beyond_chinchilla.scenario.schema import InlineLaw, LawChoice, LawSet, ScenarioFile, UncertaintyRules
from beyond_chinchilla.scenario.uncertain_law import (
    LEAST_EXPONENT,
    CovarianceLaw,
    LawOfSet,
    MarginalLaw,
    Member,
    RefittedLaw,
    UncertainLaw,
)
from beyond_chinchilla.scenario.uncertainty import LAW, UncertainInput, Uncertainty

Array = NDArray[np.float64]
Found = list[tuple[Keys, str]]

_CONSTANTS = ("E", "A", "alpha", "B", "beta")
_NO_RULES = UncertaintyRules()
_REFUSED = "do not use"


def uncertainty_of(file: ScenarioFile, stated: Sequence[UncertainInput]) -> Uncertainty:
    """Return what a checked scenario does not know for certain.

    Parameters
    ----------
    file : ScenarioFile
        With medians.
    stated : sequence of UncertainInput
        Every distribution of the file, the law's own among them.
    """
    rules = file.uncertainty or _NO_RULES
    inputs = tuple(each for each in stated if each.keys[0] != LAW)
    of_law = [each for each in stated if each.keys[0] == LAW]
    obstacle = ""
    try:
        law = _law(file.law, of_law, rules)
        note = _held(file.law) if law is None else law.describe()
    except _UnusableError as error:
        law, note, obstacle = None, str(error), str(error)
    suite, suite_note = None, ""
    if file.target is not None and file.target.suite is not None:
        point = map_of(file.target.suite, law_of(file.law))
        try:
            suite = uncertain_suite(file.target.suite, law_of(file.law))
            suite_note = (
                f"suite {point.title}: held, as nothing is known of its errors" if suite is None else suite.describe()
            )
        except InputError as error:
            suite_note = obstacle = str(error)
    return Uncertainty(
        inputs=inputs,
        correlation=_matrix([each.label for each in inputs], rules),
        law=law,
        law_note=note,
        suite=suite,
        suite_note=suite_note,
        hold=rules.hold,
        max_failure=rules.max_failure,
        obstacle=obstacle,
        plain_notes=_plain_notes(file.law, of_law),
    )


class _UnusableError(InputError):
    """A law that serves for a plan, and not for its risk."""


def uncertainty_mistakes(
    rules: UncertaintyRules | None, stated: Sequence[UncertainInput], law: LawChoice | None, target: Any
) -> Found:
    """Return what is wrong with what a scenario says of its doubts; `law` and `target` are None where unsound."""
    found: Found = []
    if rules is not None:
        found += _correlation_mistakes(rules, [each.label for each in stated])
        stated_as = None if target is None else target.way
        if rules.hold == "size" and stated_as in ("loss", "error", "score"):
            found.append((("uncertainty", "hold"), "size needs a target by size; give chinchilla: 30B, or hold: loss"))
    for each in stated:
        if each.keys[:2] == ("target", "suite"):
            message = "takes no distribution, as its constants are not independent; give covariance, or refits"
            found.append((each.keys, message))
    if law is None or found:
        return found
    try:
        _law(law, [each for each in stated if each.keys[0] == LAW], rules or _NO_RULES)
    except _UnusableError:
        return found
    except InputError as error:
        own = str(error).startswith("independent_law")
        found.append((("uncertainty",) if own else (LAW,), str(error)))
    return found


# The law


def _law(choice: LawChoice, marginals: Sequence[UncertainInput], rules: UncertaintyRules) -> UncertainLaw | None:
    """Return the law as it is drawn; None where nothing is known of its errors, or all is held.

    Raises
    ------
    InputError
        A statement that cannot be; `_UnusableError` where the law cannot serve for its risk alone.
    """
    if isinstance(choice, LawSet):
        inside = [each.label for each in marginals]
        if inside:
            raise InputError(f"{inside[0]}: a law of a set takes a covariance or a law.json, no distributions")
        if rules.independent_law:
            raise InputError("independent_law does not go with a set of laws; leave it out")
        members = []
        for member in choice.one_of:
            law = law_of(member.law)
            members.append(Member(law=law, weight=member.weight, uncertain=_law(member.law, (), rules)))
        return LawOfSet(members=tuple(members))
    law = law_of(choice)
    if isinstance(choice, str):
        return _of_catalogue(law, rules)
    if marginals:
        return _of_marginals(choice, law, marginals, rules)
    if rules.independent_law:
        raise InputError(
            "independent_law has no effect: the law states no distributions of its constants; leave it out"
        )
    if choice.verdict == _REFUSED:
        raise _UnusableError(
            f"law {law.name}: its own fit says '{_REFUSED}', and no risk is worth more; fit it to better runs, or take "
            "a law of the catalogue"
        )
    if choice.refits is not None:
        refitted = RefittedLaw(point=law, refits=refits_of(choice.refits))
        if refitted.count < LEAST_SAMPLES:
            raise _UnusableError(
                f"law {law.name}: {refitted.count} usable refits say too little; write it again with "
                "bc-opt fit --bootstraps 4000"
            )
        return refitted
    if choice.covariance is not None:
        return CovarianceLaw(point=law, covariance=np.array(choice.covariance))
    return None


def _of_catalogue(law: LossLaw, rules: UncertaintyRules) -> UncertainLaw | None:
    if rules.independent_law:
        if not law.standard_errors:
            raise InputError(
                f"independent_law has no effect: no standard errors of law {law.name} are published; leave it out"
            )
        marginals = {key: _published(key, getattr(law, key), error) for key, error in law.standard_errors.items()}
        return MarginalLaw(point=law, marginals=marginals, correlation=np.eye(len(marginals)))
    covariance = catalogue.covariance(law.name)
    return None if covariance is None else CovarianceLaw(point=law, covariance=covariance)


def _published(key: str, centre: float, error: float) -> Distribution:
    """Return a marginal from a standard error: coefficients were fitted as logarithms, exponents as they are."""
    if key in ("alpha", "beta"):
        return Normal(mean=centre, sd=error, low=LEAST_EXPONENT)
    return Lognormal(middle=centre, p90=centre * math.exp(Z90 * error / centre))


def _of_marginals(
    choice: InlineLaw, law: LossLaw, marginals: Sequence[UncertainInput], rules: UncertaintyRules
) -> MarginalLaw:
    names = [str(each.keys[-1]) for each in marginals]
    other = [name for name in names if name not in _CONSTANTS]
    if other:
        raise InputError(f"{other[0]} takes no distribution; give one number, or distributions of E, A, alpha, B, beta")
    both = [key for key in ("covariance", "refits") if getattr(choice, key) is not None]
    if both:
        raise InputError(f"{both[0]} and a distribution of {names[0]} are both given; keep one")
    correlation = _matrix([each.label for each in marginals], rules)
    independent = np.array_equal(correlation, np.eye(len(names)))
    if len(names) > 1 and independent and not rules.independent_law:
        raise InputError(
            f"{' and '.join(names)} are uncertain, each by itself, which turns an interval of 8-19B params into "
            "1-200B; give covariance, uncertainty.correlations between them, or uncertainty: {independent_law: true}"
        )
    parts = {name: each.distribution for name, each in zip(names, marginals, strict=True)}
    return MarginalLaw(point=law, marginals=parts, correlation=correlation)


def _held(choice: LawChoice) -> str:
    """Say why a law is held."""
    return f"law {law_of(choice).name}: held, as no covariance of it is known"


def _plain_notes(choice: LawChoice, marginals: Sequence[UncertainInput]) -> tuple[str, ...]:
    """Say what of the law counts where no risk is asked for."""
    if isinstance(choice, LawSet):
        law = law_of(choice)
        return (
            f"law {law.name} counts, the heaviest of the set of {len(choice.one_of)}; --risk draws from all of them",
        )
    if marginals:
        names = " and ".join(str(each.keys[-1]) for each in marginals)
        verb, number = ("is", "its median") if len(marginals) == 1 else ("are", "their medians")
        counts = "counts" if len(marginals) == 1 else "count"
        return (f"{names} of law {law_of(choice).name} {verb} uncertain and {counts} as {number}; --risk draws it",)
    return ()


# Correlations


def _matrix(labels: Sequence[str], rules: UncertaintyRules) -> Array:
    """Return the correlations among some of the uncertain numbers."""
    place = {label: index for index, label in enumerate(labels)}
    matrix = np.eye(len(labels))
    for pair in rules.correlations:
        first, second = pair.between
        if first in place and second in place:
            matrix[place[first], place[second]] = matrix[place[second], place[first]] = pair.value
    return matrix


def _correlation_mistakes(rules: UncertaintyRules, labels: Sequence[str]) -> Found:
    found: Found = []
    seen: dict[frozenset[str], int] = {}
    for index, pair in enumerate(rules.correlations):
        at: Keys = ("uncertainty", "correlations", index, "between")
        unknown = [key for key in pair.between if key not in labels]
        for key in unknown:
            known = f"; {nearest(key, labels)}" if labels else ", and nothing else is"
            found.append((at, f"'{key}' is no uncertain number of this file{known}"))
        if unknown:
            continue
        first, second = pair.between
        if first == second:
            found.append((at, f"{first} stands twice; a number correlates with another one"))
        elif (first.split(".")[0] == LAW) != (second.split(".")[0] == LAW):
            found.append((at, f"{first} with {second}: a law is drawn by itself; correlate its constants alone"))
        elif frozenset(pair.between) in seen:
            found.append((at, f"{first} with {second} is stated twice; keep one of them"))
        seen[frozenset(pair.between)] = index
    return found or _impossible(rules, labels)


def _impossible(rules: UncertaintyRules, labels: Sequence[str]) -> Found:
    """Return that nothing correlates as stated, with the nearest that does (Higham 2002)."""
    matrix = _matrix(labels, rules)
    if not len(matrix) or is_possible(matrix):
        return []
    place: Mapping[str, int] = {label: index for index, label in enumerate(labels)}
    pairs = [(pair.between, place[pair.between[0]], place[pair.between[1]]) for pair in rules.correlations]
    free = np.zeros(matrix.shape, dtype=bool)
    for _, i, j in pairs:
        free[i, j] = free[j, i] = True
    near = nearest_round(matrix, ~free)
    values = ", ".join(f"{keys[0]} with {keys[1]} {near[i, j]:g}" for keys, i, j in pairs)
    return [
        (
            ("uncertainty", "correlations"),
            f"no numbers correlate like this (the matrix is not positive semi-definite); the nearest that do: {values}",
        )
    ]
