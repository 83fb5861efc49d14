"""What reads what somebody wrote, as functions of bytes: each may refuse them, and nothing else.

`guided.py` looks for bytes that break them; `test_fuzz.py` gives them the seeds, and all that ever did.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import tempfile
from collections.abc import Callable
from pathlib import Path

from beyond_chinchilla.errors import BeyondChinchillaError

Entry = Callable[[bytes], None]

# Of one file, so that the many of a long run do not fill the folder.
_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz"))


def scenario(data: bytes) -> None:
    """Read a YAML document and check it against the schema, units included."""
    from beyond_chinchilla.scenario.load import load

    load(_file("s.yaml", data))


def units(data: bytes) -> None:
    """Read a number, a share and a quantity with its unit."""
    from beyond_chinchilla.units import parse_number, parse_quantity

    text = data.decode("utf-8", "replace")
    for read in (parse_number, lambda text: parse_quantity(text, "USD/hour"), lambda text: parse_quantity(text, "day")):
        with contextlib.suppress(BeyondChinchillaError):
            number = read(text)
            assert number == number, f"{text!r} is read as a number that is none"


def law(data: bytes) -> None:
    """Read what a fit wrote, and check it as the law of a scenario."""
    _named("law.json", data, "law: law.json\ntarget: {chinchilla: 13B}")


def suite(data: bytes) -> None:
    """Read what a fit of a suite wrote, and check it as the suite of a scenario."""
    _named("suite.json", data, "law: gadre-2024-c4\ntarget: {score: 50%, suite: suite.json}")


def _named(name: str, data: bytes, rest: str) -> None:
    from beyond_chinchilla.scenario.load import load

    _file(name, data)
    load(_file("s.yaml", f"{rest}\ndemand: {{tokens: 2T}}\nobjective: flops\n".encode()))


def runs(data: bytes) -> None:
    """Read a table of training runs."""
    from beyond_chinchilla.fit.runs import read_runs

    read_runs(_file("runs.csv", data))


def book(data: bytes) -> None:
    """Read a workbook: forecast, assumptions, or one of our own."""
    from beyond_chinchilla.tables.books import read_book

    read_book(_file("book.xlsx", data))


def text_book(data: bytes) -> None:
    """Read a table of text as a book."""
    from beyond_chinchilla.tables.books import read_book

    read_book(_file("book.csv", data))


def prices(data: bytes) -> None:
    """Read a price list."""
    from beyond_chinchilla.tables.prices import read_prices

    read_prices(_file("prices.csv", data))


def trace(data: bytes) -> None:
    """Read a trace of requests."""
    from beyond_chinchilla.tables.traces import read_trace

    read_trace(_file("trace.csv", data))


def command(data: bytes) -> None:
    """Read a command line, up to the scenario that it names, which is never there."""
    try:
        words = shlex.split(data.decode("utf-8", "replace").replace("\x00", ""))
    except ValueError:
        return
    # These write where they are told, or wait for somebody.
    if not {"explore", "new", "-o", "--output"}.intersection(words) and not any(
        word.startswith(("-o", "--o", "--s")) for word in words
    ):
        _command(words)


def _command(words: list[str]) -> None:
    import click

    from beyond_chinchilla.cli.main import cli

    with (
        contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")),
        contextlib.redirect_stderr(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")),
        contextlib.suppress(click.exceptions.Exit),
    ):
        try:
            cli.main(words, standalone_mode=False)
        except click.ClickException as refused:
            if refused.exit_code not in (1, 2):
                raise


def _file(name: str, data: bytes) -> Path:
    path = _FOLDER / name
    path.write_bytes(data)
    return path


ENTRIES: dict[str, Entry] = {
    "scenario": scenario,
    "units": units,
    "law": law,
    "suite": suite,
    "runs": runs,
    "book": book,
    "text-book": text_book,
    "prices": prices,
    "trace": trace,
    "command": command,
}


def read(name: str, data: bytes) -> None:
    """Give bytes to an entry; what it refuses in words is well.

    Raises
    ------
    AssertionError
        It refuses without a word.
    """
    try:
        ENTRIES[name](data)
    except BeyondChinchillaError as error:
        if not str(error).strip():
            raise AssertionError("refused without a word") from error


def seeds(name: str) -> list[bytes]:
    """Return what an entry is begun with: sound input, from shipped files where there are any."""
    here = Path(__file__).parent
    shipped = sorted((here.parent.parent / "scenarios").glob("*.yaml")) if name == "scenario" else []
    kept = sorted((here / "seeds" / name).glob("*"))
    return [path.read_bytes() for path in (*shipped, *kept)]


def words(name: str) -> list[str]:
    """Return what means something to an entry: keys of the schema, names, signs."""
    signs = ["e308", "e-324", "nan", "inf", "%", "0x", "_", "1/0", "&a", "*a", "<<: *a", "!!str", "- ", "? ", "\\ud800"]
    if name in ("scenario", "law", "suite"):
        from beyond_chinchilla.scenario.schema import ScenarioFile

        found = json.dumps(ScenarioFile.model_json_schema())
        keys = {part for part in found.replace('"', " ").split() if part.isidentifier() and len(part) < 30}
        return [*signs, *sorted(keys)]
    if name == "command":
        from click import Context

        from beyond_chinchilla.cli.main import COMMANDS, cli

        options = [cli.get_command(Context(cli), each) for each in COMMANDS]
        return [*COMMANDS, *sorted({opt for each in options if each for p in each.params for opt in p.opts})]
    return [*signs, "USD/hour", "days", "params", "tokens", "loss", "\t", ";", ",", '"', "2027-01"]


os.environ.setdefault("COLUMNS", "100")
