"""Every command that writes a file, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_PLAIN = str(ROOT / "scenarios" / "1B-requests.yaml")
_UNCERTAIN = str(ROOT / "scenarios" / "uncertain-demand.yaml")
_FORECAST = str(ROOT / "scenarios" / "batch-by-month.yaml")
_SWEEP = ("sweep", _PLAIN, "--vary", "demand.requests=1e8:1e10:log:300000", "--columns", "total", "-o")


@dataclass(frozen=True)
class Writer:
    """A command that writes a file, whose name comes last.

    Attributes
    ----------
    args : tuple of str
    file : str
    overwrites : bool
        Whether it replaces what is there; the others refuse to.
    same : bool
        Whether two runs write the same bytes.
    """

    args: tuple[str, ...]
    file: str
    overwrites: bool = True
    same: bool = True


def _each(*writers: Writer) -> dict[str, Writer]:
    return {writer.file: writer for writer in writers}


WRITERS = _each(
    Writer((_PLAIN, "-o"), "plan.txt"),
    Writer((_PLAIN, "-o"), "plan.json"),
    Writer((_PLAIN, "-o"), "plan.csv"),
    Writer((_PLAIN, "-o"), "plan.xlsx"),
    Writer((_PLAIN, "-o"), "plan.parquet"),
    Writer((_PLAIN, "-o"), "report.md"),
    Writer((_PLAIN, "-o"), "report.html"),
    # A browser writes its hour into it.
    Writer((_PLAIN, "-o"), "report.pdf", same=False),
    Writer((_PLAIN, "--plot", "terms", "-o"), "plot.png"),
    Writer((_PLAIN, "--plot", "terms", "-o"), "plot.svg"),
    Writer((_PLAIN, "--plot", "terms", "-o"), "plot.pdf"),
    Writer((_UNCERTAIN, "--risk", "--samples", "500", "-o"), "risk.json"),
    Writer(("fit", "runs.csv", "--bootstraps", "20", "-o"), "law.json"),
    Writer(("fit", "runs.csv", "--bootstraps", "20", "-o"), "fit.md"),
    Writer(("frontier", _PLAIN, "--over", "demand", "-o"), "frontier.csv"),
    Writer(("regret", _PLAIN, "--points", "3", "-o"), "regret.json"),
    Writer(("capacity", _FORECAST, "-o"), "capacity.csv"),
    Writer(("race", "small.tsv", "large.tsv", "-o"), "race.json"),
    Writer(("explore", _PLAIN, "-o"), "explore.html"),
    Writer(("import", "forecast.csv", "--template", _PLAIN, "-q", "-o"), "imported.yaml"),
    Writer(("laws", "-o"), "laws.md"),
    Writer(("hardware", "-o"), "hardware.csv"),
    Writer(("models", "-o"), "models.json"),
    Writer(("schema", "-o"), "schema.json"),
    Writer(("new",), "new.yaml", overwrites=False),
    Writer((*_SWEEP,), "sweep.csv", overwrites=False),
    Writer((*_SWEEP,), "sweep.arrow", overwrites=False),
    Writer((*_SWEEP,), "sweep.parquet", overwrites=False),
    Writer(("sweep", "--summary", "there.parquet", "-o"), "summary.csv"),
)
SWEEPS = ("sweep.csv", "sweep.arrow", "sweep.parquet")
# What is printed where no file is named, and so may find nobody who reads it.
PRINTERS: dict[str, tuple[str, ...]] = {
    "plan": (_PLAIN,),
    "plan as json": (_PLAIN, "--format", "json"),
    "hardware as json": ("hardware", "--format", "json"),
    "schema": ("schema",),
    "fit": ("fit", "runs.csv", "--bootstraps", "20"),
    "summary": ("sweep", "--summary", "there.parquet"),
    "explore": ("explore", _PLAIN, "--no-browser"),
    "help": ("--help",),
    "help of solve": ("solve", "--help"),
    "version": ("--version",),
}


def prepare(folder: Path) -> None:
    """Write what the commands read beside themselves, but for the sweep of which there is a summary."""
    rows = ["params,tokens,loss"]
    for size in range(1, 7):
        for ratio in (10, 20, 50, 100):
            N, D = 1e8 * 2**size, 1e8 * 2**size * ratio
            rows.append(f"{N},{D},{1.69 + 406.4 * N**-0.336 + 410.7 * D**-0.283:.6f}")
    (folder / "runs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    months = [f"2027-{month:02d},{month}000000,700,200" for month in range(1, 13)]
    heads = "Month,Requests,Input tokens,Output tokens"
    (folder / "forecast.csv").write_text("\n".join([heads, *months]) + "\n", encoding="utf-8")
    for name, least, slope, end in (("small", 2.2, 1.0, 100), ("large", 2.0, 3.0, 1000)):
        hours = [1.05**step for step in range(142) if 1.05**step < end]
        curve = [f"{hour}\t{least + slope / hour}" for hour in hours]
        (folder / f"{name}.tsv").write_text("\n".join(["Hours\tLoss", *curve]) + "\n", encoding="utf-8")


# Makes the sweep of which there is a summary.
BEFOREHAND = ("sweep", _PLAIN, "--vary", "demand.requests=1e8:1e10:log:50", "-o", "there.parquet")
