"""The plots of a page, as images inside it: one for light screens and paper, one for dark ones."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beyond_chinchilla.errors import InputError

if TYPE_CHECKING:
    from beyond_chinchilla.report.plots.subject import Subject

# Most telling first. Those that do not apply to a scenario, or were not asked for, are left out.
_ALWAYS = ("cost-curve", "terms")
# Two of them stand side by side on paper: smaller than by themselves, so that their text is larger.
_SIZE = (5.6, 3.7)
# From this width on [inch] a plot has the page to itself.
_BROAD = 8.0


@dataclass(frozen=True, kw_only=True)
class Image:
    """One plot.

    Attributes
    ----------
    name : str
        ``"cost-curve"``.
    alt : str
        What it shows, for who cannot see it.
    broad : bool
        Whether it needs the width of the page.
    light, dark : str
        Addresses that hold the image itself: ``data:image/svg+xml;base64,...``.
    """

    name: str
    alt: str
    broad: bool
    light: str
    dark: str


def images(subject: Subject) -> tuple[Image, ...]:
    """Return the plots of a scenario that a page shows."""
    if subject.plan.best is None:
        return ()
    return tuple(_images(subject))


def _images(subject: Subject) -> Iterator[Image]:
    # matplotlib takes 0.3 s to load: only for who asks for a page.
    from beyond_chinchilla.report.plots.gallery import load_matplotlib, picture

    load_matplotlib()
    from beyond_chinchilla.report.plots.figure import to_svg

    names = [*_ALWAYS]
    names += ["fleet"] if subject.plan.serving is not None else []
    names += ["risk"] if subject.risk is not None else []
    names += ["tornado"] if subject.sensitivity is not None else []
    names += ["regret-map"] if subject.regret_map is not None else []
    for name in names:
        try:
            found = picture(name, subject)
            size = _size(name, found.size)
            light, dark = (_address(to_svg(found.figure(theme, size))) for theme in ("light", "dark"))
        except InputError:
            continue
        yield Image(name=name, alt=found.alt, broad=size[0] >= _BROAD, light=light, dark=dark)


def _size(name: str, own: tuple[float, float]) -> tuple[float, float]:
    """Return a plot's size on the page: what shares its width is drawn narrower, so that all text is about as large."""
    if name in _ALWAYS:
        return _SIZE
    return own if own[0] >= _BROAD else (_SIZE[0], own[1])


def _address(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')}"
