"""Many laws at once: the same formulas, with an array in the place of every constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LossLaw

CONSTANTS = ("E", "A", "alpha", "B", "beta", "power")


@dataclass(frozen=True, kw_only=True, eq=False)
class LawBatch(LossLaw):
    """K laws of one kind, such as joint samples of an uncertain one.

    Everything that `LossLaw` computes broadcasts: ``batch.loss(N, D)`` is an array of shape (K,).

    Parameters
    ----------
    E, A, alpha, B, beta : ndarray of float, shape (K,)
        As in `LossLaw`, one for each law.
    power : float or ndarray
        Exponent of the sum; an array where it differs.
    counts, name, source, note : str
        What all of them have in common.

    Raises
    ------
    InputError
        Constants that are not arrays of one shape, or one that no law can have; a shape without laws.

    Examples
    --------
    >>> from beyond_chinchilla.laws.catalogue import law
    >>> both = LawBatch.of([law("sardana-2024"), law("besiroglu-2024")])
    >>> both.loss(70e9, 1.4e12).round(4)
    array([1.9323, 1.9739])
    """

    E: Any
    A: Any
    alpha: Any
    B: Any
    beta: Any
    power: Any = 1.0

    def __post_init__(self) -> None:
        shape = np.shape(self.E)
        mistakes = []
        for key in CONSTANTS:
            values = np.asarray(getattr(self, key), dtype=float)
            if key != "power" or values.ndim:
                object.__setattr__(self, key, values)
            if values.shape != shape and not (key == "power" and values.ndim == 0):
                mistakes.append(f"law {self.name}: {key} has shape {values.shape}, E has {shape}")
                continue
            good = np.isfinite(values) & (values >= 0 if key == "E" else values > 0)
            if not good.all():
                bad = values[~good].flat[0]
                mistakes.append(f"law {self.name}: {key} must be {'>=' if key == 'E' else '>'} 0, not {bad}")
        if not shape or not np.size(self.E):
            mistakes.append(f"law {self.name}: a batch needs at least one law")
        if mistakes:
            raise InputError("\n".join(mistakes))

    # Arrays have no truth: a batch equals itself alone.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @classmethod
    def of(cls, laws: Sequence[LossLaw], *, name: str = "batch") -> LawBatch:
        """Return laws as one batch.

        Raises
        ------
        InputError
            None, or laws that count parameters differently: no one size would be the same model to all of them.
        """
        if not laws:
            raise InputError(f"law {name}: a batch needs at least one law")
        counts = {law.counts: law.name for law in laws}
        if len(counts) > 1:
            told = " and ".join(f"law {name} counts {kind} parameters" for kind, name in counts.items())
            raise InputError(f"{told}; put laws together that count alike")
        columns: dict[str, Any] = {key: np.array([getattr(law, key) for law in laws]) for key in CONSTANTS}
        if np.all(columns["power"] == columns["power"][0]):
            columns["power"] = float(columns["power"][0])
        return cls(**columns, counts=laws[0].counts, name=name)

    @property
    def form(self) -> str:
        """Return ``"chinchilla"``, or ``"kaplan"`` where a sum is raised to a power."""
        return "chinchilla" if np.all(np.equal(self.power, 1.0)) else "kaplan"

    def __len__(self) -> int:
        return int(np.shape(self.E)[0])

    def take(self, index: Any) -> LawBatch:
        """Return the laws at any numpy index that leaves an array: a slice, numbers, or ``(slice(None), None)``.

        The latter makes columns, which broadcast against a row of sizes.
        """
        changed = {key: getattr(self, key)[index] for key in CONSTANTS if np.ndim(getattr(self, key))}
        return replace(self, **changed)

    def row(self, number: int) -> LossLaw:
        """Return one law."""
        constants: dict[str, Any] = {
            key: float(values[number] if np.ndim(values := getattr(self, key)) else values) for key in CONSTANTS
        }
        return LossLaw(**constants, counts=self.counts, name=self.name, source=self.source, note=self.note)

    def to_dict(self) -> dict[str, Any]:
        """Return the laws as JSON holds them, a list for each constant."""
        row = super().to_dict()
        return row | {key: np.asarray(row[key]).tolist() for key in CONSTANTS if key in row}
