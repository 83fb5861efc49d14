"""What an hour of an accelerator costs that one buys.

    USD/GPU-hour = [capex CRF(r, n) - salvage SFF(r, n)] / (8766 availability)      capital, net of what is left
                 + kW draw PUE USD/kWh                                             electricity
                 + kW USD/kW-month 12/8766                                         colocation
                 + operation

CRF(r, n) = r (1+r)^n / ((1+r)^n - 1) is the capital recovery factor and SFF(r, n) = r / ((1+r)^n - 1) the sinking
fund factor of n years at a rate r; both are 1/n at r = 0. They differ by r: capital is written off and pays interest.

Worked example: a server of eight H100 for 270,000 USD with 19% more for the network, four years. Per GPU-hour 1.15
USD at 0%, 1.45 at 10%, 1.54 at 13%; electricity adds 0.14 at 1.73 kW a GPU, which is provisioned utility power and
so has the cooling in it (PUE 1) and is paid in full (draw 1), at 0.0826 USD/kWh, US industrial 2025.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import HOURS_PER_MONTH, HOURS_PER_YEAR

# Epoch AI's training cost script, 2026-04: price of a server over that of its chips (A100: 1.66), and the network at
# 19% of the cluster's total.
SERVER_FACTOR = 1.64
NETWORK_FACTOR = 1.0 / 0.81

# A fraction of a second: no machine serves for less.
_FEWEST_YEARS = 1e-9

# A range for every field: lowest, whether it may be touched, highest, unit, what to write.
_RANGES = {
    "capex": (0.0, False, 1e7, "USD per GPU", "32000"),
    "years": (0.0, False, 50.0, "years", "5"),
    "rate": (0.0, True, 1.0, "a year", "10% or 0.10"),
    "availability": (0.0, False, 1.0, "of all hours", "95% or 0.95"),
    "power_kw": (0.0, True, 100.0, "kW per GPU", "1.3"),
    "draw": (0.0, True, 1.0, "of power_kw", "75% or 0.75"),
    "pue": (1.0, True, 5.0, "times the IT power", "1.25"),
    "electricity": (0.0, True, 10.0, "USD/kWh", "0.08"),
    "colocation": (0.0, True, 1e5, "USD/kW-month", "130"),
    "opex": (0.0, True, 1e4, "USD/GPU-hour", "0.10"),
}


def capital_recovery(rate: float, years: float) -> float:
    """Return the yearly payment that pays back one dollar with interest: r (1+r)^n / ((1+r)^n - 1).

    Parameters
    ----------
    rate : float
        Per year, >= 0; 1/n at 0, and smoothly so.
    years : float
        n, > 0.

    Raises
    ------
    InputError
        A rate below zero, years that are not above it, or either not finite.

    >>> f"{capital_recovery(0.10, 4):.6f}", capital_recovery(0.0, 4)
    ('0.315471', 0.25)
    """
    if not (0.0 <= rate < math.inf and _FEWEST_YEARS <= years < math.inf):
        raise InputError(
            f"purchase: rate must be >= 0 and years at least {_FEWEST_YEARS:g}, both finite, not {rate:g} and {years:g}"
        )
    growth = years * math.log1p(rate)
    # Below, the two agree to the last bit, and the smallest rates would divide by zero.
    return rate / -math.expm1(-growth) if growth > sys.float_info.min else 1.0 / years


def sinking_fund(rate: float, years: float) -> float:
    """Return the yearly saving that grows to one dollar: r / ((1+r)^n - 1), which is the capital recovery minus r.

    >>> f"{sinking_fund(0.10, 4):.6f}", sinking_fund(0.0, 4)
    ('0.215471', 0.25)
    """
    recovered = capital_recovery(rate, years)
    return recovered * math.exp(-years * math.log1p(rate))


def capex_of_chip(
    price: float, *, server_factor: float = SERVER_FACTOR, network_factor: float = NETWORK_FACTOR
) -> float:
    """Return the capital per GPU [USD] with its share of the server and of the network, from a chip's price.

    Raises
    ------
    InputError
        A price that is not above zero, or a factor below 1.

    >>> round(capex_of_chip(30_000))
    60741
    """
    if not (math.isfinite(price) and price > 0):
        raise InputError(f"purchase: chip price must be > 0 USD and finite, not {price}")
    for name, factor in (("server_factor", server_factor), ("network_factor", network_factor)):
        if not (math.isfinite(factor) and factor >= 1):
            raise InputError(f"purchase: {name} must be >= 1 and finite, not {factor}; 1.19 adds 19%")
    return price * server_factor * network_factor


@dataclass(frozen=True, kw_only=True)
class Purchase:
    """An accelerator that is bought, and what it takes to run it.

    Parameters
    ----------
    capex : float
        Price of one GPU with its share of the server and of the network [USD], > 0; see `capex_of_chip`.
    years : float
        Years in service, > 0.
    rate : float
        Cost of capital per year, 0 to 1.
    salvage : float
        What one GPU with its share still fetches after `years` [USD], at most `capex`.
    availability : float
        Share of hours in which the GPU can be used, in (0, 1]; capital is spread over those.
    power_kw : float
        Rated power of one GPU with its share of the server, all IT and no cooling [kW].
    draw : float
        Share of `power_kw` that is drawn on average, 0 to 1.
    pue : float
        Power usage effectiveness: what the building draws over what the IT draws, >= 1.
    electricity : float
        [USD/kWh]
    colocation : float
        Space and provisioned power [USD/kW-month], on `power_kw`.
    opex : float
        Staff, spares, insurance [USD/GPU-hour].

    Raises
    ------
    InputError
        Values out of range, one line each.
    """

    capex: float
    years: float
    rate: float = 0.0
    salvage: float = 0.0
    availability: float = 1.0
    power_kw: float = 0.0
    draw: float = 1.0
    pue: float = 1.0
    electricity: float = 0.0
    colocation: float = 0.0
    opex: float = 0.0

    def __post_init__(self) -> None:
        mistakes = []
        for name, (lowest, may_touch, highest, unit, example) in _RANGES.items():
            value = getattr(self, name)
            if not (lowest < value <= highest or (may_touch and value == lowest)):
                least = "at least" if may_touch else "above"
                mistakes.append(
                    f"{name} must be {least} {lowest:g} and at most {highest:g} {unit}, not {value}; write {example}"
                )
        if not 0.0 <= self.salvage <= self.capex:
            mistakes.append(f"salvage must be from 0 to capex, {self.capex:g} USD, not {self.salvage}")
        if self.power_kw == 0.0 and (self.electricity > 0 or self.colocation > 0):
            mistakes.append("electricity and colocation are paid per kW; give the power, such as 1.3 kW for an H100")
        if mistakes:
            raise InputError("\n".join(f"purchase: {mistake}" for mistake in mistakes))

    def breakdown(self) -> dict[str, float]:
        """Return the cost of a usable hour by cause [USD/GPU-hour]; the terms add up to `usd_per_hour`.

        ``salvage`` is what is earned at the end of life, zero or negative.

        >>> owned = Purchase(capex=40_000, salvage=4_000, years=4, rate=0.10, power_kw=1.3, draw=0.75, pue=1.25,
        ...                  electricity=0.0826)
        >>> {label: round(usd, 3) for label, usd in owned.breakdown().items()}
        {'capital': 1.44, 'salvage': -0.098, 'electricity': 0.101, 'colocation': 0.0, 'operation': 0.0}
        """
        usable = HOURS_PER_YEAR * self.availability
        return {
            "capital": self.capex * capital_recovery(self.rate, self.years) / usable,
            "salvage": 0.0 - self.salvage * sinking_fund(self.rate, self.years) / usable,
            "electricity": self.power_kw * self.draw * self.pue * self.electricity,
            "colocation": self.power_kw * self.colocation / HOURS_PER_MONTH,
            "operation": self.opex,
        }

    @property
    def usd_per_hour(self) -> float:
        """Cost of a usable hour of one GPU [USD/GPU-hour].

        >>> f"{Purchase(capex=270_000 * 1.19 / 8, years=4, rate=0.10).usd_per_hour:.2f}"
        '1.45'
        """
        return sum(self.breakdown().values())
