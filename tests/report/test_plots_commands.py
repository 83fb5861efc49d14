"""``--plot NAME --output FILE``: a file that is whole, or one line that says why there is none."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import refused, run
from plot_subjects import SCENARIOS

PLAIN, MONTHLY = str(SCENARIOS / "1B-requests.yaml"), str(SCENARIOS / "batch-by-month.yaml")


@pytest.fixture
def curves(tmp_path):
    """Return two loss curves as files."""
    paths = []
    for name, floor, scale in (("small", 2.2, 1.0), ("large", 2.0, 3.0)):
        path = tmp_path / f"{name}.tsv"
        hours = np.geomspace(1, 1000, 60)
        path.write_text("\n".join(["Hours\tLoss", *(f"{h:.6g}\t{floor + scale / h:.6g}" for h in hours)]))
        paths.append(str(path))
    return paths


def test_commands_draw_and_say_what_it_shows(tmp_path, curves):
    wanted = tmp_path / "out.svg"
    for args, said in (
        (("race", *curves, "--plot", "race"), "Ahead: small to 10 GPU-hours, then large."),
        (("capacity", MONTHLY, "--plot", "fleet"), "10.0B params on 346B tokens"),
        (("frontier", PLAIN, "--over", "demand", "--points", "3", "--plot", "frontier"), "the demand costs"),
    ):
        result = run(*args, "--output", str(wanted))
        assert result.stdout == ""
        assert said in result.stderr
        assert result.stderr.startswith(f"wrote {wanted}: ")
        assert result.stderr.count("\n") == 1
        assert wanted.read_bytes().startswith(b"<?xml")
        wanted.unlink()


def test_what_cannot_be_drawn_is_one_line_before_anything_is_read(tmp_path):
    asked = ("race", "no such file.tsv", "nor this.tsv", "--plot")
    assert refused(*asked, "race") == ["--plot race needs --output FILE, ending in .png, .svg or .pdf"]
    (line,) = refused(*asked, "rase", "-o", str(tmp_path / "a.png"))
    assert line.startswith("no plot named 'rase'; did you mean 'race'?")
    (line,) = refused(*asked, "race", "-o", str(tmp_path / "a.json"))
    assert line == f"--output {tmp_path / 'a.json'}: cannot draw '.json' files; end it in .png, .svg or .pdf"
    (line,) = refused(*asked, "race", "--format", "json", "-o", str(tmp_path / "a.png"))
    assert "--format says json; keep one of them" in line
    (line,) = refused(*asked, "race", "--loss", "1.8", "--hours", "1k", "-o", str(tmp_path / "a.png"))
    assert line == "--loss and --hours: no place for that in a picture; leave out --plot"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_one_line(tmp_path, curves):
    (line,) = refused("race", *curves, "--plot", "race", "-o", str(tmp_path / "none" / "a.png"))
    assert "cannot be written: No such file or directory" in line
    assert not (tmp_path / "none").exists()


def test_without_a_plan_no_picture_is_drawn_and_the_reason_is_told(tmp_path):
    wanted = tmp_path / "a.svg"
    for name in ("cost-curve", "tornado", "regret-map", "risk"):
        result = run(PLAIN, "--set", "limits.params.max=1B", "--plot", name, "-o", str(wanted), code=1)
        assert result.stdout == ""
        assert result.stderr.startswith("1B requests, Chinchilla-30B quality: infeasible: ")
        assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
