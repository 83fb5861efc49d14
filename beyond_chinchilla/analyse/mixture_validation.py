"""Mixtures of experts in service against what was measured, beside the dense rows of `validation`.

The efficiencies of dense models stay as they are. A mixture reaches less, by one number: `Efficiency.experts`, fitted
to every other row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from beyond_chinchilla.analyse.validation import Measurement, ServingRow, full_load, serving_row
from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY, Efficiency
from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.costs.kv_cache import KVCache, kv_constant, kv_of_shape
from beyond_chinchilla.costs.mixture import Mixture
from beyond_chinchilla.costs.serving import Replica
from beyond_chinchilla.data import load_row
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import parse_number

# What the fit looks through; the answer touches neither end.
_LEAST_SHARE = 0.05


def measurements(efficiency: Efficiency = DEFAULT_EFFICIENCY) -> tuple[Measurement, ...]:
    """Return the measured throughputs of mixtures, in the order of the table.

    >>> row = measurements()[6]
    >>> row.model, row.replica.label, row.replica.mixture.experts, row.value
    ('deepseek-r1', 'h200-sxm fp8 x 8', 256, 1627.0)
    """
    table = load_row("measured", "mixtures")
    return tuple(_measurement(row, table["models"][row["model"]], efficiency) for row in table["rows"])


def mixture_table(efficiency: Efficiency = DEFAULT_EFFICIENCY) -> tuple[ServingRow, ...]:
    """Predict every measured throughput of a mixture at full load; see `validation.serving_table`.

    Examples
    --------
    >>> row = mixture_table()[6]
    >>> row.model, row.measured, f"{row.ratio:.2f}"
    ('deepseek-r1', 1627.0, '1.24')
    """
    return tuple(serving_row(measurement) for measurement in measurements(efficiency))


def fit_experts(rows: Sequence[Measurement], start: Efficiency = DEFAULT_EFFICIENCY) -> Efficiency:
    """Fit how well experts run to measured throughputs: least squares in ln(predicted / measured).

    Parameters
    ----------
    rows : sequence of Measurement
        Of mixtures, at least one.
    start : Efficiency
        Where the other shares are taken from.

    Raises
    ------
    InputError
        No rows, or one of a dense model.

    Examples
    --------
    >>> f"{fit_experts([row for row in measurements() if row.use == 'fit']).experts:.2f}"
    '0.38'
    """
    from scipy.optimize import minimize_scalar  # 0.2 s

    if not rows or any(row.replica.mixture is None for row in rows):
        raise InputError("how well experts run is fitted to measured throughputs of mixtures; dense models say nothing")

    def squares(share: float) -> float:
        efficiency = replace(start, experts=share)
        errors = (full_load(replace(row.replica, efficiency=efficiency), row.params) / row.value for row in rows)
        return sum(math.log(error) ** 2 for error in errors)

    found = minimize_scalar(squares, bounds=(_LEAST_SHARE, 1.0), method="bounded", options={"xatol": 1e-4})
    return replace(start, experts=float(found.x))


def _measurement(row: dict[str, Any], model: dict[str, Any], efficiency: Efficiency) -> Measurement:
    total, active = parse_number(model["params"]), parse_number(model["active_params"])
    replica = Replica(
        chip=accelerator(row["hardware"]),
        precision=row["precision"],
        gpus=row["gpus"],
        kv=_cache(model),
        efficiency=efficiency,
        input_tokens=float(row["input"]),
        output_tokens=float(row["output"]),
        mixture=Mixture(experts=model["experts"], active=model["active"], total_per_active=total / active),
        weights=model.get("weights"),
    )
    return Measurement(replica=replica, params=active, value=float(row["value"]), use=row["use"], model=row["model"])


def _cache(model: dict[str, Any]) -> KVCache:
    return kv_of_shape(**model["shape"]) if "shape" in model else kv_constant(float(model["cache"]))
