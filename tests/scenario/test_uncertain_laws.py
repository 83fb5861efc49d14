"""Uncertain laws: drawn jointly, from a covariance, refits, a set or stated marginals; told where they cannot be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import qmc

import beyond_chinchilla as bc
from beyond_chinchilla.cli.main import cli
from beyond_chinchilla.errors import InputError, ScenarioError
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.uncertain_law import LEAST_EXPONENT, CovarianceLaw

BESIROGLU = catalogue.law("besiroglu-2024")
COVARIANCE = catalogue.covariance("besiroglu-2024")
assert COVARIANCE is not None
CONSTANTS = {"E": 1.8172, "A": 482.01, "alpha": 0.3478, "B": 2085.43, "beta": 0.3658}
INLINE: dict[str, Any] = {"name": "ours", **CONSTANTS}
FLOPS: dict[str, Any] = {"target": {"chinchilla": "13B"}, "demand": {"tokens": "2T"}, "objective": "flops"}
NAMES = ("ln_A", "ln_B", "ln_E", "alpha", "beta")


def scenario(law: Any, folder: Path | str = ".", **more: Any) -> Scenario:
    return Scenario.from_dict(FLOPS | {"law": law} | more, folder=folder)


def mistakes(law: Any, folder: Path | str = ".", **more: Any) -> list[str]:
    with pytest.raises(ScenarioError) as told:
        scenario(law, folder, **more)
    return list(told.value.mistakes)


def draw(found: Scenario, count: int = 2**13, seed: int = 3) -> LawBatch:
    law = found.uncertainty.draw(qmc.Sobol(found.uncertainty.dimensions, seed=seed).random(count)).law
    assert law is not None
    return law


def rows_of(law: LawBatch) -> np.ndarray:
    """Return ln A, ln B, ln E, alpha, beta, shape (K, 5)."""
    return np.column_stack([np.log(law.A), np.log(law.B), np.log(law.E), law.alpha, law.beta])


def write_fit(folder: Path, rows: list[list[float | None]] | None = None, **changes: Any) -> Path:
    """Write what bc-opt fit writes, as far as a scenario reads it."""
    tree = {
        "law": CONSTANTS | {"name": "ours", "counts": "total", "source": "fit of 240 runs"},
        "verdict": {"word": "good"},
        "bootstrap": {"covariance": {"of": list(NAMES), "values": COVARIANCE.tolist()}},
    } | changes
    if rows is not None:
        tree["bootstrap"] = tree["bootstrap"] | {"parameters": rows}
    (folder / "law.json").write_text(json.dumps(tree))
    return folder


def refits(count: int = 400) -> list[list[float | None]]:
    centre = [math.log(482.01), math.log(2085.43), math.log(1.8172), 0.3478, 0.3658]
    found: list[list[float | None]] = np.random.default_rng(2).multivariate_normal(centre, COVARIANCE, count).tolist()
    return found


# The covariance of besiroglu-2024


def test_draws_have_the_stated_covariance_about_the_published_law():
    found = rows_of(draw(scenario("besiroglu-2024"), 2**14))
    centre = [math.log(482.01), math.log(2085.43), math.log(1.8172), 0.3478, 0.3658]
    spread = np.sqrt(np.diag(COVARIANCE))
    np.testing.assert_allclose((found.mean(axis=0) - centre) / spread, 0.0, atol=1e-3)
    np.testing.assert_allclose(np.cov(found, rowvar=False) / np.outer(spread, spread),
                               COVARIANCE / np.outer(spread, spread), atol=2e-3)  # fmt: skip
    correlations = np.corrcoef(found, rowvar=False)
    # The ridges: A with alpha, and B with beta.
    assert correlations[0, 3] == pytest.approx(0.999, abs=5e-4)
    assert correlations[1, 4] == pytest.approx(0.9997, abs=5e-5)


def test_joint_draws_keep_the_optimum_together_and_independent_ones_do_not():
    loss = float(BESIROGLU.compute_optimal(params=13e9).loss)
    joint = draw(scenario("besiroglu-2024")).compute_optimal(loss=loss).params
    apart = draw(scenario("besiroglu-2024", uncertainty={"independent_law": True})).compute_optimal(loss=loss).params
    low, high = np.percentile(joint, [5, 95])
    # The same from the 4000 refits themselves: 10.2B to 17.3B.
    assert (low, high) == (pytest.approx(10.4e9, rel=0.02), pytest.approx(17.4e9, rel=0.02))
    low, high = np.percentile(apart, [5, 95])
    assert low < 2.5e9
    assert high > 80e9


def test_the_covariance_is_symmetric_and_possible():
    np.testing.assert_array_equal(COVARIANCE, COVARIANCE.T)
    assert np.linalg.eigvalsh(COVARIANCE)[0] > 0
    # The published standard errors, which are of A, B and E themselves, rounded: within a fifth of these.
    spread = np.sqrt(np.diag(COVARIANCE))
    assert spread[0] * 482.01 == pytest.approx(124.58, rel=0.2)
    assert spread[2] * 1.8172 == pytest.approx(0.03, rel=0.2)
    assert catalogue.covariance("sardana-2024") is None
    with pytest.raises(InputError, match="did you mean 'besiroglu-2024'"):
        catalogue.covariance("besiroglu-2025")


@pytest.mark.own_step
def test_the_covariance_is_what_our_fit_finds_on_the_240_points(bc_data, tmp_path: Path):
    runs = bc_data / "epoch_chinchilla_svg_extracted_data.csv"
    command = ["fit", str(runs), "--drop-highest-loss", "5", "--bootstraps", "4000", "--seed", "0"]
    done = CliRunner().invoke(cli, [*command, "-o", str(tmp_path / "law.json")])
    assert done.exit_code == 0, done.output
    stated = json.loads((tmp_path / "law.json").read_text())["bootstrap"]
    assert stated["order"] == list(NAMES)
    # The same seed: only where another machine's rounding sends a refit to another minimum do they differ. Refits of
    # another seed would by the sampling error of a variance, sqrt(2/4000) = 2.2%.
    spread = np.sqrt(np.diag(COVARIANCE))
    gap = (np.array(stated["covariance"]["values"]) - COVARIANCE) / np.outer(spread, spread)
    assert np.abs(gap).max() < 0.01
    # Quantiles of the normal about the published law against those of the refits: within half a standard error (B and
    # beta are skewed to the right; A, E and alpha are within 0.3).
    drawn, refitted = rows_of(draw(scenario("besiroglu-2024"))), np.array(stated["parameters"])
    gap = (np.percentile(drawn, [5, 50, 95], axis=0) - np.percentile(refitted, [5, 50, 95], axis=0)) / spread
    assert np.abs(gap).max() < 0.5
    assert np.abs(gap[:, [0, 2, 3]]).max() < 0.3
    # And of what matters, the optimum.
    joint, truth = (law.compute_optimal(flops=1e23).params for law in (draw(scenario("besiroglu-2024")),
                    draw(scenario("law.json", tmp_path))))  # fmt: skip
    np.testing.assert_allclose(np.percentile(joint, [5, 50, 95]), np.percentile(truth, [5, 50, 95]), rtol=0.06)


def test_a_catalogue_law_without_a_covariance_is_held_and_said_so():
    found = scenario("sardana-2024", demand={"tokens": {"median": "2T", "p90": "5T"}}).uncertainty
    assert found.law is None
    assert found.describe()[-1] == "law sardana-2024: held, as no covariance of it is known"
    assert (
        "no standard errors of law sardana-2024" in mistakes("sardana-2024", uncertainty={"independent_law": True})[0]
    )


def test_a_law_with_its_covariance_alone_adds_nothing_to_the_page():
    found = scenario("besiroglu-2024")
    assert not found.uncertainty.is_certain
    assert found.uncertainty.notes() == ()
    assert found.to_problem().notes == ()


# Exponents that make no law


def wide(alpha: float, beta: float, correlation: float = 0.0) -> CovarianceLaw:
    covariance = np.diag([0.0, 0.0, 0.0, alpha**2, beta**2])
    covariance[3, 4] = covariance[4, 3] = correlation * alpha * beta
    return CovarianceLaw(point=LossLaw(**CONSTANTS, name="wide"), covariance=covariance)


@pytest.mark.parametrize("correlation", [-1.0, -0.7, 0.0, 0.7, 1.0])
def test_exponents_stay_above_the_least_by_conditioning(correlation: float):
    law = wide(0.17, 0.17, correlation)
    u = qmc.Sobol(5, seed=1).random(2**14)
    drawn = law.draw(u)
    assert drawn.alpha.min() >= LEAST_EXPONENT - 1e-12
    assert drawn.beta.min() >= LEAST_EXPONENT - 1e-12
    # Against throwing away what is no law: the same distribution, with not one point lost.
    random = np.random.default_rng(0).multivariate_normal([0.3478, 0.3658], law.covariance[3:, 3:], 400_000)
    kept = random[(random >= LEAST_EXPONENT).all(axis=1)]
    for mine, theirs in ((drawn.alpha, kept[:, 0]), (drawn.beta, kept[:, 1])):
        np.testing.assert_allclose(np.percentile(mine, [10, 50, 90]), np.percentile(theirs, [10, 50, 90]), atol=0.012)
    assert "without a law" in law.describe()


def test_far_from_zero_nothing_is_cut():
    law = CovarianceLaw(point=BESIROGLU, covariance=COVARIANCE)
    assert law.cut < 1e-60
    assert "without a law" not in law.describe()


def test_a_covariance_of_which_much_is_no_law_is_refused():
    with pytest.raises(InputError, match=r"of the exponents below 0\.01, where there is no law"):
        wide(0.3, 0.1)
    with pytest.raises(InputError, match="beyond any number"):
        CovarianceLaw(point=BESIROGLU, covariance=np.diag([1e6, 0, 0, 0, 0]))


# A fit's file


def test_a_fits_refits_are_the_samples(tmp_path: Path):
    rows = refits()
    found = scenario("law.json", write_fit(tmp_path, rows))
    assert found.uncertainty.describe() == ("law ours: 400 refits of resampled runs",)
    drawn = rows_of(draw(found))
    # Each of the refits, as often as any other.
    kept, counts = np.unique(drawn.round(6), axis=0, return_counts=True)
    assert len(kept) == 400
    assert counts.min() >= 19
    np.testing.assert_allclose(kept, np.unique(np.round(rows, 6), axis=0), atol=2e-6)
    # Neighbours in the unit cube are alike: the frontier's exponent rises.
    law = found.uncertainty.draw(np.linspace(0.001, 0.999, 100)[:, None]).law
    assert law is not None
    assert (np.diff(law.data_share) >= 0).all()


def test_a_fits_file_needs_no_file_afterwards(tmp_path: Path):
    found = scenario("law.json", write_fit(tmp_path, refits()))
    again = Scenario.from_dict(json.loads(json.dumps(found.to_dict())))
    np.testing.assert_array_equal(draw(again, 64).A, draw(found, 64).A)
    assert found.uncertainty.notes() == ()


def test_without_refits_a_fits_covariance_counts(tmp_path: Path):
    found = scenario("law.json", write_fit(tmp_path))
    assert "covariance" in found.uncertainty.describe()[0]
    np.testing.assert_allclose(draw(found, 64).A, draw(scenario("besiroglu-2024"), 64).A, rtol=1e-12)


def test_a_held_floor_of_zero_has_no_logarithm(tmp_path: Path):
    rows = [[*row[:2], None, *row[3:]] for row in refits()]
    law = CONSTANTS | {"E": 0.0, "name": "ours"}
    found = scenario("law.json", write_fit(tmp_path, rows, law=law), target={"loss": 0.5})
    assert (draw(found, 128).E == 0).all()
    covariance = COVARIANCE.tolist()
    covariance[2] = [None] * 5
    for row in covariance:
        row[2] = None
    bootstrap = {"covariance": {"of": list(NAMES), "values": covariance}}
    found = scenario("law.json", write_fit(tmp_path, law=law, bootstrap=bootstrap), target={"loss": 0.5})
    assert (draw(found, 128).E == 0).all()
    assert np.std(draw(found, 128).alpha) > 0.01


def test_refits_that_are_no_laws_are_left_out_and_counted(tmp_path: Path):
    rows = refits(300)
    for row in rows[:7]:
        row[3] = -0.1
    found = scenario("law.json", write_fit(tmp_path, rows))
    assert "293 refits of resampled runs (7 without a law left out)" in found.uncertainty.describe()[0]
    assert draw(found, 512).alpha.min() > 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rows": refits(99)}, "99 usable refits say too little; write it again with bc-opt fit --bootstraps 4000"),
        ({"verdict": {"word": "do not use"}}, "law ours: its own fit says 'do not use'"),
    ],
)
def test_a_law_that_cannot_serve_for_risk_serves_for_a_plan(tmp_path: Path, changes: dict[str, Any], told: str):
    found = scenario("law.json", write_fit(tmp_path, **changes))
    assert bc.solve(found).best is not None
    assert found.uncertainty.is_certain
    with pytest.raises(InputError) as refused:
        found.uncertainty.draw(np.empty((2, 0)))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_refits_that_are_no_numbers_are_told(tmp_path: Path):
    bad = refits(200)
    bad[17] = [1.0, 2.0]
    (line,) = mistakes("law.json", write_fit(tmp_path, bad))
    assert "bootstrap.parameters: row 18 is not 5 numbers" in line
    bad = [*refits(200), [math.nan] * 5]
    (line,) = mistakes({**INLINE, "refits": [" ".join(map(str, row)) for row in bad]})
    assert "1 of 201 rows hold what is no number, first row 201" in line


# A covariance in the file


def test_a_covariance_may_be_written_out():
    found = scenario({**INLINE, "covariance": COVARIANCE.tolist()})
    np.testing.assert_allclose(draw(found, 64).A, draw(scenario("besiroglu-2024"), 64).A, rtol=1e-12)
    again = Scenario.from_dict(json.loads(json.dumps(found.to_dict())))
    np.testing.assert_array_equal(draw(again, 64).A, draw(found, 64).A)


def skewed() -> list[list[float]]:
    rows: list[list[float]] = COVARIANCE.tolist()
    rows[0][3] *= 2
    return rows


def impossible() -> list[list[float]]:
    rows = skewed()
    rows[3][0] = rows[0][3]
    return rows


@pytest.mark.parametrize(
    ("covariance", "told"),
    [
        (skewed(), "is not symmetric: ln A with alpha is 0.00744268 and 0.00372134"),
        (impossible(), "is no covariance: a combination of ln A, ln B, ln E, alpha, beta would have a variance below"),
        ([[1, 2], [3, 4]], "expected 5 rows of 5 numbers, in the order ln A, ln B, ln E, alpha, beta"),
        (np.diag([0, 0, 0, -1.0, 0]).tolist(), "is no covariance"),
        (np.diag([0, 0, 0, 0.09, 0]).tolist(), "of the exponents below 0.01"),
        ([["x"] * 5] * 5, "'x' is not a number"),
    ],
)
def test_what_is_no_covariance_is_told(covariance: Any, told: str):
    (line,) = mistakes({**INLINE, "covariance": covariance})
    assert told in line


def test_covariance_and_refits_are_one_too_many():
    (line,) = mistakes({**INLINE, "covariance": COVARIANCE.tolist(), "refits": refits(100)})
    assert "covariance and refits are both given" in line


# Marginals

MARGINALS = {
    **INLINE,
    "A": {"median": 482, "p90": 660},
    "alpha": {"normal": {"mean": 0.3478, "sd": 0.015}},
}


def test_marginals_by_themselves_are_refused():
    (line,) = mistakes(MARGINALS)
    assert "law: A and alpha are uncertain, each by itself, which turns an interval of 8-19B params into 1-200B" in line
    assert "uncertainty: {independent_law: true}" in line


def test_marginals_with_correlations_are_drawn_together():
    rules = {"correlations": [{"between": ["law.A", "law.alpha"], "value": 0.999}]}
    found = scenario(MARGINALS, uncertainty=rules)
    law = draw(found)
    assert np.corrcoef(np.log(law.A), law.alpha)[0, 1] == pytest.approx(0.999, abs=1e-3)
    assert (law.B == 2085.43).all()
    assert found.uncertainty.inputs == ()
    assert [group.name for group in found.uncertainty.groups] == ["law"]
    assert found.uncertainty.notes() == (
        "A and alpha of law ours are uncertain and count as their medians; --risk draws it",
    )
    again = Scenario.from_dict(json.loads(json.dumps(found.to_dict())))
    np.testing.assert_array_equal(draw(again, 64).A, draw(found, 64).A)


def test_marginals_are_independent_where_that_is_asked_for():
    found = scenario(MARGINALS, uncertainty={"independent_law": True})
    law = draw(found)
    assert abs(np.corrcoef(np.log(law.A), law.alpha)[0, 1]) < 0.01
    assert found.uncertainty.describe() == ("law ours: A and alpha, independent",)


def test_one_marginal_needs_no_correlation():
    found = scenario({**INLINE, "E": {"normal": {"mean": 1.8172, "sd": 0.03}}})
    assert found.uncertainty.dimensions == 1
    assert np.std(draw(found).E) == pytest.approx(0.03, rel=0.01)


@pytest.mark.parametrize(
    ("law", "more", "told"),
    [
        ({**INLINE, "power": {"low": 0.9, "high": 1.1}}, {}, "power takes no distribution"),
        ({**MARGINALS, "covariance": COVARIANCE.tolist()}, {}, "covariance and a distribution of A are both given"),
        ({**INLINE, "alpha": {"normal": {"mean": 0.3, "sd": 0.3}}}, {}, "law.alpha: a normal of mean 0.3 and sd 0.3"),
        (INLINE, {"uncertainty": {"independent_law": True}}, "independent_law has no effect"),
    ],
)
def test_marginals_that_cannot_be_are_told(law: Any, more: dict[str, Any], told: str):
    (line,) = mistakes(law, **more)
    assert told in line


def test_a_law_correlates_with_nothing_else():
    demand = {"tokens": {"median": "2T", "p90": "5T"}}
    rules = {"correlations": [{"between": ["law.E", "demand.tokens"], "value": 0.5}]}
    law = {**INLINE, "E": {"normal": {"mean": 1.8172, "sd": 0.03}}}
    (line,) = mistakes(law, demand=demand, uncertainty=rules)
    assert "a law is drawn by itself" in line


# A set of laws


def test_of_a_set_the_heaviest_counts_and_the_page_says_so():
    members = [{"law": "sardana-2024"}, {"law": "besiroglu-2024", "weight": 2}, {"law": "hoffmann-2022", "weight": 2}]
    found = scenario({"one_of": members})
    plan, alone = bc.solve(found), bc.solve(scenario("besiroglu-2024"))
    assert plan.best == alone.best
    assert plan.warnings[-1] == "law besiroglu-2024 counts, the heaviest of the set of 3; --risk draws from all of them"
    assert found.uncertainty.describe()[0].startswith(
        "law: one of sardana-2024 20%, besiroglu-2024 40%, hoffmann-2022 40%, with the uncertainty of besiroglu-2024"
    )


def test_members_are_drawn_by_weight_with_their_own_uncertainty(tmp_path: Path):
    members = [{"law": "besiroglu-2024", "weight": 2}, {"law": "sardana-2024"}, {"law": "law.json", "weight": 1}]
    found = scenario({"one_of": members}, write_fit(tmp_path, refits()))
    assert found.uncertainty.dimensions == 6
    law = draw(found, 2**12)
    sardana = law.alpha == 0.336
    assert np.mean(sardana) == pytest.approx(0.25, abs=1e-3)
    assert (law.A[sardana] == 406.4).all()
    first = rows_of(law)[: 2**12][np.argsort(law.alpha)]
    assert len(np.unique(first[:, 0])) > 2000 + 300
    again = Scenario.from_dict(json.loads(json.dumps(found.to_dict())))
    np.testing.assert_array_equal(draw(again, 64).A, draw(found, 64).A)


@pytest.mark.parametrize(
    ("law", "told"),
    [
        ({"one_of": []}, "one_of is empty; write it like one_of: [{law: besiroglu-2024, weight: 2}"),
        ({"one_of": [{"law": "besirogl-2024"}]}, "law.one_of.0.law: no law named 'besirogl-2024'; did you mean"),
        ({"one_of": [{"law": "sardana-2024", "weight": 0}]}, "law.one_of.0.weight: 0 must be above zero"),
        ({"one_of": [{"law": "missing.json"}]}, "law.one_of.0.law: law file missing.json: cannot be read"),
        ({"one_of": [{"law": "sardana-2024"}, {"law": "kaplan-2020"}]}, "put laws together that count alike"),
        ({"one_of": [{"law": MARGINALS}]}, "law.one_of.0.law.A: a law of a set takes a covariance"),
        ({"one_of": [{"weight": 2}]}, "law is missing"),
        ({"one_of": "sardana-2024"}, "expected a list"),
        ({"one_of": [{"law": "sardana-2024"}], "weight": 3}, "unknown key"),
    ],
)
def test_a_set_that_cannot_be_is_told(law: Any, told: str):
    found = mistakes(law)
    assert any(told in line for line in found), found
    assert len(found) <= 2
