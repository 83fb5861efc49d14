"""The ``bc-opt`` command: what is no command is a scenario to solve."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from typing import Any

import click

from beyond_chinchilla.cli import interrupts
from beyond_chinchilla.cli import output as out
from beyond_chinchilla.errors import BeyondChinchillaError, InputError, printable
from beyond_chinchilla.files import unwritable

# One file a command, imported when it is called: a cold start counts milliseconds.
COMMANDS = (
    "solve",
    "frontier",
    "regret",
    "sweep",
    "capacity",
    "explore",
    "import",
    "fit",
    "race",
    "laws",
    "hardware",
    "models",
    "new",
    "schema",
)
# Of a command that is a word of Python's own.
_MODULES = {"import": "import_"}
_OWN_OPTIONS = {"-h", "--help", "--version"}

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"]}


class _Commands(click.Group):
    """Loads commands when they are needed, and reads ``bc-opt plan.yaml`` as ``bc-opt solve plan.yaml``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        # Imports make many objects and no garbage: looking for it meanwhile only slows a cold start.
        gc.disable()
        try:
            module = importlib.import_module(f"beyond_chinchilla.cli.{_MODULES.get(cmd_name, cmd_name)}")
        finally:
            gc.enable()
        command: click.Command = module.command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in COMMANDS and args[0] not in _OWN_OPTIONS:
            args = ["solve", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with interrupts.raised() as came:
            try:
                return super().invoke(ctx)
            except click.exceptions.Exit:
                raise
            except BaseException as error:
                if came:
                    # Whatever a library has made of it, such as a module that cannot be loaded.
                    words, code = "interrupted", interrupts.exit_code_of(came[0])
                elif isinstance(error, BeyondChinchillaError):
                    # The message's lines say already where they belong: no prefix.
                    words, code = str(error), error.exit_code
                else:
                    # Words of the command line, which may be names of files. Those of a missing one are click's own.
                    if isinstance(error, click.UsageError) and not isinstance(error, click.MissingParameter):
                        raise click.UsageError(printable(error.format_message()), error.ctx) from None
                    raise
        out.tell(words)
        raise click.exceptions.Exit(code)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            # click prints help and version itself.
            if not _was_printing(error):
                raise
            out.give_up(sys.stdout)
            out.tell(str(unwritable("standard output", error)))
            sys.exit(InputError.exit_code)


def _was_printing(error: OSError) -> bool:
    """Say whether an error is of words that could not be printed, and not of some file."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and at.tb_frame.f_code is click.echo.__code__


@click.group(cls=_Commands, context_settings=CONTEXT_SETTINGS, subcommand_metavar="SCENARIO... | COMMAND [ARGS]...")
@click.version_option(package_name="beyond-chinchilla", prog_name="bc-opt")
def cli() -> None:
    """How large a model to train, on how many tokens, when you will also pay to serve it.

    \b
    bc-opt plan.yaml                       solve a scenario
    bc-opt plan.yaml --set target.loss=2   ... with a value changed
    bc-opt a.yaml b.yaml --format csv      compare several
    bc-opt new plan                        write plan.yaml to start from
    """


def main() -> None:
    """Run the command line."""
    # pydantic looks for plugins in the metadata of every installed package: 50 ms for nothing.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    cli(prog_name="bc-opt")


if __name__ == "__main__":
    main()
