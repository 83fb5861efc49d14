"""From a picture to a figure, a file or markup: never by a display, and the same bytes every time."""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.files import write_whole
from beyond_chinchilla.report.plots.gallery import EXTENSIONS
from beyond_chinchilla.report.plots.style import THEMES, Theme, plain, styled, theme_named, wrapped

DPI = 200
# A screen's worth: larger bitmaps than this are slips.
_LARGEST_INCHES = 40.0
# Sizes in points, and the mean width of a letter over its size: a bold one is wider.
_TITLE, _BOLD = 11.5, 0.63
_FOOTER, _LETTER = 7.0, 0.56
# Rounds in which the layout makes room for what the round before has moved.
_SETTLING = 2
# Where markup names an id, or refers to one.
_IDS = re.compile(r"""(\bid="|href="#|url\(#)""")

Size = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a plot shows, found once and painted as often as wanted.

    Attributes
    ----------
    kind : str
        What is drawn, for who cannot see it: ``"Cost against model size"``.
    finding : str
        The title: what it shows, as a sentence without its full stop.
    footer : str
        Whose it is: the scenario's name and the law.
    paint : callable
        Draws on an empty figure in a theme.
    size : pair of float
        Width and height [inch].
    """

    kind: str
    finding: str
    footer: str
    paint: Callable[[Figure, Theme], None]
    size: Size = (7.2, 4.6)

    @property
    def alt(self) -> str:
        """One sentence in place of the picture."""
        return plain(f"{self.kind}: {self.finding}.")

    def figure(self, theme: str = "light", size: Size | None = None) -> Figure:
        """Return the painted figure.

        Raises
        ------
        InputError
            A theme that is not there, a size that is none, or no font.
        """
        colours = theme_named(theme)
        width, height = self.size if size is None else size
        if not (0 < width <= _LARGEST_INCHES and 0 < height <= _LARGEST_INCHES):
            raise InputError(f"size {width:g} x {height:g}: give inches above 0 and up to {_LARGEST_INCHES:g}")
        with styled(colours):
            figure = Figure(figsize=(width, height), layout="constrained")
            figure.set_label(theme)
            FigureCanvasAgg(figure)
            self.paint(figure, colours)
            points = 72.0 * (width - 0.2)
            title = wrapped(self.finding, max(int(points / (_TITLE * _BOLD)), 20))
            figure.suptitle(title, x=0.01, ha="left", fontsize=_TITLE, fontweight="bold")
            footer = wrapped(self.footer, max(int(points / (_FOOTER * _LETTER)), 20), 2)
            figure.supxlabel(footer, x=0.01, ha="left", fontsize=_FOOTER, color=colours.faint)
            # Settled now, so that it looks the same however often and wherever it is written.
            for _ in range(_SETTLING):
                figure.draw_without_rendering()
            figure.set_layout_engine("none")
        return figure


def to_svg(figure: Figure, alt: str = "") -> str:
    """Return a figure as SVG markup on a transparent ground, without the XML heading: to stand in a page.

    Parameters
    ----------
    figure : Figure
    alt : str
        What it shows, for who cannot see it: `Picture.alt`.

    Notes
    -----
    Every id carries a digest of the markup: several figures may stand in one page, and one that is hidden there takes
    nothing from the others.
    """
    text = _rendered(figure, "svg", transparent=True).decode()
    text = text[text.index("<svg") :]
    mine = f"f{hashlib.sha256(text.encode()).hexdigest()[:10]}-"
    text = _IDS.sub(lambda found: f"{found[1]}{mine}", text)
    label = f' role="img" aria-label="{html.escape(plain(alt))}"' if alt else ' aria-hidden="true"'
    return text.replace("<svg", f"<svg{label}", 1)


def save(figure: Figure, path: str | Path, *, dpi: int = DPI) -> None:
    """Write a figure to a .png, .svg or .pdf file, whole or not at all.

    Raises
    ------
    InputError
        Another extension, or a place that cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in EXTENSIONS:
        raise InputError(f"{path}: cannot draw '{kind}' files; use one of {' '.join(EXTENSIONS)}")
    write_whole(path, _rendered(figure, kind[1:], dpi=dpi))


def _rendered(figure: Figure, kind: str, *, dpi: int = DPI, transparent: bool = False) -> bytes:
    """Return a figure's bytes: no clock, no random names."""
    buffer = io.BytesIO()
    nameless = {"png": ("Software",), "svg": ("Date", "Creator"), "pdf": ("CreationDate", "Creator")}[kind]
    # Ticks are made as late as here, in the colours of the theme that the figure is called by.
    with styled(THEMES.get(str(figure.get_label()), THEMES["light"])):
        figure.savefig(buffer, format=kind, dpi=dpi, transparent=transparent, metadata=dict.fromkeys(nameless))
    return buffer.getvalue()
