"""The command line as a person, a pipe and a script meet it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from command_line import refused, rest_of_terminal, run
from hypothesis import example, given
from hypothesis import strategies as st

from beyond_chinchilla.cli.main import COMMANDS, cli
from beyond_chinchilla.cli.output import EXTENSIONS
from beyond_chinchilla.costs import hardware, models
from beyond_chinchilla.laws import catalogue

REPOSITORY = Path(__file__).parents[2]
SCENARIO = str(REPOSITORY / "scenarios" / "1B-requests.yaml")
FLOPS = str(REPOSITORY / "scenarios" / "flops-13B-2T-tokens.yaml")
ESCAPE = "\x1b"


def launch(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program as its own process."""
    return subprocess.run(
        [sys.executable, "-m", "beyond_chinchilla", *args],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        timeout=60,
    )


def plan(*args: str) -> dict[str, Any]:
    """Return the JSON of one scenario."""
    return json.loads(run(*args, "--format", "json").stdout)


# The default command


def test_what_is_no_command_is_a_scenario_to_solve():
    assert run(SCENARIO).stdout == run("solve", SCENARIO).stdout
    assert run(SCENARIO).stdout.startswith("Train 17.4B params on 2.99T tokens instead of 30.0B on 1.56T: $1.20M")


def test_options_may_stand_before_the_scenario():
    assert run("--format", "json", SCENARIO).stdout == run(SCENARIO, "--format", "json").stdout
    assert run("--set", "demand.requests=2B", SCENARIO).stdout == run(SCENARIO, "--set", "demand.requests=2B").stdout


def test_no_arguments_show_the_help():
    result = CliRunner().invoke(cli, [])
    assert "SCENARIO" in result.output
    assert "laws" in result.output


def test_a_misspelt_command_is_a_file_that_is_not_there():
    assert refused("law") == ["law: no such file; 'bc-opt new NAME' writes a scenario to start from"]
    assert refused("") == ["'': no such file; 'bc-opt new NAME' writes a scenario to start from"]


def test_the_version_is_printed():
    assert re.fullmatch(r"bc-opt, version \d+\.\d+\.\d+\n", run("--version").stdout)


# Formats


def test_json_is_one_object_with_the_other_laws():
    found = plan(SCENARIO)
    assert found["status"] == "optimal"
    assert found["plan"]["params"] == pytest.approx(17.44e9, rel=5e-4)
    assert "besiroglu-2024" in [opinion["law"] for opinion in found["law_disagreement"]]


def test_json_of_several_is_a_list_in_the_order_given():
    found = json.loads(run(FLOPS, SCENARIO, "--format", "json").stdout)
    assert [each["plan"]["unit"] for each in found] == ["FLOP", "USD"]


def number(text: str) -> float | str:
    """Return a cell as a number, if it is one."""
    try:
        return float(text)
    except ValueError:
        return text


def test_pandas_reads_the_csv_of_several():
    frame = pd.read_csv(io.StringIO(run(FLOPS, SCENARIO, "--format", "csv").stdout))
    assert list(frame["unit"]) == ["FLOP", "USD"]
    assert list(frame["params"]) == pytest.approx([6.969e9, 17.44e9], rel=1e-3)
    assert frame["warnings"].str.contains("outside the range").all()


def test_csv_of_several_agrees_with_json_to_the_last_bit():
    text = run(FLOPS, SCENARIO, "--format", "csv").stdout
    found = json.loads(run(FLOPS, SCENARIO, "--format", "json").stdout)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert len(lines) == 2
    for line, record in zip(lines, found, strict=True):
        row: dict[str, Any] = {key: number(value) for key, value in line.items()}
        assert row["scenario"] == record["scenario"]
        for key in ("params", "tokens", "loss", "total", "training_flops"):
            assert row[key] == record["plan"][key]
            assert row[f"baseline_{key}"] == record["baseline"][key]
        assert row["savings_fraction"] == record["savings"]["fraction"]
        assert row["kappa"] == record["kappa"]
        assert row["range_1_percent_low"] == record["range_1_percent"]["params"][0]
        assert {f"term_{term['label']}": term["value"] for term in record["plan"]["terms"]}.items() <= row.items()


def test_csv_is_the_same_for_one_scenario_as_among_several():
    alone = next(csv.DictReader(io.StringIO(run(SCENARIO, "--format", "csv").stdout)))
    among = list(csv.DictReader(io.StringIO(run(FLOPS, SCENARIO, "--format", "csv").stdout)))[1]
    assert alone.items() <= among.items()


def test_markdown_of_one_is_a_report_and_of_several_a_table():
    assert run(SCENARIO, "--format", "markdown").stdout.startswith("# 1B requests, Chinchilla-30B quality\n")
    lines = run(SCENARIO, FLOPS, "--format", "markdown").stdout.splitlines()
    assert [line.startswith("|") for line in lines[:5]] == [True] * 4 + [False]
    assert len({line.count("|") for line in lines[:4]}) == 1


def test_text_of_several_is_a_comparison_with_a_line_each():
    text = run(SCENARIO, FLOPS).stdout
    assert text.splitlines()[0].startswith("scenario")
    assert "17.4B" in text
    assert "6.97B" in text


def test_an_unknown_format_is_refused():
    assert "'xml' is not one of" in refused(SCENARIO, "--format", "xml")[-1]


# Files


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_the_extension_decides_the_format(tmp_path: Path, extension: str):
    path = tmp_path / f"out{extension}"
    result = run(SCENARIO, "-o", str(path))
    assert result.stdout == ""
    assert result.stderr == f"wrote {path}\n"
    written, printed = path.read_text(encoding="utf-8"), run(SCENARIO, "--format", EXTENSIONS[extension]).stdout
    # A file in markdown is a report: it goes on with what the plan rests on.
    assert written == printed or (extension == ".md" and written.startswith(printed))


def test_the_extension_may_be_written_in_capitals(tmp_path: Path):
    run(SCENARIO, "-o", str(tmp_path / "OUT.JSON"))
    assert json.loads((tmp_path / "OUT.JSON").read_text(encoding="utf-8"))["status"] == "optimal"


def test_an_unknown_extension_is_refused(tmp_path: Path):
    path = tmp_path / "out.docx"
    (line,) = refused(SCENARIO, "-o", str(path))
    assert line.startswith(f"--output {path}: cannot write '.docx' files; use one of .json .csv .md .txt")
    assert not path.exists()


def test_an_extension_against_the_format_is_refused(tmp_path: Path):
    path = tmp_path / "out.json"
    (line,) = refused(SCENARIO, "-o", str(path), "--format", "csv")
    assert line == f"--output {path} means json, but --format says csv; keep one of them"
    run(SCENARIO, "-o", str(path), "--format", "json")
    assert path.exists()


def test_a_result_replaces_the_old_file_and_leaves_nothing_else(tmp_path: Path):
    path = tmp_path / "out.json"
    path.write_text("old")
    run(SCENARIO, "-o", str(path))
    assert json.loads(path.read_text(encoding="utf-8"))["status"] == "optimal"
    assert list(tmp_path.iterdir()) == [path]


def test_a_result_has_the_permissions_of_any_new_file(tmp_path: Path):
    old = os.umask(0o027)
    try:
        run(SCENARIO, "-o", str(tmp_path / "out.json"))
        assert stat.S_IMODE((tmp_path / "out.json").stat().st_mode) == 0o640
    finally:
        os.umask(old)


def test_a_missing_folder_is_one_line(tmp_path: Path):
    path = tmp_path / "nowhere" / "out.json"
    assert refused(SCENARIO, "-o", str(path)) == [f"{path}: cannot be written: No such file or directory"]


def test_a_folder_in_the_place_of_the_file_is_one_line(tmp_path: Path):
    path = tmp_path / "out.json"
    path.mkdir()
    assert "cannot be written" in refused(SCENARIO, "-o", str(path))[0]
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_half_way_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "out.json"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert refused(SCENARIO, "-o", str(path)) == [f"{path}: cannot be written: No space left on device"]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_may_not_be_written_leaves_the_old_file_whole(tmp_path: Path):
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    path = tmp_path / "out.json"
    path.write_text("old")
    tmp_path.chmod(0o500)
    try:
        assert "cannot be written" in refused(SCENARIO, "-o", str(path))[0]
        assert path.read_text() == "old"
    finally:
        tmp_path.chmod(0o700)


def test_a_mistake_in_the_scenario_writes_no_file(tmp_path: Path):
    refused(SCENARIO, "--set", "law=none", "-o", str(tmp_path / "out.json"))
    assert list(tmp_path.iterdir()) == []


# Catalogues


CATALOGUES = [("laws", catalogue.names), ("hardware", hardware.names), ("models", models.names)]


@pytest.mark.parametrize(("command", "names"), CATALOGUES)
def test_a_catalogue_lists_every_name_in_every_format(command: str, names: Any):
    records = json.loads(run(command, "--format", "json").stdout)
    assert [record["name"] for record in records] == names()
    frame = pd.read_csv(io.StringIO(run(command, "--format", "csv").stdout))
    assert list(frame["name"]) == names()
    for text in (run(command).stdout, run(command, "--format", "markdown").stdout):
        words = re.findall(r"^\W*([\w.-]+)", text, re.MULTILINE)
        assert set(names()) <= set(words)


@pytest.mark.parametrize(("command", "names"), CATALOGUES)
def test_every_entry_of_a_catalogue_can_be_shown(command: str, names: Any):
    for name in names():
        text = run(command, name).stdout
        assert text.startswith(f"{name}\n")
        assert "\nsource " in text


@pytest.mark.parametrize(
    ("args", "phrases"),
    [
        (("laws", "besiroglu-2024"), ["standard errors", "fitted params", "N counts"]),
        (("laws", "kaplan-2020"), ["non-embedding parameters", "L = ("]),
        (("hardware", "h100-sxm"), ["dense TFLOP/s", "list prices", "80 GB at 3.35 TB/s"]),
        (("models", "llama-2-7b"), ["2.00T", "chip-hours"]),
        (("models", "mistral-7b"), ["not published"]),
    ],
)
def test_an_entry_shows_range_prices_and_gaps(args: Sequence[str], phrases: list[str]):
    text = run(*args).stdout
    assert [phrase for phrase in phrases if phrase not in text] == []


@pytest.mark.parametrize(
    ("command", "name", "near"),
    [
        ("laws", "sardana-2023", "sardana-2024"),
        ("hardware", "H100-SX", "h100-sxm"),
        ("models", "llama2-7b", "llama-2-7b"),
    ],
)
def test_an_unknown_entry_names_the_nearest(command: str, name: str, near: str):
    (line,) = refused(command, name)
    assert line.endswith(f"did you mean '{near}'?")


def test_one_entry_as_json_is_one_object(tmp_path: Path):
    path = tmp_path / "chip.json"
    run("hardware", "h100-sxm", "-o", str(path))
    assert json.loads(path.read_text(encoding="utf-8"))["peak_fp8_flops"] == 1979e12


def test_the_schema_is_json(tmp_path: Path):
    found = json.loads(run("schema").stdout)
    assert found["properties"]["law"]
    path = tmp_path / "scenario.schema.json"
    run("schema", "-o", str(path))
    assert json.loads(path.read_text(encoding="utf-8")) == found


# new


def test_new_writes_a_scenario_that_solves(tmp_path: Path):
    result = run("new", str(tmp_path / "mine"))
    assert result.stdout == ""
    assert f"now: bc-opt {tmp_path / 'mine.yaml'}" in result.stderr
    assert run(str(tmp_path / "mine.yaml")).stdout.startswith("Train ")


@pytest.mark.parametrize("name", ["plan.yaml", "plan.yml", "plan.v2"])
def test_new_keeps_an_extension_that_is_one(tmp_path: Path, name: str):
    run("new", str(tmp_path / name))
    (path,) = tmp_path.iterdir()
    assert path.name == (name if name.startswith("plan.y") else "plan.v2.yaml")


def test_new_never_touches_a_file_or_a_link(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("precious")
    (tmp_path / "link.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    for name in ("mine", "mine.yaml", "link"):
        (line,) = refused("new", str(tmp_path / name))
        assert line.endswith("exists already; choose another name, or delete it first")
    assert (tmp_path / "mine.yaml").read_text() == "precious"
    assert not (tmp_path / "elsewhere.yaml").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "/", "a" * 300, "nowhere/plan"])
def test_new_refuses_what_names_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(tmp_path)
    assert len(refused("new", name)) == 1
    assert list(tmp_path.iterdir()) == []


# Mistakes


def test_every_mistake_of_every_file_is_one_line(tmp_path: Path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("law: sardana-2024\ntarget: {chinchilla: 0}\ndemand: {tokens: 2T}\nobjective: flop\n")
    second.write_text("")
    assert [line.split(": ")[0] for line in refused(str(first), str(second), SCENARIO, str(tmp_path))] == [
        f"{first}:2",
        f"{first}:4",
        f"{second}",
        f"{tmp_path}",
    ]


def test_set_changes_every_scenario():
    found = json.loads(run(SCENARIO, SCENARIO, "--set", "demand.requests=2B", "--format", "json").stdout)
    assert found[0] == found[1]
    assert found[0]["kappa"] == pytest.approx(2 * plan(SCENARIO)["kappa"], rel=1e-12)


def test_set_replaces_the_target_and_reads_yaml():
    assert plan(SCENARIO, "--set", "target.loss=2")["target_loss"] == 2.0
    found = plan(SCENARIO, "--set", "demand={tokens: 2T}", "--set", "objective=flops", "--set", "training=~")
    assert found["plan"]["unit"] == "FLOP"


@pytest.mark.parametrize(
    "assignment", ["demand.requests", "=1", "law=[", "demand.requests=-1", "nothing.here=1", "law="]
)
def test_a_bad_set_is_one_line(assignment: str):
    (line,) = refused(SCENARIO, "--set", assignment)
    assert "--set" in line


@pytest.mark.parametrize(
    ("assignment", "phrase"),
    [
        ("target.loss=1.6", "is at or below the floor E = 1.69"),
        ("demand.requests=0", "must be above zero"),
        ("demand.requests=nan", "is not a number"),
        ("training.price=3 GB", "is not in USD/hour"),
        ("training.mfu=150%", "at most 100%"),
        ("serving.precision=fp4", "it has fp32, tf32, bf16, int8"),
    ],
)
def test_bad_input_is_one_line_that_says_why(assignment: str, phrase: str):
    (line,) = refused(SCENARIO, "--set", assignment)
    assert phrase in line


@pytest.mark.parametrize(
    "args", [("laws", "a", "b"), ("laws", "--nothing"), ("solve",), ("new",), ("schema", "x"), ("-x",)]
)
def test_bad_usage_is_exit_2_with_a_hint(args: Sequence[str]):
    lines = refused(*args)
    assert any(line.startswith("Usage: ") for line in lines) or "no such file" in lines[0]


def test_an_unknown_method_is_refused():
    assert "is not one of" in refused(SCENARIO, "--method", "magic")[-1]


def test_methods_agree_in_cost():
    totals = [plan(SCENARIO, "--method", method)["plan"]["total"] for method in ("universal", "elementwise")]
    assert totals[0] == pytest.approx(totals[1], rel=1e-12)


def test_a_method_that_cannot_do_the_problem_says_so():
    (line,) = refused(SCENARIO, "--set", "law=kaplan-2020", "--method", "universal")
    assert "method universal needs a bill a N D + b N; use auto" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str):
    text = run(command, "--help").stdout
    assert re.search(r"^ +bc-opt \w*", text, re.MULTILINE)
    assert run(command, "-h").stdout == text


def test_the_help_of_the_program_lists_every_command_and_an_example():
    text = run("--help").stdout
    assert "bc-opt plan.yaml" in text
    assert [command for command in COMMANDS if not re.search(rf"^  {command} ", text, re.MULTILINE)] == []


argument = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
    st.sampled_from(
        [
            *COMMANDS,
            SCENARIO,
            FLOPS,
            "--set",
            "--format",
            "json",
            "csv",
            "-h",
            "--method",
            "h100-sxm",
            "--",
            "-",
            "law=",
            "demand=1",
        ]
    ),
)


@given(st.lists(argument, max_size=4).filter(lambda args: not {"-o", "--output", "new"} & set(args)))
@example(["\ud800"])
@example(["\udcff.yaml"])
@example(["-"])
@example([SCENARIO, "--set", "name=\x1b[31m"])
def test_no_arguments_end_in_a_traceback(args: list[str]):
    # Nothing may be written: an argument such as -oX is a file.
    args = [each for each in args if not each.startswith(("-o", "--o"))]
    result = CliRunner().invoke(cli, args)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (0, 2)
    assert "Traceback" not in result.output


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_no_value_of_set_ends_in_a_traceback(value: str):
    for place in ("law", "target.loss", "demand.requests", "training.hardware", "serving.price", "name"):
        result = CliRunner().invoke(cli, [SCENARIO, "--set", f"{place}={value}", "--format", "csv"])
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
        assert result.exit_code == (2 if result.stdout == "" else 0)


# Names that would play tricks on a terminal


def test_escape_codes_in_a_file_never_reach_the_terminal(tmp_path: Path):
    path = tmp_path / "evil.yaml"
    text = Path(SCENARIO).read_text(encoding="utf-8")
    path.write_text(
        text.replace("name: 1B", 'name: "\\e]0;owned\\a1B').replace("quality\nlaw", 'quality"\nlaw'), encoding="utf-8"
    )
    (line,) = refused(str(path))
    assert line.endswith("control characters; use printable text")


def test_escape_codes_in_a_files_name_are_shown_as_question_marks(tmp_path: Path):
    path = tmp_path / f"evil{ESCAPE}[31m.yaml"
    assert refused(str(path)) == [
        f"{tmp_path}/evil?[31m.yaml: no such file; 'bc-opt new NAME' writes a scenario to start from"
    ]
    path.write_text(Path(SCENARIO).read_text(encoding="utf-8").replace("name: ", "# "), encoding="utf-8")
    for format_ in ("text", "json", "csv", "markdown"):
        text = run(str(path), "--format", format_).stdout
        assert "evil?[31m" in text
        assert ESCAPE not in text


# A process of its own


def test_piped_text_is_plain_and_has_no_trailing_blanks():
    for args in ([SCENARIO], [SCENARIO, FLOPS], ["laws"], ["hardware", "h100-sxm"]):
        text = run(*args).stdout
        assert ESCAPE not in text
        assert [line for line in text.splitlines() if line != line.rstrip()] == []
        assert not text.endswith("\n\n")


def test_a_real_process_prints_the_same_as_one_in_a_test():
    result = launch(SCENARIO, NO_COLOR="1", COLUMNS="100")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == run(SCENARIO).stdout


def test_a_real_process_fails_with_one_line():
    result = launch("nothing.yaml", FORCE_COLOR="1")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "nothing.yaml: no such file; 'bc-opt new NAME' writes a scenario to start from\n"


@pytest.mark.parametrize("columns", ["0", "1", "-5", "wide", "²", "80", "500"])
def test_any_width_of_a_terminal_is_survived(monkeypatch: pytest.MonkeyPatch, columns: str):
    monkeypatch.setenv("COLUMNS", columns)
    widest = max(map(len, run(SCENARIO).stdout.splitlines()))
    if columns == "80":
        assert 60 < widest <= 80
    elif columns == "500":
        assert widest > 120
    else:
        assert 30 < widest <= 100


posix = pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")


def shell(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in which ``$bc`` is the program."""
    return subprocess.run(
        ["/bin/sh", "-c", f'bc="{sys.executable} -m beyond_chinchilla"; {script}'],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        timeout=60,
    )


@posix
def test_a_reader_that_closes_the_pipe_is_no_error():
    result = shell("$bc hardware --format json | head -n 1")
    assert result.stdout == "[\n"
    assert result.stderr == ""


@posix
def test_a_closed_stdout_is_no_traceback():
    result = shell(f"$bc {SCENARIO} >&-")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_letters_that_a_console_does_not_have_are_written_by_number(encoding: str, tmp_path: Path):
    text = Path(SCENARIO).read_text(encoding="utf-8").replace("1B requests,", "Z\u00fcrich \u6f22 \U0001f600,")
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "beyond_chinchilla", str(path)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for more, start in ((), "Z\u00fcrich \\u6f22 \\ud83d\\ude00, Chinchilla"), (("--format", "json"), None):
        result = subprocess.run([*command, *more], capture_output=True, env=environment, check=False)
        assert (result.returncode, result.stderr) == (0, b"")
        said = result.stdout.decode(encoding)
        if start is None:
            assert json.loads(said)["scenario"].startswith("Z\u00fcrich \u6f22 \U0001f600")
        else:
            assert any(line.startswith(start) for line in said.splitlines())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_line():
    result = shell(f"$bc {SCENARIO} > /dev/full")
    assert result.stderr == "standard output: cannot be written: No space left on device\n"
    assert result.returncode == 2


@posix
def test_a_terminal_gets_colour_unless_it_is_refused(tmp_path: Path):
    """A pseudo-terminal is what a person has; NO_COLOR turns its colours off."""
    import pty

    for environment, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "beyond_chinchilla", SCENARIO],
            stdout=slave,
            stdin=slave,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "TERM": "xterm-256color",
                "COLUMNS": "100",
                "LINES": "50",
                "NO_COLOR": "",
                **environment,
            },
        )
        os.close(slave)
        text = rest_of_terminal(master)
        assert process.communicate()[1] == b""
        assert process.returncode == 0
        assert b"17.4B" in text
        assert (re.search(rb"\x1b\[[0-9;]*3[0-9]", text) is not None) == coloured


HEAVY = ("cvxpy", "pandas", "scipy.optimize", "matplotlib", "pint")


def test_a_cold_start_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from beyond_chinchilla.cli.main import main\n"
        f"sys.argv = ['bc-opt', {SCENARIO!r}]\n"
        "try:\n    main()\n"
        "except SystemExit as done:\n"
        f"    loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    print(f'exit {done.code or 0}, numpy {\"numpy\" in sys.modules}, heavy {loaded}', file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert result.stdout.startswith("Train 17.4B")
    assert result.stderr.strip() == "exit 0, numpy True, heavy []"
