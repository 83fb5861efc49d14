"""The columns of a sweep: names, units and meanings, as its files carry them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from beyond_chinchilla.errors import InputError, nearest

NUMBER, WORD, INTEGER = "number", "word", "integer"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column.

    Attributes
    ----------
    name, unit, description : str
    kind : {"number", "word", "integer"}
    words : tuple of str
        All that may stand there, where that is known before.
    """

    name: str
    unit: str
    description: str
    kind: str = NUMBER
    words: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, str]:
        """Return what the manifest says of it."""
        return {"name": self.name, "unit": self.unit, "description": self.description}


ROW = Column(
    name="row", unit="", description="Place in the grid, the first --vary slowest; in a table from 0.", kind=INTEGER
)
STATUS = "status"
DEFAULT = ("params", "tokens", "total", "savings_fraction")
BINDING, METHOD = "binding", "method"
# "bill" stands for the unit of the bill.
FIGURES = {
    "params": ("params", "Total parameters of the cheapest plan."),
    "tokens": ("tokens", "Training tokens of the cheapest plan."),
    "total": ("bill", "What training and serving cost over the life."),
    "savings_fraction": ("", "1 - total / baseline_total."),
    "tokens_per_param": ("", "tokens / params."),
    "loss": ("nats/token", "What the law gives the plan."),
    "target_loss": ("nats/token", "The loss to reach."),
    "training_flops": ("FLOP", "6 N D."),
    "inference_flops": ("FLOP", "2 N for each token of the life."),
    "kappa": ("", "Serving over training spend of the baseline."),
    "spend_ratio": ("", "Serving over training spend of the plan."),
    "baseline_params": ("params", "Total parameters of the Chinchilla-optimal model of the same loss."),
    "baseline_tokens": ("tokens", "Its training tokens."),
    "baseline_total": ("bill", "What it costs under the same demand and prices, limits set aside."),
}
TEXTS = {
    BINDING: "Limits that the plan touches.",
    METHOD: "How the plan was found.",
}


def chosen(names: Sequence[str], labels: Sequence[str], unit: str) -> tuple[Column, ...]:
    """Return the columns that were asked for, or the usual ones.

    Parameters
    ----------
    names : sequence of str
        Empty for the usual ones.
    labels : sequence of str
        The terms of the bill, each a column.
    unit : str
        Of the bill.

    Raises
    ------
    InputError
        A name that no column has, or that stands twice.
    """
    terms = [label for label in labels if label not in FIGURES]
    known = [*FIGURES, *TEXTS, *terms]
    found: list[Column] = []
    for name in names or DEFAULT:
        if name not in known:
            raise InputError(f"--columns {name}: no such column; {nearest(name, known)}")
        if name in [column.name for column in found]:
            raise InputError(f"--columns {name}: stands twice; keep one of them")
        if name in TEXTS:
            found.append(Column(name=name, unit="", description=TEXTS[name], kind=WORD))
        elif name in FIGURES:
            of, description = FIGURES[name]
            found.append(Column(name=name, unit=unit if of == "bill" else of, description=description))
        else:
            found.append(Column(name=name, unit=unit, description=f"Term of the bill: {name}."))
    return tuple(found)
