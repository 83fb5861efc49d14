"""``--plot NAME``: a picture in place of a page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.report.plots.gallery import EXTENSIONS, check_name

if TYPE_CHECKING:
    from beyond_chinchilla.report.plots.subject import FitSubject, RaceSubject, Subject

F = TypeVar("F", bound=Callable[..., Any])


def plot_option(names: tuple[str, ...]) -> Callable[[F], F]:
    """Return what gives a command ``--plot`` with these names."""
    which = names[0] if len(names) == 1 else f"one of {', '.join(names)}"
    return click.option("--plot", metavar="NAME", help=f"Draw to --output ({' '.join(EXTENSIONS)}) instead: {which}.")


def hush() -> None:
    """Silence matplotlib: its remarks on caches and fonts are no business of who asked for a picture or a page."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Drawing:
    """A plot that was asked for, and where it goes."""

    name: str
    output: Path

    def write(self, subject: Subject | FitSubject | RaceSubject) -> None:
        """Draw, write the file whole or not at all, and say on stderr what it shows."""
        hush()
        from beyond_chinchilla.report.plots.gallery import picture

        found = picture(self.name, subject)
        from beyond_chinchilla.report.plots.figure import save

        save(found.figure(), self.output)
        out.note(f"wrote {self.output}: {found.alt}")


def requested(name: str | None, names: tuple[str, ...], format_: str | None, output: Path | None) -> Drawing | None:
    """Return what ``--plot`` asks for, before anything is solved; None without it.

    Raises
    ------
    InputError
        A plot that is not there, no file to draw to, one of another kind, or a ``--format`` besides.
    """
    if name is None:
        return None
    check_name(name, names)
    if format_ is not None:
        raise InputError(f"--plot {name} draws a picture, but --format says {format_}; keep one of them")
    kinds = f"{', '.join(EXTENSIONS[:-1])} or {EXTENSIONS[-1]}"
    if output is None:
        raise InputError(f"--plot {name} needs --output FILE, ending in {kinds}")
    if output.suffix.lower() not in EXTENSIONS:
        raise InputError(f"--output {output}: cannot draw '{output.suffix}' files; end it in {kinds}")
    return Drawing(name, output)
