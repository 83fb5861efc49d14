"""What papers print about laws past Chinchilla: the part `past` of ``benchmarks.references``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from benchmarks.published import Row, markdown, table
from beyond_chinchilla.laws import catalogue, repetition, shape, suites
from beyond_chinchilla.laws.experts import expert_laws

REFERENCES = Path(__file__).parent.parent / "tests" / "references"
# Ludziejewski et al. 2025, Table 1: FLOPs, experts, active parameters and tokens of the compute-optimal model
_TABLE_1 = (
    (1e20, 1, "1.7B", "9.7B"), (1e20, 8, "990M", "17B"), (1e20, 32, "669M", "24.9B"),
    (1e21, 1, "5.7B", "29.3B"), (1e21, 8, "3.8B", "44.3B"), (1e21, 32, "2.85B", "58.4B"),
    (1e22, 1, "18.8B", "88.6B"), (1e22, 8, "14.4B", "115.8B"), (1e22, 32, "12.2B", "136.9B"),
)  # fmt: skip
# The same paper: the best number of experts of 1 to 32 in 24, 80 and 640 GB; 32 stands for 32 or more
_MEMORY = {1e21: (16, 32, 32), 1e22: (4, 16, 32), 1e23: (1, 8, 32), 1e24: (1, 1, 16)}
_GIGABYTES = (24, 80, 640)


def past_laws() -> str:
    """Return printed figures of laws of repeated data, experts, shape and benchmark scores."""
    return table([*_muennighoff(), *_ludziejewski(), *_bian(), *_gadre()])


def memory() -> str:
    """Return how many experts fit best in a memory, as printed and by the joint law."""
    laws = expert_laws("ludziejewski-2025")
    rows = []
    for flops, printed in _MEMORY.items():
        cells = [f"{flops:.0e}".replace("+", "")]
        for gigabytes, count in zip(_GIGABYTES, printed, strict=True):
            best = min(laws.counts, key=lambda n: _loss_within(n, flops, gigabytes * 1e9 / 2))
            cells.append(f"{count}, ours {best}")
        rows.append(cells)
    return markdown(["FLOPs", *(f"{each} GB" for each in _GIGABYTES)], rows)


def _loss_within(count: int, flops: float, most_total: float) -> float:
    laws = expert_laws("ludziejewski-2025")
    joint = laws.joint_law(count)
    params = min(float(joint.compute_optimal(flops=flops).params), most_total / laws.total_per_active(count))
    return float(joint.loss(params, flops / (6 * params)))


def _muennighoff() -> Iterator[Row]:
    base = catalogue.law("muennighoff-2023")
    found = repetition.published("muennighoff-2023", unique_tokens=1e11)
    ratio = float(found.unique_params(base)) / 1e11
    source = "Muennighoff et al. 2023, appendix A"
    yield Row(source=source, figure="size worth training over unique tokens", printed="0.051", ours=ratio)


def _ludziejewski() -> Iterator[Row]:
    laws = expert_laws("ludziejewski-2025")
    rounded = "from constants rounded to four digits"
    for flops, count, params, tokens in _TABLE_1:
        power = f"{flops:.0e}".replace("+", "")
        source = f"Ludziejewski et al. 2025, Table 1, {power} FLOPs"
        point = laws.law(count).compute_optimal(flops=flops)
        of = "1 expert" if count == 1 else f"{count} experts"
        yield Row(
            source=source, figure=f"active parameters, {of}", printed=params, ours=float(point.params), note=rounded
        )
        yield Row(source=source, figure=f"tokens, {of}", printed=tokens, ours=float(point.tokens), note=rounded)


def _bian() -> Iterator[Row]:
    source = "Bian et al. 2025, the authors' script: 1.4B, 24 layers of 2048"
    for name, printed, figure in (("bian-2025", "2.914", "loss"), ("bian-2025-tied", "2.916", "loss, gamma = alpha")):
        ours = float(shape.published(name).loss(shape.base_law(name), 1439795200, 28991029248, 2048 / 24))
        yield Row(source=source, figure=figure, printed=printed, ours=ours)


def _gadre() -> Iterator[Row]:
    law, found = catalogue.law("gadre-2024-redpajama"), suites.published_map("gadre-17-redpajama")
    text = (REFERENCES / "gadre_2024_errors.csv").read_text(encoding="utf-8").splitlines()
    rows = {
        (row["data"], int(row["params"]), int(row["tokens_per_param"])): row
        for row in csv.DictReader(line for line in text if not line.startswith("#"))
    }
    digits = "half digits of the printed constants move it by as much as .25 points"
    for params, ratio, of_loss, of_error in (
        (1439795200, 640, "0.7103%", "3.6365%"),
        (6889410560, 20, "0.7320%", "0.0464%"),
    ):
        row = rows["RedPajama", params, ratio]
        source = f"Gadre et al. 2024, the authors' notebook, {params / 1e9:.1f}B"
        loss = float(law.loss(params, params * ratio))
        error = float(found.error(loss))
        off = abs(loss / float(row["loss"]) - 1.0), abs(error / float(row["err17"]) - 1.0)
        yield Row(source=source, figure="prediction of the loss is off by", printed=of_loss, ours=off[0], note=digits)
        yield Row(source=source, figure="prediction of the error is off by", printed=of_error, ours=off[1], note=digits)
