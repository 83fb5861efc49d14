"""Running bc-opt in this process, as several test files do."""

from __future__ import annotations

import os

from click.testing import CliRunner, Result

from beyond_chinchilla.cli.main import cli


def run(*args: str, code: int = 0) -> Result:
    """Run a command; it must exit with `code` and never by an exception."""
    result = CliRunner().invoke(cli, args)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code == code, result.output
    return result


def refused(*args: str) -> list[str]:
    """Run a command that must be refused: exit 2, nothing on stdout. Returns the lines of stderr."""
    result = run(*args, code=2)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()


def rest_of_terminal(master: int) -> bytes:
    """Return what is still shown on a terminal until its other end is closed, and close it."""
    text = b""
    try:
        while part := os.read(master, 65536):
            text += part
    except OSError:
        # The other end is closed: all has been read.
        pass
    os.close(master)
    return text
