"""What papers print about fits, beside fits of the same public runs: the part `runs` of ``benchmarks.references``."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import beyond_chinchilla as bc
from benchmarks.published import Row, table
from beyond_chinchilla.fit.bootstrap import bootstrap
from beyond_chinchilla.fit.curves import read_curve
from beyond_chinchilla.fit.filters import filter_runs
from beyond_chinchilla.fit.isoflop import fit_isoflop


def data_folder() -> Path:
    """Return the folder of public training runs."""
    return Path(os.environ.get("BC_DATA") or Path(__file__).parents[2] / "shared" / "data")


def runs() -> str:
    """Refit public runs, and return what their papers print."""
    return table([*_besiroglu(), *_table_1(), *_approach_2(), *_llamas()])


def _besiroglu() -> Iterator[Row]:
    source = "Besiroglu et al. 2024, 240 points of Hoffmann's Figure 4"
    read = filter_runs(bc.read_runs(data_folder() / "epoch_chinchilla_svg_extracted_data.csv"), drop_highest_loss=5)
    fit = bc.fit_parametric(read.params, read.tokens, read.loss)
    sampled = bootstrap(fit)
    yield Row(source=source, figure="objective at the minimum", printed="1.0182740e-3", ours=fit.objective)
    scale = "theirs fits a scale as well"
    for name, printed in {"E": "1.8172", "A": "482.01", "alpha": "0.3478", "B": "2085.43", "beta": "0.3658"}.items():
        yield Row(source=source, figure=name, printed=printed, ours=getattr(fit.law, name), note=scale)
    for name, printed in {"E": "0.02566", "A": "124.52", "alpha": "0.01540", "beta": "0.02060"}.items():
        figure = f"standard error of {name}, 4000 refits"
        exact = "each refit runs to its minimum here"
        yield Row(source=source, figure=figure, printed=printed, ours=sampled.standard_error(name), note=exact)


def _table_1() -> Iterator[Row]:
    read = bc.read_runs(data_folder() / "sardana_mpt_47runs.csv")
    published = {
        "100": ("0.17", "7.199", "0.08", "25.97", "0.13"),
        "250": ("0.98", "14.23", "0.13", "39.54", "0.16"),
        "500": ("0.95", "17.07", "0.13", "35.80", "0.16"),
        "all": ("1.45", "33.66", "0.18", "138.9", "0.24"),
    }
    for most, printed in published.items():
        kept = read if most == "all" else filter_runs(read, max_tokens_per_param=float(most))
        law = bc.fit_parametric(kept.params, kept.tokens, kept.loss).law
        source = f"Sardana et al. 2024, Table 1, {most if most == 'all' else 'up to ' + most} tokens per parameter"
        for name, text in zip(("E", "A", "alpha", "B", "beta"), printed, strict=True):
            flat = "a flat valley; ours runs to its lowest point"
            yield Row(source=source, figure=name, printed=text, ours=getattr(law, name), note=flat)


def _approach_2() -> Iterator[Row]:
    path = data_folder() / "mlscalefit_chinchilla_isoflops.csv"
    with path.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    N, D, loss, C = (np.array([float(line[key]) for line in lines]) for key in ("params", "tokens", "loss", "budget"))
    law = fit_isoflop(N, D, loss, budgets=C).law
    yield Row(
        source="Hoffmann et al. 2022, Table 2, approach 2",
        figure="exponent a, N ~ C^a",
        printed="0.49",
        ours=law.a,
        note="points read off a figure; theirs is 0.462 to 0.534",
    )


def _llamas() -> Iterator[Row]:
    source = "LLaMA curves, read off the papers (espadrine 2023)"
    for name, printed in {
        "llama1-7B": "1.8038",
        "llama1-65B": "1.5572",
        "llama2-7B": "1.7438",
        "llama2-70B": "1.4957",
    }.items():
        curve = read_curve(data_folder() / "llama_curves" / f"{name}.tsv")
        yield Row(source=source, figure=f"final loss of {name}", printed=printed, ours=curve.final_loss)
