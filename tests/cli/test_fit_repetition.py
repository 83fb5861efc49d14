"""``bc-opt fit --repetition`` as a person and a script meet it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from command_line import refused, run
from real_data import RealData

from beyond_chinchilla.laws.catalogue import law
from beyond_chinchilla.laws.repetition import Repetition

BASE = law("muennighoff-2023")


def runs(path: Path, *, noise: float = 0.003, most: float = 40.0) -> str:
    """Write runs of 1 to `most` epochs at 2 to 200 tokens per parameter, R_D = 12 and R_N = 6; return the path."""
    random = np.random.default_rng(7)
    N = np.exp(random.uniform(math.log(5e7), math.log(5e9), 60))
    D = N * np.exp(random.uniform(math.log(2), math.log(200), 60))
    lines = ["params,tokens,unique tokens,loss"]
    for n, d, epochs in zip(N, D, np.exp(random.uniform(0, math.log(most), 60)), strict=True):
        truth = Repetition(unique_tokens=d / epochs, R_D=12.0, R_N=6.0)
        loss = float(truth.loss(BASE, n, d)) * math.exp(noise * random.standard_normal())
        lines.append(f"{float(n)!r},{float(d)!r},{float(d / epochs)!r},{loss!r}")
    path.write_text("\n".join(lines))
    return str(path)


def test_the_file_holds_the_constants_and_how_sure_they_are(tmp_path: Path) -> None:
    target = tmp_path / "repeats.json"
    page = run("fit", runs(tmp_path / "r.csv"), "--repetition", "--bootstraps", "100", "-o", str(target)).stdout
    # No run of one epoch says whether the base law is right.
    assert "Verdict: usable" in page
    assert "The runs tell R_D from R_N" in page
    assert "data: {unique_tokens: 1.5T, repetition: repeats.json}" in page
    assert max(map(len, page.splitlines())) <= 100
    record = json.loads(target.read_text())
    assert record["schema"] == "beyond-chinchilla/repetition/1"
    assert record["repetition"]["R_D"] == pytest.approx(12.0, rel=0.1)
    assert record["repetition"]["R_N"] == pytest.approx(6.0, rel=0.1)
    assert record["base_law"]["name"] == "muennighoff-2023"
    assert record["intervals"]["R_D"]["low"] < 12.0 < record["intervals"]["R_D"]["high"]
    assert len(record["profiles"]) == 2
    assert str(tmp_path) not in target.read_text()


def test_the_file_goes_into_a_scenario(tmp_path: Path) -> None:
    run("fit", runs(tmp_path / "r.csv", noise=0.0), "--repetition", "--bootstraps", "0", "-o", str(tmp_path / "r.json"))
    scenario = tmp_path / "plan.yaml"
    text = "law: muennighoff-2023\ntarget: {chinchilla: 7B}\ndemand: {tokens: 1T}\nobjective: flops\n"
    scenario.write_text(text + "data: {unique_tokens: 50B, repetition: r.json}\n")
    found = json.loads(run(str(scenario), "--format", "json").stdout)["plan"]
    # As with the constants that made the runs.
    scenario.write_text(text + "data: {unique_tokens: 50B, repetition: {R_D: 12, R_N: 6}}\n")
    known = json.loads(run(str(scenario), "--format", "json").stdout)["plan"]
    assert found["params"] == pytest.approx(known["params"], rel=1e-4)
    assert found["total"] == pytest.approx(known["total"], rel=1e-5)


def test_a_base_law_by_name_is_held(tmp_path: Path) -> None:
    page = run("fit", runs(tmp_path / "r.csv"), "--repetition", "--bootstraps", "0", "--base-law", "besiroglu-2024",
               "--force").stdout  # fmt: skip
    assert page.splitlines()[0].endswith("on law besiroglu-2024")
    assert "E is fitted" in page


def test_other_formats_tell_the_same(tmp_path: Path) -> None:
    path = runs(tmp_path / "r.csv", noise=0.0)
    asked = ("fit", path, "--repetition", "--bootstraps", "0", "--irreducible", f"{BASE.E!r}")
    table = run(*asked, "--format", "csv").stdout.splitlines()
    assert table[0].startswith("figure,value,held,low,high")
    assert float(table[1].split(",")[1]) == pytest.approx(12.0, rel=1e-4)
    page = run(*asked, "--format", "markdown").stdout
    assert page.startswith("# r\n\n`R_D = 12")
    record = json.loads(run(*asked, "--format", "json").stdout)
    assert record["fit"]["E_fitted"] is False
    assert record["repetition"]["R_N"] == pytest.approx(6.0, rel=1e-4)


def test_the_ridge_writes_nothing_and_says_why(bc_data: RealData, tmp_path: Path) -> None:
    path, target = str(bc_data / "colpret_datablations_losses.csv"), tmp_path / "repeats.json"
    result = run("fit", path, "--repetition", "--bootstraps", "0", "-o", str(target), code=1)
    words = " ".join(result.stdout.split())
    assert "Verdict: do not use Ridge: R_D and R_N trade off" in words
    assert "Along the ridge" in words
    assert "the loss rises again, 44 epochs: 6 (rows 369," in words
    assert "same losses as another run under other epochs: 1 (row 6088)" in words
    assert "repeats.json is not written" in result.stderr
    assert not target.exists()
    run("fit", path, "--repetition", "--hold", "R_N=5.309743", "--bootstraps", "0", "-o", str(target))
    record = json.loads(target.read_text())
    assert record["repetition"]["R_N"] == 5.309743
    assert record["repetition"]["most_epochs"] == pytest.approx(14.0, rel=1e-5)
    assert record["verdict"]["word"] == "usable"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hold", "R_N=5"], "--hold R_N=5 goes with --repetition"),
        (["--repetition", "--hold", "R_N"], "--hold R_N: write NAME=NUMBER, such as R_N=5.31"),
        (["--repetition", "--hold", "R_N=some"], "--hold R_N: 'some'"),
        (["--repetition", "--hold", "R_X=5"], "no constant named 'R_X' to hold; did you mean 'R_"),
        (["--repetition", "--hold", "R_N=0"], "R_N = 0 cannot be held; give a number from 0.01 to 10.0k"),
        (["--repetition", "--tied"], "--tied and --repetition do not go together"),
        (["--repetition", "--thinking"], "--thinking and --repetition do not go together"),
        (["--repetition", "--base-law", "kaplan-2020"], "needs a base law L = E + A N^-alpha + B D^-beta"),
        (["--repetition", "--columns", "epochs=passes"], "no such column"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, options: list[str], words: str) -> None:
    (line,) = refused("fit", runs(tmp_path / "r.csv"), "--bootstraps", "0", *options)
    assert words in line
