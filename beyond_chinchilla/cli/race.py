"""``bc-opt race``: which model is ahead when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from beyond_chinchilla.cli import output as out
from beyond_chinchilla.cli import plotting
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.report.plots.gallery import RACE_NAMES
from beyond_chinchilla.units import format_money, format_number, format_percent, parse_number, parse_quantity

if TYPE_CHECKING:
    from rich.console import Console

    from beyond_chinchilla.fit.race import Extrapolation, Race

_FRONTIER_LINES = 12


class _Section(NamedTuple):
    title: str
    heads: list[str]
    cells: list[list[str]]
    note: str


@click.command("race", short_help="Find which model is ahead when, from loss curves over GPU-hours.")
@click.argument("curves", nargs=-1, required=True, metavar="CURVE...")
@click.option("--name", "names", multiple=True, help="Name of a curve, once for each in order; by default its file's.")
@click.option("--price", metavar="USD/HOUR", help="Price of a GPU-hour: times are given in dollars, too.")
@click.option("--loss", metavar="NATS", help="When does each reach this loss, and what does the first one save?")
@click.option("--hours", metavar="HOURS", help="What loss has each reached by then?")
@click.option("--extrapolate", metavar="SHARE", help="Go on with the last share of each run, such as 20%.")
@click.option("--tail", type=click.Choice(["power", "linear"]), default="power", show_default=True, help="Its form.")
@click.option("--window", default="0.1", show_default=True, help="Width of the smoothing window in ln hours.")
@click.option("--margin", default="0.002", show_default=True, help="Lead in nats from which a model has passed.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the extrapolation's intervals.")
@plotting.plot_option(RACE_NAMES)
@out.output_options
def command(
    curves: tuple[str, ...],
    names: tuple[str, ...],
    price: str | None,
    loss: str | None,
    hours: str | None,
    extrapolate: str | None,
    tail: Any,
    window: str,
    margin: str,
    seed: int,
    plot: str | None,
    format_: str | None,
    output: Path | None,
) -> None:
    """Set the loss curves of several models on one time axis, and say who is ahead when and who passes whom.

    A CURVE is a text file with the columns Hours and Loss, split by tabs, commas or semicolons. Rows are sorted by
    hours, and those of equal hours merged. A run that has ended keeps its last loss. Losses on other data or of another
    tokenizer do not compare. CSV holds every curve at 50 log-spaced times.

    \b
    bc-opt race 7B.tsv 13B.tsv 70B.tsv
    bc-opt race 7B.tsv 13B.tsv --price 1.50 --loss 1.75 --hours 100k
    bc-opt race 7B.tsv 13B.tsv --extrapolate 20% -o race.json
    bc-opt race 7B.tsv 13B.tsv 70B.tsv --plot race -o race.svg
    """
    from beyond_chinchilla.fit.curves import read_curve
    from beyond_chinchilla.fit.race import MISLEADING, race
    from beyond_chinchilla.report import tables

    drawing = plotting.requested(plot, RACE_NAMES, format_, output)
    chosen = "plot" if drawing else out.choose_format(format_, output)
    asked = {"--loss": loss, "--hours": hours, "--extrapolate": extrapolate}
    if drawing is not None and any(asked.values()):
        ignored = " and ".join(option for option, value in asked.items() if value)
        raise InputError(f"{ignored}: no place for that in a picture; leave out --plot")
    if names and len(names) != len(curves):
        raise InputError(f"--name is given {len(names)} times for {len(curves)} curves; name all of them or none")
    if seed < 0:
        raise InputError(f"--seed {seed}: give a whole number from 0")
    level = None if loss is None else parse_quantity(loss, "nats/token")
    budget = None if hours is None else parse_quantity(hours, "hour")
    found = race(
        [read_curve(path, name=names[index] if names else None) for index, path in enumerate(curves)],
        window=parse_number(window),
        margin=parse_quantity(margin, "nats/token"),
        price=None if price is None else parse_quantity(price, "USD/hour"),
    )
    if drawing is not None:
        from beyond_chinchilla.report.plots.subject import RaceSubject

        drawing.write(RaceSubject(race=found))
        return
    reaching = None if level is None else found.reaching(level)
    spending = None if budget is None else found.spending(budget)
    tails = None
    if extrapolate is not None:
        tails = found.extrapolate(parse_number(extrapolate), hours=budget, loss=level, tail=tail, seed=seed)
        out.tell(f"warning: {MISLEADING}")
    if chosen == "json":
        record = found.to_dict() | {"loss": level, "reaching": reaching}
        record |= {"hours": budget, "spending": spending}
        if tails is not None:
            record |= {"extrapolation": [asdict(each) for each in tails], "warnings": [MISLEADING]}
        out.emit(tables.to_json(record), output)
        return
    if chosen == "csv":
        out.emit(tables.to_csv(found.table()), output)
        return
    sections = [_leads(found), _crossings(found), _frontier(found)]
    if reaching is not None and level is not None:
        sections.append(_reaching(found, reaching, level))
    if spending is not None and budget is not None:
        sections.append(_spending(found, spending, budget))
    if tails is not None:
        sections.append(_extrapolation(tails, MISLEADING))
    if chosen == "markdown":
        out.emit(_markdown(_answer(found), sections, _notes(found)), output)
    else:
        out.show(lambda console: _page(console, _answer(found), sections, _notes(found)), output)


def _answer(found: Race) -> str:
    if len(found.leads) == 1:
        return f"{found.leads[0].name} is ahead throughout."
    stretches = [f"{lead.name} to {_hours(lead.end)}" for lead in found.leads[:-1]]
    return f"Ahead: {', '.join(stretches)}, then {found.leads[-1].name}."


def _leads(found: Race) -> _Section:
    cells = []
    ends = {curve.name: curve.final_hours for curve in found.curves}
    for lead in found.leads:
        losses = found.loss_at([lead.start, lead.end])[found.names.index(lead.name)]
        over = "run ends within" if lead.start < ends[lead.name] < lead.end else ""
        over = "run has ended" if ends[lead.name] <= lead.start else over
        cells.append(
            [lead.name, *_times(found, lead.start), *_times(found, lead.end), *(f"{loss:.4f}" for loss in losses), over]
        )
    heads = ["model", *_heads(found, "from"), *_heads(found, "to"), "loss", "to loss", ""]
    return _Section(
        "Who is ahead when", heads, cells, "The loss is that of the model named, as its lead begins and ends."
    )


def _crossings(found: Race) -> _Section:
    cells = []
    for each in found.crossings:
        if not each.finished:
            same = _hours(each.first_hours) == _hours(each.hours)
            near = "" if same else f"level from {_hours(each.first_hours)}"
            remark = "; ".join(part for part in ("again" if each.again else "", near) if part)
            cells.append([each.overtaker, *_times(found, each.hours), f"{each.loss:.4f}", each.overtaken, remark])
    ended = sum(each.finished for each in found.crossings)
    note = "again: it had been ahead of the other before."
    if ended:
        note += f" {ended} more pass a model whose run had ended: --format json lists them."
    title = "Who passes whom" if cells else "No model passes another that is still training"
    return _Section(title, ["model", *_heads(found, "at"), "loss", "passes", ""], cells, note)


def _frontier(found: Race) -> _Section:
    cells = [
        [row["leader"], *_times(found, row["hours"]), f"{row['loss']:.4f}"] for row in found.table(_FRONTIER_LINES)
    ]
    return _Section(
        "The least loss for the time",
        ["model", *_heads(found, "by"), "loss"],
        cells,
        "--format csv: every curve at 50 times.",
    )


def _reaching(found: Race, rows: Sequence[dict[str, Any]], loss: float) -> _Section:
    cells = []
    for row in rows:
        if row["hours"] is None:
            cells.append([row["name"], *[""] * (len(_heads(found, "")) * 2), "never"])
            continue
        remark = "at most: the curve begins there" if row["by"] else ""
        cells.append([row["name"], *_times(found, row["hours"]), *_times(found, row["saved_by_first"]), remark])
    heads = ["model", *_heads(found, "at"), *_heads(found, "saved by the first"), ""]
    return _Section(f"Loss {loss:g}", heads, cells, "Saved: by the model that is there first, against this one.")


def _spending(found: Race, rows: Sequence[dict[str, Any]], hours: float) -> _Section:
    money = "" if found.price is None else f" ({format_money(hours * found.price)})"
    cells = [
        [
            row["name"],
            "" if row["loss"] is None else f"{row['loss']:.4f}",
            "no loss so early" if row["loss"] is None else ("run has ended" if row["finished"] else ""),
        ]
        for row in rows
    ]
    return _Section(
        f"By {_hours(hours)}{money}", ["model", "loss", ""], cells, "A run that has ended keeps its last loss."
    )


def _extrapolation(tails: Sequence[Extrapolation], warning: str) -> _Section:
    if not tails:
        return _Section("No run ends before that time: nothing to extrapolate", [], [], warning)
    cells = []
    for each in tails:
        low, high = each.interval or (each.loss, each.loss)
        reaches = "" if each.reaches is None else _hours(each.reaches)
        # A line that leaves the positive losses says itself what it is worth.
        odd = " (impossible)" if each.loss <= 0 else ""
        figures = [f"{each.loss:.4f}{odd}", f"{low:.4f} to {high:.4f}", format_percent(each.ahead, 0)]
        cells.append([each.name, *figures, reaches])
    heads = ["model", "loss", "95% interval", "ahead of all", "reaches the loss at"]
    title = f"If the tails went on ({tails[0].tail}) to {_hours(tails[0].hours)}"
    return _Section(title, heads, cells, warning)


def _notes(found: Race) -> list[str]:
    notes = []
    for curve in found.curves:
        parts = []
        if curve.falls:
            parts.append(f"{curve.falls} of {curve.rows} points stood before the one above them and were sorted")
        if curve.merged:
            parts.append(f"{curve.merged} of {curve.rows} had hours given already and were merged")
        if parts:
            notes.append(f"{curve.name}: {'; '.join(parts)}.")
    notes.append(
        f"Smoothed over {found.window:g} in ln hours; a model has passed with a lead of {found.margin:g} nats; "
        "a run that has ended keeps its last loss."
    )
    return notes


def _hours(hours: float) -> str:
    return f"{format_number(hours)} h"


def _times(found: Race, hours: float) -> list[str]:
    text = _hours(hours)
    return [text] if found.price is None else [text, format_money(hours * found.price)]


def _heads(found: Race, word: str) -> list[str]:
    return [word] if found.price is None else [word, "USD"]


def _page(console: Console, answer: str, sections: Sequence[_Section], notes: Sequence[str]) -> None:
    from rich.text import Text

    from beyond_chinchilla.report import tables

    console.print(Text(answer, style="bold"))
    for section in sections:
        console.print()
        console.print(Text(section.title, style="bold"))
        if section.cells:
            tables.print_table(console, section.heads, section.cells, section.note)
        elif section.note:
            console.print(Text(section.note, style="dim"))
    console.print()
    for note in notes:
        console.print(Text(note, style="dim"))


def _markdown(answer: str, sections: Sequence[_Section], notes: Sequence[str]) -> str:
    from beyond_chinchilla.report import markdown, tables

    parts = [f"**{markdown.escape(answer)}**\n"]
    for section in sections:
        parts.append(f"## {markdown.escape(section.title)}\n")
        if section.cells:
            parts.append(tables.to_markdown(section.heads, section.cells))
        if section.note:
            parts.append(f"{markdown.sentence(section.note)}\n")
    parts += [f"- {markdown.sentence(note)}" for note in notes]
    return "\n".join(parts) + "\n"
