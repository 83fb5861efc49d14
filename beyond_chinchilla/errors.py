"""Everything that can go wrong for a user, as one tree.

    BeyondChinchillaError
    ├── InputError            what was typed cannot be used          exit 2
    │   ├── ScenarioError     ... in a scenario file: one line per mistake
    │   ├── SpreadsheetError  ... in a table or workbook
    │   └── UnitError         ... a number or its unit
    ├── InfeasibleError       a sound question without a plan        exit 1
    ├── UnboundedError        the cost falls for ever                exit 1
    ├── SolverError           no solver could certify a plan         exit 1
    ├── FitError              a law could not be fitted              exit 1
    └── EngineError           workers died, or were lost             exit 1

A message states the value, the place, the bound and the way out, in one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class BeyondChinchillaError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 1


class InputError(BeyondChinchillaError, ValueError):
    """What was given cannot be used."""

    exit_code = 2


class UnitError(InputError):
    """A number that cannot be read, or a unit of the wrong kind."""


class ScenarioError(InputError):
    """Every mistake of a scenario file, one line each.

    Attributes
    ----------
    mistakes : tuple of str
        ``file:line: key: what is wrong and what to write instead``.
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class SpreadsheetError(InputError):
    """A table or workbook that cannot be understood."""


class InfeasibleError(BeyondChinchillaError):
    """No plan reaches the target under the limits."""


class UnboundedError(BeyondChinchillaError):
    """The cost has no minimum: a variable can grow or shrink for ever."""


class SolverError(BeyondChinchillaError):
    """No solver returned a plan that passes its own certificate."""


class FitError(BeyondChinchillaError):
    """A law that the runs do not support."""


class EngineError(BeyondChinchillaError):
    """Work that was handed out and did not come back."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or list what there is.

    >>> nearest("a100-80gb", ["a100-80gb-sxm", "h100-sxm"])
    "did you mean 'a100-80gb-sxm'?"
    """
    known = list(known)
    folded = {candidate.casefold(): candidate for candidate in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{folded[close[0]]}'?"
    return "known: " + ", ".join(map(cut, known))


def printable(text: str) -> str:
    """Return a text with everything that could move a terminal's cursor replaced by ``?``."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def cut(text: str, most: int = 120) -> str:
    """Return a printable text as far as a message quotes it.

    >>> cut("a" * 500, most=10)
    'aaaaaaa...'
    """
    text = printable(text)
    return text if len(text) <= most else text[: most - 3] + "..."
