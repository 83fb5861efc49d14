"""How large a model to train, on how many tokens, when you will also pay to serve it.

>>> import beyond_chinchilla as bc
>>> law = bc.law("sardana-2024")
>>> best = bc.optimum(law, law.compute_optimal(params=13e9).loss, train_rate=6.0, serve_rate=2 * 2e12)
>>> f"{best.params:.4g} parameters on {best.tokens:.5g} tokens"
'6.969e+09 parameters on 1.2478e+12 tokens'
"""

from __future__ import annotations

import importlib

# As type checkers read it too. The module `typing` takes longer to load than all else here, and until the command line
# has begun a Ctrl-C is a traceback.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

    from beyond_chinchilla.analyse.capacity import capacity
    from beyond_chinchilla.fit.isoflop import fit_isoflop
    from beyond_chinchilla.fit.kaplan import fit_kaplan
    from beyond_chinchilla.fit.parametric import fit_parametric
    from beyond_chinchilla.fit.runs import Runs, read_runs
    from beyond_chinchilla.laws.catalogue import law
    from beyond_chinchilla.laws.loss_law import LossLaw
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.optimise.solver import solve
    from beyond_chinchilla.optimise.universal import Optimum, Status, optimum
    from beyond_chinchilla.scenario.load import Scenario, load
    from beyond_chinchilla.sheets.write import write_workbook

_PLACES = {
    "LossLaw": "laws.loss_law",
    "Optimum": "optimise.universal",
    "Plan": "optimise.plan",
    "Problem": "optimise.problem",
    "Runs": "fit.runs",
    "Scenario": "scenario.load",
    "Status": "optimise.universal",
    "capacity": "analyse.capacity",
    "fit_isoflop": "fit.isoflop",
    "fit_kaplan": "fit.kaplan",
    "fit_parametric": "fit.parametric",
    "law": "laws.catalogue",
    "load": "scenario.load",
    "optimum": "optimise.universal",
    "read_runs": "fit.runs",
    "solve": "optimise.solver",
    "write_workbook": "sheets.write",
}

__all__ = [
    "LossLaw",
    "Optimum",
    "Plan",
    "Problem",
    "Runs",
    "Scenario",
    "Status",
    "capacity",
    "fit_isoflop",
    "fit_kaplan",
    "fit_parametric",
    "law",
    "load",
    "optimum",
    "read_runs",
    "solve",
    "write_workbook",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: who asks for a law alone does not wait for the schema."""
    if name not in _PLACES:
        raise AttributeError(f"module 'beyond_chinchilla' has no attribute '{name}'")
    return getattr(importlib.import_module(f"beyond_chinchilla.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
