"""The documents: nothing in them is out of date, no link leads nowhere, and Sphinx builds them without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import scenario_keys
from cogapp import Cog

from benchmarks import published, references
from beyond_chinchilla.cli.main import COMMANDS, cli
from beyond_chinchilla.scenario.schema import json_schema

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WRITTEN = [ROOT / "README.md", *PAGES]
each_page = pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.name)


def text_of(path: Path) -> str:
    """Return a page without its code blocks and comments."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Nothing is out of date


# The other pages show what programs print; cog checks them in CI, and it takes longer.
@pytest.mark.parametrize("name", ["api.md", "cli.md", "notebooks.md", "reports.md", "scenario.md"])
def test_generated_pages_are_what_the_code_says(name: str) -> None:
    path = DOCS / name
    assert "[[[cog" in path.read_text(encoding="utf-8")
    folders = [part for folder in (ROOT, ROOT / "tests", DOCS) for part in ("-I", str(folder))]
    assert Cog().main(["cog", "-P", "--check", *folders, str(path)]) == 0


def sections(value: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every mapping of a schema that has keys, with its name."""
    if isinstance(value, dict):
        if "properties" in value and value.get("type") == "object":
            yield name, value
        for key, inner in value.items():
            if key not in ("if", "then", "else"):
                yield from sections(inner, key)


def test_every_key_of_a_scenario_is_in_the_reference() -> None:
    rows = (DOCS / "scenario.md").read_text(encoding="utf-8").splitlines()
    found = list(sections(json_schema(), "ScenarioFile"))
    assert len(found) > 25
    for name, section in found:
        for key in section["properties"]:
            of_key = [row for row in rows if row.startswith(f"| `{key}` |")]
            assert of_key, f"{name}.{key}"
            if key in section.get("required", ()):
                assert any("| required |" in row for row in of_key), f"{name}.{key}"
    heads = set(re.findall(r"^## `([\w.]+)`$", "\n".join(rows), flags=re.MULTILINE))
    assert {"demand", "serving.fleet", "limits.params"} <= heads


@pytest.mark.parametrize(
    ("heading", "start"),
    [
        ("demand", "| `requests` | number [requests]"),
        ("demand", "| `months` | whole number [month] | 1 to 600 |  | `36` |"),
        ("training", "| `mfu` | number | above 0, at most 100% | required | `50%` |"),
        ("discounting", "| `timing` | `mid`, `end` |  | `mid` |"),
        ("serving.commitment", "| `best` | `true` or `false` |  |  |"),
        ("limits.tokens", "| `max` | number [tokens]"),
    ],
)
def test_a_key_has_its_unit_bounds_default_and_example(heading: str, start: str) -> None:
    page = scenario_keys.page()
    section = page.split(f"## `{heading}`\n")[1].split("\n## ")[0]
    assert any(row.startswith(start) for row in section.splitlines()), section


def test_every_option_is_on_the_page_of_commands() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## `bc-opt ([\w-]+)`\n(.*?)(?=^## |\Z)", page, flags=re.MULTILINE | re.DOTALL))
    assert list(parts) == list(COMMANDS)
    context = click.Context(cli)
    count = 0
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                for word in (*parameter.opts, *parameter.secondary_opts):
                    assert re.search(rf"^\| `[^`]*{re.escape(word)}\b", parts[name], flags=re.MULTILINE), (name, word)
                    count += 1
    assert count > 40


# Links


@each_page
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
        if re.match(r"https?://", target):
            continue
        place, _, anchor = target.partition("#")
        led_to = (path.parent / place).resolve() if place else path
        assert led_to.is_relative_to(ROOT), target
        assert led_to.exists(), f"{path.name}: {target}"
        if anchor:
            assert anchor in anchors(led_to), f"{path.name}: {target}"


def test_the_index_lists_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", text_of(DOCS / "index.md")))
    assert linked == {path.name for path in PAGES} - {"index.md"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_begins_with_whom_it_is_for(path: Path) -> None:
    title, _, rest = text_of(path).lstrip().partition("\n")
    assert title.startswith("# ")
    if path.name not in ("index.md", "architecture.md"):
        assert rest.lstrip().startswith("For "), rest[:80]


def test_the_examples_for_python_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(
        r"^```python\n(.*?)^```", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert blocks
    for block in blocks:
        names: dict[str, Any] = {}
        exec(block, names)
        assert names["plan"].best.params == pytest.approx(17.44e9, rel=1e-3)
        assert float(names["best"].params) == pytest.approx(6.969e9, rel=1e-3)


# Published numbers


@pytest.mark.parametrize(
    ("printed", "half"),
    [("13.6B", 5e7), ("17%", 5e-3), ("2.84", 5e-3), ("$3.146e5", 50), ("1.0182740e-3", 5e-11), ("7B", 5e8)],
)
def test_half_of_the_last_printed_digit(printed: str, half: float) -> None:
    assert published.half_digit(printed) == pytest.approx(half, rel=1e-12)


@pytest.mark.parametrize("text", ["", "13.6 B", "-1", "1.2.3"])
def test_what_is_no_printed_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a printed number"):
        published.half_digit(text)


def test_a_figure_agrees_up_to_half_a_digit() -> None:
    rows = [
        published.Row(source="paper", figure="N", printed="13.6B", ours=ours, note="why")
        for ours in (13.649e9, 13.651e9)
    ]
    assert [row.agrees for row in rows] == [True, False]
    assert [row.cells()[-1] for row in rows] == ["yes", "no: why"]
    assert rows[1].cells()[3:5] == ["13.65B", "+0.4%"]
    assert published.table(rows).splitlines()[-1].startswith("|  | N | 13.6B |")


@pytest.mark.parametrize("part", ["flops", "dollars", "calculators", "laws", "past"])
def test_what_does_not_come_out_says_why(part: str) -> None:
    rows = references.PARTS[part]().splitlines()[2:]
    assert len(rows) >= 8
    verdicts = [row.rstrip("| ").rsplit("| ", 1)[1] for row in rows]
    assert all(verdict == "yes" or re.match("no: .{10}", verdict) for verdict in verdicts), verdicts
    # Tables of papers whose constants are in print come out whole.
    assert part != "dollars" or set(verdicts) == {"yes"}
    assert verdicts.count("yes") >= len(verdicts) / 2


def test_refits_stand_in_the_page() -> None:
    # The table is made where the public runs are, and kept where they are not.
    text = (DOCS / "how-we-know.md").read_text(encoding="utf-8")
    refits = text.partition("## What fits find")[2].partition("\n## ")[0]
    assert refits.count("\n| ") >= 30


# The built pages


@pytest.mark.own_step
def test_sphinx_builds_the_pages_without_a_warning(tmp_path: Path) -> None:
    for module in ("sphinx", "myst_parser", "furo"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: python -m pip install '.[docs]'")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html", "-d", tmp_path / "trees"]
    # Sphinx's own extensions use what Sphinx deprecates; -W is for the pages.
    environment = os.environ | {"PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [*command, DOCS, tmp_path / "html"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.stem for path in PAGES} <= {path.stem for path in (tmp_path / "html").glob("*.html")}
    api = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    assert 'id="beyond_chinchilla.solve"' in api
    # The list of the index is the tree of the pages.
    assert 'href="how-we-know.html"' in (tmp_path / "html" / "model.html").read_text(encoding="utf-8")
