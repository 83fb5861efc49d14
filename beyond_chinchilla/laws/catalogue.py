"""The published laws, by name; each row of ``data/laws.yaml`` states its source and fitted range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from beyond_chinchilla.data import load_row, row_names
from beyond_chinchilla.errors import InputError, cut, nearest
from beyond_chinchilla.laws.loss_law import Array, FittedRange, LossLaw
from beyond_chinchilla.units import parse_number


def names() -> list[str]:
    """Return the names of the catalogue's laws.

    >>> "sardana-2024" in names()
    True
    """
    return row_names("laws")


def law(name: str) -> LossLaw:
    """Return a published law.

    Raises
    ------
    InputError
        No such name; the message has the nearest one.

    Examples
    --------
    >>> law("sardana-2024").alpha
    0.336
    """
    row = _row(name)
    return LossLaw(
        **_parameters(row),
        counts=row.get("counts", "total"),
        name=name,
        source=row["source"],
        note=row.get("note", ""),
        fitted=_fitted_range(row.get("range", {})),
        standard_errors={key: float(value) for key, value in row.get("standard_errors", {}).items()},
    )


def covariance(name: str) -> Array | None:
    """Return the covariance (5, 5) of ln A, ln B, ln E, alpha, beta of a published law; None where it is not known.

    Raises
    ------
    InputError
        No such name.

    Examples
    --------
    >>> spread = covariance("besiroglu-2024")
    >>> round(float(spread[0, 3] / np.sqrt(spread[0, 0] * spread[3, 3])), 3)
    0.999
    """
    stated = _row(name).get("covariance")
    return None if stated is None else np.array(stated, dtype=float)


def _row(name: str) -> dict[str, Any]:
    known = row_names("laws")
    if name not in known:
        raise InputError(f"no law named '{cut(name)}'; {nearest(name, known)}")
    row: dict[str, Any] = load_row("laws", name)
    return row


def _parameters(row: Mapping[str, Any]) -> dict[str, float]:
    """Map the constants as each paper prints them to E, A, alpha, B, beta (and power)."""
    values = {
        key.removeprefix("ln_"): math.exp(float(value)) if key.startswith("ln_") else float(value)
        for key, value in row["values"].items()
    }
    form = row.get("form", "chinchilla")
    if form == "kaplan":
        # Kaplan et al. 2020, Eq. 1.5: L^(1/alpha_D) = (N_c/N)^(alpha_N/alpha_D) + D_c/D.
        ratio = values["alpha_N"] / values["alpha_D"]
        return {
            "E": 0.0,
            "A": values["N_c"] ** ratio,
            "alpha": ratio,
            "B": values["D_c"],
            "beta": 1.0,
            "power": values["alpha_D"],
        }
    if form == "gadre":
        # Gadre et al. 2024, Eq. 4, with M = D/N and C = 6ND: M^eta C^-eta = 6^-eta N^-2eta, and the other D^-2eta.
        eta = values["eta"]
        return {
            "E": values["E"],
            "A": values["a"] * 6.0**-eta,
            "alpha": 2.0 * eta,
            "B": values["b"] * 6.0**-eta,
            "beta": 2.0 * eta,
        }
    return values


def _fitted_range(row: Mapping[str, Any]) -> FittedRange:
    pairs = {key: (parse_number(low), parse_number(high)) for key, (low, high) in row.items()}
    return FittedRange(**pairs)
