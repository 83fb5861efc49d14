"""``bc-opt fit --downstream`` and ``bc-opt laws --downstream`` as a person and a script meet them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from beyond_chinchilla.cli.main import cli
from beyond_chinchilla.laws.downstream import DownstreamMap

TRUE = DownstreamMap(epsilon=0.86, k=2.2, gamma=0.72)


def run(*args: Any, code: int = 0) -> Result:
    found = CliRunner().invoke(cli, [str(each) for each in args], env={"COLUMNS": "100"})
    assert found.exit_code == code, found.output
    return found


def refused(*args: Any) -> str:
    found = run("fit", *args, code=2)
    assert found.stdout == ""
    (line,) = found.stderr.splitlines()
    return line


@pytest.fixture
def models(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    loss = np.linspace(2.3, 4.8, 24)
    score = 1.0 - TRUE.error(loss) + rng.normal(0.0, 0.004, 24)
    path = tmp_path / "models.csv"
    rows = [f"{x},{y * 100:.4f},{1 - y:.6f}" for x, y in zip(loss, score, strict=True)]
    path.write_text("\n".join(["val_loss,average (%),wrong", *rows]))
    return path


def test_the_page_has_the_map_its_verdict_and_how_to_use_it(models: Path) -> None:
    page = run("fit", models, "--downstream", "--score-column", "average (%)", "--bootstraps", 100).stdout
    assert page.startswith("error = 0.8")
    for part in ("Verdict: good", "95% interval", "Over the losses seen", "24 models of models.csv used, 0 set aside."):
        assert part in page
    assert "score: column 'average (%)' in per cent." in page
    assert "target: {error: 45%, suite: suite.json}" in page


def test_scores_and_errors_give_the_same_map(models: Path) -> None:
    by_score, by_error = (
        json.loads(run("fit", models, "--downstream", *column, "--bootstraps", 0, "--format", "json").stdout)["suite"]
        for column in (("--score-column", "average (%)"), ("--error-column", "wrong"))
    )
    for key in ("epsilon", "k", "gamma"):
        assert by_score[key] == pytest.approx(by_error[key], rel=1e-3)


def test_the_file_holds_what_a_scenario_needs(models: Path, tmp_path: Path) -> None:
    target = tmp_path / "suite.json"
    run("fit", models, "--downstream", "--error-column", "wrong", "--bootstraps", 150, "--name", "ours", "-o", target)
    found = json.loads(target.read_text())
    assert found["schema"] == "beyond-chinchilla/suite/1"
    assert set(found) == {
        *("schema", "suite", "verdict", "pairs", "explained", "intervals", "covariance", "bootstrap", "data"),
    }
    assert found["suite"]["name"] == "ours"
    assert found["suite"]["losses"] == pytest.approx([2.3, 4.8])
    assert found["covariance"]["of"] == ["epsilon", "ln k", "gamma"]
    assert found["covariance"]["from"] == "resampled pairs"
    assert len(found["bootstrap"]["parameters"]) == 150 - found["bootstrap"]["failures"]
    assert str(tmp_path) not in target.read_text()
    for key, value in (("epsilon", 0.86), ("k", 2.2), ("gamma", 0.72)):
        low, high = found["intervals"][key]
        assert low < value < high


def test_csv_has_a_row_for_each_figure(models: Path) -> None:
    text = run("fit", models, "--downstream", "--error-column", "wrong", "--bootstraps", 50, "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["figure"] for row in rows] == ["epsilon", "k", "gamma", "residual"]
    assert float(rows[0]["low"]) <= float(rows[0]["value"]) <= float(rows[0]["high"])
    page = run("fit", models, "--downstream", "--error-column", "wrong", "--bootstraps", 50, "--format", "markdown")
    assert page.stdout.startswith("# models\n\n`error = ")


def test_models_at_chance_are_refused_unless_forced(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path, target = tmp_path / "chance.csv", tmp_path / "suite.json"
    rows = [f"{loss},{0.7 + rng.normal(0, 0.01) + 0.01 * loss}" for loss in np.linspace(3, 4, 20)]
    path.write_text("\n".join(["loss,error", *rows]))
    found = run("fit", path, "--downstream", "--bootstraps", 0, "-o", target, code=1)
    assert "Verdict: do not use" in found.stdout
    assert "is not written: the verdict is 'do not use'" in found.stderr
    assert not target.exists()
    run("fit", path, "--downstream", "--bootstraps", 0, "-o", target, "--force")
    assert json.loads(target.read_text())["verdict"]["word"] == "do not use"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--error-column", "wrong"), "--error-column and --score-column go with --downstream"),
        (
            ("--downstream", "--error-column", "wrong", "--score-column", "average (%)"),
            "--error-column and --score-column are both given; keep one",
        ),
        (("--downstream", "--tied"), "--tied and --downstream do not go together; keep one of them"),
        (("--downstream", "--min-flops", "1e20"), "--min-flops and --downstream do not go together"),
        (("--downstream", "--columns", "params=N"), "--columns params=...: --downstream reads losses and errors alone"),
        (("--downstream", "--error-column", "wrng"), "--error-column 'wrng': no such column; did you mean 'wrong'?"),
        (("--downstream", "--columns", "loss=lss", "--error-column", "wrong"), "--columns loss 'lss': no such column"),
        (("--downstream",), "which column holds the errors, or the scores? none of them by its name"),
    ],
)
def test_options_that_do_not_go_together_are_told(models: Path, options: tuple[str, ...], message: str) -> None:
    assert message in refused(models, *options)


def test_the_published_maps_are_listed_and_shown() -> None:
    page = run("laws", "--downstream").stdout
    assert "gadre-17-c4            0.850  2.079  0.756    0.0135  2.66 to 5.22  gadre-2024-c4" in page
    shown = run("laws", "--downstream", "gadre-46-refinedweb").stdout
    assert "error = 0.768 - 1.128 exp(-0.822 L)" in shown
    records = json.loads(run("laws", "--downstream", "--format", "json").stdout)
    assert [len(record["covariance"]) for record in records] == [3] * 6
    found = run("laws", "--downstream", "gadre-99", code=2)
    assert "no map named 'gadre-99'" in found.stderr
