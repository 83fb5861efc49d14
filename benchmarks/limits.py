"""How fast are plans under limits, and are they right? ``python -m benchmarks.limits [--problems 1000000]``.

One run, on one core, prints one table: `elementwise.minimise` on random bills of five terms under five limits, beside
a loop over scipy's minimize_scalar and a warm geometric program in cvxpy, which solve the first few of the same
problems. Ratios are the message; seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

# Before numpy: its libraries read these once, when they load.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
    os.environ[_name] = "1"

import cvxpy as cp  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.optimize import minimize_scalar  # noqa: E402

from beyond_chinchilla.laws.catalogue import law as catalogue_law  # noqa: E402
from beyond_chinchilla.laws.loss_law import LossLaw  # noqa: E402
from beyond_chinchilla.optimise.elementwise import Minima, Status, minimise  # noqa: E402
from beyond_chinchilla.optimise.gp import solve_gp  # noqa: E402
from beyond_chinchilla.posynomial import Posynomial, Term, monomial  # noqa: E402

Array = NDArray[np.float64]

SEED = 2024
# Powers of N and D, and how many times the first a term is at the Chinchilla model: from .. to, in decades.
BILL = {
    "training": (1.0, 1.0, 0.0, 0.0),
    "serving": (1.0, 0.0, -2.0, 1.5),
    "cache": (0.5, 0.0, -3.0, 0.5),
    "data": (0.0, 1.0, -3.0, 0.0),
    "runs": (0.35, 0.1, -3.0, -0.5),
}
# The same for limits: powers, whether max (1) or min (-1), and the bound in Chinchilla models, in decades.
LIMITS = {
    "params max": (1.0, 0.0, 1, -0.7, 0.5),
    "params min": (1.0, 0.0, -1, -1.5, -0.2),
    "tokens max": (0.0, 1.0, 1, 0.15, 1.5),
    "training FLOPs max": (1.0, 1.0, 1, 0.02, 0.7),
    "tokens per param max": (-1.0, 1.0, 1, 0.3, 2.5),
}
SCIPY_SAMPLE, GP_SAMPLE, CVXPY_SAMPLE = 2000, 200, 30
# Half the width of the search in ln N: e^30 times the Chinchilla model and 1/e^30 of it.
WIDTH = 30.0
# minimize_scalar stops here, in ln N: at a limit its cost is off by as much.
XATOL = 1e-10
MET = 1e-12
BINDING = 1e-9
REPEATS = 5
OURS, SCIPY = "elementwise.minimise", "scipy minimize_scalar, one by one"
GP, CVXPY = "gp.solve_gp, warm", "cvxpy gp, CLARABEL, warm"
FASTER, EQUAL, RESOLVE = 1000.0, 1e-9, 3.0


@dataclass(frozen=True)
class Problems:
    """Random problems of one law; coefficients of bills and limits have shape (n,)."""

    law: LossLaw
    loss: Array
    cost: Posynomial
    limits: tuple[Posynomial, ...]

    @classmethod
    def draw(cls, law: LossLaw, size: int) -> Problems:
        """Draw the quality of Chinchilla models of 1B to 1T parameters, and bills and limits around them."""
        random = np.random.default_rng(SEED)
        point = law.compute_optimal(params=10.0 ** random.uniform(9.0, 12.0, size))
        terms, limits = [], []
        for label, (p, r, least, most) in BILL.items():
            coefficient = 10.0 ** random.uniform(least, most, size) / (point.params**p * point.tokens**r)
            terms.append(Term(label=label, coefficient=coefficient, powers={"params": p, "tokens": r}))
        for label, (p, r, sign, least, most) in LIMITS.items():
            bound = 10.0 ** random.uniform(least, most, size) * point.params**p * point.tokens**r
            limits.append(monomial(label, bound**-sign, {"params": sign * p, "tokens": sign * r}))
        return cls(law, np.asarray(point.loss), Posynomial(tuple(terms)), tuple(limits))

    def minimise(self) -> Minima:
        """Solve all."""
        return minimise(self.law, self.loss, self.cost, self.limits)

    def at(self, index: Any) -> Problems:
        """Return some."""

        def cut(posynomial: Posynomial) -> Posynomial:
            terms = [Term(label=t.label, coefficient=t.coefficient[index], powers=t.powers) for t in posynomial.terms]  # type: ignore[index]
            return Posynomial(tuple(terms))

        return Problems(self.law, self.loss[index], cut(self.cost), tuple(cut(limit) for limit in self.limits))
