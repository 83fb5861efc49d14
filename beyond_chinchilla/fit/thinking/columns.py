"""Which columns of a table hold samples or reasoning tokens per request, and the scores reached with them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from beyond_chinchilla.errors import InputError, SpreadsheetError, nearest, printable
from beyond_chinchilla.fit.columns import LONGEST_NAME, Column, fold
from beyond_chinchilla.fit.run_files import Table

Variable = Literal["samples", "reasoning_tokens"]

# Names of columns, folded: without case, spaces and punctuation.
ROLES: dict[str, tuple[str, ...]] = {
    "samples": (
        *("k", "samples", "numsamples", "nsamples", "samplecount", "numberofsamples", "samplesperrequest"),
        *("samplesperproblem", "samplesperquestion", "samplesperprompt", "attempts", "generations", "completions"),
    ),
    "reasoning_tokens": (
        *("reasoningtokens", "thinkingtokens", "reasoningtokensperrequest", "thinkingtokensperrequest", "cottokens"),
        *("thinkingbudget", "reasoningbudget", "reasoninglength", "thoughttokens", "numreasoningtokens"),
    ),
    "score": ("passk", "passatk", "score", "passrate", "coverage", "successrate", "solverate", "accuracy", "acc"),
}
# pass@8, pass_at_8, pass@8 (%)
_WIDE = re.compile(r"\s*pass\s*(?:@|_at_|_)\s*(\d{1,7})\s*", re.IGNORECASE)
_PERCENT = re.compile(r"(?P<base>.*?)[\s_,]*[(\[]?\s*(?:%|percent)\s*[)\]]?\s*", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Answers:
    """Where k and the scores stand.

    Attributes
    ----------
    variable : {"samples", "reasoning_tokens"}
    k : int
        Position of the column of k; -1 where columns of scores have it in their names.
    scores : tuple of int
        Positions of the columns of scores; empty where losses are used.
    wide : tuple of int
        The k of each of those columns, where their names have it.
    """

    variable: Variable
    k: int
    scores: tuple[int, ...]
    wide: tuple[int, ...]

    def scale(self, table: Table, index: int) -> float:
        """Return 0.01 for a column in percent."""
        return 0.01 if _in_percent(table.names[index]) else 1.0

    def said(self, table: Table, chosen: Mapping[str, Column]) -> dict[str, str]:
        """Say where k and the loss came from."""
        names = [f"'{printable(table.names[i])}'" for i in self.scores]
        if self.wide:
            listed = f"columns {names[0]} to {names[-1]}"
            return {self.variable: f"the names of {listed}", "loss": f"-ln of {listed}"}
        k = f"column '{printable(table.names[self.k])}'"
        loss = f"-ln of column {names[0]}" if names else chosen["loss"].describe()
        return {self.variable: k, "loss": loss}


def find_answers(table: Table, own: Mapping[str, str], *, use_score: bool) -> Answers:
    """Return where k and the scores stand.

    Parameters
    ----------
    own : mapping of str to str
        Column names that were stated, by role of `ROLES`.
    use_score : bool
        Whether a column of scores is taken by its name.

    Raises
    ------
    InputError
        A stated column that does not exist.
    SpreadsheetError
        No column for k, or two.
    """
    names = table.names
    by_k: dict[Variable, int | None] = {
        "samples": _column(table, own, "samples"),
        "reasoning_tokens": _column(table, own, "reasoning_tokens"),
    }
    score = _column(table, own, "score") if use_score or "score" in own else None
    stated_k = [variable for variable in by_k if variable in own]
    with_k = stated_k or [variable for variable, column in by_k.items() if column is not None]
    if len(with_k) > 1:
        raise SpreadsheetError(
            f"{table.place}: has samples and reasoning tokens; one of them is the variable, so name it alone: "
            f"--columns samples='{printable(names[by_k['samples'] or 0])}'"
        )
    if with_k:
        column = by_k[with_k[0]]
        assert column is not None
        return Answers(with_k[0], column, () if score is None else (score,), ())
    wide = [(int(match[1]), i) for i, name in enumerate(names) if (match := _WIDE.fullmatch(_unit_off(name)))]
    if wide and use_score and score is None:
        wide.sort()
        twice = [k for (k, _), (other, _) in pairwise(wide) if k == other]
        if twice:
            raise SpreadsheetError(f"{table.place}: pass@{twice[0]} has two columns; keep one of them")
        return Answers("samples", -1, tuple(i for _, i in wide), tuple(k for k, _ in wide))
    listed = ", ".join(f"'{printable(name[:60])}'" for name in names[:40] if name.strip()) or "none with a name"
    raise SpreadsheetError(
        f"{table.place}: no column for the samples or reasoning tokens per request among {listed}; "
        "name it: --columns samples=NAME or --columns reasoning_tokens=NAME"
    )


def _column(table: Table, own: Mapping[str, str], role: str) -> int | None:
    """Return the position of the column of a role of ours, by what was stated or by its name."""
    names = table.names
    if role in own:
        same = [i for i, name in enumerate(names) if name.strip() == own[role].strip()]
        same = same or [i for i, name in enumerate(names) if fold(name) == fold(own[role]) != ""]
        if len(same) != 1:
            reason = f"{len(same)} columns have that name; rename one"
            if not same:
                reason = f"no such column; {printable(nearest(own[role], [name for name in names if name.strip()]))}"
            raise InputError(f"{table.place}: --columns {role}={printable(own[role][:80])}: {reason}")
        return same[0]
    for alias in ROLES[role]:
        same = [i for i, name in enumerate(names) if fold(_unit_off(name)) == alias]
        if len(same) > 1:
            both = " and ".join(f"'{printable(names[i])}'" for i in same[:2])
            raise SpreadsheetError(
                f"{table.place}: {both} could both be the {role.replace('_', ' ')}; say which with "
                f"--columns {role}='{printable(names[same[0]])}'"
            )
        if same:
            return same[0]
    return None


def _unit_off(name: str) -> str:
    match = _in_percent(name)
    return name if match is None else match["base"]


def _in_percent(name: str) -> re.Match[str] | None:
    return None if len(name) > LONGEST_NAME else _PERCENT.fullmatch(name)


def count_answers(names: Sequence[str]) -> int:
    """Return how many names of a row are known here: how much it looks like a header."""
    known = {alias for aliases in ROLES.values() for alias in aliases}
    return sum(fold(_unit_off(name)) in known or bool(_WIDE.fullmatch(_unit_off(name))) for name in names)
