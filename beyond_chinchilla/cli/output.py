"""Where results go: stdout, or a file that is whole or not there."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from beyond_chinchilla.errors import InputError, printable
from beyond_chinchilla.files import unwritable, write_whole

if TYPE_CHECKING:
    from rich.console import Console

FORMATS = ("text", "json", "csv", "markdown")
EXTENSIONS = {".json": "json", ".csv": "csv", ".md": "markdown", ".txt": "text"}
# Written by some commands, to a file alone.
WORKBOOK = {".xlsx": "workbook"}
PARQUET = {".parquet": "parquet"}
REPORT = {".html": "report", ".pdf": "report"}

# Nothing wraps a pipe or a file but the reader's patience.
PIPED_WIDTH = 100
LEAST_WIDTH = 40

_QUIET = "beyond_chinchilla.quiet"
_ESCAPED = "beyond_chinchilla.escaped"

F = TypeVar("F", bound=Callable[..., Any])


def is_quiet() -> bool:
    """Say whether the command under way was asked to say nothing but its result and its errors."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(_QUIET))


def tell(words: str) -> None:
    """Tell the person on stderr; that nobody can hear it is no reason to stop, or to end otherwise.

    Names of files, and names in them, may hold escape codes.
    """
    try:
        click.echo("\n".join(printable(line) for line in words.split("\n")), err=True)
    except OSError:
        give_up(sys.stderr)


def note(words: str) -> None:
    """Tell the person on stderr, unless the command was asked to be quiet."""
    if not is_quiet():
        tell(words)


def _hush(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[_QUIET] = value


def quiet_option(function: F) -> F:
    """Give a command ``--quiet``."""
    return click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, callback=_hush, help="Say nothing on stderr but errors."
    )(function)


def output_options(function: F) -> F:
    """Give a command ``--format``, ``--output`` and ``--quiet``."""
    return output_options_with({})(function)


def output_options_with(more: Mapping[str, str]) -> Callable[[F], F]:
    """Return what gives a command these options, where it writes more kinds of files; see `choose_format`."""
    known = " ".join((*EXTENSIONS, *more))

    def decorate(function: F) -> F:
        function = quiet_option(function)
        function = click.option(
            "-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
            help=f"Write to FILE; its extension ({known}) decides the format.",
        )(function)  # fmt: skip
        return click.option("--format", "format_", type=click.Choice(FORMATS), help="How to print; text by default.")(
            function
        )

    return decorate


def choose_format(format_: str | None, output: Path | None, more: Mapping[str, str] | None = None) -> str:
    """Return the format of ``--format`` and ``--output``, which must not disagree.

    Parameters
    ----------
    format_, output
        The two options.
    more : mapping of str to str, optional
        Formats by extension that only this command writes, and only to files.

    Raises
    ------
    InputError
        An extension that is not written, or one that contradicts ``--format``.
    """
    if output is None:
        return format_ or "text"
    known = EXTENSIONS | dict(more or {})
    meant = known.get(output.suffix.lower())
    if meant is None:
        raise InputError(f"--output {output}: cannot write '{output.suffix}' files; use one of {' '.join(known)}")
    if format_ not in (None, meant):
        raise InputError(f"--output {output} means {meant}, but --format says {format_}; keep one of them")
    return meant


def can_show(text: str, output: Path | None) -> bool:
    """Say whether the place of a result has all letters of a text: some terminals do not. Files are UTF-8."""
    encoding = None if output is not None or sys.stdout is None else sys.stdout.encoding
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Write letters that a terminal or pipe does not have by their numbers, as JSON may have them."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(_ESCAPED, _escape)


def _take_all_letters() -> None:
    """Let stdout take text from a scenario that its encoding cannot hold, as on an older Windows console."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ESCAPED)


def give_up(stream: TextIO) -> None:
    """Write nothing more to stdout or stderr: what is still buffered cannot be written when Python exits, either."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def emit(text: str, output: Path | None) -> None:
    """Print a result, or write it to a file and say so on stderr."""
    if output is None:
        _take_all_letters()
        if sys.stdout is None:
            raise InputError("standard output: cannot be written: it is closed; open it, or name a file with --output")
        try:
            click.echo(text, nl=not text.endswith("\n"))
        except BrokenPipeError:
            raise
        except OSError as error:
            give_up(sys.stdout)
            raise unwritable("standard output", error) from None
        return
    emit_file(text, output)


def emit_file(content: str | bytes, output: Path) -> None:
    """Write a result to a file and say so on stderr."""
    write_whole(output, content)
    note(f"wrote {output}")


def show(draw: Callable[[Console], None], output: Path | None) -> None:
    """Draw a page on the terminal; piped, or written to a file, it is plain text without trailing blanks."""
    from rich.console import Console

    if output is None and sys.stdout is not None and sys.stdout.isatty():
        _take_all_letters()
        # rich honours NO_COLOR and COLUMNS itself.
        draw(Console(highlight=False, emoji=False, markup=False))
        return
    buffer = io.StringIO()
    columns = os.environ.get("COLUMNS", "")
    width = max(int(columns), LEAST_WIDTH) if columns.isdecimal() else PIPED_WIDTH
    draw(Console(file=buffer, width=width, height=25, highlight=False, emoji=False, markup=False, color_system=None))
    emit("".join(f"{line.rstrip()}\n" for line in buffer.getvalue().rstrip().splitlines()), output)
