"""Maps from loss to error against the figures of Gadre et al. 2024, and what any such map must do."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.correlation import is_possible
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws import catalogue, suites
from beyond_chinchilla.laws.downstream import MOST_LOSS, DownstreamMap
from beyond_chinchilla.laws.loss_law import LossLaw

REFERENCES = Path(__file__).parents[1] / "references"

# Gadre et al. 2024, Table 2: epsilon, k, gamma.
PUBLISHED = {
    "gadre-17-c4": ("0.850", "2.079", "0.756"),
    "gadre-46-c4": ("0.759", "1.289", "0.972"),
    "gadre-17-redpajama": ("0.857", "2.206", "0.715"),
    "gadre-46-redpajama": ("0.761", "1.323", "0.891"),
    "gadre-17-refinedweb": ("0.865", "2.215", "0.707"),
    "gadre-46-refinedweb": ("0.768", "1.128", "0.822"),
}


def evaluated(data: str) -> list[dict[str, str]]:
    """Return the authors' models on a data set."""
    lines = (REFERENCES / "gadre_2024_errors.csv").read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    return [row for row in rows if row["data"] == data]


maps = st.builds(
    DownstreamMap,
    epsilon=st.floats(0.3, 1.0),
    k=st.floats(0.1, 20.0),
    gamma=st.floats(0.2, 3.0),
)


# The published maps


def test_the_six_maps_of_the_paper_are_there() -> None:
    assert set(suites.names()) == set(PUBLISHED)
    assert suites.suites() == ["gadre-17", "gadre-46"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_constants_are_as_printed(name: str) -> None:
    found = suites.published_map(name)
    for value, printed in zip((found.epsilon, found.k, found.gamma), PUBLISHED[name], strict=True):
        assert value == pytest.approx(float(printed), abs=1e-12)
    assert name == f"{found.suite}-{found.data.lower()}"
    assert found.law == f"gadre-2024-{found.data.lower()}"
    assert "2403.08540" in found.source


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_map_goes_through_the_models_that_it_was_fitted_to(name: str) -> None:
    found = suites.published_map(name)
    column = "err17" if found.suite == "gadre-17" else "err46"
    rows = [row for row in evaluated(found.data) if row["fitted"] == "1"]
    assert len(rows) == 6
    loss = np.array([float(row["loss"]) for row in rows])
    misses = found.error(loss) - np.array([float(row[column]) for row in rows])
    # The residual is of the unrounded minimum; three digits more of the constants move no error by .001.
    assert np.sqrt(misses @ misses / 3.0) == pytest.approx(found.residual, abs=1e-3)
    assert found.losses == pytest.approx((loss.min(), loss.max()), abs=1e-4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_covariance_can_be(name: str) -> None:
    covariance = np.array(suites.published_map(name).covariance)
    spread = np.sqrt(np.diag(covariance))
    assert covariance.shape == (3, 3)
    assert is_possible(covariance / np.outer(spread, spread))


@pytest.mark.parametrize(
    ("params", "tokens_per_param", "loss_error", "error_error"),
    # The authors' notebook prints both in per cent: relative errors of the predicted loss on C4 eval, and of the
    # predicted error on the 17 tasks, for models that were trained on RedPajama.
    [(1439795200, 640, 0.7103, 3.6365), (6889410560, 20, 0.7320, 0.0464)],
)
def test_law_and_map_together_predict_as_the_authors_print(
    params: int, tokens_per_param: int, loss_error: float, error_error: float
) -> None:
    law, found = catalogue.law("gadre-2024-redpajama"), suites.published_map("gadre-17-redpajama")
    (row,) = [
        row
        for row in evaluated("RedPajama")
        if row["params"] == str(params) and row["tokens_per_param"] == str(tokens_per_param)
    ]
    loss = float(law.loss(params, params * tokens_per_param))
    # Half digits of the printed constants are .05% of a loss there, and .25% of an error.
    assert abs(loss / float(row["loss"]) - 1.0) * 100 == pytest.approx(loss_error, abs=0.05)
    error = float(found.error(loss))
    assert abs(error / float(row["err17"]) - 1.0) * 100 == pytest.approx(error_error, abs=0.25)


# Which map


@pytest.mark.parametrize(
    ("suite", "law", "expected"),
    [
        ("gadre-17", "gadre-2024-c4", "gadre-17-c4"),
        ("gadre-46", "gadre-2024-refinedweb", "gadre-46-refinedweb"),
        # Muennighoff's runs are of C4, too.
        ("gadre-17", "muennighoff-2023", "gadre-17-c4"),
        ("gadre-17", "besiroglu-2024", "gadre-17-c4"),
        ("gadre-17", "our own", "gadre-17-c4"),
        ("gadre-17-redpajama", "gadre-2024-c4", "gadre-17-redpajama"),
    ],
)
def test_a_suite_picks_the_map_of_the_laws_data(suite: str, law: str, expected: str) -> None:
    assert suites.map_for(suite, law).name == expected


def test_an_unknown_suite_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="no suite named 'gadre17'; did you mean 'gadre-17'"):
        suites.map_for("gadre17", "gadre-2024-c4")
    with pytest.raises(InputError, match="no map named 'gadre-17'"):
        suites.published_map("gadre-17")


# What any map does


@given(maps, st.floats(1.0, 6.0), st.floats(0.01, 2.0))
def test_error_rises_with_the_loss_and_comes_back(found: DownstreamMap, loss: float, more: float) -> None:
    error = float(found.error(loss))
    assert error <= float(found.error(loss + more)) <= found.epsilon
    assert float(found.score(loss)) == pytest.approx(1.0 - error, abs=1e-15)
    if found.epsilon - error > 1e-6:
        assert float(found.loss_for(error)) == pytest.approx(loss, rel=1e-6)


@given(maps, st.floats(1.0, 6.0))
def test_the_slope_is_the_derivative(found: DownstreamMap, loss: float) -> None:
    step = 1e-5
    measured = (float(found.error(loss + step)) - float(found.error(loss - step))) / (2.0 * step)
    assert float(found.slope(loss)) == pytest.approx(measured, rel=1e-4, abs=1e-9)


def test_an_error_that_every_model_keeps_asks_for_no_loss() -> None:
    found = DownstreamMap(epsilon=0.85, k=2.0, gamma=0.75)
    assert np.isinf(found.loss_for([0.85, 0.9])).all()


def test_many_maps_at_once_are_the_maps_one_by_one() -> None:
    many = DownstreamMap(epsilon=np.array([0.85, 0.76]), k=np.array([2.0, 1.3]), gamma=np.array([0.75, 0.9]))
    one = [many.take(number) for number in range(2)]
    assert many.loss_for(0.6).tolist() == [float(each.loss_for(0.6)) for each in one]
    assert many.take(slice(1, 2)).error(3.0).tolist() == [float(one[1].error(3.0))]


# What is refused


def test_a_target_must_lie_between_chance_and_what_the_laws_floor_gives() -> None:
    found, law = suites.published_map("gadre-17-c4"), catalogue.law("gadre-2024-c4")
    found.check_error(0.45, law)
    # .850 - 2.079 exp(-.756 1.508) = .1851
    assert found.best_score(law) == pytest.approx(1.0 - (0.850 - 2.079 * np.exp(-0.756 * 1.508)), rel=1e-12)
    with pytest.raises(InputError, match=r"error 18% on gadre-17 is beyond .* E = 1\.508 the error is 18\.51%; state"):
        found.check_error(0.18, law)
    with pytest.raises(InputError, match=r"score 82% on gadre-17 is beyond the map's ceiling .* the score is 81\.49%"):
        found.check_error(0.18, law, as_score=True)
    with pytest.raises(InputError, match=r"error 85% on gadre-17 is at or above 85%, .* state one of 18\.51% to 85%"):
        found.check_error(0.85, law)
    with pytest.raises(InputError, match=r"score 10% on gadre-17 is at or below 15%, .* state one of 15% to 81\.49%"):
        found.check_error(0.90, law, as_score=True)


def test_a_law_without_a_floor_has_its_ceiling_at_loss_zero() -> None:
    law = LossLaw(E=0.0, A=400.0, alpha=0.3, B=400.0, beta=0.3)
    found = DownstreamMap(epsilon=0.9, k=0.5, gamma=0.8)
    with pytest.raises(InputError, match="E = 0 the error is 40%"):
        found.check_error(0.39, law)
    found.check_error(0.41, law)


def test_losses_outside_of_those_seen_are_told() -> None:
    found = suites.published_map("gadre-17-c4")
    assert found.departures(3.0) == []
    assert found.departures(2.65) == []
    assert found.departures(2.2) == ["loss 2.2 is 0.46 nats below the lowest that gadre-17-c4 has seen (2.657)"]
    assert found.departures(6.0) == ["loss 6 is 0.78 nats above the highest that gadre-17-c4 has seen (5.221)"]
    assert DownstreamMap(epsilon=0.9, k=0.5, gamma=0.8).departures(9.0) == []


def test_constants_that_make_no_map_are_refused_together() -> None:
    with pytest.raises(InputError) as caught:
        DownstreamMap(epsilon=0.0, k=-1.0, gamma=float("nan"), residual=-0.1, name="ours")
    assert str(caught.value).splitlines() == [
        "suite ours: epsilon must be > 0, not 0",
        "suite ours: k must be > 0, not -1",
        "suite ours: gamma must be > 0, not nan",
        "suite ours: residual must be >= 0, not -0.1",
    ]


# Edges


def test_the_first_bad_value_of_many_maps_is_named() -> None:
    with pytest.raises(InputError, match=r"^suite custom: k must be > 0, not 0$"):
        DownstreamMap(epsilon=np.full(3, 0.85), k=np.array([2.0, 0.0, -1.0]), gamma=np.ones(3))
    with pytest.raises(InputError, match=r"^suite custom: gamma must be > 0, not inf$"):
        DownstreamMap(epsilon=0.85, k=2.0, gamma=np.inf)
    with pytest.raises(InputError, match=r"^suite custom: residual must be >= 0, not inf$"):
        DownstreamMap(epsilon=0.85, k=2.0, gamma=1.0, residual=np.inf)
    assert DownstreamMap(epsilon=0.85, k=2.0, gamma=1.0, residual=0.0).residual == 0.0


@pytest.mark.parametrize(
    ("error", "as_score", "said"),
    [
        (
            0.9,
            False,
            "error 90% on custom is at or above 90%, what a model that knows nothing has; state one of 40% to 90%",
        ),
        (
            0.9,
            True,
            "score 10% on custom is at or below 10%, what a model that knows nothing has; state one of 10% to 60%",
        ),
        (
            0.4,
            False,
            (
                "error 40% on custom is beyond the map's ceiling under law custom: at its irreducible loss E = 0 "
                "the error is 40%; state one of 40% to 90%, or another law"
            ),
        ),
        (
            0.4,
            True,
            (
                "score 60% on custom is beyond the map's ceiling under law custom: at its irreducible loss E = 0 "
                "the score is 60%; state one of 10% to 60%, or another law"
            ),
        ),
    ],
)
def test_both_ends_of_what_can_be_asked_are_refused(error: float, as_score: bool, said: str) -> None:
    # At loss 0 the error is .9 - .5, to the last bit.
    found, law = DownstreamMap(epsilon=0.9, k=0.5, gamma=0.8), LossLaw(E=0.0, A=4.0, alpha=0.3, B=4.0, beta=0.3)
    with pytest.raises(InputError) as caught:
        found.check_error(error, law, as_score=as_score)
    assert str(caught.value) == said
    for inside in (np.nextafter(0.9, 0.0), np.nextafter(0.4, 1.0) + 1e-15):
        found.check_error(float(inside), law, as_score=as_score)


def test_a_fiftieth_beyond_the_losses_seen_is_no_departure() -> None:
    found = DownstreamMap(epsilon=0.9, k=0.5, gamma=0.8, losses=(2.0, 4.0), name="ours")
    low, high = 2.0 * (1.0 - 0.02), 4.0 * (1.0 + 0.02)
    assert found.departures(low) == found.departures(high) == []
    assert found.departures(np.nextafter(low, 0.0)) == [
        "loss 1.96 is 0.04 nats below the lowest that ours has seen (2)"
    ]
    assert found.departures(np.nextafter(high, 9.0)) == [
        "loss 4.08 is 0.08 nats above the highest that ours has seen (4)"
    ]


def test_a_map_as_json() -> None:
    bare = DownstreamMap(epsilon=0.9, k=0.5, gamma=0.8)
    texts = {"suite": "", "data": "", "law": "", "source": "", "note": ""}
    constants = {"name": "custom", "epsilon": 0.9, "k": 0.5, "gamma": 0.8}
    assert bare.to_dict() == constants | {"residual": 0.0, "covariance": None, "losses": None} | texts
    full = DownstreamMap(
        epsilon=0.9, k=0.5, gamma=0.8, residual=0.01, losses=(2.0, 4.0), suite="tasks",
        covariance=((1.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 3.0)),
    )  # fmt: skip
    assert full.to_dict() == constants | texts | {
        "suite": "tasks",
        "residual": 0.01,
        "covariance": [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]],
        "losses": [2.0, 4.0],
    }
    assert (bare.title, full.title) == ("custom", "tasks")
    assert isinstance(full.take(()).epsilon, float)


def test_no_vocabulary_has_so_many_tokens() -> None:
    # e^20: 485 million tokens
    assert round(np.exp(MOST_LOSS) / 1e6) == 485


def test_maps_of_other_suites_read_the_same_losses() -> None:
    own = DownstreamMap(epsilon=0.9, k=0.5, gamma=0.8)
    assert suites.maps_beside(own) == []
    for one, other in (("gadre-17-refinedweb", "gadre-46-refinedweb"), ("gadre-46-c4", "gadre-17-c4")):
        assert [each.name for each in suites.maps_beside(suites.published_map(one))] == [other]
