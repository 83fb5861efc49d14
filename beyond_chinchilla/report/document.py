"""The report of one plan as a file: .html, .pdf or .md, whole or not there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.files import write_whole
from beyond_chinchilla.report import assumptions, markdown
from beyond_chinchilla.report.blocks import Block

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.disagreement import Opinion
    from beyond_chinchilla.report.plots.subject import Subject

EXTENSIONS = (".html", ".pdf", ".md")
_FENCES = re.compile("`{3,}")


def write_report(path: Path, subject: Subject, parts: Sequence[Block] = (), opinions: Sequence[Opinion] = ()) -> None:
    """Write the report of one plan.

    Parameters
    ----------
    path : Path
        Its extension decides: .html, .pdf or .md.
    subject : Subject
        The solved scenario; risk, sensitivity and regret map are plotted where it has them, and their words belong
        into `parts`.
    parts : sequence of Block
        What else the report says.
    opinions : sequence of Opinion
        The same problem under other laws.

    Raises
    ------
    InputError
        Another extension, a place that cannot be written, or no means to print a PDF.
    """
    kind = path.suffix.lower()
    if kind not in EXTENSIONS:
        raise InputError(f"{path}: a report is one of {' '.join(EXTENSIONS)}, not '{kind}'")
    if kind == ".md":
        write_whole(path, report_markdown(subject, parts, opinions))
        return
    from beyond_chinchilla.report.html.page import render

    page = render(subject, parts, opinions)
    if kind == ".html":
        write_whole(path, page)
        return
    from beyond_chinchilla.report.pdf import pdf_of

    write_whole(path, pdf_of(page))


def report_markdown(subject: Subject, parts: Sequence[Block] = (), opinions: Sequence[Opinion] = ()) -> str:
    """Return the report of one plan as markdown: the page of `markdown.page`, then what it rests on."""
    from beyond_chinchilla.analyse.disagreement import equivalent_size

    scenario, plan = subject.scenario, subject.plan
    size = equivalent_size(subject.asked) if opinions else None
    found = markdown.page(plan, opinions, size, parts)
    more = markdown.render([assumptions.assumptions(scenario, plan), assumptions.reproduce()])
    text = assumptions.scenario_text(subject.text_of)
    # A fence longer than any within.
    fence = "`" * max([3, *(len(ticks) + 1 for ticks in _FENCES.findall(text))])
    return "\n".join([found.rstrip("\n"), *more, "", f"{fence}yaml", text.rstrip("\n"), fence, ""])
