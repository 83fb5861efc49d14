"""Experts in a scenario: choices of one loss, memory for all parameters and bills for the active ones, mistakes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from beyond_chinchilla.cli.main import cli
from beyond_chinchilla.costs.serving import Replica
from beyond_chinchilla.errors import ScenarioError
from beyond_chinchilla.laws.experts import expert_laws
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.report.past.experts import assumptions
from beyond_chinchilla.scenario.load import Scenario

LAWS = expert_laws("ludziejewski-2025")
LIFE: dict[str, Any] = {
    "name": "life",
    "law": "ludziejewski-2025",
    "experts": [1, 8, 32],
    "target": {"chinchilla": "30B"},
    "demand": {"requests": "300M", "input_tokens": 1000, "output_tokens": 500},
    "training": {"hardware": "h100-sxm", "precision": "bf16", "price": "2.50 USD/hour", "mfu": "40%"},
    "serving": {
        "hardware": "h100-sxm",
        "precision": "fp8",
        "price": "2.50 USD/hour",
        "prefill_mfu": "50%",
        "decode_mfu": "5%",
    },
}
MONTHLY = LIFE | {
    "name": "monthly",
    "demand": LIFE["demand"] | {"requests": "3B", "months": 24},
    "serving": {"hardware": "h200-sxm", "precision": "fp8", "price": "3.50 USD/hour", "gpus_per_replica": 2},
}


def scenario(**changes: Any) -> Scenario:
    return Scenario.from_dict(LIFE | changes)


def monthly(**changes: Any) -> Scenario:
    return Scenario.from_dict(MONTHLY | changes)


def test_every_number_is_asked_for_the_loss_of_the_dense_model() -> None:
    plans = {count: solve(scenario(experts=count)) for count in (1, 8, 32)}
    dense = float(LAWS.law(1).compute_optimal(params=30e9).loss)
    for count, plan in plans.items():
        assert plan.target_loss == pytest.approx(dense, rel=1e-14)
        assert plan.best is not None
        assert float(LAWS.law(count).loss(plan.best.params, plan.best.tokens)) == pytest.approx(dense, rel=1e-12)
    assert solve(scenario(experts=None)).best == plans[1].best


def test_a_list_is_a_choice_and_each_number_its_own_plan() -> None:
    plan = solve(scenario())
    assert [row.label for row in plan.choices] == ["32 experts", "8 experts", "1 expert"]
    assert plan.choice == "32 experts"
    for row in plan.choices:
        count = int(row.label.split()[0])
        alone = solve(scenario(experts=count))
        assert alone.best is not None
        assert row.total == pytest.approx(alone.best.total, rel=1e-12)
        assert row.params == pytest.approx(alone.best.params, rel=1e-12)
        if count > 1:
            assert row.total_params == pytest.approx((4 + 9 * count) / 13 * alone.best.params, rel=1e-12)
    assert plan.choices[-1].total_params is None
    assert plan.baseline.total >= plan.best.total  # type: ignore[union-attr]


def test_tokens_pay_for_active_parameters() -> None:
    plan = solve(scenario(experts=8))
    best = plan.best
    assert best is not None
    assert best.training_flops == pytest.approx(6 * best.params * best.tokens, rel=1e-12)
    assert best.inference_flops == pytest.approx(2 * best.params * 300e6 * 1500, rel=1e-12)


def test_memory_and_one_read_of_the_weights_are_of_all_parameters() -> None:
    held = {"serving_memory": {"max": "60 GB"}, "time_per_output_token": {"max": "1 s"}, "params": {"max": "40B"}}
    plan = solve(scenario(experts=8, limits=held))
    assert plan.best is not None
    values = {row.label: row.value for row in plan.limits}
    assert values["serving_memory"] == pytest.approx(76 / 13 * plan.best.params / 1e9, rel=1e-12)
    assert values["time_per_output_token"] == pytest.approx(76 / 13 * plan.best.params / 3.35e12 * 1e3, rel=1e-12)
    # Parameters that are bounded are the active ones.
    assert values["params"] == pytest.approx(plan.best.params, rel=1e-12)


def test_less_memory_is_for_fewer_experts() -> None:
    few = {"tokens": {"max": "15T"}}
    chosen = []
    for most in ("24 GB", "80 GB", "640 GB"):
        plan = solve(
            scenario(target={"chinchilla": "70B"}, limits=few | {"serving_memory": {"max": most}}, experts=[1, 8, 32])
        )
        assert plan.status == "optimal"
        chosen.append(int(plan.choice.split()[0]))
    assert chosen == sorted(chosen)
    assert chosen[0] < chosen[-1]


def test_replicas_hold_all_and_read_what_a_batch_touches() -> None:
    (mixed,) = monthly(experts=32).monthly().uses
    assert isinstance(mixed, Replica)
    assert mixed.mixture is not None
    assert mixed.mixture.active == 1
    assert mixed.mixture.total_per_active == pytest.approx(292 / 13)
    # 4/13 of a token's parameters are attention.
    assert mixed.mixture.shared == pytest.approx(4 / 13)
    (dense,) = monthly(experts=1).monthly().uses
    assert isinstance(dense, Replica)
    assert dense.mixture is None
    slower = monthly(experts=32, serving=MONTHLY["serving"] | {"efficiency": {"experts": "20%"}}).monthly().uses[0]
    assert isinstance(slower, Replica)
    assert float(slower.step_time(1e10, 64)) > float(mixed.step_time(1e10, 64))


def test_months_and_experts_are_one_choice() -> None:
    plan = solve(monthly(experts=[1, 8]))
    assert {row.label for row in plan.choices} == {"1 expert, h200-sxm fp8 x 2", "8 experts, h200-sxm fp8 x 2"}
    assert plan.best is not None
    assert max(plan.duality_gap, plan.kkt_residual) <= 1e-8


def run(stated: dict[str, Any], tmp_path: Any, *options: str) -> Any:
    path = tmp_path / "experts.yaml"
    path.write_text(json.dumps(stated), encoding="utf-8")
    return CliRunner().invoke(cli, [str(path), *options])


def test_the_page_says_what_is_active_and_what_memory_is_best_for(tmp_path: Any) -> None:
    found = run(LIFE, tmp_path)
    assert found.exit_code == 0, found.output
    text = " ".join(found.output.split())
    assert " active of " in text
    assert "active params" in text
    assert "all params" in text
    assert "32 experts a layer, of which a token meets 1" in text
    for memory in ("24 GB", "80 GB", "640 GB"):
        assert f"{memory} " in text
    assert "taken to use its chips as well as a dense model" in text
    assert "Other laws" not in text


def test_json_has_both_counts(tmp_path: Any) -> None:
    record = json.loads(run(LIFE, tmp_path, "--format", "json").output)
    assert record["plan"]["total_params"] == pytest.approx(292 / 13 * record["plan"]["params"])
    assert record["effects"]["experts"]["experts"] == 32
    shown = record["experts"]
    assert shown["active_experts"] == 1
    assert [row["memory"] for row in shown["by_memory"]] == ["24 GB", "80 GB", "640 GB"]
    assert all(row["weights_gb"] <= float(row["memory"].split()[0]) * (1 + 1e-9) for row in shown["by_memory"])


def test_a_dense_choice_says_so(tmp_path: Any) -> None:
    found = run(LIFE | {"experts": 1}, tmp_path)
    assert found.exit_code == 0, found.output
    assert "One expert is the dense model" in found.output
    assert " active of " not in found.output


def test_the_page_of_replicas_says_how_well_experts_run(tmp_path: Any) -> None:
    stated = MONTHLY | {"experts": 8}
    text = " ".join(run(stated, tmp_path).output.split())
    assert "A decode step of" in text
    assert "sequences reads all of its experts" in text
    assert "fitted to 8 measured throughputs of mixtures; 7 others are off by" in text
    own = stated | {"serving": MONTHLY["serving"] | {"efficiency": {"experts": "50%"}}}
    text = " ".join(run(own, tmp_path).output.split())
    # 9 of 13 parts take twice as long.
    assert "Everything takes 1.69x as long as for a dense model" in text
    assert "efficiency.experts is stated" in text


def test_assumptions_have_their_source() -> None:
    lines = {what: (value, source) for what, value, source in assumptions(monthly())}
    assert lines["experts"][0] == "1, 8, 32 a layer, 1 active"
    assert "arXiv 2502.05172" in lines["experts"][1]
    assert lines["all params over active ones"][0] == "(4 + 9 E) / 13"
    assert lines["experts run at"][0] == "38% of a dense model's shares"
    assert [what for what, _, _ in assumptions(scenario())] == ["experts", "all params over active ones"]
    assert list(assumptions(scenario(experts=None))) == []


# Mistakes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experts": 64}, "64 is no whole number from 1 to 32, the range of law ludziejewski-2025"),
        ({"experts": [1, 64]}, "64 is no whole number from 1 to 32"),
        ({"experts": 0}, "0 must be a whole number from 1"),
        ({"experts": 2.5}, "2.5 must be a whole number"),
        ({"experts": "many"}, "many"),
        ({"experts": []}, "an empty list offers nothing to choose from"),
        ({"experts": [8, 8]}, "the same number twice among 8, 8"),
        ({"law": "sardana-2024"}, "needs a law that knows experts, not sardana-2024; write law: ludziejewski-2025"),
        (
            {"law": {"E": 1.7, "A": 400, "alpha": 0.34, "B": 400, "beta": 0.28}},
            "needs a law that knows experts, not one of the file's own",
        ),
        ({"quantisation": "kumar-2024"}, "leave out quantisation, or experts"),
        ({"shape": "bian-2025"}, "leave out shape, or experts"),
        ({"start_from": {"params": "7B", "tokens": "1T"}}, "a model that is trained already has its experts"),
        (
            {"target": None, "objective": "loss", "limits": {"total_cost": {"max": "1M USD"}}},
            "lists several; objective loss takes one",
        ),
    ],
)
def test_mistakes_are_told_with_the_way_out(changes: dict[str, Any], message: str) -> None:
    stated = {key: value for key, value in (LIFE | changes).items() if value is not None}
    with pytest.raises(ScenarioError) as refused:
        Scenario.from_dict(stated)
    lines = [line for line in refused.value.mistakes if message in line]
    assert lines, refused.value.mistakes
    assert all("\n" not in line for line in lines)
    assert "experts" in lines[0]


def test_one_number_goes_with_the_best_loss_for_a_budget() -> None:
    stated = {key: value for key, value in LIFE.items() if key != "target"}
    stated |= {"objective": "loss", "limits": {"total_cost": {"max": "1M USD"}}}
    losses = {}
    for count in (1, 8, 32):
        plan = solve(Scenario.from_dict(stated | {"experts": count}))
        assert plan.best is not None
        assert plan.best.total == pytest.approx(1e6, rel=1e-6)
        losses[count] = plan.best.loss
    assert losses[1] > losses[8] > losses[32]
