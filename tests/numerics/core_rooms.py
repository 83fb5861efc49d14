"""Laws, solvers and blocks of problems, each answer against 60 digits or against the same problem alone."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import exact
import mpmath as mp
import numpy as np
from rooms import PLAN, STATUS, Outcome, Room, all_numbers, exponent, is_double, must_say, positive, sensible

import beyond_chinchilla as bc
from beyond_chinchilla.errors import BeyondChinchillaError, InputError
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise import elementwise, universal
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

EPSILON = float(np.finfo(float).eps)
CONSTANTS = ("E", "A", "alpha", "B", "beta", "power")
# A spend ratio within which every figure of the universal curve is a double.
_RATIOS = 690.0


def law_constants(rng: random.Random) -> dict[str, float]:
    """Draw a law: like a published one now and then with something odd, or of any constants."""
    if rng.random() < 0.5:
        alpha, beta = exponent(rng), exponent(rng)
        R, N, D = 10.0 ** rng.uniform(-3.0, 1.0), 10.0 ** rng.uniform(6.0, 13.0), 10.0 ** rng.uniform(8.0, 15.0)
        q = beta / (alpha + beta)
        law = {"E": rng.choice((0.0, 1.69)), "A": q * R * N**alpha, "alpha": alpha}
        return {**law, "B": (1.0 - q) * R * D**beta or 1.0, "beta": beta, "power": 1.0}
    return {
        "E": rng.choice((0.0, 1.69, positive(rng))),
        "A": positive(rng),
        "alpha": exponent(rng),
        "B": positive(rng),
        "beta": exponent(rng),
        "power": rng.choice((1.0, 1.0, 0.076, 10.0 ** rng.uniform(-3.0, 1.0))),
    }


def target(rng: random.Random, E: float) -> float:
    """Draw a loss: barely above the floor, near it, any, or none at all."""
    kind = rng.random()
    if kind < 0.1:
        return math.nextafter(E, math.inf)
    if kind < 0.2:
        return rng.choice((E, math.nextafter(E, 0.0), math.nan, math.inf, -1.0, 0.0))
    if kind < 0.5:
        return E + (E or 1.0) * 10.0 ** rng.uniform(-15.0, 0.0)
    return E + rng.choice((positive(rng), rng.uniform(0.01, 2.0)))


def _conditioned(curve: exact.Curve) -> float:
    """Return the relative error of a size that the roundings of a few logs make."""
    logs = 1 + abs(mp.log(curve.A)) + abs(mp.log(curve.B)) + 2 * abs(curve.log_R)
    logs += abs(mp.log(curve.alpha / curve.beta))
    return 16.0 * EPSILON * float(logs * (1 + 1 / min(curve.alpha, curve.beta)))


def _is_law(law: Mapping[str, float]) -> bool:
    return all(math.isfinite(value) and (value >= 0 if key == "E" else value > 0) for key, value in law.items())


# The universal curve


def draw_curve(rng: random.Random) -> dict[str, Any]:
    """Draw a law, a target and two rates."""
    law = law_constants(rng)
    serve = rng.choice((0.0, -0.0, positive(rng), positive(rng), sensible(rng, 1e-10, 1e30)))
    return {"law": law, "loss": target(rng, law["E"]), "train": sensible(rng, 1e-20, 1e20), "serve": serve}


def judge_curve(law: Mapping[str, float], loss: float, train: float, serve: float) -> Outcome:
    """Compare `optimum` with 60 digits; whatever is no plan must have its own status."""
    if not _is_law(law):
        return _refused(lambda: LossLaw(**law))
    found = universal.optimum(LossLaw(**law), loss, train, serve)
    status = universal.Status(int(found.status))
    figures = [float(x) for x in (found.params, found.tokens, found.spend_ratio)]
    if status != universal.Status.OPTIMAL:
        assert all(math.isnan(x) for x in figures), (status, figures)
    if not all(map(math.isfinite, (loss, train, serve))) or train < 0 or serve < 0 or train + serve == 0:
        assert status == universal.Status.INVALID, status
        return Outcome(STATUS)
    if loss <= law["E"]:
        assert status == universal.Status.OUT_OF_REACH, status
        return Outcome(STATUS)
    if train == 0:
        assert status == universal.Status.UNBOUNDED, status
        return Outcome(STATUS)
    curve = exact.Curve.of(law, loss)
    z = exact.optimum(curve, [(train, 1.0, 1.0), *([(serve, 1.0, 0.0)] if serve else [])])
    n, d = curve.at(z)
    log_s = mp.log(serve) - mp.log(train) - d if serve else -mp.inf
    if not (is_double(n) and is_double(d) and log_s < _RATIOS):
        assert status in (universal.Status.OPTIMAL, universal.Status.UNBOUNDED), status
        if status == universal.Status.OPTIMAL:
            assert all(0.0 < x < math.inf for x in figures[:2]), figures
            assert 0.0 <= figures[2] < math.inf, figures
        return Outcome(STATUS)
    assert status == universal.Status.OPTIMAL, (status, float(n), float(d))
    errors = [_relative(figures[0], n), _relative(figures[1], d)]
    if log_s > -600:
        errors.append(_relative(figures[2], log_s))
    assert max(errors) <= _conditioned(curve), (errors, _conditioned(curve))
    return Outcome(PLAN, max(errors))


def _relative(value: float, log: Any) -> float:
    return float(abs(mp.expm1(mp.log(mp.mpf(value)) - log))) if value > 0 else math.inf


def _refused(build: Any) -> Outcome:
    try:
        build()
    except InputError as error:
        must_say(error, (math.nan,))
        return Outcome(STATUS)
    raise AssertionError("taken as it is")


# The law itself


def draw_law(rng: random.Random) -> dict[str, Any]:
    """Draw a law, a model and a loss."""
    law = law_constants(rng)
    if rng.random() < 0.15:
        law[rng.choice(CONSTANTS)] = rng.choice((0.0, -0.0, -1.0, math.nan, math.inf, 5e-324))
    return {"law": law, "N": sensible(rng, 1e3, 1e15), "D": sensible(rng, 1e3, 1e18), "loss": target(rng, law["E"])}


def judge_law(law: Mapping[str, float], N: float, D: float, loss: float) -> Outcome:
    """Compare every inverse of a law with 60 digits; what does not exist must be nan, or an error."""
    if not _is_law(law):
        return _refused(lambda: LossLaw(**law))
    if min(law["alpha"], law["beta"]) < 1e-6:
        return Outcome(STATUS)
    known = LossLaw(**law)
    E, A, alpha, B, beta, power = (mp.mpf(law[name]) for name in CONSTANTS)
    errors: list[float] = []

    def compare(value: Any, log: Any, slack: float) -> None:
        number = float(value)
        if is_double(log):
            error = _relative(number, log)
            assert error <= slack, (number, mp.nstr(mp.exp(log), 17), error, slack)
            errors.append(error)
        else:
            assert number in (0.0, math.inf) or abs(float(log)) < 746, number

    found = float(known.loss(N, D))
    if not all(math.isfinite(x) and x > 0 for x in (N, D)):
        assert math.isnan(found) == any(math.isnan(x) or x < 0 for x in (N, D)), found
        return Outcome(STATUS)
    parts = [mp.log(A) - alpha * mp.log(N), mp.log(B) - beta * mp.log(D)]
    R = mp.exp(parts[0]) + mp.exp(parts[1])
    slack = 8.0 * EPSILON * float(4 + sum(abs(part) for part in parts) + alpha * abs(mp.log(N)) + beta * abs(mp.log(D)))
    if all(is_double(part) for part in parts):
        compare(found, mp.log(E + R**power), slack * float(1 + power))
    if not (math.isfinite(loss) and loss > law["E"]):
        if not loss > law["E"]:
            assert math.isnan(float(known.reducible(loss)))
            assert math.isnan(float(known.tokens_for(N, loss)))
        return Outcome(STATUS)
    curve = exact.Curve.of(law, loss)
    rooms = _conditioned(curve)
    if not is_double(curve.log_R):
        return Outcome(STATUS)
    compare(known.reducible(loss), curve.log_R, rooms)
    q = beta / (alpha + beta)
    point = known.compute_optimal(loss=loss)
    compare(point.params, (mp.log(A / q) - curve.log_R) / alpha, rooms)
    compare(point.tokens, (mp.log(B / (1 - q)) - curve.log_R) / beta, rooms)
    left = mp.exp(curve.log_R) - mp.exp(parts[0])
    share = left / mp.exp(curve.log_R)
    if share > 1e-3:
        room = (rooms + slack / float(beta)) / float(share)
        compare(known.tokens_for(N, loss), (mp.log(B) - mp.log(left)) / beta, room)
    elif share < -1e-9:
        assert math.isnan(float(known.tokens_for(N, loss)))
    return Outcome(PLAN, max(errors)) if errors else Outcome(STATUS)


# Problems


def draw_problem(rng: random.Random) -> dict[str, Any]:
    """Draw a law, a bill, bounds and a method."""
    law = law_constants(rng)
    loss = target(rng, law["E"])
    terms = [(sensible(rng, 1e-20, 1e10), 1.0, 1.0)]
    if rng.random() < 0.8:
        terms.append((positive(rng) if rng.random() < 0.5 else sensible(rng, 1e-10, 1e20), 1.0, 0.0))
    if rng.random() < 0.3:
        terms.append((positive(rng), rng.uniform(0.0, 2.0), rng.uniform(0.0, 2.0)))
    bounds = {}
    for name in ("params_min", "params_max", "tokens_min", "tokens_max"):
        if rng.random() < 0.2:
            bounds[name] = sensible(rng, 1e6, 1e15)
    method = rng.choice(("auto", "auto", "universal", "elementwise", "gp"))
    return {"law": law, "loss": loss, "terms": terms, "bounds": bounds, "method": method}


def problem_of(
    law: Mapping[str, float], loss: float, terms: Sequence[Sequence[float]], bounds: Mapping[str, float]
) -> Problem:
    """Return a problem as a caller would build it."""
    drivers = (("training_price",), ("demand", "serving_price"))
    cost = Posynomial(
        tuple(
            Term(label=f"term {i}", coefficient=c, powers={"params": p, "tokens": r}, drivers=drivers[r == 0.0])
            for i, (c, p, r) in enumerate(terms)
        ),
        "USD",
    )
    limits = tuple(
        Limit(
            label=name.split("_")[0],
            side=name.split("_")[1],
            quantity=monomial(name, 1.0, {name.split("_")[0]: 1.0}),
            bound=bound,
            unit=name.split("_")[0],
            each=name.split("_")[0].removesuffix("s"),
        )
        for name, bound in bounds.items()
    )
    flops = monomial("training", 6.0, {"params": 1.0, "tokens": 1.0}, drivers=("training_price",))
    return Problem(law=LossLaw(**law), target_loss=loss, cost=cost, flops=flops, limits=limits)


def judge_problem(
    law: Mapping[str, float],
    loss: float,
    terms: Sequence[Sequence[float]],
    bounds: Mapping[str, float],
    method: str,
) -> Outcome:
    """Compare `solve` with 60 digits; an error must be one of the package's own, and say something."""
    try:
        plan = bc.solve(problem_of(law, loss, terms, bounds), method)
    except BeyondChinchillaError as error:
        must_say(error, (loss, *law.values(), *bounds.values(), *(coefficient for coefficient, _, _ in terms)))
        must_have_plan(law, loss, terms, bounds, method, error)
        return Outcome(STATUS)
    curve = exact.Curve.of(law, loss)
    best = exact.least(curve, terms, bounds)
    if plan.status == "infeasible":
        assert best is None or not best.found or best.near, "a plan was missed"
        return Outcome(STATUS)
    assert plan.best is not None
    assert best is not None, "no cost rises, and yet a plan"
    assert best.found or best.near, "a plan where there is none"
    sound(plan)
    if not best.found:
        return Outcome(STATUS)
    error = float(mp.expm1(mp.log(mp.mpf(plan.best.total)) - best.log_cost))
    slack = 1e-8 + _conditioned(curve)
    assert abs(error) <= slack, (error, slack)
    return Outcome(PLAN, abs(error))


def must_have_plan(law: Any, loss: float, terms: Any, bounds: Any, method: str, error: Exception) -> None:
    """Refuse a refusal of what a sensible team could ask: sizes, bill and exponents within all reason."""
    if method not in ("auto", "elementwise") or bounds or not _is_law(law) or min(law["alpha"], law["beta"]) < 0.02:
        return
    if not all(1e-30 < c < 1e30 for c, _, _ in terms) or not (loss > law["E"] * (1.0 + 1e-9)) or not loss < 1e3:
        return
    if len({(p, r) for _, p, r in terms} & {(1.0, 1.0)}) == 0 or max(law["alpha"], law["beta"]) > 3.0:
        return
    best = exact.least(exact.Curve.of(law, loss), terms, bounds)
    assert best is None or not all(0.0 < float(x) < 90.0 for x in (best.n, best.d)), f"refused: {error}"


def sound(plan: bc.Plan) -> None:
    """Hold an optimal plan to what no plan may break."""
    record = plan.to_dict()
    for place, number in all_numbers(record):
        assert math.isfinite(number), f"{place} is {number}"
    assert plan.best is not None
    assert plan.best.params > 0
    assert plan.best.tokens > 0
    assert plan.best.total >= 0
    assert all(value >= 0 for value in plan.best.terms.values())
    assert not plan.best.breaks, plan.best.breaks
    assert plan.best.loss <= plan.target_loss * (1.0 + 1e-9) or plan.objective == "loss"


# Blocks of problems


def draw_block(rng: random.Random) -> dict[str, Any]:
    """Draw a handful of problems of one shape."""
    count = rng.randint(2, 7)
    laws = [{**law_constants(rng), "power": 1.0} for _ in range(count)]
    return {
        "laws": laws,
        "one_law": rng.random() < 0.5,
        "losses": [target(rng, laws[0]["E"]) for _ in range(count)],
        "train": [sensible(rng, 1e-20, 1e10) for _ in range(count)],
        "serve": [sensible(rng, 1e-10, 1e20) for _ in range(count)],
        "ceiling": rng.choice((None, [10.0 ** rng.uniform(6.0, 15.0) for _ in range(count)])),
    }


def judge_block(
    laws: Sequence[Mapping[str, float]],
    one_law: bool,
    losses: Sequence[float],
    train: Sequence[float],
    serve: Sequence[float],
    ceiling: Sequence[float] | None,
) -> Outcome:
    """Compare a block with its problems one by one, to the last bit."""
    count = len(losses)
    law = LossLaw(**laws[0]) if one_law else LawBatch.of([LossLaw(**each) for each in laws])
    alone = [law if one_law else law.take(slice(i, i + 1)) for i in range(count)]
    block = universal.optimum(law, np.array(losses), np.array(train), np.array(serve))
    for i in range(count):
        one = universal.optimum(alone[i], losses[i : i + 1], train[i : i + 1], serve[i : i + 1])
        same(block, one, i, ("params", "tokens", "spend_ratio", "status"))
    plans = int((block.status == universal.Status.OPTIMAL).sum())
    good = [math.isfinite(a) and a > 0 and math.isfinite(b) and b > 0 for a, b in zip(train, serve, strict=True)]
    if not all(good):
        return Outcome(PLAN if plans else STATUS)

    def bill(part: slice) -> Posynomial:
        cost = monomial("training", np.array(train[part]), {"params": 1.0, "tokens": 1.0})
        return cost + monomial("rent", np.array(serve[part]), {"params": 1.0})

    def limits(part: slice) -> list[Posynomial]:
        return [] if ceiling is None else [monomial("tokens", 1.0 / np.array(ceiling[part]), {"tokens": 1.0})]

    found = elementwise.minimise(law, np.array(losses), bill(slice(None)), limits(slice(None)))
    for i in range(count):
        part = slice(i, i + 1)
        one = elementwise.minimise(alone[i], losses[part], bill(part), limits(part))
        same(found, one, i, ("params", "tokens", "status"))
    if ceiling is None:
        both = (block.status == universal.Status.OPTIMAL) & (found.status == elementwise.Status.OPTIMAL)
        costs = [
            np.log(x.params[both]) + np.logaddexp(np.log(train)[both] + np.log(x.tokens[both]), np.log(serve)[both])
            for x in (block, found)
        ]
        alphas, betas = (np.broadcast_to(getattr(law, name), (count,))[both] for name in ("alpha", "beta"))
        room = 1e-9 + 3e-13 * (1.0 / alphas + 1.0 / betas)
        assert (np.abs(costs[0] - costs[1]) <= room).all(), np.abs(costs[0] - costs[1]) / room
    for i in np.flatnonzero(found.status == elementwise.Status.OPTIMAL):
        assert 0 < found.params[i] < np.inf, found.params[i]
        assert 0 < found.tokens[i] < np.inf, found.tokens[i]
    return Outcome(PLAN if plans else STATUS)


def same(block: Any, one: Any, place: int, fields: Sequence[str]) -> None:
    """Hold a row of a block to its problem alone, to the last bit."""
    for field in fields:
        found, alone = getattr(block, field)[place], getattr(one, field)[0]
        assert found.tobytes() == alone.tobytes(), (field, place, found, alone)


ROOMS = (
    Room("universal curve", draw_curve, judge_curve),
    Room("laws", draw_law, judge_law),
    Room("problems", draw_problem, judge_problem, share=0.5),
    Room("blocks", draw_block, judge_block, share=0.5),
)
