"""A problem as one geometric program: objective and constraints, with the pieces of a serving bill in place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from beyond_chinchilla.optimise import kkt
from beyond_chinchilla.optimise.bill import SERVING
from beyond_chinchilla.optimise.kkt import Certificate
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.problem import Problem, driver_shares
from beyond_chinchilla.posynomial import Posynomial, monomial

# A plan whose gap or residual is wider is no answer.
LARGEST_GAP = 1e-8
# Multipliers that explain a plan so well need no others beside them.
_EXPLAINED = 1e-11
# Limits whose gradients differ by less, as a cosine, are proportional.
_PROPORTIONAL = 1e-12
# What a piece of the serving bill holds whatever the load is proportional to this.
_CONSTANT_DRIVER = "serving_price"


@dataclass(frozen=True)
class Program:
    """Minimise `objective` with each of `constraints` at most 1.

    A serving bill with kinks is a variable ``serving`` that no piece may exceed (the epigraph form: Boyd &
    Vandenberghe 2004, section 4.1.3).

    Parameters
    ----------
    problem : Problem
    pieces : tuple of Posynomial
        Those of the serving bill that are known; none for a bill without kinks.
    """

    problem: Problem
    pieces: tuple[Posynomial, ...] = ()

    @cached_property
    def objective(self) -> Posynomial:
        """What is minimised; it holds the serving bill's shift beyond the bill."""
        cost = self.problem.counted_cost
        return cost + monomial(SERVING, 1.0, {SERVING: 1.0}, unit=cost.unit) if self.problem.has_kinks else cost

    @cached_property
    def constraints(self) -> tuple[Posynomial, ...]:
        """Target, limits, relations and pieces, in this order."""
        problem = self.problem
        cuts = (piece.times(1.0, {SERVING: -1.0}, unit="") for piece in self.pieces)
        return (problem.target, *problem.ratios, *problem.physics, *cuts)

    def with_piece(self, piece: Posynomial) -> Program:
        """Return the program with one more piece."""
        return Program(self.problem, (*self.pieces, piece))

    def logs(self, N: float, D: float, variables: Mapping[str, float]) -> dict[str, float]:
        """Return a plan as logs, N as the law counts it, with the least ``serving`` that its own bill allows."""
        found = {"params": N, "tokens": D, **variables}
        if self.problem.has_kinks:
            found[SERVING] = self.problem.point(N, D, variables)[SERVING]
        return {name: math.log(value) for name, value in found.items()}

    def scale(self, logs: Mapping[str, float]) -> float:
        """Return the objective over the bill: above 1 where the serving bill is shifted."""
        if not self.problem.shift:
            return 1.0
        value = math.exp(float(self.objective.log_value(logs)))
        return value / (value - self.problem.shift)

    def multipliers(self, logs: Mapping[str, float], known: Sequence[float] = ()) -> tuple[float, ...]:
        """Return the multipliers of the constraints at a plan: those that explain it, or `known` ones that do better.

        Pieces that meet in a kink can be nearly parallel; then the solver's own are the more exact.
        """
        return self.explain(logs, known).multipliers

    def explain(self, logs: Mapping[str, float], known: Sequence[float] = ()) -> Certificate:
        """Return the proof that a plan is best by its `multipliers`."""
        fitted = self.certify(logs, kkt.multipliers_at(self.objective, self.constraints, logs))
        if not known or fitted.kkt_residual <= _EXPLAINED:
            return fitted
        filled = self.certify(logs, (*known, *(0.0,) * (len(self.constraints) - len(known))))
        return min(fitted, filled, key=lambda proof: proof.kkt_residual)

    def certify(self, logs: Mapping[str, float], multipliers: Sequence[float]) -> Certificate:
        """Return the proof that a plan is best, its gap relative to the bill without shift."""
        proof = kkt.certify(self.objective, self.constraints, logs, multipliers)
        return Certificate(proof.kkt_residual, proof.duality_gap * self.scale(logs), proof.multipliers)

    def limit_prices(self, logs: Mapping[str, float], multipliers: Sequence[float]) -> tuple[float, ...]:
        """Return minus d ln bill / d ln bound of each limit."""
        scale = self.scale(logs)
        return tuple(scale * nu for nu in multipliers[1 : 1 + len(self.problem.limits)])

    def carried(self, logs: Mapping[str, float], multipliers: Sequence[float]) -> tuple[bool, ...]:
        """Say of each limit whether one with a price, itself or a proportional one, holds the plan where it does.

        Only idle GPUs make a limit free: without a fleet, what binds at no price does so beside one that has it.
        """
        ratios = self.problem.ratios
        if self.problem.bill is None:
            return (True,) * len(ratios)
        here = kkt.Stack(self.objective, self.constraints)
        rows = here.at(here.point(logs)).gradients[2 : 2 + len(ratios)]
        units = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny)
        priced = np.asarray(multipliers[1 : 1 + len(ratios)]) > 0
        alike = np.abs(units @ units[priced].T) > 1.0 - _PROPORTIONAL
        return tuple(bool(row.any()) for row in alike)

    def elasticities(self, logs: Mapping[str, float], multipliers: Sequence[float]) -> dict[str, float]:
        """Return d ln bill / d ln input by the envelope theorem.

        For an input that drives terms: their share of the objective, and of each constraint times its dual (a
        dearer hour also tightens a limit on spend). For the target: its dual.
        """
        problem = self.problem
        found = dict.fromkeys(("demand", "target_loss", "training_price", "serving_price"), 0.0)
        weighted = [(1.0, self.objective), *zip(multipliers, self.constraints, strict=True)]
        for weight, posynomial in weighted[: 2 + len(problem.limits)]:
            for driver, share in driver_shares(posynomial, logs).items():
                found[driver] = found.get(driver, 0.0) + weight * share
        for weight, piece in zip(multipliers[len(weighted) - 1 - len(self.pieces) :], self.pieces, strict=True):
            for driver, share in _unshifted_shares(piece, logs, problem.shift).items():
                found[driver] = found.get(driver, 0.0) + weight * share
        found["target_loss"] -= multipliers[0] * float(problem.law.reducible_elasticity(problem.target_loss))
        scale = self.scale(logs)
        return {driver: scale * value for driver, value in found.items()}


@dataclass(frozen=True)
class Proof:
    """A plan with its program, its logs, the multipliers that explain it and the certificate.

    Attributes
    ----------
    program : Program
    logs : dict of str to float
        ln of each variable, N as the law counts it.
    certificate : Certificate
        With a multiplier for each constraint of the program.
    """

    program: Program
    logs: dict[str, float]
    certificate: Certificate

    @property
    def holds(self) -> bool:
        """Whether the plan is proved to `LARGEST_GAP`."""
        return max(self.certificate.duality_gap, self.certificate.kkt_residual) <= LARGEST_GAP


def prove(problem: Problem, located: Located) -> Proof:
    """Return the proof of a located plan, from the plan, its pieces of the bill and its multipliers alone."""
    program = Program(problem, located.pieces)
    logs = program.logs(located.params, located.tokens, located.variables)
    return Proof(program, logs, program.explain(logs, located.multipliers))


def _unshifted_shares(piece: Posynomial, logs: Mapping[str, float], shift: float) -> dict[str, float]:
    """Return each driver's share of a piece; its constant counts without the shift, which no price moves."""
    shares: dict[str, float] = {_CONSTANT_DRIVER: -shift / math.exp(float(piece.log_value(logs)))}
    for term, share in zip(piece.terms, piece.shares(logs), strict=True):
        moves = any(float(np.asarray(power)) for power in term.powers.values())
        for driver in term.drivers if moves else (_CONSTANT_DRIVER,):
            shares[driver] = shares.get(driver, 0.0) + float(share)
    return shares
