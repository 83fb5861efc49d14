"""What of a plan stays where the world turns out another: of laws past Chinchilla, the numbers that it chose."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.lever import Lever
from beyond_chinchilla.laws.precision import Quantisation
from beyond_chinchilla.laws.shape import ASPECT
from beyond_chinchilla.laws.thinking import WORDS
from beyond_chinchilla.laws.whole_law import WholeLaw
from beyond_chinchilla.optimise.locate import assess, locate
from beyond_chinchilla.optimise.past.held import held
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.units import format_size

# What a number is called, and what has it.
_CALLED = {**WORDS, ASPECT: "width over layers"}


def numbers_of(levers: Iterable[Lever], plan: Plan) -> dict[str, float]:
    """Return the numbers that a plan chose, by the kind of the lever that brought them along."""
    figures = {effect.kind: effect.figures for effect in plan.effects}
    return {
        lever.kind: float(figures[lever.kind][lever.variable])
        for lever in levers
        if lever.variable and lever.variable in figures.get(lever.kind, ())
    }


def planned(problem: Problem) -> dict[str, float]:
    """Return the numbers that the levers of a problem have in its own plan, by kind."""
    known = {lever.kind: lever.low for lever in problem.levers if lever.variable}
    if any(lever.low < lever.high for lever in problem.levers if lever.variable):
        found = locate(problem).held
        known = {kind: found.get(kind, value) for kind, value in known.items()}
    return known


def hold(problem: Problem, plan: Plan) -> Problem:
    """Return the problem with the numbers of its levers held as a plan chose them: then D alone goes with N.

    Raises
    ------
    InputError
        With these numbers no model reaches the target.
    """
    return hold_at(problem, numbers_of(problem.levers, plan))


def hold_at(problem: Problem, numbers: Mapping[str, float]) -> Problem:
    """Return the problem with the numbers of its levers held, by kind; one that knows no other is held at that.

    Raises
    ------
    InputError
        With these numbers no model reaches the target, or one is left open.
    """
    levers = [lever for lever in problem.levers if lever.variable]
    known = {lever.kind: lever.low for lever in levers if lever.low == lever.high} | dict(numbers)
    found = held(problem, {lever.kind: known[lever.kind] for lever in levers if lever.kind in known})
    if found is None:
        raise InputError(f"{problem.name}: no model reaches the target with {_told(levers, known)}")
    whole_of(found)
    return found


def whole_of(problem: Problem) -> WholeLaw:
    """Return the law of a problem with all that bends it.

    Raises
    ------
    InputError
        One of its levers leaves a number open.
    """
    quantisation = None
    for lever in problem.levers:
        if not isinstance(lever, Quantisation):
            raise InputError(
                f"{problem.name}: {lever.kind} leaves the {called(lever.variable)} open; state one number of "
                f"{lever.variable}"
            )
        quantisation = lever
    return WholeLaw(law=problem.law, repetition=problem.repetition, quantisation=quantisation)


def plain(problem: Problem) -> Problem:
    """Return the problem without what bends its law: its bill, limits and demand."""
    return replace(problem, levers=(), repetition=None)


def given(problem: Problem, N: float, D: float) -> Candidate:
    """Return a model of N parameters, as the law counts them, and D tokens, with its loss under the whole law.

    Raises
    ------
    InputError
        A lever of the problem leaves a number open.
    """
    law = whole_of(problem)
    found = assess(plain(problem), N, D)
    return found if law.is_plain else replace(found, loss=float(law.loss(N, D)))


def called(variable: str) -> str:
    """Return what the number of a lever is called; nothing for what is none.

    >>> called("samples"), called("epochs")
    ('samples per request', '')
    """
    return _CALLED.get(variable, "")


def notes_of(levers: Iterable[Lever], numbers: Mapping[str, float]) -> tuple[str, ...]:
    """Say which numbers are held."""
    told = _told([lever for lever in levers if lever.kind in numbers], numbers)
    return (f"{told}, held as the plan chose",) if told else ()


def _told(levers: Iterable[Lever], numbers: Mapping[str, float]) -> str:
    return " and ".join(f"{format_size(numbers[lever.kind])} {_CALLED[lever.variable]}" for lever in levers)
