"""Every plot by its name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.errors import InputError, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from beyond_chinchilla.report.plots.figure import Picture, Size
    from beyond_chinchilla.report.plots.subject import FitSubject, RaceSubject, Subject

# Files that a figure can be written to.
EXTENSIONS = (".png", ".svg", ".pdf")

# Name: module and function. What is drawn of a scenario, of a fit, of a race.
_OF_SCENARIO = {
    "cost-curve": "cost.curve",
    "contours": "contours.contours",
    "terms": "cost.terms",
    "ratio-maps": "ratio_maps.ratio_maps",
    "frontier": "frontier.frontier",
    "fleet": "fleet.fleet",
    "tornado": "sensitivity.tornado",
    "sobol": "sensitivity.sobol",
    "regret-map": "regret.regret_map",
    "risk": "risk.risk",
    "information": "risk.information",
}
_OF_FIT = {
    "residuals": "fits.residuals",
    "isoflop": "fits.isoflop",
    "profile": "fits.profiles",
    "bootstrap": "fits.clouds",
}
_OF_RACE = {"race": "race.race"}
_PLACES = _OF_SCENARIO | _OF_FIT | _OF_RACE

SCENARIO_NAMES = tuple(_OF_SCENARIO)
FIT_NAMES = tuple(_OF_FIT)
RACE_NAMES = tuple(_OF_RACE)
NAMES = tuple(_PLACES)


def check_name(name: str, known: tuple[str, ...] = NAMES) -> str:
    """Return the name of a plot.

    Raises
    ------
    InputError
        There is none of that name; the message lists those that there are.

    >>> check_name("cost-curve")
    'cost-curve'
    """
    if name not in known:
        guess = nearest(name, known)
        others = "" if guess.startswith("known") else f" known: {', '.join(known)}"
        raise InputError(f"no plot named '{name[:40]}'; {guess}{others}")
    return name


def load_matplotlib() -> None:
    """Load matplotlib, which does not without a folder for its caches.

    Raises
    ------
    InputError
        Every folder that it tries is read-only.
    """
    try:
        importlib.import_module("matplotlib")
    except OSError:
        raise InputError(
            "matplotlib, which draws, finds no folder that it may write its caches to; name one: MPLCONFIGDIR=FOLDER"
        ) from None


def picture(name: str, subject: Subject | FitSubject | RaceSubject) -> Picture:
    """Return a plot with its data found, to be painted in one theme or several.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    subject : Subject, FitSubject or RaceSubject
        As the plot wants it.

    Raises
    ------
    InputError
        No such plot, or one that does not apply: it says what it needs.
    """
    from beyond_chinchilla.report.plots import subject as kinds

    check_name(name)
    for names, kind, words in (
        (_OF_SCENARIO, kinds.Subject, "a solved scenario"),
        (_OF_FIT, kinds.FitSubject, "a fit"),
        (_OF_RACE, kinds.RaceSubject, "a race"),
    ):
        if name in names and not isinstance(subject, kind):
            raise InputError(f"{name} is drawn of {words}")
    load_matplotlib()
    module, function = _PLACES[name].split(".")
    make: Callable[[Any], Picture] = getattr(
        importlib.import_module(f"beyond_chinchilla.report.plots.{module}"), function
    )
    return make(subject)


def draw(
    name: str, subject: Subject | FitSubject | RaceSubject, theme: str = "light", size: Size | None = None
) -> Figure:
    """Return the figure of a plot; raises as `picture` does.

    Parameters
    ----------
    name, subject
        See `picture`.
    theme : {"light", "dark"}
    size : pair of float, optional
        Width and height [inch].
    """
    return picture(name, subject).figure(theme, size)


def describe(name: str, subject: Subject | FitSubject | RaceSubject) -> str:
    """Return what a plot shows in one sentence, for who cannot see it; raises as `picture` does."""
    return picture(name, subject).alt
