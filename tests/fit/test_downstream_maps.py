"""Maps fitted to pairs of loss and error: the published ones come out of the published models, known ones come back."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_data import RealData
from scipy.optimize import curve_fit

from beyond_chinchilla.errors import FitError, InputError, SpreadsheetError
from beyond_chinchilla.fit.downstream.map import fit_downstream
from beyond_chinchilla.fit.downstream.pairs import read_pairs
from beyond_chinchilla.fit.downstream.verdict import judge_map
from beyond_chinchilla.laws.downstream import DownstreamMap

REFERENCES = Path(__file__).parents[1] / "references"
TRUE = DownstreamMap(epsilon=0.86, k=2.2, gamma=0.72)


def evaluated(data: str, column: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the losses and errors of the models that Gadre et al. 2024 fit to."""
    lines = (REFERENCES / "gadre_2024_errors.csv").read_text(encoding="utf-8").splitlines()
    rows = [row for row in csv.DictReader(line for line in lines if not line.startswith("#")) if row["data"] == data]
    fitted = [row for row in rows if row["fitted"] == "1"]
    return np.array([float(row["loss"]) for row in fitted]), np.array([float(row[column]) for row in fitted])


def simulated(count: int = 40, scatter: float = 0.005, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    loss = np.sort(rng.uniform(2.2, 5.0, count))
    return loss, TRUE.error(loss) + rng.normal(0.0, scatter, count)


# Known answers


@pytest.mark.parametrize(
    ("data", "column", "epsilon", "k", "gamma"),
    # Gadre et al. 2024, Table 2, to half the last printed digit.
    [
        ("C4", "err17", 0.850, 2.079, 0.756),
        ("C4", "err46", 0.759, 1.289, 0.972),
        ("RedPajama", "err17", 0.857, 2.206, 0.715),
        ("RedPajama", "err46", 0.761, 1.323, 0.891),
        ("RefinedWeb", "err17", 0.865, 2.215, 0.707),
        ("RefinedWeb", "err46", 0.768, 1.128, 0.822),
    ],
)
def test_the_published_models_give_the_published_maps(
    data: str, column: str, epsilon: float, k: float, gamma: float
) -> None:
    found = fit_downstream(*evaluated(data, column)).map
    assert (found.epsilon, found.k, found.gamma) == pytest.approx((epsilon, k, gamma), abs=5.01e-4)


def test_six_models_have_the_covariance_of_their_derivatives() -> None:
    loss, error = evaluated("RedPajama", "err17")
    found = fit_downstream(loss, error)
    assert found.spread == "derivatives"
    assert found.refits.size == 0
    # scipy's own, in epsilon, k and gamma.
    _, theirs = curve_fit(
        lambda L, epsilon, k, gamma: epsilon - k * np.exp(-gamma * L), loss, error, p0=(0.85, 2.0, 0.7)
    )
    change = np.diag([1.0, 1.0 / found.map.k, 1.0])
    assert np.array(found.map.covariance) == pytest.approx(change @ theirs @ change, rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 0.99), st.floats(0.3, 2.5), st.floats(0.1, 0.6))
def test_a_known_map_comes_back(epsilon: float, gamma: float, fall: float) -> None:
    loss = np.linspace(2.0, 5.0, 15)
    known = DownstreamMap(epsilon=epsilon, k=fall * epsilon * math.exp(2.0 * gamma), gamma=gamma)
    found = fit_downstream(loss, known.error(loss), samples=0).map
    assert found.error(loss) == pytest.approx(known.error(loss), abs=1e-8)
    assert (found.epsilon, found.gamma) == pytest.approx((epsilon, gamma), rel=1e-4)


def test_no_other_map_is_nearer() -> None:
    loss, error = simulated()
    found = fit_downstream(loss, error, samples=0)
    best = float(found.residuals @ found.residuals)
    for key in ("epsilon", "k", "gamma"):
        for factor in (0.99, 1.01):
            changed = {name: getattr(found.map, name) for name in ("epsilon", "k", "gamma")}
            changed[key] = min(changed[key] * factor, 1.0) if key == "epsilon" else changed[key] * factor
            misses = DownstreamMap(**changed).error(loss) - error
            assert float(misses @ misses) >= best


def test_no_epsilon_is_above_one() -> None:
    loss = np.linspace(2.0, 4.0, 20)
    found = fit_downstream(loss, 1.2 - 2.0 * np.exp(-0.5 * loss), samples=0).map
    assert found.epsilon == 1.0
    assert float(found.error(2.0)) == pytest.approx(1.2 - 2.0 * math.exp(-1.0), abs=0.03)


@pytest.mark.own_step
def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    inside = {"epsilon": 0, "k": 0, "gamma": 0}
    for seed in range(30):
        found = fit_downstream(*simulated(30, 0.008, seed), samples=100, seed=seed)
        assert found.spread == "resampled pairs"
        for name in inside:
            low, high = found.interval(name) or (math.nan, math.nan)
            inside[name] += low <= getattr(TRUE, name) <= high
    # 95% of 30, less what so few resamples and so small a sample cost.
    assert min(inside.values()) >= 24


def test_the_same_seed_gives_the_same_refits() -> None:
    pairs = simulated()
    first, again, other = (fit_downstream(*pairs, samples=50, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first.refits, again.refits)
    assert not np.array_equal(first.refits, other.refits)


# Verdicts


def test_clear_pairs_are_good() -> None:
    found = judge_map(fit_downstream(*simulated(), samples=0))
    assert found.verdict == "good", found.reasons


def test_six_pairs_are_few() -> None:
    found = judge_map(fit_downstream(*evaluated("C4", "err17")))
    assert found.verdict == "usable"
    assert found.reasons[0] == "6 pairs for 3 constants: each one moves them."


def test_models_near_chance_are_no_ground() -> None:
    rng = np.random.default_rng(5)
    loss = np.linspace(3.0, 4.0, 30)
    found = judge_map(fit_downstream(loss, 0.75 + 0.002 * loss + rng.normal(0, 0.006, 30), samples=0))
    assert found.verdict == "do not use"
    assert "all are near chance" in found.reasons[0]


def test_a_straight_line_leaves_epsilon_open() -> None:
    rng = np.random.default_rng(6)
    loss = np.linspace(2.5, 2.8, 30)
    found = judge_map(fit_downstream(loss, TRUE.error(loss) + rng.normal(0, 0.003, 30), samples=0))
    assert found.verdict == "usable"
    assert any("A straight line fits as well: epsilon" in reason for reason in found.reasons)


def test_errors_that_fall_with_the_loss_are_no_map() -> None:
    loss = np.linspace(2.0, 4.0, 10)
    with pytest.raises(FitError, match="the errors do not rise with the loss"):
        fit_downstream(loss, 0.9 - 0.1 * loss)


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        ([2.0, 3.0, 4.0], [0.5, 0.6, 0.7], "3 pairs of loss and error: a map has 3 constants, give 4"),
        ([2.0, 2.0, 3.0, 3.0], [0.5, 0.5, 0.6, 0.6], "2 different losses"),
        ([2.0, 3.0, 4.0, math.nan], [0.5, 0.6, 0.7, 0.8], "must be finite"),
        ([2.0, 3.0, 4.0, 5.0], [0.5, 0.6, 0.7], "losses of shape"),
    ],
)
def test_what_makes_no_map_is_refused(loss: list[float], error: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_downstream(loss, error)


# Files


def table(folder: Path, text: str) -> Path:
    path = folder / "models.csv"
    path.write_text(text, encoding="utf-8")
    return path


ROWS = "2.5,{},a\n3.0,{},b\n3.5,{},c\n4.0,{},d\n"


@pytest.mark.parametrize("column", ["error", "Top-1 error", "err", "average error"])
def test_errors_are_found_by_name(tmp_path: Path, column: str) -> None:
    found = read_pairs(table(tmp_path, f"loss,{column},name\n" + ROWS.format(0.5, 0.6, 0.65, 0.7)))
    assert found.error.tolist() == [0.5, 0.6, 0.65, 0.7]
    assert found.loss.tolist() == [2.5, 3.0, 3.5, 4.0]


def test_scores_in_per_cent_become_errors(tmp_path: Path) -> None:
    found = read_pairs(table(tmp_path, "val_loss,Accuracy,name\n" + ROWS.format(50, 40, 35, 30)))
    assert found.error == pytest.approx([0.5, 0.6, 0.65, 0.7])
    assert found.conventions["score"] == "column 'Accuracy' in per cent"


def test_bits_become_nats(tmp_path: Path) -> None:
    found = read_pairs(table(tmp_path, "loss (bits),error,name\n" + ROWS.format(0.5, 0.6, 0.65, 0.7)))
    assert found.loss[0] == pytest.approx(2.5 * math.log(2.0))


def test_rows_without_a_number_are_set_aside(tmp_path: Path) -> None:
    text = "loss,error,name\n" + ROWS.format(0.5, 0.6, 0.65, 0.7) + "4.2,n/a,e\n-1,0.8,f\n4.4,1.7,g\n"
    found = read_pairs(table(tmp_path, text.replace("1.7", "-0.7")))
    assert len(found) == 4
    assert found.reasons() == {"error missing": [6], "loss not positive": [7], "error out of range": [8]}


def test_two_candidates_are_asked_about(tmp_path: Path) -> None:
    path = table(tmp_path, "loss,error,accuracy\n2.5,.5,.5\n3,.6,.4\n3.5,.65,.35\n4,.7,.3\n")
    with pytest.raises(SpreadsheetError, match="'error', 'accuracy'; say it with --error-column NAME"):
        read_pairs(path)
    assert read_pairs(path, score_column="accuracy").error == pytest.approx([0.5, 0.6, 0.65, 0.7])
    with pytest.raises(InputError, match="--score-column 'acuracy': no such column; did you mean 'accuracy'"):
        read_pairs(path, score_column="acuracy")


def test_too_few_rows_say_why(tmp_path: Path) -> None:
    path = table(tmp_path, "loss,error\n2.5,.5\n3,.6\n,.65\n")
    with pytest.raises(SpreadsheetError, match=r"2 usable pairs .* at least 4 are needed: loss missing \(row 4\)"):
        read_pairs(path)


# Other people's models


def test_the_gauntlet_of_47_models_is_a_clear_map(bc_data: RealData) -> None:
    path = bc_data / "sardana_mpt_47runs.csv"
    pairs = read_pairs(path, score_column="eval_gauntlet/core_average")
    found = fit_downstream(pairs.loss, pairs.error, samples=300)
    assert len(pairs) == 47
    assert judge_map(found).verdict == "good"
    assert found.explained > 0.98
    # The gauntlet counts 0 at chance.
    assert found.map.epsilon == pytest.approx(0.99, abs=0.02)
    # Of the largest model, 6B at 20 tokens per parameter: .2492.
    assert float(found.map.score(2.454253)) == pytest.approx(0.2492, abs=2 * found.map.residual)
    # MMLU is at chance for all of them.
    chance = read_pairs(path, score_column="mmlu_5_shot_avg")
    assert judge_map(fit_downstream(chance.loss, chance.error, samples=0)).verdict == "do not use"
