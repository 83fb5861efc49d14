"""What the solver answers: a plan beside its Chinchilla baseline, and the proof that it is the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.laws.loss_law import LossLaw

if TYPE_CHECKING:
    import pandas as pd

    from beyond_chinchilla.optimise.choices import ChoiceRow
    from beyond_chinchilla.optimise.conflict import Conflict
    from beyond_chinchilla.optimise.launch import Launch
    from beyond_chinchilla.optimise.limits import LimitRow
    from beyond_chinchilla.optimise.past.effect import Effect
    from beyond_chinchilla.optimise.problem import Problem

SCHEMA = "beyond-chinchilla/plan/1"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model with its bill.

    Attributes
    ----------
    params : float
        Total parameters; the active ones of a mixture of experts.
    tokens : float
        Training tokens.
    loss : float
        What the law gives it [nats/token].
    training_flops, inference_flops : float
        Over the model's life [FLOP].
    terms : mapping of str to float
        The bill by label; the total is their sum.
    unit : str
        ``"USD"`` or ``"FLOP"``.
    breaks : tuple of str
        Labels of the limits that it breaks.
    variables : mapping of str to float
        How it is served: ``batch`` and ``step_time`` [s], where these are chosen.
    nominal_terms : mapping of str to float or None
        The bill undiscounted; None where it is not known.
    total_params : float or None
        All parameters of a mixture of experts; None of a dense model.
    """

    params: float
    tokens: float
    loss: float
    training_flops: float
    inference_flops: float
    terms: Mapping[str, float]
    unit: str
    breaks: tuple[str, ...] = ()
    variables: Mapping[str, float] = field(default_factory=dict)
    nominal_terms: Mapping[str, float] | None = None
    total_params: float | None = None

    @property
    def total(self) -> float:
        """The bill [unit]."""
        return sum(self.terms.values())

    @property
    def nominal_total(self) -> float | None:
        """The bill undiscounted [unit], before GPUs are rounded up."""
        return None if self.nominal_terms is None else sum(self.nominal_terms.values())

    @property
    def tokens_per_param(self) -> float:
        """D / N."""
        return self.tokens / self.params

    def to_dict(self) -> dict[str, Any]:
        """Return the candidate as JSON holds it."""
        record: dict[str, Any] = {
            "params": self.params,
            "tokens": self.tokens,
            "tokens_per_param": self.tokens_per_param,
            "loss": self.loss,
            "training_flops": self.training_flops,
            "inference_flops": self.inference_flops,
            "total": self.total,
            "unit": self.unit,
            "terms": [{"label": label, "value": value} for label, value in self.terms.items()],
        }
        if self.total_params is not None:
            record["total_params"] = self.total_params
        if self.variables:
            record["variables"] = dict(self.variables)
        if self.nominal_terms is not None:
            record["nominal_total"] = self.nominal_total
        return record


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of least lifetime cost at the target, or the reason why there is none.

    Attributes
    ----------
    name : str
        The scenario's.
    status : str
        ``"optimal"`` or ``"infeasible"``.
    method : str
        The solver that found it.
    law : LossLaw
    target_loss : float
        [nats/token].
    best : Candidate or None
        The plan; None without a solution.
    baseline : Candidate
        The Chinchilla-optimal model of the same loss under the same demand and prices; for objective loss, the one
        that the same money trains and serves.
    objective : {"cost", "loss"}
        What was minimised.
    savings_fraction : float
        1 - cost (or loss) of the plan / that of the baseline, free of cancellation.
    kappa : float or None
        Serving over training spend of the baseline; None where the bill is not a N D + b N.
    spend_ratio : float or None
        Serving over training spend of the plan; None where there is no training to pay.
    elasticities : mapping of str to float
        d ln cost / d ln input for ``demand``, ``target_loss``, ``training_price`` and ``serving_price``.
    one_percent_range : pair of float
        Models between these sizes [total params] cost at most 1% more than the plan.
    limits : tuple of LimitRow
        Each limit at the plan, with its price.
    warnings : tuple of str
        In plain words.
    conflict : Conflict or None
        Why there is no plan.
    kkt_residual, duality_gap : float
        The certificate: see `kkt.certify`.
    serving : mapping of str to float or None
        What an engineer asks about a replica that serves the plan; None where serving is no `Bill`.
    choice : str
        The combination of chip, precision and GPUs that was chosen, if there were several.
    choices : tuple of ChoiceRow
        All combinations, the chosen one first.
    launch : Launch or None
        When serving starts, where that follows from the training.
    effects : tuple of Effect
        What laws past Chinchilla say of the plan; without one, which were asked. The plan's `law` is the plain one that
        they extend; ``settled.law`` the one that they leave where the plan lies.
    settled : Problem or None
        Under such laws: the ordinary problem whose optimum the plan is, for who continues from it.
    """

    name: str
    status: str
    method: str
    law: LossLaw
    target_loss: float
    best: Candidate | None
    baseline: Candidate
    objective: str = "cost"
    savings_fraction: float = 0.0
    kappa: float | None = None
    spend_ratio: float | None = None
    elasticities: Mapping[str, float] = field(default_factory=dict)
    one_percent_range: tuple[float, float] | None = None
    limits: tuple[LimitRow, ...] = ()
    warnings: tuple[str, ...] = ()
    conflict: Conflict | None = None
    kkt_residual: float = 0.0
    duality_gap: float = 0.0
    serving: Mapping[str, float] | None = None
    choice: str = ""
    choices: tuple[ChoiceRow, ...] = ()
    launch: Launch | None = None
    effects: tuple[Effect, ...] = ()
    settled: Problem | None = field(default=None, repr=False)

    @property
    def savings(self) -> float:
        """What the plan saves against the baseline [unit of the bill; nats per token for objective loss]."""
        return self.savings_fraction * (self.baseline.loss if self.objective == "loss" else self.baseline.total)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as ``--format json`` prints it: no clock, no path, no NaN."""
        found = self.best is not None
        baseline = self.baseline.to_dict()
        if self.limits or self.conflict:
            baseline["breaks"] = list(self.baseline.breaks)
        record = {
            "schema": SCHEMA,
            "scenario": self.name,
            "status": self.status,
            "method": self.method,
            "law": self.law.to_dict(),
            "target_loss": self.target_loss,
            "plan": self.best.to_dict() if self.best else None,
            "baseline": baseline,
            "savings": {"absolute": self.savings, "fraction": self.savings_fraction} if found else None,
            "kappa": self.kappa,
            "spend_ratio": self.spend_ratio,
            "elasticities": dict(self.elasticities),
            "range_1_percent": {"params": list(self.one_percent_range)} if self.one_percent_range else None,
            "limits": [row.to_dict() for row in self.limits],
            "warnings": list(self.warnings),
            "certificate": {"kkt_residual": self.kkt_residual, "duality_gap": self.duality_gap} if found else None,
        }
        if self.objective == "loss":
            record["objective"] = "loss"
        if self.conflict:
            record["conflict"] = self.conflict.to_dict()
        if self.serving is not None:
            record["serving"] = dict(self.serving)
        if self.choice:
            record["choice"] = self.choice
        if self.choices:
            record["choices"] = [row.to_dict() for row in self.choices]
        if self.launch is not None:
            record["launch"] = self.launch.to_dict()
        if self.effects:
            record["effects"] = {effect.kind: effect.to_dict() for effect in self.effects}
        return record

    def to_frame(self) -> pd.DataFrame:
        """Return plan and baseline as the two rows of a table, a column for each figure and cost term."""
        import pandas as pd  # 0.3 s: only for who asks for a table

        rows = {}
        for label, candidate in (("plan", self.best), ("baseline", self.baseline)):
            if candidate is not None:
                row = candidate.to_dict()
                row |= {term["label"]: term["value"] for term in row.pop("terms")} | row.pop("variables", {})
                rows[label] = row
        return pd.DataFrame.from_dict(rows, orient="index")
