"""The cache of keys and values against published shapes, and the power laws through them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import log_floats, sizes

from beyond_chinchilla.costs.decoders import DECODERS, fit_power_law, stream_law
from beyond_chinchilla.costs.hardware import BYTES_PER_PARAMETER
from beyond_chinchilla.costs.kv_cache import (
    DEFAULT_FAMILY,
    FAMILIES,
    KVCache,
    bytes_per_value,
    kv_constant,
    kv_family,
    kv_of_shape,
)
from beyond_chinchilla.errors import InputError


# Bytes per token at two bytes a value: 2 layers kv_heads head_size bytes, from the models' configuration files
# (Austin et al. 2025, "How to scale your model", chapter 7, and applied problems of LLaMA-3).
@pytest.mark.parametrize(
    ("name", "layers", "kv_heads", "expected"),
    [
        ("llama-3-8b", 32, 8, 131_072),
        ("llama-3-70b", 80, 8, 327_680),
        ("llama-3-405b", 126, 8, 516_096),
        ("llama-2-7b", 32, 32, 524_288),
        ("llama-2-70b", 80, 8, 327_680),
        ("qwen-2.5-7b", 28, 4, 57_344),
        ("qwen-2.5-32b", 64, 8, 262_144),
    ],
)
def test_published_shapes(name: str, layers: int, kv_heads: int, expected: int) -> None:
    assert DECODERS[name].kv_bytes == expected
    cache = kv_of_shape(layers, kv_heads, 128)
    assert cache.power == 0.0
    assert cache.error is None
    assert float(cache.bytes_per_token(70e9, "bf16")) == expected
    assert float(cache.bytes_per_token(1e9, "fp8")) == expected / 2


def test_the_families_laws() -> None:
    # Powers at half the last digit: Llama-3 .35; all six rows with grouped heads .48, off by .58x to 1.32x.
    llama, grouped = kv_family("llama-3"), kv_family("gqa")
    assert llama.power == pytest.approx(0.35, abs=0.005)
    assert grouped.power == pytest.approx(0.48, abs=0.005)
    assert grouped.error is not None
    assert grouped.error == pytest.approx((0.58, 1.32), abs=0.005)
    assert set(FAMILIES["gqa"]) == set(DECODERS) - {"llama-2-7b"}
    assert len(FAMILIES["gqa"]) == 6


@pytest.mark.parametrize("family", FAMILIES)
def test_the_error_covers_every_member_and_is_touched(family: str) -> None:
    cache = kv_family(family)
    assert cache.name == family
    assert cache.error is not None
    members = [DECODERS[name] for name in FAMILIES[family]]
    ratios = [m.kv_bytes / float(cache.bytes_per_token(m.params, "bf16")) for m in members]
    assert (min(ratios), max(ratios)) == pytest.approx(cache.error)
    assert cache.error[0] < 1.0 < cache.error[1]
    # Least squares in the logs: the residuals cancel, and so do their moments.
    assert sum(map(math.log, ratios)) == pytest.approx(0.0, abs=1e-12)
    assert sum(math.log(r) * math.log(m.params) for r, m in zip(ratios, members, strict=True)) == pytest.approx(
        0.0, abs=1e-9
    )


def test_the_default_family_is_tight_where_it_was_fitted_and_a_guess_below() -> None:
    cache = kv_family()
    assert cache == kv_family(DEFAULT_FAMILY) == kv_family("llama-3")
    assert cache.error is not None
    assert cache.error == pytest.approx((0.94, 1.11), abs=0.005)
    # Llama-3.2 1B (1.24B, 16 layers, 8 x 64) and 3B (3.21B, 28 layers, 8 x 128), from their configuration files
    small, middle = kv_of_shape(16, 8, 64), kv_of_shape(28, 8, 128)
    assert small.coefficient / float(cache.bytes_per_token(1.24e9, "bf16")) == pytest.approx(0.46, abs=0.005)
    assert middle.coefficient / float(cache.bytes_per_token(3.21e9, "bf16")) == pytest.approx(1.15, abs=0.005)


@pytest.mark.parametrize(
    ("precision", "expected"), [("bf16", 2.0), ("fp16", 2.0), ("fp8", 1.0), ("int8", 1.0), ("fp4", 1.0), ("int4", 1.0)]
)
def test_a_value_is_as_wide_as_a_weight_and_a_byte_at_least(precision: str, expected: float) -> None:
    assert bytes_per_value(precision) == expected
    coefficient, power = kv_constant(1000.0).term(precision)
    assert (coefficient, power) == (500.0 * expected, 0.0)


@given(sizes(), sizes(), st.sampled_from(sorted(FAMILIES)), st.sampled_from(sorted(BYTES_PER_PARAMETER)))
def test_a_larger_model_of_a_family_never_caches_less_nor_grows_faster_than_itself(
    one: float, two: float, family: str, precision: str
) -> None:
    small, large = sorted((one, two))
    cache = kv_family(family)
    less, more = cache.bytes_per_token([small, large], precision)
    assert less <= more * (1 + 1e-12)
    assert more / large <= less / small * (1 + 1e-12)
    coefficient, power = cache.term(precision)
    assert float(more) == pytest.approx(coefficient * large**power, rel=1e-12)


@given(log_floats(1e-3, 1e6), st.floats(0.1, 0.9), st.lists(log_floats(1e8, 1e13), min_size=2, max_size=6, unique=True))
def test_a_power_law_is_recovered_from_its_own_points(coefficient: float, power: float, params: list[float]) -> None:
    if max(params) / min(params) < 1.01:
        params = [*params, max(params) * 10.0]
    law = fit_power_law((N, coefficient * N**power) for N in params)
    assert law.power == pytest.approx(power, abs=1e-6)
    assert law.error == pytest.approx((1.0, 1.0), abs=1e-6)
    assert law.coefficient * params[0] ** law.power == pytest.approx(coefficient * params[0] ** power, rel=1e-6)


def test_layers_times_width_grow_more_slowly_than_the_model() -> None:
    # Against numpy's own fit of layers x width of the seven shapes.
    x = np.log([decoder.params for decoder in DECODERS.values()])
    y = np.log([decoder.layers * decoder.width for decoder in DECODERS.values()])
    power, intercept = np.polyfit(x, y, 1)
    law = stream_law()
    assert law.power == pytest.approx(power, rel=1e-9)
    assert math.log(law.coefficient) == pytest.approx(intercept, rel=1e-9)
    assert 2 / 3 < law.power < 1.0
    assert law.error == pytest.approx((0.82, 1.17), abs=0.005)


# Errors


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no KV cache family 'llama3'; did you mean 'llama-3'\?"):
        kv_family("llama3")
    with pytest.raises(InputError, match="no precision 'bf61'; did you mean 'bf16'"):
        bytes_per_value("bf61")


def test_shapes_are_whole_counts_and_every_wrong_one_is_named() -> None:
    with pytest.raises(InputError) as refused:
        kv_of_shape(0, 8, 128.5)  # type: ignore[arg-type]
    assert str(refused.value) == "KV cache: layers = 0, head_size = 128.5: give a whole number of at least 1"


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_bytes_are_positive_and_finite(value: float) -> None:
    with pytest.raises(InputError, match="bytes per token must be above zero and finite"):
        kv_constant(value)


@pytest.mark.parametrize("power", [-0.1, 1.1, math.nan])
def test_a_power_lies_between_a_stated_shape_and_the_model_itself(power: float) -> None:
    with pytest.raises(InputError, match="the power of N must lie between 0 and 1"):
        KVCache(coefficient=1.0, power=power, name="mine")
