"""``bc-opt sweep``: one scenario, or a table of them, in millions of variations."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli.allowance import allow_outside_option
from beyond_chinchilla.cli.interrupts import exit_code_of
from beyond_chinchilla.cli.progress import Progress
from beyond_chinchilla.engines import ENGINES
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.units import format_number, parse_number

if TYPE_CHECKING:
    from rich.console import Console

    from beyond_chinchilla.analyse.sweep.kept import Kept
    from beyond_chinchilla.analyse.sweep.run import Outcome, Sweep
    from beyond_chinchilla.report.blocks import Block


@click.command("sweep", short_help="Solve millions of variations, to Parquet, CSV or Arrow.")
@click.argument("scenario", required=False)
@click.option("--vary", multiple=True, metavar="KEY=VALUES", help="LOW:HIGH:log:COUNT, LOW:HIGH:lin:COUNT or a,b,c.")
@click.option("--zip", "beside", is_flag=True, help="Take values side by side instead of every combination.")
@click.option(
    "--from", "table", metavar="TABLE", help="One scenario a row; columns are dotted keys (.csv .parquet .xlsx)."
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override a value: demand.requests=2B.")
@allow_outside_option
@click.option("--columns", metavar="NAMES", help="What to keep: params,tokens,total,savings_fraction if left out.")
@click.option(
    "-o",
    "--output",
    metavar="PLACE",
    help="Where to: a .parquet folder or URL, a .csv or an .arrow; with --summary a file.",
)
@click.option("--engine", type=click.Choice(ENGINES), help="Where blocks run; threads, or processes for single rows.")
@click.option("--workers", type=click.IntRange(1), help="One for each core if left out.")
@click.option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster that runs already; with --engine dask.")
@click.option("--resume", is_flag=True, help="Go on with the same sweep where it was broken off.")
@click.option("--yes", is_flag=True, help="Go on, however large it is.")
@click.option("--summary", metavar="PLACE", help="Read a sweep back instead: best, worst and quantiles.")
@click.option("--by", metavar="COLUMN", help="For --summary: quantiles for each value of a column.")
@click.option("--best", type=int, help="For --summary: rows in each list; 3 if left out.")
@click.option("--quantiles", metavar="SHARES", help="For --summary: .05,.25,.5,.75,.95 if left out.")
@click.option("--pivot", metavar="ROW,COLUMN,VALUE", help="For --summary: a table of means instead.")
@click.option("--partial", is_flag=True, help="For --summary: read a sweep that is not complete.")
@click.option("--format", "format_", type=click.Choice(out.FORMATS), help="For --summary: text by default.")
@out.quiet_option
def command(
    scenario: str | None,
    vary: tuple[str, ...],
    beside: bool,
    table: str | None,
    assignments: tuple[str, ...],
    allow_outside: bool,
    columns: str | None,
    output: str | None,
    engine: str | None,
    workers: int | None,
    scheduler: str | None,
    resume: bool,
    yes: bool,
    summary: str | None,
    by: str | None,
    best: int | None,
    quantiles: str | None,
    pivot: str | None,
    partial: bool,
    format_: str | None,
) -> None:
    """Solve SCENARIO with many values of its keys at once, every combination a row.

    A row without a plan stays, with its status. Rows are solved and written block by block: memory does not grow
    with their number. --resume goes on where an interrupt, or a full disk, broke off.

    \b
    bc-opt sweep plan.yaml --vary demand.requests=1e6:1e12:log:200 --vary training.price=1:4:lin:50 \\
        --vary law=sardana-2024,besiroglu-2024 -o sweep.parquet
    bc-opt sweep plan.yaml --from cases.csv --columns params,total,binding -o plans.csv
    bc-opt sweep --summary sweep.parquet --by law
    bc-opt sweep --summary sweep.parquet --pivot training.price,law,total --format csv
    """
    making = {
        "SCENARIO": scenario, "--vary": vary, "--zip": beside, "--from": table, "--set": assignments,
        "--allow-outside": allow_outside, "--columns": columns, "--engine": engine, "--workers": workers,
        "--scheduler": scheduler, "--resume": resume, "--yes": yes,
    }  # fmt: skip
    reading = {
        "--by": by, "--best": best, "--quantiles": quantiles, "--pivot": pivot, "--partial": partial,
        "--format": format_,
    }  # fmt: skip
    if summary is not None:
        _refuse(making, "makes a sweep; --summary reads one")
        _summarise(summary, by, best, quantiles, pivot, partial, format_, output)
        return
    _refuse(reading, "goes with --summary")
    if scenario is None:
        raise InputError("which scenario? give its file, or --summary and a sweep")
    if output is None:
        raise InputError("a sweep needs --output: sweep.parquet, sweep.csv, sweep.arrow or a URL ending in .parquet")
    if scheduler is not None and engine is None:
        engine = "dask"
    from beyond_chinchilla.analyse.sweep.plan import plan_sweep
    from beyond_chinchilla.scenario.load import load

    loaded = load(scenario, assignments, allow_outside=allow_outside)
    with Progress("checking scenarios") as progress:
        asked = plan_sweep(
            loaded,
            vary=vary,
            beside=beside,
            table_path=table,
            columns=() if columns is None else tuple(name.strip() for name in columns.split(",")),
            output=output,
            allowed=yes,
            progress=lambda done: progress.advance(done, 0),
        )
    _make(asked, engine, workers, scheduler, resume)


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Refuse options that would be ignored."""
    for option, value in options.items():
        if value not in (None, False, ()):
            raise InputError(f"{option} {why}")


def _make(asked: Sweep, engine: str | None, workers: int | None, scheduler: str | None, resume: bool) -> None:
    """Run a sweep, and say how far it came if it is broken off."""
    from beyond_chinchilla.analyse.sweep.run import is_full
    from beyond_chinchilla.engines.engine import cores
    from beyond_chinchilla.report.sweep import finished, slow_rows

    slow = asked.slow
    if slow is not None:
        out.note(slow_rows(slow, 1 if engine in ("serial", "threads") else workers or cores()))
    start = time.monotonic()
    state = {"done": 0, "first": -1}
    # What is said of an end that came early is said when the bar has gone.
    try:
        with Progress("sweeping") as progress:

            def tell(done: int, total: int) -> None:
                if state["first"] < 0:
                    state["first"] = done
                state["done"] = done
                pace = (done - state["first"]) / max(time.monotonic() - start, 1e-9)
                progress.advance(done, total, f"sweeping, {format_number(pace)} rows/s" if pace else None)

            outcome: Outcome = asked.run(
                # Solvers of single rows hold Python's lock, arrays do not.
                engine_name=engine or ("threads" if slow is None else "processes"),
                workers=workers,
                scheduler=scheduler,
                resume=resume,
                progress=tell,
            )
    except KeyboardInterrupt as stop:
        out.tell(f"interrupted at {state['done']:,} of {asked.rows:,} rows; --resume goes on from there")
        raise click.exceptions.Exit(getattr(stop, "exit_code", exit_code_of(signal.SIGINT))) from None
    except InputError as error:
        if is_full(error):
            raise InputError(
                f"{error}; {state['done']:,} of {asked.rows:,} rows are safe: make room, and go on with --resume"
            ) from None
        raise
    out.note(finished(outcome, time.monotonic() - start))


def _summarise(
    place: str,
    by: str | None,
    best: int | None,
    quantiles: str | None,
    pivot: str | None,
    partial: bool,
    format_: str | None,
    output: str | None,
) -> None:
    """Read a sweep back."""
    from beyond_chinchilla.analyse.sweep.kept import open_sweep
    from beyond_chinchilla.analyse.sweep.summary import QUANTILES, summarise
    from beyond_chinchilla.report import markdown, tables
    from beyond_chinchilla.report import sweep as words

    target = None if output is None else Path(output)
    chosen = out.choose_format(format_, target)
    kept = open_sweep(place, partial=partial)
    if pivot is not None:
        _refuse({"--by": by, "--best": best, "--quantiles": quantiles}, "goes with the page, not with --pivot")
        _pivot(kept, pivot, chosen, target)
        return
    with Progress("reading") as progress:
        found = summarise(
            kept,
            by=by,
            best=3 if best is None else best,
            shares=QUANTILES if quantiles is None else _shares(quantiles),
            progress=progress.advance,
        )
    if chosen == "json":
        out.emit(tables.to_json(found.to_dict()), target)
    elif chosen == "csv":
        out.emit(tables.to_csv(found.to_rows()), target)
    elif chosen == "markdown":
        out.emit("\n".join([*markdown.render(words.summary(found)), ""]).lstrip(), target)
    else:
        out.show(lambda console: _print(console, words.summary(found)), target)


def _pivot(kept: Kept, names: str, chosen: str, target: Path | None) -> None:
    from beyond_chinchilla.analyse.sweep import summary
    from beyond_chinchilla.report import sweep as words
    from beyond_chinchilla.report import tables

    three = [name.strip() for name in names.split(",")]
    if len(three) != 3:
        raise InputError(f"--pivot {names}: write it like --pivot training.price,law,total")
    found = summary.pivot(kept, *three)
    if chosen in ("csv", "json"):
        rows = found.to_rows()
        out.emit(tables.to_json(rows) if chosen == "json" else tables.to_csv(rows), target)
        return
    heads, cells = words.pivot(found)
    if chosen == "markdown":
        out.emit(tables.to_markdown(heads, cells), target)
    else:
        note = f"mean {three[2]} over the plans of each {three[0]} and {three[1]}"
        out.show(lambda console: tables.print_table(console, heads, cells, note), target)


def _print(console: Console, blocks: list[Block]) -> None:
    from beyond_chinchilla.report import text

    for block in blocks:
        text.draw(console, block)


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(parse_number(part.strip()) for part in text.split(","))
    except InputError as error:
        raise InputError(f"--quantiles: {error}") from None
