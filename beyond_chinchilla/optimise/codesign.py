"""Size, tokens and how the model is run in one geometric program; kinks of the serving bill by cutting planes.

The serving bill is the largest of many pieces (Kelley 1960, "The cutting-plane method for solving convex programs").
The program knows a few; at its plan the bill names the piece that is active there, which is added if the program has
paid less. The pieces are finite, so the last plan pays exactly what the bill says, and its proof is that of the
whole problem: no piece can make another plan cheaper.

Newton's method does it from the Chinchilla model, run at its best, in a few milliseconds. What it cannot prove goes
to cvxpy, and what that cannot prove to the direct search, which needs neither a scale nor a starting point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from beyond_chinchilla.errors import SolverError, UnboundedError
from beyond_chinchilla.optimise import gp
from beyond_chinchilla.optimise.bill import BATCH, SERVING, STEP_TIME
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.operation import Operations
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.program import Program, prove
from beyond_chinchilla.posynomial import Posynomial, monomial

# How a program that has changed by little is solved again: `gp.resume_gp`, or Newton's method alone.
Resume = Callable[[Posynomial, Sequence[Posynomial], Mapping[str, float], Sequence[float]], gp.GpResult]

METHOD = "gp"
# What the program may pay less than the bill, relative to the whole bill.
_EXACT = 1e-10
_MOST_CUTS = 300
# Pieces that differ by less are one, seen twice.
_SAME = 1e-11
# What nothing is paid for is held by these, far from any plan.
_LONGEST_STEP = 1e6
_FARTHEST = {"params": 1e18, "tokens": 1e24, BATCH: 1e12, STEP_TIME: _LONGEST_STEP, SERVING: 1e30}
_SLACK = "slack"


def optimum(problem: Problem) -> Located:
    """Return the plan of least cost, by the first way that proves it.

    Raises
    ------
    UnboundedError
        The bill falls for ever in one direction.
    SolverError
        No proved answer.
    """
    quick = _by_newton(problem)
    if quick is not None and prove(problem, quick).holds:
        return quick
    located, failure = Located(math.nan, math.nan, METHOD), None
    try:
        located = by_program(problem)
        if not located.found or prove(problem, located).holds:
            return located
    except UnboundedError:
        raise
    except SolverError as error:
        failure = error
    from beyond_chinchilla.optimise import direct

    searched = direct.optimum(problem)
    if not searched.found:
        # The limits exclude each other, which no solver's scaling can hide from a search.
        return searched if failure is not None else located
    polished = refine(problem, searched)
    if failure is not None or prove(problem, polished).holds:
        return polished
    return located


def by_program(problem: Problem) -> Located:
    """Return the plan of least cost by cvxpy's solver; raises as `optimum`."""
    point = problem.law.compute_optimal(loss=problem.target_loss)
    N, D = float(point.params), float(point.tokens)
    program = _first(problem)
    start = program.logs(N, D, _guess(problem, N))
    return _cut(program, gp.solve_gp(program.objective, _held(program), start), gp.resume_gp)


def _by_newton(problem: Problem) -> Located | None:
    """Return the plan of least cost by Newton's method alone, from the compute-optimal model; None without a proof."""
    point = problem.law.compute_optimal(loss=problem.target_loss)
    N, D = float(point.params), float(point.tokens)
    variables = _operations(problem).roughly(N, D).variables if problem.further else {}
    program = _first(problem)
    if problem.has_kinks:
        program = _with(program, problem.piece(problem.point(N, D, variables)))
    logs = program.logs(N, D, variables)
    found = gp.newton_gp(program.objective, _held(program), logs, (0.0,) * len(_held(program)))
    try:
        return _cut(program, found, gp.newton_gp) if found.status == "optimal" else None
    except SolverError:
        return None


def refine(problem: Problem, located: Located) -> Located:
    """Take a nearly optimal plan to full precision, with the pieces of the bill that prove it."""
    program = _first(problem)
    logs = program.logs(located.params, located.tokens, located.variables)
    for step in (0.0, -1e-6, 1e-6) if problem.has_kinks else ():
        near = problem.point(located.params * math.exp(step), located.tokens, located.variables)
        program = _with(program, problem.piece(near))
    found = gp.resume_gp(program.objective, _held(program), logs, _prices(program, program.multipliers(logs)))
    return _cut(program, found, gp.resume_gp)


def least_slack(problem: Problem, loose: Sequence[bool]) -> float | None:
    """Return ln of the least factor by which the loose limits must give for a plan to exist; None if none helps.

    Of plans on at most 1e24 tokens: nobody trains on more.
    """
    slack = monomial(_SLACK, 1.0, {_SLACK: 1.0})
    rows = [
        ratio.times(1.0, {_SLACK: -1.0}) if gives else ratio for ratio, gives in zip(problem.ratios, loose, strict=True)
    ]
    # A factor below a millionth is none.
    rows.append(monomial(_SLACK, 1e-6, {_SLACK: -1.0}))
    found = _within(problem, slack, [problem.target, *rows])
    return None if found is None else found[_SLACK]


def has_plan(problem: Problem) -> bool:
    """Say whether any plan keeps all limits, be its least cost reached or only approached."""
    if not problem.limits:
        return True
    slack = least_slack(problem, [True] * len(problem.limits))
    return slack is not None and slack <= _EXACT


def least_loss(problem: Problem) -> float | None:
    """Return the least loss within the limits [nats/token], on at most 1e24 tokens; None if they exclude each other."""
    found = _within(problem, problem.law.posynomial(), problem.ratios)
    if found is None:
        return None
    return float(problem.law.loss_of_reducible(math.exp(float(problem.law.posynomial().log_value(found)))))


def _within(problem: Problem, objective: Posynomial, rows: Sequence[Posynomial]) -> dict[str, float] | None:
    """Minimise something other than the bill under the relations; None where the rows cannot be met."""
    spends = any(SERVING in row.variables for row in rows)
    point = problem.law.compute_optimal(loss=problem.target_loss)
    known = {"params": float(point.params), "tokens": float(point.tokens), **_guess(problem, float(point.params))}
    start = {name: math.log(value) for name, value in known.items()}
    pieces = [problem.far] if spends else []
    for _ in range(_MOST_CUTS):
        every = [*rows, *problem.physics, *(piece.times(1.0, {SERVING: -1.0}, unit="") for piece in pieces)]
        names = dict.fromkeys(name for row in (objective, *every) for name in row.variables if name in _FARTHEST)
        every += [monomial(name, 1.0 / _FARTHEST[name], {name: 1.0}) for name in names]
        found = gp.solve_gp(objective, every, start)
        if found.status != "optimal" or not spends:
            break
        plan = {
            name: math.exp(found.logs.get(name, start.get(name, 0.0)))
            for name in ("params", "tokens", *problem.further)
        }
        paid = problem.point(plan.pop("params"), plan.pop("tokens"), plan)
        piece = problem.piece(paid)
        if any(_same(piece, other) for other in pieces) or math.log(paid[SERVING]) - found.logs[SERVING] <= _EXACT:
            break
        pieces.append(piece)
    return found.logs if found.status == "optimal" else None


def _prices(program: Program, multipliers: tuple[float, ...]) -> tuple[float, ...]:
    """Return the multipliers of all rows that the solver sees."""
    return (*multipliers, *(0.0,) * (len(_held(program)) - len(program.constraints)))


def _first(problem: Problem) -> Program:
    return Program(problem, (problem.far,) if problem.has_kinks else ())


def _operations(problem: Problem) -> Operations:
    rows = [row for row in (*problem.physics, *problem.ratios) if SERVING not in row.variables]
    return Operations(problem.operating_bill, rows)


def _guess(problem: Problem, N: float) -> dict[str, float]:
    guess = problem.bill.start(float(problem.law.total_params(N))) if problem.bill else {}
    return {name: guess.get(name, 1.0) for name in problem.further}


def _held(program: Program) -> list[Posynomial]:
    """Return the constraints, and one that keeps a step for which nothing is paid from growing for ever."""
    rows = list(program.constraints)
    if STEP_TIME in program.problem.further and STEP_TIME not in program.problem.operating_bill.variables:
        rows.append(monomial("step", 1.0 / _LONGEST_STEP, {STEP_TIME: 1.0}))
    return rows


def _with(program: Program, piece: Posynomial) -> Program:
    return program if _known(program, piece) else program.with_piece(piece)


def _known(program: Program, piece: Posynomial) -> bool:
    """Say whether a piece is among those of the program, but for rounding."""
    return any(_same(piece, other) for other in program.pieces)


def _same(one: Posynomial, other: Posynomial) -> bool:
    if [term.powers for term in one.terms] != [term.powers for term in other.terms]:
        return False
    pairs = zip(one.terms, other.terms, strict=True)
    return all(math.isclose(float(a.coefficient), float(b.coefficient), rel_tol=_SAME) for a, b in pairs)  # type: ignore[arg-type]


def _cut(program: Program, found: gp.GpResult, resume: Resume, *, settle: bool = True) -> Located:
    """Add pieces until the program pays what the bill says; `settle` a plan that can move without a price."""
    problem = program.problem
    for _ in range(_MOST_CUTS):
        if found.status == "infeasible":
            return Located(math.nan, math.nan, METHOD)
        if found.status == "unbounded":
            raise UnboundedError(f"{problem.name}: {found.message}")
        if found.status != "optimal":
            raise SolverError(f"{problem.name}: method {METHOD}: {found.message or found.status}")
        logs = dict(found.logs)
        N, D = math.exp(logs["params"]), math.exp(logs["tokens"])
        variables = {name: math.exp(logs[name]) for name in problem.further}
        if not problem.has_kinks:
            return _settled(program, found, N, D, variables, resume) if settle else _at(program, found, N, D, variables)
        point = problem.point(N, D, variables)
        serving = math.exp(logs[SERVING])
        total = math.exp(float(program.objective.log_value(logs))) - problem.shift
        piece = problem.piece(point)
        if point[SERVING] - serving <= _EXACT * total or _known(program, piece):
            return _settled(program, found, N, D, variables, resume) if settle else _at(program, found, N, D, variables)
        prices = found.multipliers
        at = len(program.constraints)
        program = program.with_piece(piece)
        logs[SERVING] = math.log(point[SERVING])
        found = resume(program.objective, _held(program), logs, (*prices[:at], 0.0, *prices[at:]))
    raise SolverError(f"{problem.name}: the serving bill has more than {_MOST_CUTS} kinks around the plan")


def _settled(
    program: Program, found: gp.GpResult, N: float, D: float, variables: dict[str, float], resume: Resume
) -> Located:
    """Choose among plans that cost the same: the one that is run best under full load, then the fastest."""
    problem = program.problem
    if not (variables and gp.moves_freely(program.objective, _held(program), found.logs, found.multipliers)):
        return _at(program, found, N, D, variables)
    operation = _operations(problem).best(N, D)
    if not operation.feasible:
        return _at(program, found, N, D, variables)
    located = _at(program, found, N, D, operation.variables)
    settled = Program(problem, located.pieces)
    logs = settled.logs(N, D, operation.variables)
    proof = settled.explain(logs, located.multipliers)
    if proof.kkt_residual <= 0.1 * gp.LARGEST_GAP:
        return located
    # What was nearly free had a price after all: the size gives way a little.
    again = resume(settled.objective, _held(settled), logs, _prices(settled, proof.multipliers))
    return _cut(settled, again, resume, settle=False)


def _at(program: Program, found: gp.GpResult, N: float, D: float, variables: dict[str, float]) -> Located:
    prices = found.multipliers[: len(program.constraints)]
    if program.problem.has_kinks:
        program = _with(program, program.problem.piece(program.problem.point(N, D, variables)))
    return Located(N, D, METHOD, variables=variables, pieces=program.pieces, multipliers=prices)
