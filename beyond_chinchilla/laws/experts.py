"""Mixtures of experts: one plain law in active parameters for each number of experts.

Ludziejewski et al. 2025, "Joint MoE Scaling Laws" (arXiv 2502.05172). A token passes through one of E experts of a
layer, so that the *active* parameters pay the FLOPs, while all of them take memory. With E held, the law is
Hoffmann's form with its own constants; E itself is a choice, not a variable.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from beyond_chinchilla.data import load_row, row_names
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.laws.loss_law import FittedRange, LossLaw
from beyond_chinchilla.units import format_number, format_times, parse_number

_TABLE = "experts"


@dataclass(frozen=True, kw_only=True)
class ExpertLaws:
    """The laws of one paper, a plain one for each number of experts.

    Parameters
    ----------
    name : str
        Key of ``data/experts.yaml``.
    c : float
        Irreducible loss, whatever the number of experts [nats/token].
    by_count : mapping of int to (m, mu, n, nu)
        Constants fitted for one number of experts, L = m N^mu + n D^nu + c.
    joint : mapping of str to float
        Constants of the form for every number, see `joint_law`.
    attention, expert : float
        Parameters of a layer over its width squared: those every token meets, and those of one expert.
    active : int
        Experts that a token passes through.
    fitted : FittedRange
        Of the active parameters.
    most_total : float
        Most parameters, idle experts included, of a run behind the fit [parameters].
    source, date, note : str
        For people.

    Examples
    --------
    The compute-optimal models of 1e22 FLOPs, dense and with 32 experts:

    >>> laws = expert_laws("ludziejewski-2025")
    >>> [f"{laws.law(count).compute_optimal(flops=1e22).params / 1e9:.1f}B" for count in (1, 32)]
    ['18.9B', '12.2B']
    >>> f"{laws.total_per_active(32):.2f}"
    '22.46'
    """

    name: str
    c: float
    by_count: Mapping[int, tuple[float, float, float, float]]
    joint: Mapping[str, float]
    attention: float
    expert: float
    active: int
    fitted: FittedRange
    most_total: float
    source: str = ""
    date: str = ""
    note: str = ""

    @property
    def counts(self) -> tuple[int, ...]:
        """Numbers of experts with constants of their own, ascending."""
        return tuple(sorted(self.by_count))

    def law(self, count: float) -> LossLaw:
        """Return the law of a model with so many experts a layer, in active parameters.

        The constants are those fitted for this number where the paper has them, else those of the joint form.

        Raises
        ------
        InputError
            No whole number, or one outside of what the law has seen.
        """
        experts = self._checked(count)
        if experts not in self.by_count:
            return self.joint_law(experts)
        m, mu, n, nu = self.by_count[experts]
        return self._plain(m, mu, n, nu, experts)

    def joint_law(self, count: float) -> LossLaw:
        """Return the law of a number of experts by the joint form alone; raises as `law`.

        L = a Eh^delta N^(alpha + gamma ln Eh) + b Eh^omega D^(beta + zeta ln Eh) + c with Eh of `effective_count`.
        """
        experts = self._checked(count)
        x = math.log(self.effective_count(experts))
        k = self.joint
        return self._plain(
            k["a"] * math.exp(k["delta"] * x),
            k["alpha"] + k["gamma"] * x,
            k["b"] * math.exp(k["omega"] * x),
            k["beta"] + k["zeta"] * x,
            experts,
        )

    def effective_count(self, count: float) -> float:
        """Return Eh, the number of experts as the joint form takes it: E_start for a dense model, E_max at most.

        1/Eh = 1/(E - 1 + 1/(1/E_start - 1/E_max)) + 1/E_max.

        >>> f"{expert_laws('ludziejewski-2025').effective_count(1):.4f}"
        '2.0732'
        """
        start, most = self.joint["E_start"], self.joint["E_max"]
        return 1.0 / (1.0 / (count - 1.0 + 1.0 / (1.0 / start - 1.0 / most)) + 1.0 / most)

    def total_per_active(self, count: float) -> float:
        """Return total over active parameters: (attention + E expert) / (attention + active expert).

        From N_tot = 2 d V + (4 + 9 E) L d^2 and N_act = 2 d V + 13 L d^2, without the embeddings 2 d V, for a planner
        knows no vocabulary. They are not repeated, so that the true ratio is smaller: memory errs on the safe side.
        Raises as `law`.
        """
        experts = self._checked(count)
        return (self.attention + self.expert * experts) / (self.attention + self.expert * self.active)

    def best_count(self, flops: float, most_total: float) -> tuple[int, float, float]:
        """Return the number of experts of least loss that a training budget buys within so many total parameters.

        Parameters
        ----------
        flops : float
            Training budget, 6 N D [FLOP].
        most_total : float
            Parameters that memory holds, idle experts included [parameters].

        Returns
        -------
        tuple of (int, float, float)
            One of `counts`, the active parameters, and the loss [nats/token].

        Examples
        --------
        bf16 on a GPU of 80 GB, and 1e21 or 1e24 FLOPs:

        >>> laws = expert_laws("ludziejewski-2025")
        >>> [laws.best_count(flops, 80e9 / 2)[0] for flops in (1e21, 1e24)]
        [32, 1]
        """
        found = []
        for count in self.counts:
            law = self.law(count)
            N = min(float(law.compute_optimal(flops=flops).params), most_total / self.total_per_active(count))
            found.append((float(law.loss(N, flops / (6.0 * N))), count, N))
        loss, count, N = min(found)
        return count, N, loss

    def departures(self, count: float, N: float) -> list[str]:
        """Say how far the total parameters of a model of N active ones lie outside of what the law has seen.

        Active parameters are the plain law's own business, see `FittedRange.departures`.

        >>> expert_laws("ludziejewski-2025").departures(32, 2.7e9)
        ['60.6B params in all are 12.1x the most fitted (5.00B)']
        """
        total = self.total_per_active(count) * N
        if total <= 1.1 * self.most_total:
            return []
        over = format_times(total / self.most_total)
        return [f"{format_number(total)} params in all are {over} the most fitted ({format_number(self.most_total)})"]

    def _checked(self, count: float) -> int:
        low, high = self.counts[0], self.counts[-1]
        whole = not isinstance(count, bool) and math.isfinite(count) and float(count).is_integer()
        if not (whole and low <= count <= high):
            raise InputError(
                f"experts: {count} is no whole number from {low} to {high}, the range of law {self.name}; "
                f"it has constants for {', '.join(map(str, self.counts))} and goes between them by its joint form"
            )
        return int(count)

    def _plain(self, m: float, mu: float, n: float, nu: float, experts: int) -> LossLaw:
        return LossLaw(
            E=self.c,
            A=m,
            alpha=-mu,
            B=n,
            beta=-nu,
            name=self.name if experts == 1 else f"{self.name}, {experts} experts",
            source=self.source,
            note=self.note,
            fitted=self.fitted,
        )


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A number of experts under a paper's laws: the plain law, and all parameters for active ones.

    Parameters
    ----------
    laws : ExpertLaws
    count : int
        Experts of a layer; 1 is the dense model.

    Raises
    ------
    InputError
        A number that the laws have not seen.

    Examples
    --------
    >>> eight = Experts(laws=expert_laws("ludziejewski-2025"), count=8)
    >>> f"{eight.total_params(3.76e9):.3g}"
    '2.2e+10'
    """

    laws: ExpertLaws
    count: int

    def __post_init__(self) -> None:
        _ = self.law

    @property
    def law(self) -> LossLaw:
        """The plain law, in active parameters."""
        return self.laws.law(self.count)

    @property
    def total_per_active(self) -> float:
        """All parameters over active ones."""
        return self.laws.total_per_active(self.count)

    def total_params(self, N: float) -> float:
        """Return all parameters of a model of N active ones [parameters]."""
        return self.total_per_active * N

    def departures(self, N: float) -> list[str]:
        """Say how far a model's total parameters lie outside of what the laws have seen."""
        return self.laws.departures(self.count, N)

    def figures(self, N: float) -> dict[str, float]:
        """Return the figures of a model of N active parameters, for JSON."""
        return {"experts": float(self.count), "active_params": N, "total_params": self.total_params(N)}


def names() -> list[str]:
    """List the papers with laws for mixtures of experts.

    >>> names()
    ['ludziejewski-2025']
    """
    return row_names(_TABLE)


@functools.cache
def expert_laws(name: str) -> ExpertLaws:
    """Look up the laws of a paper.

    Raises
    ------
    InputError
        No such name; the message has the nearest one.
    """
    known = names()
    if name not in known:
        raise InputError(f"no law of experts named '{name}'; {nearest(name, known)}")
    row = load_row(_TABLE, name)
    low, high = row["range"]["params"]
    return ExpertLaws(
        name=name,
        c=float(row["c"]),
        by_count={
            int(count): (float(k["m"]), float(k["mu"]), float(k["n"]), float(k["nu"]))
            for count, k in row["by_count"].items()
        },
        joint={key: float(value) for key, value in row["joint"].items()},
        attention=float(row["parameters"]["attention"]),
        expert=float(row["parameters"]["expert"]),
        active=int(row["parameters"]["active"]),
        fitted=FittedRange(params=(parse_number(low), parse_number(high))),
        most_total=parse_number(row["range"]["total_params"][1]),
        source=row["source"],
        date=row["date"],
        note=row["note"],
    )


def experts_law(name: str, count: float) -> LossLaw:
    """Return the plain law of a paper for a number of experts; see `ExpertLaws.law`.

    >>> dense, mixture = experts_law("ludziejewski-2025", 1), experts_law("ludziejewski-2025", 8)
    >>> f"{dense.loss(1e9, 1e11):.3f} {mixture.loss(1e9, 1e11):.3f}"
    '2.439 2.362'
    """
    return expert_laws(name).law(count)
