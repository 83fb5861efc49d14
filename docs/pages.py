"""What pages show of the code: the commands, the plots, the notebooks, the Python names, the curve. cog prints it."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import io
import json
import subprocess
import sys
from pathlib import Path

import click

import beyond_chinchilla as bc
from beyond_chinchilla.cli.main import COMMANDS, cli

ROOT = Path(__file__).parent.parent
# click's mark of a paragraph whose lines stay as they are
_VERBATIM = "\b\n"


def commands() -> str:
    """Return every command with its arguments, options and examples as markdown."""
    group = click.Context(cli, info_name="bc-opt")
    return "\n".join(_command(group, name) for name in COMMANDS)


def curve(law: str = "sardana-2024") -> str:
    """Return the universal curve of a law as a table: what kappa does to the best model."""
    loaded = bc.law(law)
    base = loaded.compute_optimal(params=30e9)
    rows = []
    for kappa in (0.01, 0.05, 0.1, 0.3, 1, 3, 10, 30, 100):
        best = bc.optimum(loaded, base.loss, train_rate=1.0, serve_rate=kappa * base.tokens)
        params, tokens = float(best.params / base.params), float(best.tokens / base.tokens)
        bill, of_base = params * tokens + kappa * params, 1.0 + kappa
        rows.append(f"| {kappa:g} | {params:.2f} | {tokens:.2f} | {tokens / params:.2f} | {1 - bill / of_base:.1%} |")
    heads = "| kappa | parameters | tokens | tokens per parameter | saved |\n|---|---|---|---|---|"
    return "\n".join([heads, *rows])


def part(command: str, title: str, blocks: int = 1) -> str:
    """Return so many blocks of what a command prints, which blank lines divide, from that of a title on."""
    found = _output(command).split("\n\n")
    begin = next(place for place, block in enumerate(found) if block.startswith(title))
    shown = "\n\n".join(found[begin : begin + blocks])
    return f"```\n{shown}\n```"


@functools.cache
def _output(command: str) -> str:
    # It lies beside the tests, where a build of the pages does not look.
    readme = importlib.import_module("readme")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        readme.run(command)
    return printed.getvalue().strip().removeprefix("```").removesuffix("```")


def program(file: str) -> str:
    """Return a program and what it prints, as two code blocks."""
    done = subprocess.run(
        [sys.executable, str(ROOT / file)], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    text = (ROOT / file).read_text(encoding="utf-8")
    return f"```python\n{text.rstrip()}\n```\n\nIt prints\n\n```\n{done.stdout.rstrip()}\n```"


# What the laws past Chinchilla are called in their files: the module of the law, of the scenario's section, the page.
_PAST = {
    "repetition": ("repetition", "data", "limited-data"),
    "precision": ("precision", "quantisation", "precision"),
    "experts": ("experts", "experts", "experts"),
    "shape": ("shape", "shape", "shape"),
    "downstream": ("downstream", "suite", "downstream"),
    "thinking": ("thinking", "thinking", "thinking"),
}


def laws_past() -> str:
    """Return the files of every law that goes past Chinchilla, as a table; one that is not there is an error."""
    rows = []
    for name, (law, section, page) in _PAST.items():
        files = [
            f"beyond_chinchilla/laws/{law}.py",
            f"tests/laws/test_{law}.py",
            f"beyond_chinchilla/scenario/past/{section}.py",
        ]
        for file in (*files, f"docs/{page}.md"):
            assert (ROOT / file).exists(), file
        shown = " | ".join(f"`{file.removeprefix('beyond_chinchilla/')}`" for file in files)
        rows.append(f"| [{name}]({page}.md) | {shown} |")
    return "\n".join(["| law | its file | its tests | its section |", "|---|---|---|---|", *rows])


def plots() -> str:
    """Return the plots by name, each with what it shows."""
    gallery = importlib.import_module("beyond_chinchilla.report.plots.gallery")
    rows = []
    for of, names in (
        ("a scenario", gallery.SCENARIO_NAMES),
        ("`bc-opt fit`", gallery.FIT_NAMES),
        ("`bc-opt race`", gallery.RACE_NAMES),
    ):
        for name in names:
            module, function = gallery._PLACES[name].split(".")
            found = getattr(importlib.import_module(f"beyond_chinchilla.report.plots.{module}"), function)
            drawn = (inspect.getdoc(found) or "").splitlines()[0].removeprefix("Draw ")
            rows.append(f"| `{name}` | {of} | {_cell(drawn[:1].upper() + drawn[1:])} |")
    return "\n".join(["| name | of | what it shows |\n|---|---|---|", *rows])


def notebooks() -> str:
    """Return the notebooks with the first sentences of each: its title, and what it shows."""
    rows = [f"| {_notebook(path)} |" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
    return "\n".join(["| notebook | what it shows |\n|---|---|", *rows])


def names() -> str:
    """Return the public names of the package, one line each."""
    rows = []
    for name in bc.__all__:
        summary = (inspect.getdoc(getattr(bc, name)) or "").split("\n\n")[0]
        rows.append(f"| `bc.{name}` | {_cell(summary)} |")
    return "\n".join(["| name | what it is |\n|---|---|", *rows])


def docstrings() -> str:
    """Return the same names as directives of Sphinx, which prints their docstrings in full."""
    parts = ["```{eval-rst}", ".. module:: beyond_chinchilla"]
    for name in bc.__all__:
        kind = "class" if inspect.isclass(getattr(bc, name)) else "function"
        members = "\n   :members:" if kind == "class" else ""
        parts.append(f"\n.. auto{kind}:: beyond_chinchilla.{name}{members}")
    return "\n".join([*parts, "```"])


def _get(group: click.Context, name: str) -> click.Command:
    command = cli.get_command(group, name)
    assert command is not None
    return command


def _command(group: click.Context, name: str) -> str:
    command = _get(group, name)
    context = click.Context(command, info_name=name, parent=group)
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"## `bc-opt {name}`\n", f"```\nbc-opt {name} {usage}\n```\n"]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith(_VERBATIM):
            parts.append(f"```\n{paragraph.removeprefix(_VERBATIM)}\n```\n")
        else:
            parts.append(f"{' '.join(paragraph.split())}\n")
    records = [parameter.get_help_record(context) for parameter in command.params]
    # Arguments stand in the usage line; of those that have a help text more is said.
    rows = [
        f"| `{record[0].replace('|', chr(92) + '|')}` | {_cell(record[1])} |"
        for record in records
        if record and record[1]
    ]
    if rows:
        parts += ["| option | meaning |\n|---|---|", *rows, ""]
    return "\n".join(parts)


def _notebook(path: Path) -> str:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    first = "".join(next(cell["source"] for cell in cells if cell["cell_type"] == "markdown"))
    title, _, rest = first.partition("\n")
    about = rest.strip().split("\n\n")[0]
    return f"[{title.lstrip('# ').strip()}](../notebooks/{path.name}) | {_cell(about)}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")
