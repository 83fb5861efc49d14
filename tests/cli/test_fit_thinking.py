"""``bc-opt fit --thinking`` as a person and a script meet it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import refused, run

from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.thinking import Thinking

LAW = LossLaw(E=0.15, A=60.0, alpha=0.3, B=150.0, beta=0.28)
THINKING = Thinking(G=0.9, g=0.5)


def scores(path: Path, *, sizes: Any = (1e8, 1e9, 1e10), ks: Any = (1, 4, 16, 64), noise: float = 0.0) -> str:
    """Write a table of pass rates and return its path."""
    N, ratio, k = (axis.ravel() for axis in np.meshgrid(sizes, [10.0, 40.0, 160.0], ks))
    loss = THINKING.loss(LAW, N, N * ratio, k) * np.exp(noise * np.random.default_rng(2).standard_normal(N.size))
    rows = zip(N, N * ratio, k, np.exp(-loss), strict=True)
    path.write_text(
        "\n".join(["params,tokens,k,pass@k", *(",".join(f"{cell!r}" for cell in map(float, row)) for row in rows)])
    )
    return str(path)


def test_the_file_holds_a_law_and_what_thinking_adds(tmp_path: Path) -> None:
    target = tmp_path / "law.json"
    page = run("fit", scores(tmp_path / "s.csv"), "--thinking", "--bootstraps", "50", "-o", str(target)).stdout
    assert "Verdict: good" in page
    assert "L = 0.1500 + 60.00 N^-0.3000 + 150.0 D^-0.2800 + 0.9000 k^-0.5000" in page
    record = json.loads(target.read_text())
    assert record["thinking"]["G"] == pytest.approx(0.9, rel=1e-6)
    assert record["thinking"]["seen"] == [1.0, 64.0]
    assert record["law"]["E"] == pytest.approx(0.15, rel=1e-6)
    assert len(record["thinking_bootstrap"]["parameters"]) == 50
    assert str(tmp_path) not in target.read_text()


def test_the_file_is_a_law_for_scenarios(tmp_path: Path) -> None:
    run("fit", scores(tmp_path / "s.csv"), "--thinking", "--bootstraps", "0", "-o", str(tmp_path / "law.json"))
    scenario = tmp_path / "plan.yaml"
    scenario.write_text("law: law.json\ntarget: {loss: 0.4}\ndemand: {tokens: 1T}\nobjective: flops\n")
    plan = json.loads(run(str(scenario), "--format", "json").stdout)
    assert plan["law"]["A"] == pytest.approx(60.0, rel=1e-6)


def test_a_scenario_plans_with_what_was_fitted(tmp_path: Path) -> None:
    run("fit", scores(tmp_path / "s.csv"), "--thinking", "--bootstraps", "0", "-o", str(tmp_path / "fit.json"))
    scenario = tmp_path / "plan.yaml"
    scenario.write_text(
        "law: fit.json\ntarget: {loss: 1.2}\ndemand: {requests: 1B, input_tokens: 900, output_tokens: 400}\n"
        "objective: flops\nthinking: {file: fit.json, samples: {max: 256}}\n"
    )
    plan = json.loads(run(str(scenario), "--format", "json").stdout)
    k = plan["effects"]["thinking"]["samples"]
    N, D = plan["plan"]["params"], plan["plan"]["tokens"]
    assert float(THINKING.loss(LAW, N, D, k)) == pytest.approx(1.2, rel=1e-6)
    assert plan["thinking"]["break_even"]["unit"] == "requests"
    assert any("the most fitted (64)" in warning for warning in plan["warnings"]) == (k > 70)


def test_one_number_of_samples_writes_nothing_and_says_why(tmp_path: Path) -> None:
    target = tmp_path / "law.json"
    result = run("fit", scores(tmp_path / "s.csv", ks=[4]), "--thinking", "-o", str(target), code=1)
    assert "Not determined: G and g: every row has 4 samples per request" in result.stdout
    assert "law.json is not written" in result.stderr
    assert not target.exists()
    run("fit", scores(tmp_path / "s.csv", ks=[4]), "--thinking", "--force", "-o", str(target), "--bootstraps", "0")
    assert json.loads(target.read_text())["thinking"] is None


def test_a_base_law_out_of_a_file(tmp_path: Path) -> None:
    base = tmp_path / "base.json"
    base.write_text(json.dumps({"E": 1.05, "A": 60.0, "alpha": 0.3, "B": 150.0, "beta": 0.28}))
    path = scores(tmp_path / "s.csv", sizes=[1e9])
    found = json.loads(run("fit", path, "--thinking", "--base-law", str(base), "--format", "json").stdout)
    assert found["fit"]["base_law"] == "base"
    assert found["law"]["E"] == pytest.approx(0.15, rel=1e-5)
    assert found["thinking"]["g"] == pytest.approx(0.5, rel=1e-5)
    assert found["thinking_bootstrap"] is None
    assert any("3 models cannot be resampled" in reason for reason in found["verdict"]["reasons"])


@pytest.mark.parametrize("form", ["csv", "markdown"])
def test_other_formats_tell_the_constants(tmp_path: Path, form: str) -> None:
    out = run("fit", scores(tmp_path / "s.csv"), "--thinking", "--bootstraps", "0", "--format", form).stdout
    assert "0.9" in out
    assert "beta" in out


def test_filters_count_what_they_leave_out(tmp_path: Path) -> None:
    path = scores(tmp_path / "s.csv")
    options = ["--thinking", "--max-tokens-per-param", "100", "--bootstraps", "0", "--force", "--format", "json"]
    data = json.loads(run("fit", path, *options).stdout)["data"]
    assert data["runs"] == 24
    assert data["set_aside"][0]["reason"] == "over 100 tokens per param"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--base-law", "sardana-2024"], "--base-law goes with --thinking"),
        (["--thinking", "--suggest", "3", "--budget", "1e20"], "--suggest and --thinking do not go together"),
        (["--thinking", "--base-law", "sardana"], "did you mean 'sardana-2024'?"),
        (["--thinking", "--base-law", "nowhere.json"], "cannot be read"),
        (["--thinking", "--base-law", "kaplan-2020"], "kaplan form takes no term"),
        (["--thinking", "--columns", "samples=nothing"], "no such column"),
    ],
)
def test_slips_cost_one_line(tmp_path: Path, options: list[str], said: str) -> None:
    (line,) = refused("fit", scores(tmp_path / "s.csv"), *options)
    assert said in line
