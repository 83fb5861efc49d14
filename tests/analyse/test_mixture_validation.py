"""Mixtures of experts in service against NVIDIA's measured throughputs."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from beyond_chinchilla.analyse.mixture_validation import fit_experts, measurements, mixture_table
from beyond_chinchilla.analyse.validation import log_error
from beyond_chinchilla.analyse.validation import measurements as dense_measurements
from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY, IDEAL
from beyond_chinchilla.costs.models import reference_model
from beyond_chinchilla.errors import InputError

ROWS = mixture_table()


def test_every_published_figure_of_a_mixture_is_there() -> None:
    # TensorRT-LLM performance overview, 1000 tokens in and 1000 out: output tokens/s per GPU
    expected = {
        "gpt-oss-120b": {"h100-sxm": 4685, "h200-sxm": 6868, "b200-sxm": 25943},
        "gpt-oss-20b": {"h100-sxm": 11557, "h200-sxm": 13858, "b200-sxm": 53812},
        "deepseek-r1": {"h200-sxm": 1627, "b200-sxm": 6463, "gb200-nvl72": 6939},
        "qwen3-235b-a22b": {"h100-sxm": 1932, "h200-sxm": 3288, "b200-sxm": 5764},
        "qwen3-30b-a3b": {"b200-sxm": 26971},
        "llama-4-maverick": {"h200-sxm": 4146, "b200-sxm": 11337},
    }
    seen: dict[str, dict[str, float]] = {}
    for row in ROWS:
        seen.setdefault(row.model, {})[row.hardware] = row.measured
    assert seen == expected
    assert [row.use for row in ROWS] == ["fit", "check"] * 7 + ["fit"]


@pytest.mark.parametrize(
    ("model", "catalogue"),
    [
        ("deepseek-r1", "deepseek-v3"),
        ("qwen3-235b-a22b", "qwen3-235b-a22b"),
        ("qwen3-30b-a3b", "qwen3-30b-a3b"),
        ("llama-4-maverick", "llama-4-maverick"),
    ],
)
def test_counts_are_those_of_the_catalogue_of_models(model: str, catalogue: str) -> None:
    row = next(row for row in measurements() if row.model == model)
    known = reference_model(catalogue)
    assert row.replica.mixture is not None
    # The catalogue has Qwen3-30B's nominal sizes.
    assert row.params == pytest.approx(known.active_params, rel=0.1)
    assert row.params * row.replica.mixture.total_per_active == pytest.approx(known.params, rel=0.02)


def test_the_shipped_default_is_the_fit_to_its_printed_digits() -> None:
    fitted = fit_experts([row for row in measurements() if row.use == "fit"])
    assert DEFAULT_EFFICIENCY.experts == pytest.approx(fitted.experts, abs=0.005)
    assert replace(fitted, experts=DEFAULT_EFFICIENCY.experts) == DEFAULT_EFFICIENCY

    def squares(share: float) -> float:
        rows = mixture_table(replace(DEFAULT_EFFICIENCY, experts=share))
        return sum(math.log(row.ratio) ** 2 for row in rows if row.use == "fit")

    assert min(squares(0.97 * fitted.experts), squares(1.03 * fitted.experts)) > squares(fitted.experts)


def test_the_stated_errors() -> None:
    # A factor of 1.26 in the median of those that were not seen, 1.34 at worst; the dense rows 1.10 and 1.34
    middle, worst = (math.exp(error) for error in log_error([row.ratio for row in ROWS if row.use == "check"]))
    assert (middle, worst) == pytest.approx((1.26, 1.34), abs=0.01)
    assert math.exp(log_error([row.ratio for row in ROWS])[1]) == pytest.approx(1.41, abs=0.01)


def test_run_as_well_as_a_dense_model_they_would_be_twice_as_fast() -> None:
    rows = mixture_table(replace(DEFAULT_EFFICIENCY, experts=1.0))
    assert all(row.ratio > 1.0 for row in rows)
    assert math.exp(log_error([row.ratio for row in rows])[0]) == pytest.approx(1.93, abs=0.01)


def test_nothing_measured_passes_the_data_sheet() -> None:
    assert all(row.ratio > 1.0 for row in mixture_table(IDEAL))


def test_dense_models_do_not_know_how_well_experts_run() -> None:
    for one, other in zip(
        dense_measurements(), dense_measurements(replace(DEFAULT_EFFICIENCY, experts=0.1)), strict=True
    ):
        assert float(one.replica.step_time(one.params, 64.0)) == float(other.replica.step_time(one.params, 64.0))
    with pytest.raises(InputError, match="dense models say nothing"):
        fit_experts(dense_measurements())
    with pytest.raises(InputError, match="fitted to measured throughputs of mixtures"):
        fit_experts(())


def test_rows_become_json() -> None:
    assert json.loads(json.dumps(ROWS[0].to_dict()))["model"] == "gpt-oss-120b"
