"""The cache of keys and values against published shapes, and the power laws through them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import log_floats, sizes

from beyond_chinchilla.costs.decoders import DECODERS, Decoder, bytes_exchanged, fit_power_law, stream_law
from beyond_chinchilla.costs.flops import Architecture
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


# The table of decoders against the models' own files

# config.json of each model on its makers' page: layers, hidden_size, attention heads, heads of keys and values,
# intermediate_size, vocab_size; and to how many digits the table has the parameters.
CONFIGURATIONS = {
    "llama-2-7b": (32, 4096, 32, 32, 11008, 32000, 3),
    "llama-2-70b": (80, 8192, 64, 8, 28672, 32000, 3),
    "llama-3-8b": (32, 4096, 32, 8, 14336, 128256, 3),
    "llama-3-70b": (80, 8192, 64, 8, 28672, 128256, 3),
    "llama-3-405b": (126, 16384, 128, 8, 53248, 128256, 4),
    "qwen-2.5-7b": (28, 3584, 28, 4, 18944, 152064, 3),
    "qwen-2.5-32b": (64, 5120, 40, 8, 27648, 152064, 3),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_decoders_are_those_of_their_configuration_files(name: str) -> None:
    layers, width, heads, kv_heads, feed_forward, vocabulary, digits = CONFIGURATIONS[name]
    model = Architecture(
        layers=layers, width=width, heads=heads, kv_heads=kv_heads, head_size=width // heads,
        feed_forward=feed_forward, vocabulary=vocabulary, gated=True, tied=False,
    )  # fmt: skip
    params = float(f"{model.parameters(embeddings=True, norms=True):.{digits}g}")
    assert DECODERS[name] == Decoder(name, params, layers, width, kv_heads, width // heads)
    assert DECODERS[name].stream == layers * width
    assert DECODERS[name].groups_heads == (kv_heads < heads)


def test_every_decoder_has_a_configuration() -> None:
    assert set(CONFIGURATIONS) == set(DECODERS)
    assert FAMILIES["llama-3"] == ("llama-3-8b", "llama-3-70b", "llama-3-405b")
    assert FAMILIES["gqa"] == tuple(name for name in DECODERS if name != "llama-2-7b")


@pytest.mark.parametrize(("chips", "sent"), [(1, 0.0), (2, 4.0), (4, 6.0), (8, 7.0)])
def test_what_a_chip_sends(chips: int, sent: float) -> None:
    # Two all-reduces of 2 (g - 1)/g values of two bytes
    assert bytes_exchanged(chips) == sent


def test_a_power_law_by_hand() -> None:
    # 2, 8, 2 at 1, 2, 4: slope 0, centre the geometric mean 2 x 4^(1/3)
    centre = 2.0 * 4.0 ** (1.0 / 3.0)
    found = fit_power_law([(1.0, 2.0), (2.0, 8.0), (4.0, 2.0)])
    assert found.power == pytest.approx(0.0, abs=1e-15)
    assert found.coefficient == pytest.approx(centre, rel=1e-14)
    assert found.error == pytest.approx((2.0 / centre, 8.0 / centre), rel=1e-14)


@pytest.mark.parametrize("count", [0, 0.5, -1, 1.5, math.nan, math.inf, True])
def test_counts_of_a_shape_are_counts(count: float) -> None:
    with pytest.raises(InputError, match=r"^KV cache: kv_heads = .*: give a whole number of at least 1$"):
        kv_of_shape(1, count, 1)  # type: ignore[arg-type]
    assert kv_of_shape(1, 1, 1) == KVCache(coefficient=4.0, power=0.0, name="1 layers x 1 heads x 1")


def test_values_take_a_byte_at_least() -> None:
    # As many bytes as a weight: fp64 8, fp32 and tf32 4, halves 2; and 1 from fp8 down
    expected = {"fp64": 8.0, "fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0}
    assert {name: bytes_per_value(name) for name in BYTES_PER_PARAMETER} == {
        name: expected.get(name, 1.0) for name in BYTES_PER_PARAMETER
    }
    assert {name: BYTES_PER_PARAMETER[name] for name in ("fp8", "int8", "fp6", "fp4", "int4")} == {
        "fp8": 1.0, "int8": 1.0, "fp6": 0.75, "fp4": 0.5, "int4": 0.5,
    }  # fmt: skip
