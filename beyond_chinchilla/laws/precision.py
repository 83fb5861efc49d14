"""What fewer bits cost: training in low precision, and quantisation after it (Kumar et al. 2024, arXiv 2411.04330).

Training in fewer bits makes parameters count for less: a plain law again, with a larger A. Rounding the weights after
training adds a loss of its own, `laws.quantisation`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from beyond_chinchilla.data import load_row, row_names
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.laws.loss_law import FittedRange, LossLaw
from beyond_chinchilla.laws.quantisation import Quantisation, check_form
from beyond_chinchilla.units import parse_number

__all__ = ["FULL_BITS", "MOST_BITS", "PENALTY_KEYS", "TRAINING_KEYS", "Precision", "Quantisation", "names", "precision"]

# What training is done in where nothing is said, and what the runs behind almost every published law were done in.
FULL_BITS = 16.0
MOST_BITS = 64.0

PENALTY_KEYS = ("C_T", "gamma_D", "gamma_N", "gamma_post")
TRAINING_KEYS = ("gamma_w", "gamma_i", "gamma_kv")

# Beyond these no constant means anything, and powers of N and D overflow.
_EXPONENT, _BITS = (1e-3, 5.0), (0.05, 1e3)
_BOUNDS = {
    "C_T": (1e-9, 1e9),
    "gamma_D": _EXPONENT,
    "gamma_N": _EXPONENT,
    "gamma_post": _BITS,
    **dict.fromkeys(TRAINING_KEYS, _BITS),
    "C_w": (1e-3, 1e3),
}

_TABLE = "precision"
_NOT_KNOWN = FittedRange()


@dataclass(frozen=True, kw_only=True)
class Precision:
    """Constants of a law of precision.

    Training in P_w, P_i and P_kv bits (weights, activations, keys and values) counts as training

        N_eff = N (1 - e^(-P_w/gamma_w)) (1 - e^(-P_i/gamma_i)) (1 - e^(-P_kv/gamma_kv))

    parameters (Kumar et al. 2024, section 4), and rounding the weights to P_post bits after it adds

        delta = C_T D^gamma_D / N_eff^gamma_N e^(-P_post/gamma_post) [1 - e^(-C_w (P_w - P_post))]

    nats per token (section 3; the last factor is of section 5: models that were trained in few bits lose less by
    fewer). Without C_w that factor is 1 below P_w, which states the penalty too high where P_post is close to it; from
    P_w on there is no penalty.

    Parameters
    ----------
    C_T : float
        [nats/token], 1e-9 to 1e9.
    gamma_D, gamma_N : float
        Exponents of tokens and parameters, .001 to 5.
    gamma_post : float
        The bits that divide the penalty by e, .05 to 1000.
    gamma_w, gamma_i, gamma_kv : float, optional
        How sensitive training is to the bits of the weights, the activations, and keys and values [bit], .05 to 1000.
        Without them only training in full precision can be told.
    C_w : float, optional
        [1/bit], .001 to 1000.
    name, source, note : str
        For people.
    fitted : FittedRange
        Range of the runs behind the constants.
    fitted_bits : pair of float, optional
        Fewest and most bits of those runs.

    Raises
    ------
    InputError
        A constant out of its bounds (all of them at once).

    Examples
    --------
    >>> kumar = precision("kumar-2024")
    >>> round(kumar.params_share(weights_bits=8, activation_bits=8), 3)
    0.927
    >>> [round(float(kumar.quantised(bits).penalty(1.7e9, 26e9)), 4) for bits in (3, 4)]
    [0.0473, 0.0087]
    """

    C_T: float
    gamma_D: float
    gamma_N: float
    gamma_post: float
    gamma_w: float | None = None
    gamma_i: float | None = None
    gamma_kv: float | None = None
    C_w: float | None = None
    name: str = "custom"
    source: str = ""
    note: str = ""
    fitted: FittedRange = _NOT_KNOWN
    fitted_bits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        constants = {key: getattr(self, key) for key in (*PENALTY_KEYS, *TRAINING_KEYS, "C_w")}
        mistakes = [
            f"quantisation {self.name}: {key} must be {low:g} to {high:g}, not {value:g}"
            for key, value in constants.items()
            for low, high in [_BOUNDS[key]]
            if value is not None and not low <= value <= high
        ]
        if mistakes:
            raise InputError("\n".join(mistakes))

    def params_share(
        self,
        *,
        weights_bits: float = FULL_BITS,
        activation_bits: float = FULL_BITS,
        kv_bits: float = FULL_BITS,
        reference_bits: float = FULL_BITS,
    ) -> float:
        """Return N_eff / N of training in these bits, over that of training in `reference_bits`.

        Parameters
        ----------
        weights_bits, activation_bits, kv_bits : float
            Of training; more than `reference_bits` count as so many.
        reference_bits : float
            What the runs behind the loss law were trained in: their parameters count in full. ``math.inf`` for a law
            that was fitted together with these constants, as the plain law ``kumar-2024`` was.
        """
        share = 1.0
        for key, bits in zip(TRAINING_KEYS, (weights_bits, activation_bits, kv_bits), strict=True):
            _check_bits(bits)
            gamma = getattr(self, key)
            if bits < reference_bits and gamma is not None:
                share *= math.expm1(-bits / gamma) / math.expm1(-reference_bits / gamma)
            elif bits < min(FULL_BITS, reference_bits):
                raise InputError(
                    f"quantisation {self.name}: training in {bits:g} bits needs {key}; give it, or train in 16 bits"
                )
        return share

    def trained_at(
        self,
        law: LossLaw,
        *,
        weights_bits: float = FULL_BITS,
        activation_bits: float = FULL_BITS,
        kv_bits: float = FULL_BITS,
        reference_bits: float = FULL_BITS,
    ) -> LossLaw:
        """Return the plain law of models trained in these bits: A N_eff^-alpha for A N^-alpha (see `params_share`).

        >>> law = LossLaw(E=1.69, A=406.4, alpha=0.336, B=410.7, beta=0.283)
        >>> round(float(precision("kumar-2024").trained_at(law, weights_bits=8, activation_bits=8).A), 1)
        416.8
        """
        check_form(law)
        share = self.params_share(
            weights_bits=weights_bits, activation_bits=activation_bits, kv_bits=kv_bits, reference_bits=reference_bits
        )
        return replace(law, A=law.A * share**-law.alpha)

    def quantised(
        self,
        bits: float,
        *,
        weights_bits: float = FULL_BITS,
        activation_bits: float = FULL_BITS,
        kv_bits: float = FULL_BITS,
        reference_bits: float = FULL_BITS,
    ) -> Quantisation | None:
        """Return what serving weights of `bits` adds to the loss; None where they were trained in no more, or are full.

        Parameters
        ----------
        bits : float
            Of each weight as served.
        weights_bits, activation_bits, kv_bits, reference_bits : float
            Of training, as for `params_share`.
        """
        _check_bits(bits)
        share = self.params_share(
            weights_bits=weights_bits, activation_bits=activation_bits, kv_bits=kv_bits, reference_bits=reference_bits
        )
        if bits >= min(weights_bits, FULL_BITS):
            return None
        hardening = 1.0 if self.C_w is None else -math.expm1(-self.C_w * (weights_bits - bits))
        return Quantisation(
            coefficient=self.C_T * math.exp(-bits / self.gamma_post) * share**-self.gamma_N * hardening,
            gamma_D=self.gamma_D,
            gamma_N=self.gamma_N,
            bits=bits,
            name=self.name,
            source=self.source,
            fitted=self.fitted,
            fitted_bits=self.fitted_bits,
        )


def names() -> list[str]:
    """Return the names of the published laws of precision.

    >>> names()
    ['kumar-2024']
    """
    return row_names(_TABLE)


def precision(name: str) -> Precision:
    """Return a published law of precision.

    Raises
    ------
    InputError
        No such name; the message has the nearest one.

    Examples
    --------
    >>> precision("kumar-2024").gamma_post
    0.5907
    """
    known = names()
    if name not in known:
        raise InputError(f"no law of precision named '{name}'; {nearest(name, known)}")
    row: Mapping[str, Any] = load_row(_TABLE, name)
    ranges = {key: (parse_number(low), parse_number(high)) for key, (low, high) in row["range"].items()}
    bits = ranges.pop("bits")
    return Precision(
        **{key: float(value) for key, value in row["values"].items()},
        name=name,
        source=row["source"],
        note=row["note"],
        fitted=FittedRange(**ranges),
        fitted_bits=bits,
    )


def _check_bits(bits: float) -> None:
    if not 0.0 < bits <= MOST_BITS:
        raise InputError(f"precision must be above 0 and at most {MOST_BITS:g} bits, not {bits:g}")
