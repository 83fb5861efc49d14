"""``bc-opt race`` as a person and a script meet it."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner

from beyond_chinchilla.cli.race import command
from beyond_chinchilla.errors import InputError

HOURS = np.geomspace(1, 1000, 300)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def files(tmp_path):
    """Return two files: small is ahead to 10 hours and ends at 100, large from there."""
    paths = []
    for name, loss, end in (("small", 2.2 + 1 / HOURS, 101), ("large", 2.0 + 3 / HOURS, 1001)):
        paths.append(tmp_path / f"{name}.tsv")
        rows = [f"{h}\t{value}" for h, value in zip(HOURS, loss, strict=True) if h < end]
        paths[-1].write_text("\n".join(["Hours\tLoss", *rows, rows[-1]]))
    return [str(path) for path in paths]


def run(*args):
    result = CliRunner().invoke(command, args)
    assert result.exception is None, repr(result.exception)
    return result


def refused(*args):
    result = CliRunner().invoke(command, args)
    assert isinstance(result.exception, InputError)
    assert "\n" not in str(result.exception)
    assert result.stdout == ""
    return str(result.exception)


def test_the_answer_comes_first(files):
    lines = run(*files).stdout.splitlines()
    assert lines[0].startswith("Ahead: small to ")
    assert lines[0].endswith("h, then large.")
    assert float(lines[0].split()[3]) == pytest.approx(10, rel=0.02)
    page = "\n".join(lines)
    assert page.index("Who is ahead when") < page.index("Who passes whom") < page.index("The least loss for the time")
    (crossing,) = [line for line in lines if line.split()[0:1] == ["large"] and line.split()[-1] == "small"]
    assert float(crossing.split()[1]) == pytest.approx(10, rel=0.02)
    assert "1 of " in page
    assert "merged" in page
    assert "USD" not in page
    assert all(len(line) <= 100 for line in lines)


def test_money_loss_and_hours(files):
    page = run(*files, "--price", "1.50", "--loss", "2.25", "--hours", "200").stdout
    assert "USD" in page
    assert "Loss 2.25" in page
    assert "By 200 h ($300)" in page
    assert "run has ended" in page
    assert "If the tails" not in page
    never = run(*files, "--loss", "2.1").stdout
    assert any(line.startswith("small") and line.endswith("never") for line in never.splitlines())


def test_json_holds_everything(files):
    record = json.loads(run(*files, "--format", "json", "--price", "$2/hour", "--loss", "2.25", "--hours", "1k").stdout)
    assert record["price"] == 2.0
    assert [lead["name"] for lead in record["leads"]] == ["small", "large"]
    assert record["crossings"][0]["overtaker"] == "large"
    assert record["crossings"][0]["hours"] == pytest.approx(10, rel=0.02)
    assert record["reaching"][0]["name"] == "large"
    assert record["reaching"][0]["usd"] == pytest.approx(24, rel=0.02)
    assert record["hours"] == 1000.0
    assert record["spending"][0] == {"name": "large", "loss": pytest.approx(2.003, abs=1e-3), "finished": True}
    assert "extrapolation" not in record


def test_extrapolation_only_when_asked_and_with_a_warning(files):
    assert run(*files).stderr == ""
    result = run(*files, "--extrapolate", "20%", "--format", "json", "--loss", "2.2")
    assert "cosine" in result.stderr
    record = json.loads(result.stdout)
    (tail,) = record["extrapolation"]
    assert tail["name"] == "small"
    assert tail["interval"][0] <= tail["loss"] <= tail["interval"][1]
    assert "cosine" in record["warnings"][0]
    page = run(*files, "--extrapolate", "20%", "--tail", "linear", "--hours", "500")
    assert "If the tails went on (linear) to 500 h" in page.stdout
    assert "cosine" in page.stdout
    nothing = run(*files, "--extrapolate", "20%", "--hours", "50").stdout
    assert "No run ends before that time" in nothing


def test_csv_and_markdown(files, tmp_path):
    rows = list(csv.DictReader(io.StringIO(run(*files, "--format", "csv").stdout)))
    assert len(rows) == 50
    assert list(rows[0]) == ["hours", "usd", "loss", "leader", "loss small", "loss large"]
    for row in rows:
        assert float(row["loss"]) == min(float(row["loss small"]), float(row["loss large"]))
        assert row["loss"] == row[f"loss {row['leader']}"]
    page = run(*files, "--format", "markdown").stdout
    assert page.startswith("**Ahead: small")
    assert "| model | from | to | loss | to loss |" in page
    target = tmp_path / "race.json"
    assert run(*files, "-o", str(target)).stdout == ""
    assert json.loads(target.read_text())["schema"] == "beyond-chinchilla/race/1"


def test_names_margin_and_window(files):
    page = run(*files, "--name", "7B", "--name", "13B").stdout
    assert page.startswith("Ahead: 7B to ")
    assert run(*files, "--margin", "5").stdout.startswith("small is ahead throughout.")
    record = json.loads(run(*files, "--window", "0", "--margin", "0.01", "--format", "json").stdout)
    assert (record["window"], record["margin"]) == (0.0, 0.01)


def test_what_cannot_be_used_is_refused(files, tmp_path):
    assert "two curves" in refused(files[0])
    assert "'small' runs twice" in refused(files[0], files[0])
    assert "name all of them or none" in refused(*files, "--name", "7B")
    assert "cannot be read" in refused(*files, str(tmp_path / "none.tsv"))
    assert "not a number" in refused(*files, "--loss", "low")
    assert "positive number" in refused(*files, "--loss", "0")
    assert "0 to 100%" in refused(*files, "--extrapolate", "200%")
    assert "must be >= 0" in refused(*files, "--margin", "-1")
    assert "--seed" in refused(*files, "--extrapolate", "20%", "--seed", "-1")
    assert "cannot write '.xlsx'" in refused(*files, "-o", str(tmp_path / "race.xlsx"))
    assert CliRunner().invoke(command, []).exit_code == 2


def test_llama(bc_data):
    names = (
        "llama1-7B",
        "llama1-13B",
        "llama1-33B",
        "llama1-65B",
        "llama2-7B",
        "llama2-13B",
        "llama2-34B",
        "llama2-70B",
    )
    paths = [str(bc_data / f"llama_curves/{name}.tsv") for name in names]
    page = run(*paths, "--price", "1.50", "--loss", "1.75", "--hours", "1e5", "--extrapolate", "20%").stdout
    assert " ".join(page.split()).startswith("Ahead: llama2-7B to 21.5k h, llama2-13B to 60.4k h, llama1-7B to")
    assert "532 of 5634 points stood before the one above them" in page
    assert "By 100k h ($150k)" in page
