"""Make universal.csv: 50 plans solved with mpmath at 50 digits, by bisection on the first-order condition in D.

Nothing here knows of the universal curve or of the package. With N(D) = (A / (R - B D^-beta))^(1/alpha) on
the curve L = loss, the cost a N D + b N is least where (Sardana et al. 2024, Eq. 3 and 6)

    alpha A N^-alpha = beta B D^-beta (1 + b/(a D)).

Run from the repository: ``python tests/references/make_universal.py``. The inputs are doubles and are written
so that they read back to the last bit.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

import mpmath as mp

HERE = Path(__file__).parent
INPUTS = ("E", "A", "alpha", "B", "beta", "loss", "train_rate", "serve_rate")
OUTPUTS = ("params", "tokens", "spend_ratio", "kappa", "log_cost_ratio", "savings")
EXPONENTS = (
    (0.336, 0.283),
    (0.34, 0.28),
    (0.3478, 0.3658),
    (0.05, 0.05),
    (2.0, 2.0),
    (0.05, 2.0),
    (2.0, 0.05),
    (0.5, 0.1),
    (0.1, 0.5),
    (1.0, 1.0),
)
PUBLISHED = {"E": 1.69, "A": 406.4, "B": 410.7}


def solve(row: dict[str, float]) -> dict[str, mp.mpf]:
    """Return the optimum of one problem, each figure from its definition."""
    E, A, alpha, B, beta, loss, a, b = (mp.mpf(row[name]) for name in INPUTS)
    R = loss - E

    def params(D: mp.mpf) -> mp.mpf:
        return (A / (R - B * D**-beta)) ** (1 / alpha)

    def cost(D: mp.mpf) -> mp.mpf:
        return params(D) * (a * D + b)

    def condition(log_D: mp.mpf, serving: mp.mpf) -> mp.mpf:
        D = mp.exp(log_D)
        data = B * D**-beta
        return alpha * (R - data) - beta * data * (1 + serving / (a * D))

    def root(serving: mp.mpf) -> mp.mpf:
        # Few tokens: the data term alone fills R and the condition is negative. Many: it is alpha R > 0.
        low = mp.log(B / R) / beta
        high = low + 1
        while condition(high, serving) <= 0:
            high = low + 2 * (high - low)
        while high - low > mp.mpf(10) ** -(mp.mp.dps - 4) * (1 + abs(high)):
            middle = (low + high) / 2
            low, high = (middle, high) if condition(middle, serving) <= 0 else (low, middle)
        return mp.exp((low + high) / 2)

    D, chinchilla = root(b), root(mp.mpf(0))
    ratio = cost(D) / cost(chinchilla)
    return {
        "params": params(D),
        "tokens": D,
        "spend_ratio": b / (a * D),
        "kappa": b / (a * chinchilla),
        "log_cost_ratio": mp.log(ratio),
        "savings": 1 - ratio,
    }


def problems() -> list[dict[str, float]]:
    """Return 50 problems: five sizes of kappa, 1e-12 to 1e12, for each of ten pairs of exponents."""
    draw = random.Random(2024)
    rows = []
    for alpha, beta in EXPONENTS:
        law = {**PUBLISHED, "alpha": alpha, "beta": beta}
        if max(alpha, beta) > 0.5 or min(alpha, beta) < 0.2:
            # Coefficients that keep such a law's models between a million and a quadrillion parameters.
            law |= {"A": 1.3 * 1e9**alpha, "B": 0.9 * 1e11**beta}
        for decade in (-12, -4, 0, 3, 12):
            loss = law["E"] + draw.uniform(0.2, 1.5)
            train_rate = draw.choice((6.0, 1.7e-18))
            q = beta / (alpha + beta)
            chinchilla = (law["B"] / ((1 - q) * (loss - law["E"]))) ** (1 / beta)
            serve_rate = 10 ** (decade * draw.uniform(0.9, 1.0)) * train_rate * chinchilla
            rows.append({**law, "loss": loss, "train_rate": train_rate, "serve_rate": serve_rate})
    # The ends of the stated range of kappa, to the digit.
    for row, decade in ((rows[0], -12), (rows[4], 12)):
        row["serve_rate"] *= float(10 ** mp.mpf(decade) / solve(row)["kappa"])
    return rows


def main() -> None:
    """Write the table."""
    # Savings of 1e-24 lose 24 digits to 1 - ratio, and the optimum is flat: work far beyond the 50 digits.
    mp.mp.dps = 100
    with (HERE / "universal.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(INPUTS + OUTPUTS)
        for row in problems():
            found = solve(row)
            figures = [mp.nstr(found[name], 20, min_fixed=0, max_fixed=0) for name in OUTPUTS]
            table.writerow([repr(row[name]) for name in INPUTS] + figures)


if __name__ == "__main__":
    main()
