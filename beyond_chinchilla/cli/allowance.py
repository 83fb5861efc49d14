"""What a person allows a scenario that somebody else may have written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def allow_outside_option(function: F) -> F:
    """Give a command ``--allow-outside``."""
    return click.option("--allow-outside", is_flag=True, help="Let the scenario name files outside of its own folder.")(
        function
    )
