"""Command lines: every command with options and arguments that could be meant, or not."""

from __future__ import annotations

import random
from pathlib import Path

import click
import mutations
import scenario_targets

from beyond_chinchilla.cli.main import COMMANDS, cli

# What would wait for a person, reach a network, or start processes that nobody ends.
_LEFT_OUT = frozenset({"--port", "--no-browser", "--engine", "--workers", "--scheduler", "--help"})
_WORDS = (
    *("s.yaml", "s.yaml", "s.yaml", "month.yaml", "missing.yaml", ".", "-", "--", "", "x", "=", "é", "\x1b[31m"),
    *("sardana-2024", "h100-sxm", "llama-2-7b", "a" * 300, "plan", "0", "-1", "1e99", "nan", "50%", "7B", "2027-01"),
)
_NUMBERS = ("0", "1", "2", "3", "-1", "1e99", "nan", "inf", "", "x", "9" * 30, "0.5", "50%", "7B", "1e-300")
_PAIRS = ("demand.requests=2B", "training.price=1", "target.chinchilla=7B", "law=x", "=", "x", "a=b=c", "name=\x1b[1m")
_OUTPUTS = (
    *("out.json", "out.csv", "out.md", "out.txt", "out.xlsx", "out.parquet", "out.svg", "out.exe", "out"),
    *("no/such/folder/out.json", ".", "", "out.yaml"),
)


def command_line(folder: Path, rng: random.Random) -> list[str]:
    """Return a command with options of its own, or words in no order, over sound files."""
    for name, source in (("s.yaml", "1B-requests.yaml"), ("month.yaml", "owned-cluster.yaml")):
        (folder / name).write_text(scenario_targets.scenarios()[source], encoding="utf-8")
    if rng.random() < 0.2:
        words = [*_WORDS, *(name for name in COMMANDS if name != "explore"), "--format", "json", "--set", "-o"]
        # Nothing that is written may lie elsewhere: the file of --output is the next word, and that is relative.
        return [rng.choice(words) for _ in range(rng.randrange(7))]
    name = rng.choice(COMMANDS)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    args = [name]
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            args += rng.choices(_WORDS, k=rng.choice((1, 1, 1, 1, 0, 2)))
    options = [option for option in command.params if isinstance(option, click.Option)]
    options = [option for option in options if not _LEFT_OUT.intersection(option.opts)]
    for option in rng.sample(options, min(len(options), rng.choice((0, 1, 1, 2, 3)))):
        args += [rng.choice(option.opts), *([] if option.is_flag else [_value(option, rng)])]
    if name == "explore" and "-o" not in args and "--output" not in args:
        # It would serve the page until somebody ends it.
        args += ["-o", "page.html"]
    if name == "fit" and "--bootstraps" not in args:
        args += ["--bootstraps", "0"]
    if name == "solve" and "--risk" in args and "--samples" not in args:
        args += ["--samples", "32"]
    if name == "frontier" and "--points" not in args:
        args += ["--points", "3"]
    return args


def _value(option: click.Option, rng: random.Random) -> str:
    if "--output" in option.opts:
        return rng.choice(_OUTPUTS)
    if "--set" in option.opts:
        pair = f"{rng.choice(('demand.requests', 'training.mfu', 'law'))}={rng.choice(mutations.ODD)}"
        return rng.choice((*_PAIRS, pair.replace("\x00", "0")))
    if isinstance(option.type, click.Choice):
        return rng.choice((*map(str, option.type.choices), *map(str, option.type.choices), "x", ""))
    if option.name in ("points", "samples", "best", "bootstraps", "suggest"):
        # Many of them are no mistake, and take as long as they take.
        return rng.choice(("0", "-1", "1", "2", "3", "x", ""))
    return rng.choice((*_NUMBERS, *_WORDS, str(rng.choice(mutations.ODD)).replace("\x00", "0")))
