"""How much the choice of law alone moves the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.optimise.locate import kappa_of, locate, savings, unlimited
from beyond_chinchilla.optimise.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What another law would have us train.

    Attributes
    ----------
    law : str
        Its name.
    params, tokens : float
        Its plan.
    savings_fraction : float
        Against its own Chinchilla model of the same size as ours.
    kappa : float or None
        Serving over training spend of that model.
    beyond_range : bool
        Whether its plan lies outside the range of its own runs.
    """

    law: str
    params: float
    tokens: float
    savings_fraction: float
    kappa: float | None
    beyond_range: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the opinion as JSON holds it."""
        return {
            "law": self.law,
            "params": self.params,
            "tokens": self.tokens,
            "savings_fraction": self.savings_fraction,
            "kappa": self.kappa,
            "beyond_range": self.beyond_range,
        }


def other_laws(problem: Problem) -> list[Opinion]:
    """Solve a problem again under every other catalogue law that counts parameters alike.

    Losses of different data sets and tokenizers do not compare, so that the target is handed over as a size:
    as good as the compute-optimal model that the problem's own law asks for. Demand and prices stay.
    """
    size = equivalent_size(problem)
    opinions = []
    for name in catalogue.names():
        law = catalogue.law(name)
        if name == problem.law.name or law.counts != problem.law.counts:
            continue
        target = float(law.compute_optimal(params=law.counted_params(size)).loss)
        opinions.append(_opinion(replace(unlimited(problem), law=law, target_loss=target, notes=())))
    return opinions


def equivalent_size(problem: Problem) -> float:
    """Return the total parameters of the compute-optimal model at the problem's target."""
    return float(problem.law.total_params(problem.law.compute_optimal(loss=problem.target_loss).params))


def _opinion(problem: Problem) -> Opinion:
    found, law = locate(problem), problem.law
    return Opinion(
        law=law.name,
        params=float(law.total_params(found.params)),
        tokens=found.tokens,
        savings_fraction=savings(problem, found),
        kappa=kappa_of(problem),
        beyond_range=bool(law.fitted.departures(found.params, found.tokens)),
    )
