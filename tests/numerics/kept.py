"""Every example that ever failed, with what was wrong; each has its answer or its status now."""

from __future__ import annotations

import math
from typing import Any

_PUBLISHED = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283, "power": 1.0}


def _law(**constants: float) -> dict[str, float]:
    return {**_PUBLISHED, **constants}


EXAMPLES: tuple[tuple[str, dict[str, Any]], ...] = (
    # ZeroDivisionError: 1 - q was nothing
    ("universal curve", {"law": _law(alpha=0.00345, beta=2.8e165), "loss": 2.0, "train": 5.7e-42, "serve": 2.9e25}),
    # ValueError of a logarithm: q was nothing
    ("universal curve", {"law": _law(alpha=7.4e272, beta=5.1e-72), "loss": 2.0, "train": 6e-136, "serve": 3.6e211}),
    # A plan of no parameters, called optimal
    (
        "universal curve",
        {
            "law": {"E": 1.69, "A": 4.9e-235, "alpha": 0.439, "B": 1.7e-3, "beta": 2.0, "power": 1.0},
            "loss": 1.9778784345516092,
            "train": 2571225864607.947,
            "serve": 3.761245119955135e121,
        },
    ),
    # An infinite spend ratio, called optimal
    (
        "universal curve",
        {
            "law": {"E": 1.69, "A": 2.38e-18, "alpha": 0.3, "B": 5e-324, "beta": 0.00019209533769683014, "power": 1.0},
            "loss": 1.6900000000000002,
            "train": 4.079338601169042e-09,
            "serve": 2.5150945622194544e-07,
        },
    ),
    # Unbounded where a plan is: b/a had overflowed on the way
    (
        "universal curve",
        {
            "law": {
                "E": 0.0,
                "A": 3.803271402495829e-12,
                "alpha": 0.21230763010416423,
                "B": 4.9955241486252705e28,
                "beta": 0.013644543291567501,
                "power": 5.626824415751802,
            },
            "loss": 2.2646508110717547e269,
            "train": 2.2250738585072014e-308,
            "serve": 15898754755272.24,
        },
    ),
    # A twentieth wrong by way of logs: ln D_c and ln(D*/D_c) nearly cancel under so small a beta
    (
        "universal curve",
        {
            "law": {"E": 1.69, "A": 9.7e-11, "alpha": 0.3, "B": 7.780138503201379e-258, "beta": 1e-6, "power": 1.0},
            "loss": 1.6900078854287066,
            "train": 7.811282716663213e158,
            "serve": 1e300,
        },
    ),
    # Tokens below zero to a whole power: a sound-looking loss
    ("laws", {"law": _law(beta=2.0), "N": 1.9e28, "D": -1.0, "loss": 2.0}),
    # An overflow on the way to a loss that a double holds, and numpy's warning of it
    ("laws", {"law": _law(A=1e-300, alpha=2.0), "N": 1e-300, "D": 1e12, "loss": 2.0}),
    ("laws", {"law": _law(), "N": 0.0, "D": 1e12, "loss": 2.0}),
    # ValueError: an optimum of no parameters on its way to the proof
    (
        "problems",
        {
            "law": {"E": 1.69, "A": 0.0229, "alpha": 1e-6, "B": 2.1e69, "beta": 6.08, "power": 1.0},
            "loss": 2.6920377876724655,
            "terms": [(7.3e-7, 1.0, 1.0), (1e-300, 1.0, 0.0)],
            "bounds": {"tokens_max": 345794121390407.56},
            "method": "elementwise",
        },
    ),
    # FloatingPointError in the savings: (1 + q s)^(1/beta) is more than a double holds
    (
        "problems",
        {
            "law": {"E": 1.69, "A": 779211060.67, "alpha": 1.996, "B": 0.042, "beta": 1e-6, "power": 1.0},
            "loss": 3.394774651305342,
            "terms": [(3000.872879052302, 1.0, 1.0), (0.0022770961433853844, 1.0, 0.0)],
            "bounds": {"params_max": 466164201.97, "tokens_min": 2308749324.52, "tokens_max": 175277793359.56},
            "method": "elementwise",
        },
    ),
    # ValueError: the Chinchilla model beside the plan is beyond all numbers
    (
        "problems",
        {
            "law": {"E": 0.0, "A": 1.0, "alpha": 0.6026, "B": 14.6, "beta": 1.12e-6, "power": 0.00477},
            "loss": 1.5593180642169222,
            "terms": [(2.19e-16, 1.0, 1.0), (1.85e17, 1.0, 0.0), (1.28e-13, 0.13, 0.927)],
            "bounds": {},
            "method": "auto",
        },
    ),
    # OverflowError: a bill beyond all numbers
    (
        "problems",
        {
            "law": {"E": 1.69, "A": 3.3464652646998736e52, "alpha": 8.553, "B": 6.6, "beta": 0.124, "power": 1.0},
            "loss": 1.6900005262819946,
            "terms": [(1.7976931348623157e308, 1.0, 1.0), (45335232.046615824, 1.0, 0.0)],
            "bounds": {},
            "method": "auto",
        },
    ),
    # kappa is beyond all numbers: it was infinite, which no JSON holds, once the plan itself was found
    (
        "problems",
        {
            "law": {
                "E": 1.69,
                "A": 4.681243684226789e22,
                "alpha": 5.297861484114295,
                "B": 1.0,
                "beta": 0.48339445329174224,
                "power": 1.0,
            },
            "loss": 2.6426398161938853,
            "terms": [(1e-310, 1.0, 1.0), (1314928743863.3096, 1.0, 0.0)],
            "bounds": {},
            "method": "universal",
        },
    ),
    # cvxpy's warning, of the search for what falls for ever
    (
        "problems",
        {
            "law": {"E": 1.69, "A": 0.004002319722884212, "alpha": 1e-6, "B": 0.004002373186369655, "beta": 1e-6},
            "loss": 1.690086968634721,
            "terms": [(0.06694106445854466, 1.0, 1.0)],
            "bounds": {"tokens_max": 15988534234642.229},
            "method": "gp",
        },
    ),
    # OverflowError in the search for the least loss that limits leave
    (
        "problems",
        {
            "law": {"E": 1.69, "A": 1.7976931348623157e308, "alpha": 2.0, "B": 9.9e-16, "beta": 2.0, "power": 1.0},
            "loss": 3.1027728167631325,
            "terms": [(0.18629212443708007, 1.0, 1.0)],
            "bounds": {"params_max": 2608928285.248407},
            "method": "auto",
        },
    ),
    # Infinite tokens, called optimal: the ceiling on params is where the curve ends, to the last digit
    (
        "problems",
        {
            "law": _law(),
            "loss": 2.0,
            "terms": [(1.6e-16, 1.0, 1.0), (3.7e-6, 1.0, 0.0)],
            "bounds": {"params_max": (406.4 / (2.0 - 1.69)) ** (1.0 / 0.336)},
            "method": "elementwise",
        },
    ),
    # ValueError: a plan's tokens over a floor on them is less than any double
    (
        "problems",
        {
            "law": {
                "E": 1.69,
                "A": 801.6503448470928,
                "alpha": 0.016861909937492307,
                "B": 2.2250738585072014e-308,
                "beta": 0.5423520663640929,
                "power": 0.076,
            },
            "loss": 3.204535023159244,
            "terms": [(3.186642348014403e-09, 1.0, 1.0), (6.137917194953061e-09, 1.0, 0.0)],
            "bounds": {"tokens_min": 1.7976931348623157e308},
            "method": "auto",
        },
    ),
    # ZeroDivisionError: what the target leaves above the floor, to the power of 1/0.001, is nothing
    (
        "problems",
        {
            "law": _law(E=0.0, power=0.001),
            "loss": 1e-3,
            "terms": [(6.0, 1.0, 1.0)],
            "bounds": {"tokens_max": 1e12},
            "method": "gp",
        },
    ),
    # "inf%", "inf" and an infinite number of hours
    ("units", {"text": "1.7976931348623157e+308 minutes", "unit": "hour"}),
    ("units", {"text": "1.7976931348623157e+308", "unit": "USD"}),
    ("units", {"text": "-1.7976931348623157e+308 weeks", "unit": "hour"}),
    # numpy's warning of a number too large for a cell
    ("cells", {"name": "LIFETIME_COST", "values": [1.7907140435366884, "1e308B", 1e-300]}),
    # Overflow in tokens per parameter, and in 6ND
    (
        "fits",
        {"rows": [[1e8 * 2**i, 1e9 * 3**i, 3.0 - 0.1 * i] for i in range(8)] + [[2.2e-308, 1e9, 2.0]], "how": "tied"},
    ),
    # The limit for small growth was taken where years, not the rate, are small
    ("costs and further laws", {"name": "capital recovery", "values": [0.00025387174313142323, 5.6e-20]}),
    ("costs and further laws", {"name": "capital recovery", "values": [math.nan, 9.855236456639576]}),
    ("costs and further laws", {"name": "capital recovery", "values": [1.6e-11, 0.0]}),
    ("costs and further laws", {"name": "sinking fund", "values": [-math.inf, 3.16]}),
    ("costs and further laws", {"name": "repeated tokens", "values": [1e-310, 91.348, 3.4e16]}),
    ("costs and further laws", {"name": "price of a FLOP", "values": [87.9, 1e-310, 1.7e-77]}),
    ("costs and further laws", {"name": "price of a FLOP", "values": [1e-310, 0.44467850762002686, 5e-324]}),
    ("costs and further laws", {"name": "commitment", "values": [1e-300, 9.43, 1.7976931348623157e308, -1.0]}),
    ("costs and further laws", {"name": "commitment", "values": [0.42, 0.0, 2.2e-308, 1.7976931348623157e308]}),
    ("costs and further laws", {"name": "downstream error", "values": [0.36, 8.6, 1.7976931348623157e308, 1.3]}),
)


def ids() -> list[str]:
    """Return a name for each."""
    return [f"{number} {name}" for number, (name, _) in enumerate(EXAMPLES)]
