"""Hypothesis strategies: laws, demands, hired compute, bills, limits and whole problems that a team could have.

Constants of a law drawn one by one make nonsense (a compute-optimal model of 3 parameters). So a law is drawn by
what it says about a 1B model: the reducible loss at its compute-optimal point and the tokens per parameter there.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.limits import FLOORS, Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

ANCHOR_PARAMS = 1e9
# Terms of a general bill may fall in params; they never fall in tokens.
LEAST_PARAMS_POWER = -1.0

# For a property of which one example takes longer than 50 ms: a third as many as of any other.
costly = settings(max_examples=max(8, settings.default.max_examples // 3))

# What limits bound, with the unit and the name of one unit: as a scenario would say it.
QUANTITIES = {
    "params": (monomial("params", 1.0, {"params": 1.0}), "params", "parameter"),
    "tokens": (monomial("tokens", 1.0, {"tokens": 1.0}), "tokens", "token"),
    "tokens_per_param": (
        monomial("tokens per param", 1.0, {"tokens": 1.0, "params": -1.0}),
        "tokens per param",
        "token per param",
    ),
    "training_flops": (monomial("training", 6.0, {"params": 1.0, "tokens": 1.0}), "FLOP", "FLOP"),
    # One byte a parameter
    "serving_memory": (monomial("weights", 1e-9, {"params": 1.0}), "GB", "GB"),
}


def limit(label: str, side: str, bound: float, quantity: Posynomial | None = None) -> Limit:
    """Return a limit on one of `QUANTITIES`, or on a quantity of one's own."""
    known, unit, each = QUANTITIES.get(label, (quantity, "USD", "USD"))
    quantity = known if quantity is None else quantity
    assert quantity is not None
    return Limit(label=label, side=side, quantity=quantity, bound=bound, unit=unit, each=each)


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw from low to high."""
    return st.floats(low, high, allow_nan=False)


def log_floats(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw from low to high, evenly in the logarithm."""
    return floats(float(np.log(low)), float(np.log(high))).map(lambda x: min(max(float(np.exp(x)), low), high))


@st.composite
def laws(draw: st.DrawFn) -> LossLaw:
    """Laws of Chinchilla's form."""
    alpha, beta = draw(floats(0.1, 0.8)), draw(floats(0.1, 0.8))
    q = beta / (alpha + beta)
    R = draw(log_floats(0.1, 3.0))
    tokens = draw(log_floats(2.0, 300.0)) * ANCHOR_PARAMS
    return LossLaw(
        E=draw(floats(0.0, 3.0)),
        A=q * R * ANCHOR_PARAMS**alpha,
        alpha=alpha,
        B=(1.0 - q) * R * tokens**beta,
        beta=beta,
    )


@st.composite
def powered_laws(draw: st.DrawFn) -> LossLaw:
    """Laws of Kaplan's form: no floor, the sum raised to a power, embeddings not counted."""
    alpha = draw(floats(0.4, 1.2))
    return LossLaw(
        E=0.0,
        A=draw(log_floats(1.0, 100.0)) * ANCHOR_PARAMS**alpha,
        alpha=alpha,
        B=draw(log_floats(1.0, 100.0)) * 20.0 * ANCHOR_PARAMS,
        beta=1.0,
        power=draw(floats(0.05, 0.3)),
        counts="non-embedding",
    )


def sizes() -> st.SearchStrategy[float]:
    """Draw parameters from 10M to 10T."""
    return log_floats(1e7, 1e13)


@st.composite
def demands(draw: st.DrawFn) -> Demand:
    """From 1B to 1000T tokens over the life of the model, in one phase or both."""
    tokens = draw(log_floats(1e9, 1e15))
    share = draw(st.one_of(st.sampled_from([0.0, 1.0]), floats(0.01, 0.99)))
    return Demand(prefill_tokens=tokens * share, decode_tokens=tokens * (1.0 - share))


@st.composite
def hired_compute(draw: st.DrawFn) -> HiredCompute:
    """Accelerators from old and cheap to new and dear."""
    return HiredCompute(price=draw(log_floats(0.1, 20.0)), peak=draw(log_floats(1e13, 1e16)))


def mfus() -> st.SearchStrategy[float]:
    """Draw utilisations from 0.1% to 100%."""
    return log_floats(1e-3, 1.0)


@st.composite
def lifetime_bills(draw: st.DrawFn, demand: Demand) -> Posynomial:
    """Bills a N D + b N of a demand, in USD or FLOP."""
    if draw(st.booleans()):
        return lifetime_flops(demand)
    return lifetime_cost(
        training=draw(hired_compute()),
        training_mfu=draw(mfus()),
        serving=draw(hired_compute()),
        prefill_mfu=draw(mfus()),
        decode_mfu=draw(mfus()),
        demand=demand,
    )


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Problems whose bill is a N D + b N: the quality of a Chinchilla model of some size, at some demand."""
    law, demand = draw(laws()), draw(demands())
    return Problem(
        law=law,
        target_loss=float(law.compute_optimal(params=draw(sizes())).loss),
        cost=draw(lifetime_bills(demand)),
        flops=lifetime_flops(demand),
    )


@st.composite
def general_bills(draw: st.DrawFn, N: float, D: float, least: float = LEAST_PARAMS_POWER) -> Posynomial:
    """Bills of up to six terms that do not fall in tokens, of comparable size at a model of N and D.

    Training and a rent per parameter are always there, so that the bill has a minimum and every driver a term.
    `least` is the least power of params.
    """
    training = draw(log_floats(1e-3, 1e3)) * 1e6
    terms = [
        Term(
            label="training",
            coefficient=training / (N * D),
            powers={"params": 1.0, "tokens": 1.0},
            drivers=("training_price",),
        )
    ]
    powers = [(1.0, 0.0), *draw(st.lists(st.tuples(floats(least, 2.0), floats(0.0, 2.0)), max_size=4))]
    for number, (p, r) in enumerate(powers):
        value = training * draw(log_floats(1e-3, 1e3))
        terms.append(
            Term(
                label=f"serving {number}",
                coefficient=value * N**-p * D**-r,
                powers={"params": p, "tokens": r},
                drivers=("demand", "serving_price"),
            )
        )
    return Posynomial(tuple(terms), "USD")


@st.composite
def general_problems(draw: st.DrawFn, least: float = LEAST_PARAMS_POWER) -> Problem:
    """Problems with a bill of `general_bills`."""
    law = draw(laws())
    point = law.compute_optimal(params=draw(sizes()))
    return Problem(
        law=law,
        target_loss=float(point.loss),
        cost=draw(general_bills(float(point.params), float(point.tokens), least)),
        flops=lifetime_flops(draw(demands())),
    )


@st.composite
def limits(draw: st.DrawFn, problem: Problem, N: float, D: float, slack: tuple[float, float]) -> Limit:
    """Limits of every kind, which a model of N and D keeps with so much room: below 1 it breaks them.

    Room of exactly 1 may leave a single plan, whose limits have no price.
    """
    floors = [(label, "min") for label in FLOORS]
    label, side = draw(st.sampled_from([*((name, "max") for name in (*QUANTITIES, "total_cost", "mixture")), *floors]))
    room = draw(log_floats(*slack).filter(lambda x: abs(x - 1.0) > 1e-2))
    quantity = QUANTITIES[label][0] if label in QUANTITIES else problem.cost
    if label == "mixture":
        quantity = monomial("first", 1.0 / N, {"params": 1.0}).times(draw(log_floats(0.1, 10.0)))
        quantity += monomial("second", 1.0, {"params": draw(floats(0.0, 1.0)), "tokens": draw(floats(0.1, 2.0))})
    value = float(quantity.value({"params": N, "tokens": D}))
    return limit(label, side, value * room if side == "max" else value / room, quantity)


@st.composite
def limited_problems(
    draw: st.DrawFn,
    inner: st.SearchStrategy[Problem] | None = None,
    slack: tuple[float, float] = (0.3, 5.0),
    most: int = 4,
) -> Problem:
    """Problems with one to four limits around the compute-optimal model of their target."""
    problem = draw(general_problems(least=0.0) if inner is None else inner)
    point = problem.law.compute_optimal(loss=problem.target_loss)
    N, D = float(problem.law.total_params(point.params)), float(point.tokens)
    found = draw(st.lists(limits(problem, N, D, slack), min_size=1, max_size=most))
    # As in a scenario, where each bound can be stated once.
    unique = {(one.label, one.side): one for one in found}
    return replace(problem, limits=tuple(unique.values()))


@st.composite
def posynomials(draw: st.DrawFn, variables: tuple[str, ...] = ("params", "tokens")) -> Posynomial:
    """Any posynomials of one to five terms."""
    count = draw(st.integers(1, 5))
    return Posynomial(
        tuple(
            Term(
                label=f"term {number}",
                coefficient=draw(log_floats(1e-3, 1e3)),
                powers={name: draw(floats(-2.0, 2.0)) for name in variables},
            )
            for number in range(count)
        )
    )
