"""One look for every plot: colours that the colour-blind tell apart, and marks that a grey print tells apart.

Colours are those of Okabe & Ito (2008), "Color Universal Design". No colour stands alone: each comes with its own
line style, marker and hatch.
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.rcsetup import cycler

from beyond_chinchilla.errors import InputError, nearest, printable

ThemeName = Literal["light", "dark"]

# The face that matplotlib ships, so that every machine draws the same picture.
FONT = "DejaVu Sans"
_SIZE = 9.0
# What is no business of a picture: where it is shown, and how the library starts.
_MACHINE = {
    "backend", "backend_fallback", "interactive", "toolbar", "timezone", "webagg.port", "webagg.address",
    "webagg.port_retries", "webagg.open_in_browser", "tk.window_focus", "savefig.directory", "docstring.hardcopy",
    "date.epoch", "figure.max_open_warning", "figure.raise_window",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How one series is drawn: a colour, and what stands for it in grey."""

    colour: str
    line: Any
    marker: str
    hatch: str


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of a light or a dark page.

    Attributes
    ----------
    name : {"light", "dark"}
    paper, ink, faint, grid : str
        Background, text, what stands back, and lines of the grid.
    plan, baseline : Mark
        Ours and Chinchilla's, alike in every plot.
    series : tuple of Mark
        Whatever else is drawn, in order.
    maps : str
        Colour map of a matrix: even in lightness, so that a grey print keeps its order.
    """

    name: ThemeName
    paper: str
    ink: str
    faint: str
    grid: str
    plan: Mark
    baseline: Mark
    series: tuple[Mark, ...]
    maps: str = "cividis"

    def mark(self, index: int) -> Mark:
        """Return the mark of a series; after the last they begin anew."""
        return self.series[index % len(self.series)]


_LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "---", "ooo", "+++")


def _series(colours: tuple[str, ...]) -> tuple[Mark, ...]:
    return tuple(
        Mark(colour=colour, line=_LINES[index % len(_LINES)], marker=_MARKERS[index], hatch=_HATCHES[index])
        for index, colour in enumerate(colours)
    )


def _theme(name: ThemeName, page: tuple[str, str, str, str], colours: tuple[str, ...]) -> Theme:
    paper, ink, faint, grid = page
    return Theme(
        name=name,
        paper=paper,
        ink=ink,
        faint=faint,
        grid=grid,
        plan=Mark(colour=colours[0], line="-", marker="o", hatch=""),
        baseline=Mark(colour=colours[1], line=_LINES[1], marker="s", hatch="///"),
        series=_series(colours),
    )


# Blue, vermillion, green, orange, purple, sky blue, yellow and the ink itself; on a dark page the light ones lead.
THEMES: dict[str, Theme] = {
    "light": _theme(
        "light",
        ("#ffffff", "#1b1b1b", "#5f5f5f", "#dddddd"),
        ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#b8a900", "#1b1b1b"),
    ),
    "dark": _theme(
        "dark",
        ("#15181c", "#ececec", "#a8adb4", "#3a3f46"),
        ("#56b4e9", "#e69f00", "#2fc79b", "#f0e442", "#e3a0c4", "#4a9fd8", "#ff8a3d", "#ececec"),
    ),
}


def theme_named(name: str) -> Theme:
    """Return a theme.

    Raises
    ------
    InputError
        Another name.
    """
    if name not in THEMES:
        raise InputError(f"no theme '{name}'; {nearest(name, THEMES)}")
    return THEMES[name]


@contextmanager
def styled(theme: Theme) -> Iterator[None]:
    """Draw in our style, whatever a machine's own settings say, and leave those as they were."""
    demand_font()
    with mpl.rc_context(_settings(theme.name)):
        yield


@functools.cache
def _settings(name: str) -> Any:
    theme = THEMES[name]
    every: dict[Any, Any] = {key: value for key, value in mpl.rcParamsDefault.items() if key not in _MACHINE}
    return every | {
        # A dollar sign is money, not mathematics.
        "text.parse_math": False,
        "svg.hashsalt": "beyond-chinchilla",
        "font.family": "sans-serif",
        "font.sans-serif": [FONT],
        "font.size": _SIZE,
        "axes.titlesize": _SIZE,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": _SIZE,
        "legend.fontsize": _SIZE - 1,
        "xtick.labelsize": _SIZE - 0.5,
        "ytick.labelsize": _SIZE - 0.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.8,
        "lines.markersize": 6,
        "hatch.linewidth": 0.6,
        "legend.frameon": True,
        "legend.framealpha": 0.85,
        "legend.edgecolor": "none",
        "legend.facecolor": theme.paper,
        "legend.handlelength": 2.8,
        # Letters are a little wider at some resolutions than where the layout was made.
        "figure.constrained_layout.w_pad": 0.09,
        "figure.constrained_layout.h_pad": 0.05,
        "figure.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "text.color": theme.ink,
        "axes.labelcolor": theme.ink,
        "axes.edgecolor": theme.faint,
        "xtick.color": theme.faint,
        "ytick.color": theme.faint,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "grid.color": theme.grid,
        "axes.prop_cycle": cycler(color=[mark.colour for mark in theme.series]),
    }


@functools.cache
def demand_font() -> frozenset[int]:
    """Return the code points that our face can draw.

    Raises
    ------
    InputError
        It is not there.
    """
    try:
        face = font_manager.get_font(font_manager.findfont(FONT, fallback_to_default=False))
    except (OSError, RuntimeError, ValueError):
        raise InputError(f"no font to draw with: matplotlib's own {FONT} is missing; reinstall matplotlib") from None
    return frozenset(face.get_charmap())


def plain(text: str, longest: int | None = None) -> str:
    """Return text from outside as one line that can be drawn: no control characters, none without a shape.

    >>> plain("a\\tb $x_1$ \\u6f22", 40)
    'a?b $x_1$ ?'
    """
    known = demand_font()
    line = "".join(letter if ord(letter) in known else "?" for letter in printable(text))
    if longest is not None and len(line) > longest:
        line = line[: longest - 3].rstrip() + "..."
    return line


def wrapped(text: str, width: int, most: int = 4) -> str:
    """Return text in lines of at most `width` letters, cut off after `most` lines."""
    lines = textwrap.wrap(plain(text), width)
    if len(lines) > most:
        lines = [*lines[: most - 1], plain(" ".join(lines[most - 1 :]), width)]
    return "\n".join(lines)
