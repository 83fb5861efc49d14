"""A person on a terminal sees that something goes on; a pipe, and who asked for quiet, see nothing."""

from __future__ import annotations

import io
import sys
import time

import pytest
from command_line import run

from beyond_chinchilla.cli import progress as module
from beyond_chinchilla.cli.progress import Progress


class Terminal(io.StringIO):
    """Stands in for stderr on a terminal."""

    def isatty(self) -> bool:
        return True


def watched(monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO) -> str:
    """Return what a stage of a few hundredths of a second leaves on stderr."""
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stderr)
    with Progress("weighing plans") as progress:
        progress.advance(1, 4)
        time.sleep(0.3)
        progress.advance(3, 4)
        time.sleep(0.2)
    return stderr.getvalue()


def test_a_terminal_sees_the_stage_and_how_far_it_is(monkeypatch):
    shown = watched(monkeypatch, Terminal())
    assert "weighing plans" in shown
    assert "25%" in shown
    assert "75%" in shown


def test_a_pipe_sees_nothing(monkeypatch):
    assert watched(monkeypatch, io.StringIO()) == ""


def test_what_is_done_soon_is_not_announced(monkeypatch):
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    with Progress("blinking"):
        pass
    assert stderr.getvalue() == ""


def test_quiet_leaves_errors_alone_on_stderr(tmp_path):
    file = tmp_path / "plan.json"
    told = run("scenarios/1B-requests.yaml", "-o", str(file))
    assert told.stderr == f"wrote {file}\n"
    silent = run("scenarios/1B-requests.yaml", "-o", str(file), "--quiet")
    assert silent.stderr == ""
    assert file.exists()
    refused = run("scenarios/1B-requests.yaml", "-q", "--set", "demand.requests=-1", code=2)
    assert "demand.requests" in refused.stderr
