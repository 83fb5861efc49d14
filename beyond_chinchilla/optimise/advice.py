"""What a careful colleague would say about a plan, in plain words."""

from __future__ import annotations

from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.plan import Candidate
from beyond_chinchilla.units import format_percent

NEGLIGIBLE_KAPPA = 0.05


def warnings(law: LossLaw, best: Candidate, counted_params: float, kappa: float | None, savings: float) -> list[str]:
    """Return the warnings that a plan deserves, most important first."""
    found = []
    departures = law.fitted.departures(counted_params, best.tokens)
    if departures:
        text = f"outside the range of the runs behind law {law.name}: {'; '.join(departures)}"
        if any("largest" in part and "token" in part for part in departures):
            text += (
                ". Fits at typical ratios overestimate what extra tokens bring there (Sardana et al. 2024, section 4)"
            )
        found.append(text)
    if best.tokens_per_param < 1.0:
        found.append(
            f"trains on {best.tokens_per_param:.2g} tokens per param, fewer than 1: no published law holds there"
        )
    return [*found, *of_demand(kappa, savings)]


def of_demand(kappa: float | None, savings: float) -> list[str]:
    """Return the warning of demand that hardly matters; none where it does, or where kappa is not known."""
    if kappa is None or kappa >= NEGLIGIBLE_KAPPA:
        return []
    spent = f"serving is {format_percent(kappa)} of training spend at the Chinchilla point"
    return [f"{spent}: demand hardly matters, and planning for it saves {format_percent(savings)}"]
