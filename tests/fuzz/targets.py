"""What is fuzzed: each target writes files with something wrong in them and returns a command line that reads them."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mutations
import openpyxl
import yaml

ROOT = Path(__file__).parent.parent.parent
Target = Callable[[Path, random.Random], list[str]]

# What is asked of a scenario, beside the bare page.
_ASKED: tuple[tuple[str, ...], ...] = (
    (),
    (),
    ("--format", "json"),
    ("--format", "json"),
    ("--format", "csv"),
    ("--format", "markdown"),
    ("--break-even", "--format", "json"),
    ("--realise", "--format", "json"),
    ("-o", "plan.xlsx"),
    ("-o", "plan.parquet"),
)
_RUNS = {"params": 1, "tokens": 1, "loss": 1}


@cache
def _scenarios() -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "scenarios").glob("*.yaml"))}


@cache
def _trees() -> list[Any]:
    return [yaml.safe_load(text) for text in _scenarios().values()]


def _files_beside(folder: Path) -> None:
    """Copy what shipped scenarios read beside themselves."""
    for path in (ROOT / "scenarios").iterdir():
        if path.is_file() and path.suffix != ".yaml":
            (folder / path.name).write_bytes(path.read_bytes())


def scenario(folder: Path, rng: random.Random) -> list[str]:
    """Write a scenario whose tree is wrong somewhere."""
    _files_beside(folder)
    tree = mutations.trees(rng.choice(_trees()), _trees(), rng)
    text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    (folder / "s.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    return ["s.yaml", *rng.choice(_ASKED)]


def scenario_text(folder: Path, rng: random.Random) -> list[str]:
    """Write a scenario whose text is wrong somewhere."""
    _files_beside(folder)
    text = mutations.texts(rng.choice(list(_scenarios().values())), rng)
    (folder / "s.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    return ["s.yaml", *rng.choice(_ASKED)]


def overrides(folder: Path, rng: random.Random) -> list[str]:
    """Take a sound scenario, and override it with what is odd."""
    _files_beside(folder)
    name = rng.choice(list(_scenarios()))
    (folder / "s.yaml").write_text(_scenarios()[name], encoding="utf-8")
    keys = [
        "demand.requests",
        "target.loss",
        "serving.decode_mfu",
        "training.price",
        "limits.params.max",
        "law",
        "",
        "a.b.c",
    ]
    pairs = [f"{rng.choice(keys)}={rng.choice(mutations.ODD)}" for _ in range(rng.choice((1, 1, 2)))]
    return ["s.yaml", *(part for pair in pairs for part in ("--set", pair.replace("\x00", "0")))]


def law_file(folder: Path, rng: random.Random) -> list[str]:
    """Write a law that a fit could have written, wrong somewhere."""
    law = {"name": "fit", "E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283, "form": "chinchilla"}
    covariance = {"values": [[1e-4 if i == j else 0.0 for j in range(5)] for i in range(5)]}
    tree = {
        "law": law,
        "verdict": {"word": "good"},
        "bootstrap": {"covariance": covariance, "parameters": [[6, 6, 0.5, 0.3, 0.3]]},
    }
    found = mutations.trees(tree, [tree, *_trees()], rng)
    text = json.dumps(found)
    (folder / "law.json").write_text(mutations.texts(text, rng) if rng.random() < 0.3 else text, encoding="utf-8")
    (folder / "s.yaml").write_text(
        "law: law.json\ntarget: {chinchilla: 13B}\ndemand: {tokens: 2T}\nobjective: flops\n", encoding="utf-8"
    )
    return ["s.yaml", *rng.choice(((), ("--format", "json"), ("--risk", "--samples", "300", "--format", "json")))]


def runs(folder: Path, rng: random.Random) -> list[str]:
    """Write a table of training runs, wrong somewhere."""
    rows: list[list[Any]] = [["params", "tokens", "loss"]]
    for _ in range(rng.choice((0, 1, 3, 12, 40))):
        N, D = 10 ** rng.uniform(7, 10), 10 ** rng.uniform(9, 12)
        rows.append([N, D, 1.69 + 406.4 * N**-0.336 + 410.7 * D**-0.283])
    for _ in range(rng.choice((0, 1, 2, 8))):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = rng.choice(mutations.ODD)
    written = io.StringIO()
    csv.writer(written, delimiter=rng.choice(",;\t")).writerows(rows)
    text = written.getvalue()
    text = mutations.texts(text, rng) if rng.random() < 0.5 else text
    (folder / "runs.csv").write_text(text, encoding="utf-8", errors="surrogatepass")
    extra = rng.choice(((), ("--format", "json"), ("--drop-highest-loss", "2"), ("-o", "law.json")))
    return ["fit", "runs.csv", "--bootstraps", "0", *extra]


def workbook(folder: Path, rng: random.Random) -> list[str]:
    """Write a forecast workbook, wrong somewhere."""
    book = openpyxl.Workbook()
    sheet = book.active
    rows: list[list[Any]] = [["Assumptions"], ["Month", "Requests", "Input tokens", "Output tokens"]]
    rows += [[f"2027-{month:02d}", 1e6 * month, 700, 200] for month in range(1, 13)]
    rows += [["GPU price", 2.5], ["Target size", "13B"]]
    for _ in range(rng.choice((0, 1, 4, 12))):
        row = rng.choice(rows)
        value = rng.choice(mutations.ODD)
        row[rng.randrange(len(row))] = (
            value if isinstance(value, (int, float, str)) and abs(len(str(value))) < 300 else None
        )
    for row in rows:
        sheet.append([_cell(value) for value in row])
    stream = io.BytesIO()
    book.save(stream)
    raw = stream.getvalue()
    (folder / "book.xlsx").write_bytes(mutations.data(raw, rng) if rng.random() < 0.4 else raw)
    return ["import", "book.xlsx"]


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return "".join(sign for sign in value if sign.isprintable())
    if isinstance(value, float) and not abs(value) < 1e300:
        return str(value)
    return value if not isinstance(value, int) or abs(value) < 1e15 else str(value)


def prices(folder: Path, rng: random.Random) -> list[str]:
    """Write a price list, wrong somewhere."""
    text = (
        "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Price,SpotPrice,Region\n"
        "p4d.24xlarge,96,1152,A100,8,A100,32.77,9.83,us-east-1\n"
        "p5.48xlarge,192,2048,H100,8,H100,98.32,25.0,us-east-1\n"
    )
    focus = (
        "BilledCost,ChargeCategory,ConsumedQuantity,ConsumedUnit,ServiceName,SkuId,PricingCategory\n"
        "12.5,Usage,5,Hours,EC2,p5.48xlarge,Standard\n"
    )
    chosen = rng.choice((text, focus))
    (folder / "prices.csv").write_text(mutations.texts(chosen, rng), encoding="utf-8", errors="surrogatepass")
    return ["hardware", "--prices", "prices.csv"]


def command_line(folder: Path, rng: random.Random) -> list[str]:
    """Return words that are options, commands or neither, over sound files."""
    (folder / "s.yaml").write_text(_scenarios()["1B-requests.yaml"], encoding="utf-8")
    words = (
        *(
            "solve",
            "frontier",
            "regret",
            "sweep",
            "capacity",
            "import",
            "fit",
            "race",
            "laws",
            "hardware",
            "models",
            "new",
            "schema",
        ),
        *(
            "s.yaml",
            "s.yaml",
            "s.yaml",
            "missing.yaml",
            ".",
            "/",
            "-",
            "--",
            "--format",
            "json",
            "csv",
            "text",
            "markdown",
            "xml",
        ),
        *(
            "-o",
            "out.json",
            "out.xlsx",
            "out.html",
            "out.exe",
            "no/such/folder/out.json",
            "--set",
            "demand.requests=2B",
            "x",
            "=",
            "--plot",
        ),
        *(
            "risk",
            "cost-curve",
            "--risk",
            "--samples",
            "100",
            "0",
            "-1",
            "1e99",
            "--seed",
            "--verify",
            "--break-even",
            "--realise",
            "--over",
        ),
        *(
            "demand.requests=1B..2B:3",
            "target.loss=1..1:1",
            "--points",
            "5",
            "--method",
            "gp",
            "universal",
            "--quiet",
            "--help",
            "--version",
        ),
        *("\x1b[31m", "é", "a" * 300, "sardana-2024", "h100-sxm", "llama-2-7b"),
    )
    return [rng.choice(words) for _ in range(rng.randrange(0, 7))]


TARGETS: dict[str, Target] = {
    "scenario": scenario,
    "scenario text": scenario_text,
    "overrides": overrides,
    "law file": law_file,
    "runs": runs,
    "workbook": workbook,
    "prices": prices,
    "command line": command_line,
}
