"""``bc-opt new``: a commented scenario to start from."""

from __future__ import annotations

from pathlib import Path

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.files import write_anew


@click.command("new", short_help="Write a commented scenario to start from.")
@click.argument("name")
@out.quiet_option
def command(name: str) -> None:
    """Write NAME.yaml: a complete scenario with every key explained. An existing file is never touched.

    \b
    bc-opt new my-plan && bc-opt my-plan.yaml
    """
    from beyond_chinchilla.data import read_text

    path = Path(name)
    if not path.name or path.name == "..":
        raise InputError(f"'{name}' names no file; write it like bc-opt new my-plan")
    if path.suffix not in (".yaml", ".yml"):
        path = path.with_name(path.name + ".yaml")
    try:
        write_anew(path, read_text("scenario-template.yaml"))
    except FileExistsError:
        raise InputError(f"{path}: exists already; choose another name, or delete it first") from None
    out.note(f"wrote {path}; now: bc-opt {path}")
