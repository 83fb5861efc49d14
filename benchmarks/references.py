"""Which published numbers come out, and how close? ``python -m benchmarks.references [PART ...]``.

Each part is a table of markdown: what the source prints, what this package computes, the difference, and whether
that is within half of the last printed digit. The page docs/how-we-know.md is made of them. The part `runs` refits
public training runs and reads them from the folder named by BC_DATA (by default shared/data beside the repository).
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import beyond_chinchilla as bc
from benchmarks.past_references import memory, past_laws
from benchmarks.published import Row, markdown, print_parts, table
from benchmarks.refits import data_folder, runs
from beyond_chinchilla.analyse import validation
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.flops import Architecture
from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.report import rows as report_rows
from beyond_chinchilla.units import format_number

ROOT = Path(__file__).parent.parent
# In the heading of a scenario: "# Published: params 16B, saved 17%, with demand.input_tokens=..."
_PUBLISHED = re.compile(r"^# Published: (?P<figures>.*), with (?P<reading>.*)$", re.MULTILINE)
_NAMES = {"params": "parameters", "tokens": "tokens", "saved": "saved"}


# Parts that need nothing but the repository


def worked_cases() -> str:
    """Return the paper's cases in FLOPs."""
    return table(list(_flops_cases()))


def _flops_cases() -> Iterator[Row]:
    paper = "Sardana et al. 2024"
    first, second, third = (_solve(f"flops-{name}") for name in ("13B-2T-tokens", "30B-10T-tokens", "70B-10T-tokens"))
    one = f"{paper}, Figure 1: 13B quality, 2T tokens"
    yield Row(source=one, figure="parameters", printed="7B", ours=_figure(first, "params"))
    yield Row(source=one, figure="FLOPs saved", printed="1.7e22", ours=_saved(first))
    yield Row(source=one, figure="saved", printed="17%", ours=_figure(first, "saved"))
    two = f"{paper}, section 2: 30B quality, 10T tokens"
    yield Row(source=two, figure="parameters", printed="13.6B", ours=_figure(second, "params"))
    data = _figure(second, "tokens") / second.baseline.tokens
    yield Row(source=two, figure="tokens over Chinchilla's", printed="2.84", ours=data)
    yield Row(source=two, figure="saved", printed="28%", ours=_figure(second, "saved"))
    three = f"{paper}, Table 2: 70B quality, 10T tokens"
    rounded = "that of a loss of 1.8917; 70B has 1.89179"
    yield Row(source=three, figure="Chinchilla's tokens", printed="4.26T", ours=third.baseline.tokens, note=rounded)
    yield Row(source=three, figure="parameters", printed="41.6B", ours=_figure(third, "params"))
    yield Row(source=three, figure="tokens", printed="7.92T", ours=_figure(third, "tokens"))
    yield Row(source=three, figure="saved", printed="12%", ours=_figure(third, "saved"))


def dollar_cases() -> str:
    """Return the paper's cases in dollars, under its stated assumptions and under those that its figures need."""
    cells = []
    for path in sorted((ROOT / "scenarios").glob("cost-*.yaml")):
        text = path.read_text(encoding="utf-8")
        found = _PUBLISHED.search(text)
        if found is None:
            raise ValueError(f"{path.name} has no line '# Published: ..., with ...'")
        reading = tuple(found["reading"].split(", "))
        case = path.stem.removeprefix("cost-").replace("-", " quality, ", 1).replace("-", " ")
        stated, read = _solve(path.stem), _solve(path.stem, reading)
        for pair in found["figures"].split(", "):
            key, printed = pair.split()
            row = Row(source=case, figure=_NAMES[key], printed=printed, ours=_figure(read, key))
            literal = Row(source=case, figure=_NAMES[key], printed=printed, ours=_figure(stated, key))
            *_, ours, difference, verdict = row.cells()
            cells.append(
                [case, _NAMES[key], printed, literal.cells()[3], literal.cells()[4], ours, difference, verdict]
            )
            case = ""
    heads = ["case", "figure", "printed", "as stated", "difference", "with 70/215", "difference", "within rounding"]
    return markdown(heads, cells)


def calculators() -> str:
    """Return what other people's calculators print."""
    return table([*_authors_calculators(), *_de_vries()])


def _authors_calculators() -> Iterator[Row]:
    law = bc.law("sardana-2024")
    readme = "Sardana et al., README of the code: "
    loss = float(law.loss(70e9, 1e12))
    yield Row(source=readme + "model_calculator", figure="loss of 70B on 1T", printed="1.947", ours=loss)
    source = readme + "compute_optimal, loss 1.947, 2T tokens served"
    best = bc.optimum(law, 1.947, train_rate=6.0, serve_rate=2 * 2e12)
    base = law.compute_optimal(loss=1.947)
    params, tokens = float(best.params), float(best.tokens)
    cost, base_cost = (6 * N * D + 4e12 * N for N, D in ((params, tokens), (float(base.params), float(base.tokens))))
    yield Row(source=source, figure="parameters", printed="2.418e10", ours=params)
    yield Row(source=source, figure="tokens", printed="2.657e12", ours=tokens)
    yield Row(source=source, figure="parameters over Chinchilla's", printed="70.96%", ours=params / float(base.params))
    yield Row(source=source, figure="tokens over Chinchilla's", printed="146.77%", ours=tokens / float(base.tokens))
    yield Row(source=source, figure="cost over Chinchilla's", printed="95.22%", ours=cost / base_cost)
    source = readme + "cost_calculator, 30B, 1B requests of 500 + 100 tokens"
    demand = Demand.from_requests(1e9, input_tokens=500, output_tokens=100)
    point = {"params": 30e9, "tokens": float(law.compute_optimal(params=30e9).tokens)}
    flops = lifetime_flops(demand)
    bill = lifetime_cost(
        training=HiredCompute(price=2.00, peak=accelerator("h100-sxm").peak_flops("bf16")),
        training_mfu=0.5,
        serving=HiredCompute(price=1.10, peak=accelerator("a100-40gb-sxm").peak_flops("int8")),
        prefill_mfu=0.5,
        decode_mfu=0.01,
        demand=demand,
    )
    yield Row(source=source, figure="tokens", printed="1.556e12", ours=point["tokens"])
    yield Row(source=source, figure="training FLOPs", printed="2.801e23", ours=float(flops.totals(point)["training"]))
    yield Row(source=source, figure="all FLOPs", printed="3.161e23", ours=float(flops.value(point)))
    yield Row(source=source, figure="training", printed="$3.146e5", ours=float(bill.totals(point)["training"]))
    yield Row(source=source, figure="total", printed="$6.378e5", ours=float(bill.value(point)))


def _de_vries() -> Iterator[Row]:
    """How much more compute a smaller model takes to the same loss."""
    law = bc.law("sardana-2024")
    base = law.compute_optimal(params=70e9)
    # (size over the compute-optimal one, overhead as printed)
    for share, printed, note in (
        (0.57, "12%", "cut, not rounded"),
        (0.50, "20%", "cut, not rounded"),
        (0.30, "~100%", "printed as about"),
        (0.25, "188%", "cut, not rounded"),
    ):
        tokens = float(law.tokens_for(share * 70e9, float(base.loss)))
        yield Row(
            source="De Vries 2023, Go smol or go home",
            figure=f"compute overhead at {share:.0%} of the size",
            printed=printed,
            ours=share * tokens / float(base.tokens) - 1.0,
            note=note,
        )


def published_laws() -> str:
    """Return what the laws of the catalogue say where their papers print it."""
    found = [
        Row(
            source="Hoffmann et al. 2022, section 3.4, approach 3",
            figure="parameters at Gopher's budget",
            printed="40B",
            ours=float(bc.law("hoffmann-2022-tex").compute_optimal(flops=5.76e23).params),
        ),
        Row(
            source="Hoffmann et al. 2022, Table 2, approach 3",
            figure="exponent a, N ~ C^a",
            printed="0.46",
            ours=bc.law("hoffmann-2022-tex").data_share,
        ),
        Row(
            source="Besiroglu et al. 2024, Table 1",
            figure="exponent a, N ~ C^a",
            printed="0.513",
            ours=bc.law("besiroglu-2024").data_share,
        ),
    ]
    return table([*found, *_table_a3(), *_table_a4()])


def _table_a3() -> Iterator[Row]:
    law = bc.law("sardana-2024")
    for line in _reference("hoffmann_2022_table_a3.csv"):
        yield Row(
            source="Hoffmann et al. 2022, Table A3, approach 3",
            figure=f"tokens for {line['params_printed']}",
            printed=line["tokens_printed"],
            ours=float(law.compute_optimal(params=float(line["params"])).tokens),
            note="the constants in print that come closest",
        )


def _table_a4() -> Iterator[Row]:
    for line in _reference("hoffmann_2022_table_a4.csv"):
        shape = Architecture(
            layers=int(line["layers"]),
            width=int(line["width"]),
            feed_forward=int(line["feed_forward"]),
            heads=int(line["heads"]),
            head_size=int(line["head_size"]),
            vocabulary=32_000,
        )
        yield Row(
            source="Hoffmann et al. 2022, Table A4, N as counted",
            figure=f"exact FLOPs over 6 N D, {line['name']}",
            printed=line["ratio"],
            ours=shape.ratio_to_6nd(float(line["params_counted"]), embeddings=False),
        )


# Measured


def serving() -> str:
    """Return predicted and measured throughput of serving."""
    rows = validation.serving_table()
    cells = [
        [
            f"{row.hardware} {row.precision} x {row.gpus}",
            f"{row.input_tokens:g} + {row.output_tokens:g}",
            format_number(row.measured, 4),
            format_number(row.predicted, 4),
            f"{row.ratio - 1:+.0%}",
            row.use,
        ]
        for row in rows
    ]
    heads = ["served on", "input + output", "measured [tokens/s per GPU]", "predicted", "difference", "used to"]
    checked = [row.ratio for row in rows if row.use == "check"]
    return f"{markdown(heads, cells)}\n\n{_summary(checked, 'checked rows')}"


def training() -> str:
    """Return predicted and reported hours of published training runs."""
    rows = validation.training_table()
    cells = [
        [
            row.model,
            row.hardware,
            format_number(row.reported),
            format_number(row.predicted),
            f"{row.ratio - 1:+.0%}",
            f"{row.all_in_mfu:.1%}",
            f"{row.published_percent}%" if row.published_percent else "",
        ]
        for row in rows
    ]
    heads = ["model", "chip", "reported [chip-hours]", "predicted", "difference", "all-in MFU", "as published"]
    return f"{markdown(heads, cells)}\n\n{_summary([row.ratio for row in rows], 'runs')}"


def _summary(ratios: list[float], what: str) -> str:
    middle, largest = validation.log_error(ratios)
    return (
        f"{len(ratios)} {what}: off by a factor of {math.exp(middle):.2f} in the median, "
        f"{math.exp(largest):.2f} at worst."
    )


def _reference(name: str) -> list[dict[str, str]]:
    lines = (ROOT / "tests" / "references" / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def _solve(stem: str, changes: tuple[str, ...] = ()) -> Plan:
    return bc.solve(bc.load(ROOT / "scenarios" / f"{stem}.yaml", changes))


def _figure(plan: Plan, key: str) -> float:
    return float(report_rows.flat(plan)[{"saved": "savings_fraction"}.get(key, key)])


def _saved(plan: Plan) -> float:
    assert plan.savings is not None
    return plan.savings


PARTS: dict[str, Callable[[], str]] = {
    "flops": worked_cases,
    "dollars": dollar_cases,
    "calculators": calculators,
    "laws": published_laws,
    "past": past_laws,
    "memory": memory,
    "serving": serving,
    "training": training,
    "runs": runs,
}


def main() -> None:
    """Print the parts that are asked for, or all whose data is there."""
    folder = data_folder()
    missing = {} if folder.is_dir() else {"runs": f"no folder {folder}; set BC_DATA to the one with the public runs"}
    print_parts(__doc__, PARTS, left_out=missing)


if __name__ == "__main__":
    main()
