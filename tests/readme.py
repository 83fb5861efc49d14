"""What the README shows, as the programs print it; cog calls these."""

import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def run(command: str, until: str | None = None) -> None:
    """Print a command's output as a code block; `until` cuts it before the line that starts so."""
    environment = {**os.environ, "COLUMNS": "100", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        shlex.split(command), capture_output=True, text=True, cwd=ROOT, env=environment, check=True, timeout=60
    )
    shown = done.stdout if until is None else done.stdout[: done.stdout.index(f"\n{until}")]
    print(f"```\n{shown.rstrip()}\n```")


def show(file: str) -> None:
    """Print a file, without its heading comment, as a code block."""
    text = (ROOT / file).read_text(encoding="utf-8")
    body = text.split("\n\n", 1)[1] if text.startswith("#") else text
    print(f"```yaml\n{body.rstrip()}\n```")


def aliases(module: str, *tables: str) -> None:
    """Print which names of a module's alias tables mean what, as a table."""
    found = importlib.import_module(module)
    print("| means | written as, among others |\n|---|---|")
    for table in tables:
        for key, names in getattr(found, table).items():
            print(f"| `{key}` | {', '.join(names)} |")
