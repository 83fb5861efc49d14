"""Limits and the other questions on the command line: verify, break-even, realise, compare, best loss, going on."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import command_line
import pytest
import shipped
from command_line import run
from shipped import SCENARIOS, slowest_apart

import beyond_chinchilla as bc

REPOSITORY = Path(__file__).parents[2]
SCENARIO = str(REPOSITORY / "scenarios" / "1B-requests.yaml")
FLOPS = str(REPOSITORY / "scenarios" / "flops-13B-2T-tokens.yaml")
CONFLICT = ("--set", "limits={params: {max: 8B}, tokens: {max: 1T}}")
BEST_LOSS = ("--set", "objective=loss", "--set", "target=null", "--set", "limits.total_cost.max=1.2M")
START = ("--set", "start_from={params: 17B, tokens: 1T}")


def refused(*args: str) -> str:
    """Run a command that must be refused: exit 2, nothing on stdout, one line on stderr, which is returned."""
    (line,) = command_line.refused(*args)
    return line


def as_json(*args: str, code: int = 0) -> Any:
    """Return the JSON of a command; no NaN, no infinity."""

    def never(name: str) -> None:
        raise AssertionError(f"{name} in JSON")

    return json.loads(run(*args, "--format", "json", code=code).stdout, parse_constant=never)


def words(printed: str) -> str:
    """Return a wrapped page on one line."""
    return " ".join(printed.split())


# Infeasible


def test_no_plan_is_exit_1_and_explained_in_text():
    result = run(SCENARIO, *CONFLICT, code=1)
    assert result.stdout.startswith("No plan: 1B requests, Chinchilla-30B quality is infeasible.\n")
    assert "no plan: params max and tokens max and target cannot hold together" in words(result.stdout)
    assert not result.stdout.endswith("\n\n")
    assert result.stderr == (
        "1B requests, Chinchilla-30B quality: infeasible: "
        "no plan: params max and tokens max and target cannot hold together\n"
    )


def test_no_plan_in_json_has_its_conflict():
    found = as_json(SCENARIO, *CONFLICT, code=1)
    assert (found["status"], found["plan"], found["savings"], found["certificate"]) == ("infeasible", None, None, None)
    assert found["schema"] == "beyond-chinchilla/plan/1"
    conflict = found["conflict"]
    assert conflict["limits"] == ["params max", "tokens max", "target"]
    assert conflict["least_loss"] == pytest.approx(float(bc.law("sardana-2024").loss(8e9, 1e12)), rel=1e-9)
    assert conflict["least_loss"] > found["target_loss"]
    assert [(relief["label"], relief["side"], relief["unit"]) for relief in conflict["reliefs"]] == [
        ("params", "max", "params"),
        ("tokens", "max", "tokens"),
    ]
    assert found["baseline"]["breaks"] == ["params", "tokens"]


def test_the_named_reliefs_make_room():
    for relief in as_json(SCENARIO, *CONFLICT, code=1)["conflict"]["reliefs"]:
        enough = f"limits.{relief['label']}.max={relief['needed'] * 1.000001!r}"
        short = f"limits.{relief['label']}.max={relief['needed'] * 0.9999!r}"
        assert as_json(SCENARIO, *CONFLICT, "--set", enough)["status"] == "optimal"
        assert as_json(SCENARIO, *CONFLICT, "--set", short, code=1)["status"] == "infeasible"


def test_no_plan_in_csv_and_markdown():
    result = run(SCENARIO, *CONFLICT, "--format", "csv", code=1)
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert (row["status"], row["params"], row["total"]) == ("infeasible", "", "")
    assert float(row["baseline_params"]) == pytest.approx(30e9, rel=1e-9)
    assert "## Why" in run(SCENARIO, *CONFLICT, "--format", "markdown", code=1).stdout


def test_among_several_the_others_still_print(tmp_path: Path):
    bad = tmp_path / "bad.yaml"
    text = Path(SCENARIO).read_text(encoding="utf-8").replace("name: 1B requests", "name: Too little")
    bad.write_text(text + "limits: {params: {max: 1B}}\n", encoding="utf-8")
    result = run(SCENARIO, str(bad), FLOPS, code=1)
    assert "17.4B" in result.stdout
    assert "6.97B" in result.stdout
    assert result.stderr.startswith("Too little, Chinchilla-30B quality: infeasible: no plan: params max and target ")
    found = as_json(SCENARIO, str(bad), FLOPS, code=1)
    assert [each["status"] for each in found] == ["optimal", "infeasible", "optimal"]
    assert found[1]["plan"] is None
    rows = list(csv.DictReader(io.StringIO(run(SCENARIO, str(bad), "--format", "csv", code=1).stdout)))
    assert [row["status"] for row in rows] == ["optimal", "infeasible"]


def test_no_plan_is_written_to_its_file_too(tmp_path: Path):
    path = tmp_path / "out.json"
    run(SCENARIO, *CONFLICT, "-o", str(path), code=1)
    assert json.loads(path.read_text(encoding="utf-8"))["status"] == "infeasible"


# Limits


def test_a_limit_row_has_the_promised_keys():
    (row,) = as_json(SCENARIO, "--set", "limits.serving_memory.max=12 GB")["limits"]
    assert set(row) == {
        *("label", "side", "value", "bound", "bound_unit", "binding", "redundant", "free"),
        *("elasticity", "shadow_price", "unit"),
    }
    assert (row["label"], row["side"], row["bound_unit"], row["unit"]) == ("serving_memory", "max", "GB", "USD per GB")
    assert row["binding"]
    assert not row["redundant"]


@pytest.mark.parametrize("method", ["elementwise", "gp"])
def test_a_method_can_be_forced_under_limits(method: str):
    limit = ("--set", "limits.serving_memory.max=12 GB")
    found = as_json(SCENARIO, *limit, "--method", method)
    assert found["method"] == method
    assert found["plan"]["total"] == pytest.approx(as_json(SCENARIO, *limit)["plan"]["total"], rel=1e-8)


def test_the_universal_curve_cannot_bend_to_a_limit():
    line = refused(SCENARIO, "--set", "limits.params.max=12B", "--method", "universal")
    assert "method universal needs limits that do not bind; use auto, elementwise or gp" in line


@pytest.mark.parametrize(
    ("assignment", "phrase"),
    [
        ("limits.parms.max=3B", "limits.parms: unknown key; did you mean 'params'?"),
        ("limits.params={min: 3B, max: 2B}", "limits.params: min 3e+09 is above max 2e+09; no model lies between"),
        ("limits.params.max=3 GB", "limits.params.max: '3 GB' is not in params"),
        ("limits.training_time={max: 3 GB, gpus: 8}", "limits.training_time.max: '3 GB' is not in day"),
        ("limits.params={max: 3B, max: 4B}", "'max' stands twice; keep one of them"),
        ("limits={params: {max: 3B}, params: {max: 4B}}", "'params' stands twice; keep one of them"),
        ("limits.training_cost={max: 3M, min: 1M}", "a floor on training_cost has no certified optimum; give max, or"),
        ("limits.serving_memory={min: 3}", "a floor on serving_memory has no certified optimum"),
        ("limits.tokens={}", "limits.tokens: bounds nothing; give max or min"),
        ("limits.training_time.max=60 days", "limits.training_time: gpus is missing"),
        ("limits=3", "limits: expected keys below it, got '3'"),
        ("objective=loss", "does not go with objective loss"),
        ("start_from=3", "start_from: expected keys below it"),
        ("compare=3", "compare: expected a list, got '3'"),
        ("compare=[{model: mistral-7b}]", "the training tokens of mistral-7b are not published"),
    ],
)
def test_bad_input_is_said_in_lines_without_a_traceback(assignment: str, phrase: str):
    result = run(SCENARIO, "--set", assignment, code=2)
    assert result.stdout == ""
    assert phrase in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == (2 if assignment == "objective=loss" else 1)


def test_a_ceiling_that_is_no_posynomial_is_one_line():
    line = refused(SCENARIO, "--set", "law=kaplan-2020", "--set", "limits.tokens_per_param.max=100")
    assert "limits.tokens_per_param.max: max is not possible under law kaplan-2020, which counts no embeddings" in line


# Verify


PLAIN = [path for path in SCENARIOS if shipped.scenario(path).to_dict()["objective"] != "loss"]


@pytest.mark.parametrize("path", slowest_apart(PLAIN))
def test_every_method_agrees_on_every_scenario(path: Path):
    found = as_json(str(path), "--verify")
    differences = found["verification"]
    assert max(differences.values()) < 1e-8
    if "serving" in found:
        # Batch and step time, or a fleet's kinks, are beyond the methods of params and tokens alone.
        assert {"direct", "gp"} == set(differences)
        return
    assert {"elementwise", "gp"} <= set(differences)
    # What rounding adds is a limit while it is searched.
    bound = any(row["binding"] for row in found["limits"]) or "quantisation" in found.get("effects", {})
    assert ("universal" in differences) == (not bound)


def test_verify_in_text_and_markdown():
    text = run(SCENARIO, "--verify").stdout
    assert "\nEvery method that can solve it\n  universal: same cost\n" in text
    assert "## Every method that can solve it\n" in run(SCENARIO, "--verify", "--format", "markdown").stdout


def test_methods_agree_that_there_is_no_plan():
    found = as_json(SCENARIO, *CONFLICT, "--verify", code=1)
    assert found["verification"] == {"elementwise": 0.0, "gp": 0.0}
    text = run(SCENARIO, *CONFLICT, "--verify", code=1).stdout
    assert "elementwise: no plan either\n  gp: no plan either\n" in text


# Break-even


def test_break_even_in_json_is_where_the_saving_is():
    rows = as_json(SCENARIO, "--break-even")["break_even"]
    assert [row["savings_fraction"] for row in rows] == [0.01, 0.05, 0.10]
    assert {row["unit"] for row in rows} == {"requests"}
    assert sorted(row["demand"] for row in rows) == [row["demand"] for row in rows]
    for row in rows:
        found = as_json(SCENARIO, "--set", f"demand.requests={row['demand']!r}")
        assert found["savings"]["fraction"] == pytest.approx(row["savings_fraction"], rel=1e-6)


def test_break_even_of_tokens_is_in_tokens():
    text = words(run(FLOPS, "--break-even").stdout)
    assert "Break-even demand against Chinchilla saves 1% from " in text
    assert " tokens (0." in text


def test_a_limit_may_stand_in_the_way_of_a_saving():
    rows = as_json(SCENARIO, "--break-even", "--set", "limits.params.min=28B")["break_even"]
    assert rows[0]["demand"] is not None
    assert rows[-1]["demand"] is None
    assert "saves 10% at no demand" in run(SCENARIO, "--break-even", "--set", "limits.params.min=28B").stdout


# Realise


def test_architectures_meet_the_target_and_cost_a_little_more():
    found = as_json(SCENARIO, "--realise")
    assert len(found["architectures"]) == 5
    for each in found["architectures"]:
        shape = each["architecture"]
        assert shape["vocabulary"] == 128_000
        assert shape["heads"] * shape["head_size"] == shape["width"]
        assert each["loss"] <= found["target_loss"]
        assert each["total"] == pytest.approx(found["plan"]["total"] + each["rounding"]["absolute"], rel=1e-12)
        assert 0 <= each["rounding"]["fraction"] < 0.02


def test_the_vocabulary_is_stated():
    found = as_json(SCENARIO, "--realise", "--vocabulary", "32000")["architectures"]
    assert {each["architecture"]["vocabulary"] for each in found} == {32_000}
    for each in found:
        shape = each["architecture"]
        # Models of this size do not tie: embedding and output projection are two matrices.
        assert each["params"] - each["non_embedding_params"] == 2 * 32_000 * shape["width"]
    assert "Architectures near the plan\n" in run(SCENARIO, "--realise", "--vocabulary", "32000").stdout


def test_architectures_keep_the_limits():
    found = as_json(SCENARIO, "--realise", "--set", "limits.serving_memory.max=12 GB")["architectures"]
    assert found
    assert max(each["params"] for each in found) <= 12e9


# Compare


COMPARE = ("--set", "compare=[{model: llama-2-13b}, {name: ours, params: 8B, tokens: 15T}]")


def test_a_comparison_in_json():
    found = as_json(SCENARIO, *COMPARE, "--set", "limits.params.max=10B")
    theirs, ours = found["comparison"]
    assert (theirs["name"], theirs["params"], theirs["tokens"]) == ("llama-2-13b", 13e9, 2e12)
    assert (ours["name"], ours["params"], ours["tokens"]) == ("ours", 8e9, 15e12)
    assert (theirs["breaks"], ours["breaks"]) == (["params"], [])
    assert (theirs["meets_target"], ours["meets_target"]) == (False, True)
    for each in (theirs, ours):
        loss = float(bc.law("sardana-2024").loss(each["params"], each["tokens"]))
        assert each["loss"] == pytest.approx(loss, rel=1e-12)
        best = as_json(SCENARIO, "--set", f"target.loss={loss!r}")["plan"]["total"]
        assert each["total"] == pytest.approx(sum(term["value"] for term in each["terms"]), rel=1e-12)
        assert each["excess"]["absolute"] == pytest.approx(each["total"] - best, rel=1e-6)
        assert each["excess"]["fraction"] == pytest.approx(each["total"] / best - 1, rel=1e-6)


def test_a_comparison_in_text_and_markdown():
    for format_ in ("text", "markdown"):
        printed = run(SCENARIO, *COMPARE, "--format", format_).stdout
        assert "Your plans" in printed
        assert "llama-2-13b" in printed


# The best loss that money buys


def test_the_best_loss_says_so_everywhere():
    found = as_json(SCENARIO, *BEST_LOSS)
    assert found["objective"] == "loss"
    assert found["plan"]["total"] == pytest.approx(1.2e6, rel=1e-9)
    assert found["baseline"]["total"] == pytest.approx(1.2e6, rel=1e-9)
    assert found["savings"]["absolute"] == pytest.approx(found["baseline"]["loss"] - found["plan"]["loss"], rel=1e-9)
    assert found["savings"]["fraction"] == pytest.approx(found["savings"]["absolute"] / found["baseline"]["loss"])
    assert found["limits"][0]["unit"] == "nats per USD"
    assert found["target_loss"] == found["plan"]["loss"]
    text = run(SCENARIO, *BEST_LOSS).stdout
    assert text.startswith(f"$1.20M buys loss {found['plan']['loss']:.4f}: ")
    assert " | least loss\n" in text
    assert "objective" not in as_json(SCENARIO)


# Going on


def test_going_on_pays_for_further_tokens_alone():
    found = as_json(SCENARIO, *START)
    assert found["method"] == "start_from"
    assert found["plan"]["params"] == pytest.approx(17e9, rel=1e-12)
    training = found["plan"]["terms"][0]
    assert training["label"] == "training"
    assert training["value"] == pytest.approx(
        6 * 17e9 * (found["plan"]["tokens"] - 1e12) * 1.50 / 3600 / (312e12 * 0.5), rel=1e-9
    )
    assert "starting afresh" in found["warnings"][0]


def test_a_start_out_of_reach_is_exit_1_with_the_least_loss():
    result = run(SCENARIO, "--set", "start_from={params: 1B, tokens: 1T}", code=1)
    least = 1.69 + 406.4 * 1e9**-0.336
    assert f"the least loss at that size is {least:.4f}" in words(result.stdout)
    found = as_json(SCENARIO, "--set", "start_from={params: 1B, tokens: 1T}", code=1)
    assert (found["status"], found["plan"]) == ("infeasible", None)


# What does not go together


@pytest.mark.parametrize(
    ("args", "phrase"),
    [
        (("--vocabulary", "32000"), "--vocabulary goes with --realise"),
        (("--verify", "--format", "csv"), "--verify: no place for that in the one row of a csv"),
        (("--realise", "--break-even", "--format", "csv"), "--break-even and --realise: no place for that"),
        ((*BEST_LOSS, "--break-even"), "--break-even compares costs at a target"),
        ((*BEST_LOSS, "--realise"), "--realise rounds a plan that meets a target; use objective: cost and target: "),
        ((*BEST_LOSS, "--method", "gp"), "method gp minimises cost from nothing; use auto"),
        ((*START, "--break-even"), "--break-even compares costs at a target"),
        ((*START, "--realise"), "--realise proposes new models, but start_from has its architecture already"),
        ((*START, "--method", "elementwise"), "method elementwise minimises cost from nothing; use auto"),
    ],
)
def test_options_that_make_no_sense_together_are_one_line(args: tuple[str, ...], phrase: str):
    assert phrase in refused(SCENARIO, *args)


@pytest.mark.parametrize("vocabulary", ["0", "-1", "many", "1.5"])
def test_a_vocabulary_is_a_count(vocabulary: str):
    assert "--vocabulary" in run(SCENARIO, "--realise", "--vocabulary", vocabulary, code=2).stderr


# Several with extras


def test_several_scenarios_carry_their_extras():
    asked = ("--verify", "--break-even", "--realise")
    found = as_json(SCENARIO, FLOPS, *asked)
    for each in found:
        assert {"verification", "break_even", "architectures"} <= set(each)
    assert [each["break_even"][0]["unit"] for each in found] == ["requests", "tokens"]
    names = [each["scenario"] for each in found]
    titles = ("Every method that can solve it", "Break-even demand against Chinchilla", "Architectures near the plan")
    for format_, mark in (("text", ""), ("markdown", "## ")):
        printed = run(SCENARIO, FLOPS, *asked, "--format", format_).stdout.splitlines()
        for name in names:
            for title in titles:
                assert printed.count(f"{mark}{name}: {title}") == 1


def test_one_scenario_with_extras_is_among_several_the_same():
    alone = as_json(SCENARIO, "--break-even")
    among = as_json(FLOPS, SCENARIO, "--break-even")[1]
    assert among["break_even"] == alone["break_even"]


# A process of its own


HEAVY = ("cvxpy", "scipy", "pandas", "matplotlib", "beyond_chinchilla.optimise.gp")


def test_a_scenario_under_limits_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from beyond_chinchilla.cli.main import main\n"
        f"sys.argv = ['bc-opt', {SCENARIO!r}, '--set', 'limits.serving_memory.max=12', '--format', 'json']\n"
        "try:\n    main()\n"
        "except SystemExit as done:\n"
        f"    loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "    print(f'exit {done.code or 0}, heavy {loaded}', file=sys.stderr)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert json.loads(result.stdout)["method"] == "elementwise"
    assert result.stderr.strip() == "exit 0, heavy []"
