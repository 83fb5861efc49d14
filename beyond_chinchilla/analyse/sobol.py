"""Whose uncertainty moves a plan: Sobol' indices over independent groups of inputs.

The first-order index of a group is the share of a figure's variance that goes away when the group is known; the total
index, what stays when all the others are (Sobol' 2001; estimators of Saltelli et al. 2010 and Jansen 1999, as SALib has
them). Correlated inputs, and the parameters of a law, have no indices of their own: each such set is one group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.risk.worlds import Worlds
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.scenario.load import Scenario
    from beyond_chinchilla.scenario.uncertainty import Group

Array = NDArray[np.float64]
Figures = Mapping[str, Array]

SAMPLES, SAMPLES_BY_MONTH = 1024, 32
FEWEST, MOST = 16, 65_536
# Of the resampled intervals that are printed as errors.
LEVEL = 0.95
# A figure that moves by less, relative, does not move.
_STILL = 1e-12
# Half a cell of the points: none may be 0 or 1, where a quantile is infinite.
_EDGE = 0.5**31


@dataclass(frozen=True, kw_only=True)
class SobolRow:
    """What one group of inputs does to one figure.

    Attributes
    ----------
    group : str
    figure : str
        ``"params"``, ``"tokens"``, ``"total"`` or ``"savings"``.
    first, total : float
        Indices; estimates may leave [0, 1] by their errors.
    first_error, total_error : float
        Half width of the 95% interval, by resampling.
    """

    group: str
    figure: str
    first: float
    first_error: float
    total: float
    total_error: float

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON holds it."""
        return {
            "group": self.group,
            "figure": self.figure,
            "first": self.first,
            "first_error": self.first_error,
            "total": self.total,
            "total_error": self.total_error,
        }


def indices(
    evaluate: Callable[[Array], Figures], groups: Sequence[Group], dimensions: int, *, samples: int, seed: int
) -> tuple[SobolRow, ...]:
    """Return the indices of every figure that a function of the unit cube has; none for fewer than two groups.

    Parameters
    ----------
    evaluate : callable
        From points, shape (K, dimensions) in (0, 1), to figures, finite and of shape (K,).
    groups : sequence of Group
        Columns that belong together; every column in one group.
    dimensions : int
    samples : int
        Base points, a power of two; the function is asked for ``samples * (groups + 2)`` points.
    seed : int

    Raises
    ------
    InputError
        A number of samples that is no power of two from 16 to 65536.

    Examples
    --------
    A sum of two, the second twice as steep: variances 1 and 4.

    >>> from beyond_chinchilla.scenario.uncertainty import Group
    >>> ends = (Group(name="one", columns=(0,)), Group(name="two", columns=(1,)))
    >>> rows = indices(lambda u: {"sum": u[:, 0] + 2.0 * u[:, 1]}, ends, 2, samples=256, seed=1)
    >>> [round(row.total, 2) for row in rows]
    [0.2, 0.8]
    """
    if not FEWEST <= samples <= MOST or samples & (samples - 1):
        raise InputError(f"{samples} samples: Sobol' indices need a power of two from {FEWEST} to {MOST}, such as 1024")
    if len(groups) < 2:
        return ()
    # 2 s, with pandas and a little of matplotlib: only for who asks for sensitivity.
    try:
        from SALib.analyze import sobol as analysis  # type: ignore[import-untyped]
        from SALib.sample import sobol as sampling  # type: ignore[import-untyped]
    except OSError:
        raise InputError(
            "SALib, which finds the indices, needs a folder for temporary files and finds none that can be written; "
            "name one: TMPDIR=FOLDER"
        ) from None

    names = [""] * dimensions
    for group in groups:
        for column in group.columns:
            names[column] = group.name
    problem = {
        "num_vars": dimensions,
        "names": [f"u{column}" for column in range(dimensions)],
        "bounds": [[0.0, 1.0]] * dimensions,
        "groups": names,
    }
    points = sampling.sample(problem, samples, calc_second_order=False, seed=seed)
    rows = []
    for figure, values in evaluate(_interior(points)).items():
        if _still(values):
            rows += [_row(group.name, figure, 0.0, 0.0, 0.0, 0.0) for group in groups]
            continue
        found = analysis.analyze(
            problem, values, calc_second_order=False, conf_level=LEVEL, seed=seed, print_to_console=False
        )
        # SALib numbers groups by their first column.
        order = list(dict.fromkeys(names))
        for group in groups:
            place = order.index(group.name)
            rows.append(_row(group.name, figure, *(found[key][place] for key in ("S1", "S1_conf", "ST", "ST_conf"))))
    return tuple(rows)


def sobol_indices(
    scenario: Scenario, plan: Plan, *, samples: int | None = None, seed: int = 1
) -> tuple[tuple[SobolRow, ...], tuple[str, ...]]:
    """Return whose uncertainty moves each world's own optimum, and what to know about that.

    Of size, tokens and total the logarithms are analysed: their spread is one of factors. A world in which the target
    is out of reach counts as the plan's size trained to the token budget, at what that costs, without savings.

    Parameters
    ----------
    scenario : Scenario
        With two groups that are uncertain, else there are no rows.
    plan : Plan
        Of this scenario, with a model.
    samples : int, optional
        Base points, a power of two; by default 1024, and 32 by month.
    seed : int
    """
    from beyond_chinchilla.analyse.risk.worlds import worlds_of

    uncertainty = scenario.uncertainty
    groups = uncertainty.groups
    if not groups or plan.best is None:
        return (), ()
    if uncertainty.obstacle:
        return (), (f"Sobol' indices: {uncertainty.obstacle}",)
    if len(groups) == 1:
        return (), (f"Sobol' indices: {groups[0].name} alone is uncertain, and moves whatever moves",)
    if samples is None:
        samples = SAMPLES if plan.serving is None else SAMPLES_BY_MONTH
    missed: list[float] = []
    size = plan.best.params

    def evaluate(u: Array) -> Figures:
        figures, share = _figures(worlds_of(scenario, plan, uncertainty.draw(u)), size)
        missed.append(share)
        return figures

    rows = indices(evaluate, groups, uncertainty.dimensions, samples=samples, seed=seed)
    notes = []
    if missed[0] > 0:
        notes.append(
            f"Sobol' indices: no plan keeps the limits and reaches the target in {missed[0] * 100:.2g}% of the "
            "samples, which count as the plan's size trained to the token budget"
        )
    return rows, tuple(notes)


def _figures(worlds: Worlds, size: float) -> tuple[Figures, float]:
    """Return the figures of each world, all finite, and the share of those that are out of reach."""
    seen = worlds.foresight()
    out = ~seen.reachable
    params, tokens, total = seen.params, seen.tokens, seen.total
    with np.errstate(invalid="ignore"):
        savings = 1.0 - total / seen.baseline_total
    if out.any():
        stuck = worlds.take(np.flatnonzero(out)).bills(np.array([size]))
        params, tokens, total, savings = (values.copy() for values in (params, tokens, total, savings))
        # Tokens are the budget's: another limit may leave none, and nothing has no logarithm.
        params[out], tokens[out], total[out], savings[out] = size, worlds.budget, stuck.total[:, 0], 0.0
    logs = {"params": np.log(params), "tokens": np.log(tokens), "total": np.log(total)}
    return {**logs, "savings": savings}, float(out.mean())


def _row(group: str, figure: str, first: float, first_error: float, total: float, total_error: float) -> SobolRow:
    return SobolRow(
        group=group,
        figure=figure,
        first=float(first),
        first_error=float(first_error),
        total=float(total),
        total_error=float(total_error),
    )


def _still(values: Array) -> bool:
    return bool(np.ptp(values) <= _STILL * max(1.0, float(np.abs(values).max())))


def _interior(points: Array) -> Array:
    return np.asarray(np.clip(points, _EDGE, 1.0 - _EDGE))
