"""How much the choice of law alone moves the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.loss_law import LossLaw
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
    as good as the compute-optimal model that the problem's own law asks for. Demand and prices stay. A dense law says
    nothing of a mixture of experts: there are no others then.
    """
    if problem.experts is not None and problem.experts.count > 1:
        return []
    # Constants of thinking and of shape belong to the losses of their own law.
    if any(lever.variable for lever in problem.levers):
        return []
    size, share = equivalent_size(problem), _trained_share(problem.law)
    opinions = []
    for name in catalogue.names():
        law = catalogue.law(name)
        if name == problem.law.name or law.counts != problem.law.counts:
            continue
        target = float(law.compute_optimal(params=law.counted_params(size)).loss)
        if target <= law.E:
            # So large a model that nothing is left of its law's terms.
            continue
        law = replace(law, A=law.A * share**-law.alpha)
        opinion = _opinion(replace(unlimited(problem), law=law, target_loss=target, target_law=None, notes=()))
        if opinion is not None:
            opinions.append(opinion)
    return opinions


def _trained_share(law: LossLaw) -> float:
    """Return what parameters are worth as they are trained, in few bits, over those of the runs behind the law."""
    if law.name not in catalogue.names():
        return 1.0
    return float((law.A / catalogue.law(law.name).A) ** (-1.0 / law.alpha))


def equivalent_size(problem: Problem) -> float:
    """Return the total parameters of the compute-optimal model at the problem's target, as a size would state it."""
    stated = problem.target_law
    # A loss that no model of that law reaches, as where it answers once, is no size.
    law = problem.law if stated is None or problem.target_loss <= stated.E else stated
    return float(law.total_params(law.compute_optimal(loss=problem.target_loss).params))


def _opinion(problem: Problem) -> Opinion | None:
    """Return the plan under another law; None where it has none, as where limited data puts the target out of reach."""
    found, law = locate(problem), problem.law
    if not found.found:
        return None
    return Opinion(
        law=law.name,
        params=float(law.total_params(found.params)),
        tokens=found.tokens,
        savings_fraction=savings(problem, found),
        kappa=kappa_of(problem),
        beyond_range=bool(law.fitted.departures(found.params, found.tokens)),
    )
