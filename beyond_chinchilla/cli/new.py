"""``bc-opt new``: a commented scenario to start from."""

from __future__ import annotations

from pathlib import Path

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.files import unwritable


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
        # Mode x: a file, or a link to one, that appears meanwhile is safe as well.
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(read_text("scenario-template.yaml"))
    except FileExistsError:
        raise InputError(f"{path}: exists already; choose another name, or delete it first") from None
    except (OSError, ValueError) as error:
        raise unwritable(path, error) from None
    out.note(f"wrote {path}; now: bc-opt {path}")
