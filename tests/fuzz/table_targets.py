"""Tables with something wrong in them: runs, curves, workbooks, price lists, capacity, traces, samples and cases."""

from __future__ import annotations

import csv
import io
import random
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import mutations
import openpyxl
import scenario_targets
from click.testing import CliRunner

from beyond_chinchilla.cli.main import cli

Rows = list[list[Any]]


def runs(folder: Path, rng: random.Random) -> list[str]:
    """Write a table of training runs, or of what else can be fitted."""
    kind = rng.choice(("law", "law", "law", "thinking", "repetition", "downstream"))
    rows: Rows = [_HEADS[kind][:]]
    for _ in range(rng.choice((0, 1, 3, 12, 40))):
        N, D, k = 10 ** rng.uniform(7, 10), 10 ** rng.uniform(9, 12), rng.choice((1, 2, 8, 64))
        loss = 1.69 + 406.4 * N**-0.336 + 410.7 * D**-0.283
        rows.append([N, D, loss] if kind == "law" else [loss, 0.9 - 2.0 * 0.4**loss] if kind == "downstream" else
                    [N, D, k, loss + 0.02 * k**-0.3])  # fmt: skip
    _spoil(rows, rng)
    name = _write_table(folder, "runs", rows, rng)
    options: Sequence[Sequence[str]] = (
        *((), (), ("--format", "json"), ("--format", "csv"), ("--format", "markdown"), ("-o", "law.json")),
        *(("--drop-highest-loss", "2"), ("--tied",), ("--objective", "least-squares"), ("--loss-unit", "bits")),
        *(("--max-tokens-per-param", "100"), ("--min-flops", "1e18"), ("--by-max-tokens-per-param", "50,100")),
        ("--suggest", "2", "--budget", "1e20"),
    )
    chosen = [] if kind == "law" else [f"--{kind}"]
    return ["fit", name, *chosen, "--bootstraps", rng.choice(("0", "0", "20")), *rng.choice(options)]


_HEADS = {
    "law": ["params", "tokens", "loss"],
    "thinking": ["params", "tokens", "samples", "loss"],
    "repetition": ["params", "unique_tokens", "epochs", "loss"],
    "downstream": ["loss", "error"],
}


def curves(folder: Path, rng: random.Random) -> list[str]:
    """Write loss curves of two models."""
    for number in (1, 2):
        rows: Rows = [["Hours", "Loss"]] + [[h, 1.5 + number * h**-0.3] for h in range(1, rng.choice((2, 4, 60)))]
        _spoil(rows, rng)
        (folder / f"{number}.tsv").write_text(_text(rows, rng, "\t"), encoding="utf-8", errors="surrogatepass")
    options: Sequence[Sequence[str]] = (
        *((), ("--format", "json"), ("--format", "csv"), ("--price", "1.5"), ("--loss", "1.75"), ("--hours", "100k")),
        *(("--extrapolate", "20%"), ("--extrapolate", "90%", "--tail", "linear"), ("--window", "0"), ("--margin", "9")),
    )
    return ["race", "1.tsv", "2.tsv", *rng.choice(options)]


def workbook(folder: Path, rng: random.Random) -> list[str]:
    """Write a forecast with assumptions, as a workbook or a text."""
    rows: Rows = [["Assumptions"], ["Month", "Requests", "Input tokens", "Output tokens"]]
    rows += [[f"2027-{month:02d}", 1e6 * month, 700, 200] for month in range(1, 13)]
    rows += [["GPU price", 2.5], ["Target size", "13B"], ["Discount rate", "10%"], ["Chip", "H100"]]
    _spoil(rows, rng)
    name = _write_table(folder, "book", rows, rng, ("xlsx", "xlsx", "csv"))
    options: Sequence[Sequence[str]] = ((), ("--start", "2027-01"), ("--decimal", "comma"), ("-o", "plan.yaml"))
    return ["import", name, *rng.choice(options)]


def own_workbook(folder: Path, rng: random.Random) -> list[str]:
    """Damage a workbook that bc-opt wrote, within one of its parts, and read it back."""
    parts = _own()
    name = rng.choice(list(parts))
    with zipfile.ZipFile(folder / "own.xlsx", "w", zipfile.ZIP_DEFLATED) as package:
        for part, raw in parts.items():
            text = raw.decode("utf-8", errors="surrogateescape")
            mutated = mutations.texts(text, rng) if part == name else text
            package.writestr(part, mutated.encode("utf-8", errors="replace"))
    return ["import", "own.xlsx"]


@cache
def _own() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="fuzz") as name:
        scenario, book = Path(name) / "s.yaml", Path(name) / "own.xlsx"
        scenario.write_text(scenario_targets.scenarios()["1B-requests.yaml"], encoding="utf-8")
        CliRunner().invoke(cli, [str(scenario), "-o", str(book)])
        with zipfile.ZipFile(book) as package:
            return {part: package.read(part) for part in package.namelist()}


@cache
def _price_lists() -> list[str]:
    seeds = sorted((Path(__file__).parent / "seeds" / "prices").glob("*.csv"))
    return [path.read_text(encoding="utf-8", errors="replace") for path in seeds]


def prices(folder: Path, rng: random.Random) -> list[str]:
    """Write a price list, and show it or solve with it."""
    text = mutations.texts(rng.choice(_price_lists()), rng)
    (folder / "prices.csv").write_text(text, encoding="utf-8", errors="surrogatepass")
    options: Sequence[Sequence[str]] = ((), ("--format", "json"), ("--format", "csv"), ("--kind", "spot"))
    if rng.random() < 0.5:
        return ["hardware", "--prices", "prices.csv", *rng.choice(options)]
    training = {"hardware": "h100-sxm", "precision": "bf16", "mfu": "40%"}
    _named(folder, rng, {"training": training, "prices": {"file": "prices.csv"}})
    return ["s.yaml", "--format", "json"]


def capacity(folder: Path, rng: random.Random) -> list[str]:
    """Write GPUs by month, and solve within them."""
    rows: Rows = [["Month", "GPUs"]] + [[f"2027-{month:02d}", 64 * month] for month in range(1, 13)]
    _spoil(rows, rng)
    name = _write_table(folder, "fleet", rows, rng, ("xlsx", "csv", "csv"))
    _named(folder, rng, {"capacity": {"file": name}})
    return [*rng.choice(((), ("capacity",))), "s.yaml", "--format", "json"]


def forecast(folder: Path, rng: random.Random) -> list[str]:
    """Write requests by month, and solve for them."""
    rows: Rows = [["Month", "Requests"]] + [[f"2027-{month:02d}", 1e6 * month] for month in range(1, 13)]
    _spoil(rows, rng)
    name = _write_table(folder, "demand", rows, rng, ("xlsx", "csv", "csv"))
    _named(folder, rng, {"demand": {"file": name, "input_tokens": 700, "output_tokens": 200}})
    return ["s.yaml", "--format", rng.choice(("json", "csv", "text"))]


def trace(folder: Path, rng: random.Random) -> list[str]:
    """Write a trace of requests, and solve with its lengths and hours."""
    heads = rng.choice(
        (["TIMESTAMP", "ContextTokens", "GeneratedTokens"], ["Timestamp", "Request tokens", "Response tokens"])
    )
    count = rng.choice((0, 1, 5, 60))
    rows: Rows = [heads]
    rows += [[600 * n if heads[0][1] == "i" else f"2023-11-16 {n % 24:02d}:15:46", 300 + n, 40] for n in range(count)]
    _spoil(rows, rng)
    (folder / "trace.csv").write_text(_text(rows, rng, ","), encoding="utf-8", errors="surrogatepass")
    _named(folder, rng, {"demand": {"requests_per_month": "10M", "months": 12, "trace": "trace.csv"}})
    return ["s.yaml", "--format", "json"]


def samples(folder: Path, rng: random.Random) -> list[str]:
    """Write samples of an uncertain number, and ask for the risk."""
    rows: Rows = [["requests"]] + [[10 ** rng.uniform(8, 10)] for _ in range(rng.choice((1, 2, 30)))]
    _spoil(rows, rng)
    name = _write_table(folder, "samples", rows, rng, ("csv", "csv", "parquet"))
    tree = dict(scenario_targets.trees()[0])
    tree["demand"] = {**tree["demand"], "requests": {"samples": name, "column": "requests"}}
    scenario_targets.write(folder, tree)
    return ["s.yaml", *rng.choice(((), ("--risk", "--samples", "32"))), "--format", "json"]


def sweep(folder: Path, rng: random.Random) -> list[str]:
    """State a sweep: axes, or a table of cases."""
    (folder / "s.yaml").write_text(scenario_targets.scenarios()["1B-requests.yaml"], encoding="utf-8")
    if rng.random() < 0.4:
        rows: Rows = [["demand.requests", "training.price", "law"]]
        rows += [[10**n, 1.0 + n, "sardana-2024"] for n in range(6, 6 + rng.choice((0, 1, 5)))]
        _spoil(rows, rng)
        name = _write_table(folder, "cases", rows, rng, ("csv", "csv", "parquet", "xlsx"))
        return ["sweep", "s.yaml", "--from", name, "--engine", "serial", "-o", "out.csv"]
    odd = rng.choice(mutations.ODD)
    axes = (
        *("demand.requests=1e6:1e12:log:5", "training.price=1:4:lin:3", "law=sardana-2024,besiroglu-2024"),
        *("target.chinchilla=1B,7B", "training.mfu=10%,50%", f"demand.requests={odd}", f"training.price=1:{odd}:lin:3"),
        *(f"target.chinchilla=1B,{odd}", f"demand.requests=1:2:log:{odd}", f"{odd}=1,2", "name=a,b", "limits=1,2"),
    )
    chosen = [part for _ in range(rng.choice((1, 2, 3))) for part in ("--vary", rng.choice(axes).replace("\x00", ""))]
    columns = rng.choice((["--columns", "params,total,binding,status"], ["--columns", "no"], [], ["--zip"]))
    return ["sweep", "s.yaml", *chosen, *columns, "--engine", "serial", "-o", "out.csv"]


def _named(folder: Path, rng: random.Random, sections: dict[str, Any]) -> None:
    """Write a scenario by the month with other sections."""
    serving = {"hardware": "h100-sxm", "precision": "bf16", "prefill_mfu": "50%", "decode_mfu": "10%"}
    demand = {"requests_per_month": "10M", "months": 12, "start": "2027-01", "input_tokens": 700, "output_tokens": 200}
    base = {
        "law": "sardana-2024",
        "target": {"chinchilla": "7B"},
        "demand": demand,
        "training": {"hardware": "h100-sxm", "precision": "bf16", "price": "2.50 USD/hour", "mfu": "40%"},
        "serving": serving | ({} if "prices" in sections else {"price": "2.50 USD/hour"}),
    }
    scenario_targets.write(folder, base | sections)


def _spoil(rows: Rows, rng: random.Random) -> None:
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        row = rng.choice(rows)
        value = rng.choice(mutations.ODD)
        row[rng.randrange(len(row))] = value if isinstance(value, (int, float, str)) else None


def _text(rows: Rows, rng: random.Random, delimiter: str) -> str:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter).writerows(rows)
    return mutations.texts(written.getvalue(), rng) if rng.random() < 0.5 else written.getvalue()


_KINDS = ("csv", "csv", "csv", "tsv", "jsonl", "xlsx", "parquet")


def _write_table(folder: Path, stem: str, rows: Rows, rng: random.Random, kinds: Sequence[str] = _KINDS) -> str:
    kind = rng.choice(kinds)
    path = folder / f"{stem}.{kind}"
    if kind in ("csv", "tsv"):
        text = _text(rows, rng, "\t" if kind == "tsv" else rng.choice(",,;"))
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        return path.name
    if kind == "xlsx":
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append([_cell(value) for value in row])
        book.save(path)
    elif kind == "parquet":
        _write_parquet(path, rows)
    else:
        import json

        records = [dict(zip(map(str, rows[0]), row, strict=False)) for row in rows[1:]]
        path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    if rng.random() < 0.4:
        path.write_bytes(mutations.data(path.read_bytes(), rng))
    return path.name


def _write_parquet(path: Path, rows: Rows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {}
    for place, head in enumerate(rows[0]):
        values = [row[place] for row in rows[1:]]
        numbers = all(isinstance(value, (int, float)) and abs(value) < 1e300 for value in values)
        texts = [None if value is None else str(value).encode("utf-8", "replace").decode() for value in values]
        columns[str(head).encode("utf-8", "replace").decode()] = [float(v) for v in values] if numbers else texts
    pq.write_table(pa.table(columns), path)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return "".join(sign for sign in value if sign.isprintable())[:300]
    if isinstance(value, float) and not abs(value) < 1e300:
        return str(value)
    return str(value)[:300] if isinstance(value, int) and abs(value) >= 1e15 else value
