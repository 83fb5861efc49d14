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
from scipy.stats import t as student

from beyond_chinchilla.errors import FitError, InputError, SpreadsheetError
from beyond_chinchilla.fit.downstream.map import MapFit, fit_downstream, least_squares
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


def test_the_first_row_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    path = table(tmp_path, "loss,error\n2.5,.5\n,.6\n3,\n")
    with pytest.raises(SpreadsheetError, match=r"are needed: loss missing \(row 3\)"):
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


# Intervals and records by hand

COVARIANCE = ((0.0004, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 0.0009))


def made(*, covariance: Any = COVARIANCE, refits: Any = None, log_k: float = 0.7, **changes: Any) -> MapFit:
    """A fit as it could have come out, of six pairs."""
    loss = np.array([2.0, 2.5, 3.0, 3.5, 4.0, 4.5])
    mapped = DownstreamMap(
        epsilon=0.8, k=math.exp(log_k), gamma=0.9, residual=0.01, covariance=covariance, losses=(2.0, 4.5), name="ours"
    )
    fields = {
        "map": mapped, "loss": loss, "error": np.array([0.3, 0.4, 0.5, 0.5, 0.6, 0.7]), "seed": 7, "failures": 0,
        "residuals": np.array([0.01, -0.02, 0.0, 0.01, 0.0, -0.01]), "spread": "derivatives",
        "refits": np.empty((0, 3)) if refits is None else refits,
    }  # fmt: skip
    return MapFit(**(fields | changes))


def test_intervals_of_few_pairs_are_students() -> None:
    found = made()
    # Six pairs and three constants: 3 degrees of freedom
    for level in (0.95, 0.5):
        reach = float(student.ppf(0.5 + level / 2, 3))
        assert found.interval("epsilon", level) == pytest.approx((0.8 - 0.02 * reach, 0.8 + 0.02 * reach), rel=1e-12)
        assert found.interval("gamma", level) == pytest.approx((0.9 - 0.03 * reach, 0.9 + 0.03 * reach), rel=1e-12)
        low, high = math.exp(0.7 - 0.1 * reach), math.exp(0.7 + 0.1 * reach)
        assert found.interval("k", level) == pytest.approx((low, high), rel=1e-12)
    assert found.interval("epsilon") == found.interval("epsilon", 0.95)
    assert made(covariance=None).interval("gamma") is None


def test_intervals_of_refits_are_their_quantiles() -> None:
    # 0 to 1 in steps of 1/100: the quantiles are the levels themselves.
    steps = np.linspace(0.0, 1.0, 101)
    found = made(refits=np.column_stack([0.5 + steps, 1.0 + steps, 2.0 + steps])[::-1])
    assert found.interval("epsilon") == pytest.approx((0.525, 1.475), rel=1e-12)
    assert found.interval("gamma") == pytest.approx((2.025, 2.975), rel=1e-12)
    assert found.interval("k", 0.8) == pytest.approx((math.exp(1.1), math.exp(1.9)), rel=1e-12)


@pytest.mark.parametrize(("log_k", "told"), [(599.0, True), (-599.0, True), (601.0, False), (-601.0, False)])
def test_a_k_beyond_numbers_has_no_interval(log_k: float, told: bool) -> None:
    refits = np.column_stack([np.full(5, 0.8), np.full(5, log_k), np.full(5, 0.9)])
    assert (made(refits=refits).interval("k") is not None) == told


def test_a_fit_as_json() -> None:
    found = made()
    constants = found.map.to_dict()
    del constants["covariance"]
    # 7e-4 of squares about the mean of .5, whose own are .1
    record = {
        "suite": constants,
        "pairs": 6,
        "explained": pytest.approx(1.0 - 7e-4 / 0.1),
        "intervals": {name: found.interval(name) for name in ("epsilon", "k", "gamma")},
        "covariance": {
            "of": ["epsilon", "ln k", "gamma"], "values": [list(row) for row in COVARIANCE], "from": "derivatives",
        },
        "bootstrap": None,
    }  # fmt: skip
    assert found.to_dict() == record
    refits = np.array([[0.8, 0.7, 0.9], [0.81, 0.71, 0.91]])
    drawn = made(refits=refits, failures=3, spread="resampled pairs").to_dict()
    assert drawn["bootstrap"] == {
        "samples": 5, "failures": 3, "seed": 7, "order": ["epsilon", "ln_k", "gamma"], "parameters": refits.tolist(),
    }  # fmt: skip
    assert drawn["covariance"]["from"] == "resampled pairs"
    assert made(covariance=None).to_dict()["covariance"] is None


def test_what_a_fit_says_of_itself() -> None:
    loss, error = simulated(11)
    found = fit_downstream(loss, error)
    assert (found.map.name, found.map.source, found.seed, found.failures) == ("fit", "", 0, 0)
    assert found.map.losses == (loss[0], loss[-1])
    assert found.residuals == pytest.approx(found.map.error(loss) - error, abs=1e-15)
    # Three constants of eleven pairs
    assert found.map.residual == pytest.approx(math.sqrt(float(np.sum(found.residuals**2)) / 8), rel=1e-12)
    assert found.spread == "derivatives"
    four = fit_downstream(loss[[0, 4, 7, 10]], error[[0, 4, 7, 10]])
    assert four.map.residual == pytest.approx(float(np.linalg.norm(four.residuals)), rel=1e-12)


def test_from_twelve_pairs_on_they_are_resampled() -> None:
    loss, error = simulated(12)
    # 300 are drawn in two blocks, of which the second goes on where the first ended.
    found = fit_downstream(loss, error, samples=300, seed=5)
    assert found.spread == "resampled pairs"
    assert (len(found.refits), found.failures) == (300, 0)
    rng = np.random.default_rng(5)
    drawn = rng.multinomial(12, np.full(12, 1 / 12), size=300)
    for place in (0, 249, 250, 299):
        again = np.repeat(np.arange(12), drawn[place])
        (own,) = least_squares(loss[again], error[again], np.ones((1, 12)))
        assert found.refits[place] == pytest.approx(own, rel=1e-6)
    assert np.array(found.map.covariance) == pytest.approx(np.cov(found.refits.T), rel=1e-12)
    assert fit_downstream(loss, error, samples=0).spread == "derivatives"
    assert len(fit_downstream(loss, error, samples=2, seed=5).refits) == 2


@pytest.mark.parametrize("samples", [-1, 1])
def test_one_sample_is_no_interval(samples: int) -> None:
    with pytest.raises(
        InputError, match=rf"^{samples} samples make no interval; ask for 2 at least .4000 by default., or"
    ):
        fit_downstream(*simulated(), samples=samples)


@pytest.mark.parametrize(
    ("loss", "error", "said"),
    [
        ([2.0, 3.0, 4.0, 0.0], [0.5, 0.6, 0.7, 0.8], "losses and errors must be finite, losses above zero"),
        ([2.0, 3.0, 4.0, 5.0], [0.5, 0.6, 0.7, math.inf], "losses and errors must be finite, losses above zero"),
        ([[2.0, 3.0], [4.0, 5.0]], [[0.5, 0.6], [0.7, 0.8]], "losses of shape"),
        ([2.0, 2.0, 3.0, 3.0], [0.5, 0.5, 0.6, 0.6], "2 different losses: a map bends, give 3 at least"),
    ],
)
def test_pairs_that_make_no_map(loss: Any, error: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit_downstream(loss, error)


def test_three_different_losses_and_four_pairs_are_a_map() -> None:
    found = fit_downstream([2.0, 3.0, 4.0, 4.0], [0.5, 0.7, 0.78, 0.78], samples=0)
    # .5, .7, .78: each step is .4 of the one before, so that gamma is -ln .4 and epsilon .78 + .08 x .4/.6
    assert found.map.gamma == pytest.approx(-math.log(0.4), rel=1e-6)
    assert found.map.epsilon == pytest.approx(0.78 + 0.08 * 2 / 3, rel=1e-6)
    assert found.map.residual < 1e-8


@pytest.mark.parametrize(("gamma", "losses"), [(0.05, (2.0, 3.0)), (30.0, (0.1, 1.1))])
def test_nearly_a_line_and_nearly_a_step_come_back(gamma: float, losses: tuple[float, float]) -> None:
    loss = np.linspace(*losses, 20)
    error = 0.9 - 0.5 * np.exp(-gamma * (loss - losses[0]))
    found = fit_downstream(loss, error, samples=0).map
    assert found.gamma == pytest.approx(gamma, rel=1e-3)
    assert found.epsilon == pytest.approx(0.9, rel=1e-3)
    assert found.residual < 1e-6


def test_weights_count_pairs_several_times() -> None:
    loss, error = simulated(15)
    times = np.array([3, 0, 1, 2, 1, 1, 0, 4, 1, 1, 2, 0, 1, 1, 2])
    (weighted,) = least_squares(loss, error, times[None].astype(float))
    again = np.repeat(np.arange(15), times)
    (repeated,) = least_squares(loss[again], error[again], np.ones((1, again.size)))
    assert weighted == pytest.approx(repeated, rel=1e-6)


# Verdicts at their edges


def findings(fit: MapFit) -> dict[str, Any]:
    return {each.check: each for each in judge_map(fit).findings}


@pytest.mark.parametrize(("count", "word"), [(9, "usable"), (10, "good")])
def test_ten_pairs_are_no_longer_few(count: int, word: str) -> None:
    number = findings(fit_downstream(*simulated(count), samples=0))["number"]
    assert (number.word, number.figures) == (word, {"pairs": count})
    assert number.sentence.endswith("moves them.") == (word == "usable")


@pytest.mark.parametrize(("times", "word"), [(8.0, "good"), (7.99, "usable"), (4.0, "usable"), (3.99, "do not use")])
def test_the_fall_over_the_scatter(times: float, word: str) -> None:
    mapped = made().map
    fall = float(mapped.error(4.5) - mapped.error(2.0))
    scattered = DownstreamMap(epsilon=0.8, k=math.exp(0.7), gamma=0.9, residual=fall / times)
    found = findings(made(map=scattered))
    assert found["fall"].word == word
    assert found["fall"].figures == {"fall": fall, "residual": fall / times}
    # Where all are near chance, no best ones are predicted.
    assert ("best models" in found) == (word != "do not use")


def test_the_gain_over_a_line_by_hand() -> None:
    found = made()
    line = np.polyval(np.polyfit(found.loss, found.error, 1), found.loss) - found.error
    misses = found.map.error(found.loss) - found.error
    gain = max((line @ line - misses @ misses) / (misses @ misses / 3), 0.0)
    bend = findings(found)["bend"]
    assert bend.figures["gain_over_a_line"] == pytest.approx(gain, rel=1e-9, abs=1e-12)
    loss, error = simulated(30, 0.004)
    known = fit_downstream(loss, error, samples=0)
    line = np.polyval(np.polyfit(loss, error, 1), loss) - error
    squares = float(known.residuals @ known.residuals)
    bend = findings(known)["bend"]
    assert bend.figures["gain_over_a_line"] == pytest.approx((line @ line - squares) / (squares / 27), rel=1e-9)
    assert (bend.word, bend.sentence) == ("good", f"The errors level off towards {100 * known.map.epsilon:.1f}%.")
    # Without any scatter the gain is endless, which JSON does not know.
    exact = MapFit(
        map=TRUE, loss=loss, error=TRUE.error(loss), residuals=np.zeros(30), spread="none", refits=np.empty((0, 3)),
        failures=0, seed=0,
    )  # fmt: skip
    assert findings(exact)["bend"].figures == {"gain_over_a_line": None}
    assert findings(exact)["bend"].word == "good"


@pytest.mark.parametrize(
    ("off", "word"), [(0.0, "good"), (0.0199, "good"), (0.0201, "usable"), (0.0499, "usable"), (0.0501, "do not use")]
)
def test_the_best_models_are_predicted_from_the_others(off: float, word: str) -> None:
    # 20 pairs: the six of least loss are off by as much, in both directions, and the 14 others on the map.
    loss = np.linspace(2.2, 5.0, 20)
    error = TRUE.error(loss)
    error[:6] += off * np.array([1, -1, 1, -1, 1, -1])
    order = np.random.default_rng(0).permutation(20)
    found = findings(made(map=TRUE, loss=loss[order], error=error[order]))["best models"]
    assert found.word == word
    assert found.figures == {"miss": pytest.approx(off, abs=1e-7), "models": 6}


@pytest.mark.parametrize(("count", "known"), [(7, False), (8, True), (9, True)])
def test_six_models_predict_others(count: int, known: bool) -> None:
    loss = np.linspace(2.2, 5.0, count)
    found = findings(made(map=TRUE, loss=loss, error=TRUE.error(loss)))["best models"]
    assert (found.figures or {}).get("models") == (count - 6 if known else None)
    assert found.word == ("good" if known else "usable")


def test_weaker_models_that_make_no_map() -> None:
    # Of few different losses, or rising the wrong way
    same = np.array([2.2, 2.4, 2.6, 3.0, 3.0, 3.5, 3.5, 4.0, 4.5, 5.0])
    few = findings(made(map=TRUE, loss=same, error=TRUE.error(same)))["best models"]
    assert (few.word, few.sentence) == ("usable", "Too few pairs to predict the best models from the others.")
    loss = np.linspace(2.2, 5.0, 10)
    turned = np.where(loss > 3.0, 1.2 - 0.1 * loss, 0.1)
    none = findings(made(map=TRUE, loss=loss, error=turned))["best models"]
    assert none.sentence == "The weaker models alone make no map that would predict the best ones."
    assert none.word == "usable"


@pytest.mark.parametrize(("kept", "failures", "word"), [(99, 1, "usable"), (100, 1, "good"), (1, 1, "usable")])
def test_resamples_that_make_no_map(kept: int, failures: int, word: str) -> None:
    found = findings(made(refits=np.tile([0.8, 0.7, 0.9], (kept, 1)), failures=failures))["resampling"]
    assert found.word == word
    assert found.figures == {"failed": failures / (kept + failures)}
    assert "resampling" not in findings(made())


# Files, edge by edge


def test_what_is_read_and_what_is_not_as_json(tmp_path: Path) -> None:
    text = "loss,score\n2.5,0\n3.0,1\n3.5,-0.5\n4.0,-0.51\n4.1,0.3\n0,0.3\n4.2,\n"
    found = read_pairs(table(tmp_path, text))
    assert found.error.tolist() == [1.0, 0.0, 1.5, 0.7]
    assert found.rows.tolist() == [2, 3, 4, 6]
    assert [(one.row, one.reason, one.detail) for one in found.set_aside] == [
        (5, "score out of range", "-0.51"), (7, "loss not positive", "0"), (8, "score missing", ""),
    ]  # fmt: skip
    assert found.to_dict() == {
        "source": "models.csv",
        "pairs": 4,
        "set_aside": {"score out of range": 1, "loss not positive": 1, "score missing": 1},
        "conventions": {"loss": "column 'loss' [nats]", "score": "column 'score'"},
    }


def test_only_shares_above_one_are_per_cent(tmp_path: Path) -> None:
    whole = read_pairs(table(tmp_path, "loss,error\n2.5,1\n3.0,0.9\n3.5,1\n4.0,0\n"))
    assert whole.error.tolist() == [1.0, 0.9, 1.0, 0.0]
    hundredths = read_pairs(table(tmp_path, "loss,error\n2.5,1\n3.0,1.1\n3.5,100\n4.0,0\n"))
    assert hundredths.error.tolist() == [0.01, pytest.approx(0.011), 1.0, 0.0]
    assert hundredths.conventions["error"] == "column 'error' in per cent"


def test_columns_that_are_stated(tmp_path: Path) -> None:
    path = table(tmp_path, "c4 loss,pile loss,a,b\n2.5,1.5,.5,.5\n3,2,.6,.4\n3.5,2.5,.65,.35\n4,3,.7,.3\n")
    found = read_pairs(path, loss_column="pile loss", score_column="b", loss_unit="bits")
    assert found.loss == pytest.approx(np.array([1.5, 2.0, 2.5, 3.0]) * math.log(2.0))
    assert found.error.tolist() == [0.5, 0.6, 0.65, 0.7]
    assert found.conventions == {"loss": "column 'pile loss' [bits]", "score": "column 'b'"}
    assert read_pairs(path, loss_column="PILE_LOSS", error_column="a").error.tolist() == [0.5, 0.6, 0.65, 0.7]
    with pytest.raises(InputError, match="--error-column and --score-column are both given; keep one"):
        read_pairs(path, error_column="a", score_column="b")
    with pytest.raises(InputError, match=r"models\.csv: --columns loss 'mine': no such column; "):
        read_pairs(path, error_column="a", loss_column="mine")
    with pytest.raises(SpreadsheetError, match=r"which column holds the errors, or the scores\? none of them by its"):
        read_pairs(path, loss_column="pile loss")


def test_two_columns_of_one_name_are_no_answer(tmp_path: Path) -> None:
    path = table(tmp_path, "loss,err,err\n2.5,.5,.5\n3,.6,.4\n3.5,.65,.35\n4,.7,.3\n")
    with pytest.raises(InputError, match="--error-column 'err': 2 columns have that name; rename one"):
        read_pairs(path, error_column="err")
    with pytest.raises(SpreadsheetError, match=r"which column holds the errors, or the scores\? 'err', 'err'; say it"):
        read_pairs(path)


def test_a_table_without_losses_says_so(tmp_path: Path) -> None:
    path = table(tmp_path, "size,err,model\n2.5,.5,a\n3,.6,b\n3.5,.65,c\n4,.7,d\n")
    with pytest.raises(
        SpreadsheetError, match=r"which column holds the losses\? no name says so; say it with --columns"
    ):
        read_pairs(path, error_column="err")
    two = table(tmp_path, "loss,loss,err\n2.5,2,.5\n3,2,.6\n3.5,2,.65\n4,2,.7\n")
    with pytest.raises(SpreadsheetError, match=r"which column holds the losses\? 'loss', 'loss'; say it with"):
        read_pairs(two, error_column="err")


def test_decimal_commas(tmp_path: Path) -> None:
    found = read_pairs(table(tmp_path, "loss;error\n2,5;0,5\n3,0;0,6\n3,5;0,65\n4,0;0,7\n"))
    assert found.loss.tolist() == [2.5, 3.0, 3.5, 4.0]
    assert found.error.tolist() == [0.5, 0.6, 0.65, 0.7]


def test_three_usable_rows_are_too_few(tmp_path: Path) -> None:
    with pytest.raises(SpreadsheetError, match=r"3 usable pairs of loss and error, at least 4 are needed$"):
        read_pairs(table(tmp_path, "loss,error\n2.5,.5\n3,.6\n3.5,.65\n"))
