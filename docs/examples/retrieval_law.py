"""A law that is invented: passages retrieved for a request lower the loss, and each lengthens the prompt."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

import beyond_chinchilla as bc
from beyond_chinchilla.posynomial import Posynomial, Term


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """L(N, D, r) = E + A N^-alpha + B D^-beta + K r^-h, r passages per request."""

    kind: ClassVar[str] = "retrieval"
    name: ClassVar[str] = "invented"
    source: ClassVar[str] = "nobody's"
    variable: ClassVar[str] = "passages"
    whole: ClassVar[bool] = True
    low: float = 1.0
    high: float = 50.0
    baseline: float = 1.0
    K: float = 0.08
    h: float = 0.7

    def terms(self, law):
        return (Term(label="retrieval", coefficient=self.K, powers={"passages": -self.h}),)

    def held(self, law, value):
        return replace(law, E=law.E + self.K * value**-self.h)

    def loss(self, law, N, D, value):
        return law.loss(N, D) + self.K * np.asarray(value) ** -self.h

    def departures(self, N, D, value):
        return []

    def figures(self, law, N, D, value):
        return {"passages": value}


problem = bc.load("scenarios/1B-requests.yaml").to_problem()
training, prefill, decode = problem.cost.terms
# A passage of 70 tokens doubles the prompt of 70.
longer = replace(prefill.times(1.0, {"passages": 1.0}), label="passages")
asked = replace(
    problem,
    target_loss=2.0,
    levers=(Retrieval(),),
    cost=Posynomial((training, prefill, longer, decode), "USD"),
)
plan = bc.solve(asked)
print(
    f"{plan.best.params / 1e9:.1f}B params, {plan.effects[0].figures['passages']:.0f} passages, ${plan.best.total:,.0f}"
)
print({term: round(value) for term, value in plan.best.terms.items()})
print("proved to 1e-12:", plan.duality_gap < 1e-12)
