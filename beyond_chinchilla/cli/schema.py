"""``bc-opt schema``: the JSON Schema of a scenario file."""

from __future__ import annotations

from pathlib import Path

import click

from beyond_chinchilla.cli import output as out


@click.command("schema", short_help="Print the JSON Schema of scenario files.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE", help="Write to FILE instead.")
@out.quiet_option
def command(output: Path | None) -> None:
    """Print the JSON Schema of a scenario file, for editors that check and complete YAML.

    \b
    bc-opt schema -o scenario.schema.json
    # then, as the first line of a scenario:
    # yaml-language-server: $schema=scenario.schema.json
    """
    from beyond_chinchilla.report.tables import to_json
    from beyond_chinchilla.scenario.schema import json_schema

    out.emit(to_json(json_schema(distributions=True)), output)
