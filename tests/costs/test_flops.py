"""FLOPs against Hoffmann et al. 2022, Appendix F and Table A4, and against 6 N D."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.costs.flops import Architecture, inference_flops, training_flops
from beyond_chinchilla.errors import InputError

REFERENCES = Path(__file__).parents[1] / "references"


def _table_a4() -> dict[str, dict[str, str]]:
    lines = (REFERENCES / "hoffmann_2022_table_a4.csv").read_text(encoding="utf-8").splitlines()
    return {row["name"]: row for row in csv.DictReader(line for line in lines if not line.startswith("#"))}


def _architecture(row: dict[str, str]) -> Architecture:
    shape = {name: int(row[name]) for name in ("layers", "width", "feed_forward", "heads", "head_size")}
    # 32 000 entries, as Gopher (Rae et al. 2021, Section 2.1); the sequence is the default 2048.
    return Architecture(**shape, vocabulary=32_000)


TABLE_A4 = _table_a4()

# Rows whose printed ratio does not come out with the nominal size as N, each with the figure that does.
DIFFERENCES = {
    # The shape counts 73.7M (see the counted size below): with that N the ratio is 1.026, which prints 1.03.
    "73M": 1.037,
    # Table A9 lists this shape as 1143M, which Table A4 prints as 1.1B: with N = 1.143B the ratio is 1.044.
    "1.1B": 1.085,
}

architectures = st.builds(
    Architecture,
    layers=st.integers(1, 120),
    width=st.integers(1, 20_000),
    feed_forward=st.integers(1, 80_000),
    heads=st.integers(1, 160),
    head_size=st.integers(1, 512),
    vocabulary=st.integers(1, 300_000),
    sequence=st.integers(1, 200_000),
)


@pytest.mark.parametrize("name", [name for name in TABLE_A4 if name not in DIFFERENCES])
def test_table_a4_with_the_nominal_size(name: str) -> None:
    row = TABLE_A4[name]
    ratio = _architecture(row).ratio_to_6nd(float(row["params"]), embeddings=False)
    assert ratio == pytest.approx(float(row["ratio"]), rel=0, abs=float(row["half_digit"]))


@pytest.mark.parametrize(("name", "ours"), DIFFERENCES.items())
def test_table_a4_differences_with_the_nominal_size(name: str, ours: float) -> None:
    row = TABLE_A4[name]
    ratio = _architecture(row).ratio_to_6nd(float(row["params"]), embeddings=False)
    assert ratio == pytest.approx(ours, rel=0, abs=5e-4)
    assert abs(ratio - float(row["ratio"])) > float(row["half_digit"])  # else it is no difference


@pytest.mark.parametrize("row", TABLE_A4.values(), ids=TABLE_A4)
def test_table_a4_with_the_counted_size(row: dict[str, str]) -> None:
    """All six rows, the two differences too, once N is counted from the shape and not read off the name."""
    architecture = _architecture(row)
    # These models have relative positions, whose keys are one more projection in each layer
    # (Rae et al. 2021, Section 2.1, after Dai et al. 2019); Appendix F does not count their FLOPs.
    relative_positions = architecture.layers * architecture.width * architecture.attention_width
    params = architecture.parameters(embeddings=True) + relative_positions
    assert params == float(row["params_counted"])
    ratio = architecture.ratio_to_6nd(params, embeddings=False)
    assert ratio == pytest.approx(float(row["ratio"]), rel=0, abs=float(row["half_digit"]))


@pytest.mark.parametrize(("column", "embeddings"), [("recomputed", False), ("recomputed_embeddings", True)])
@pytest.mark.parametrize("row", TABLE_A4.values(), ids=TABLE_A4)
def test_table_a4_recomputed(row: dict[str, str], column: str, embeddings: bool) -> None:
    ratio = _architecture(row).ratio_to_6nd(float(row["params"]), embeddings=embeddings)
    assert ratio == pytest.approx(float(row[column]), rel=0, abs=5e-4)


def test_the_counted_size_of_chinchilla_s_largest_run_is_table_a9_s() -> None:
    # Table A9, last row: 16183M parameters, width 5120, feed-forward 20480, 40 heads of 128, 47 layers.
    largest = Architecture(layers=47, width=5120, feed_forward=20480, heads=40, head_size=128, vocabulary=32_000)
    params = largest.parameters(embeddings=True) + 47 * 5120 * 5120
    # Ours is 16180.8M: biases and norms, which the paper does not specify, are the missing 0.013%.
    assert params == pytest.approx(16_183e6, rel=2e-4)
    assert params < 16_183e6


def test_terms_of_a_small_model_by_hand() -> None:
    # Primes, so that no two factors can be swapped unnoticed.
    tiny = Architecture(layers=2, width=3, feed_forward=5, heads=7, head_size=11, vocabulary=13, sequence=17)
    assert tiny.forward_flops_terms(embeddings=True) == {
        "embedding": 2 * 17 * 13 * 3,
        "query_key_value": 2 * 6 * 17 * 3 * 77,
        "attention_logits": 2 * 2 * 17 * 17 * 77,
        "softmax": 2 * 3 * 7 * 17 * 17,
        "attention_values": 2 * 2 * 17 * 17 * 77,
        "projection": 2 * 2 * 17 * 77 * 3,
        "feed_forward": 2 * 4 * 17 * 3 * 5,
        "logits": 2 * 17 * 3 * 13,
    }
    assert tiny.parameters(embeddings=False) == 2 * (4 * 3 * 77 + 2 * 3 * 5)
    assert tiny.parameters(embeddings=True) == 2 * (4 * 3 * 77 + 2 * 3 * 5) + 13 * 3


@given(architectures, st.booleans())
def test_terms_sum_to_the_total(architecture: Architecture, embeddings: bool) -> None:
    terms = architecture.forward_flops_terms(embeddings=embeddings)
    total = architecture.forward_flops_per_sequence(embeddings=embeddings)
    assert total == pytest.approx(math.fsum(terms.values()), rel=1e-14)
    assert ("embedding" in terms) == ("logits" in terms) == embeddings


@given(architectures)
def test_embeddings_add_the_embedding_and_the_logits_alone(architecture: Architecture) -> None:
    without = architecture.forward_flops_terms(embeddings=False)
    both = architecture.forward_flops_terms(embeddings=True)
    table = architecture.parameters(embeddings=True) - architecture.parameters(embeddings=False)
    assert table == architecture.vocabulary * architecture.width
    assert both == without | dict.fromkeys(("embedding", "logits"), 2 * architecture.sequence * table)


@given(architectures, st.booleans(), st.floats(1, 1e15), st.floats(1e-3, 1e3))
def test_training_flops_are_linear_in_tokens(
    architecture: Architecture, embeddings: bool, tokens: float, factor: float
) -> None:
    once = architecture.training_flops(tokens, embeddings=embeddings)
    assert architecture.training_flops(factor * tokens, embeddings=embeddings) == pytest.approx(
        factor * once, rel=1e-14
    )
    one_sequence = architecture.training_flops(float(architecture.sequence), embeddings=embeddings)
    forward = architecture.forward_flops_per_sequence(embeddings=embeddings)
    assert one_sequence == pytest.approx(3 * forward, rel=1e-14)


# Power of each term in (heads, width, sequence, layers).
POWERS = {
    "embedding": (0, 1, 1, 0),
    "query_key_value": (1, 1, 1, 1),
    "attention_logits": (1, 0, 2, 1),
    "softmax": (1, 0, 2, 1),
    "attention_values": (1, 0, 2, 1),
    "projection": (1, 1, 1, 1),
    "feed_forward": (0, 1, 1, 1),
    "logits": (0, 1, 1, 0),
}


@pytest.mark.parametrize("position", range(4), ids=["heads", "width", "sequence", "layers"])
@given(architecture=architectures, factor=st.integers(2, 9))
def test_terms_scale_with_the_shape(architecture: Architecture, factor: int, position: int) -> None:
    field = ("heads", "width", "sequence", "layers")[position]
    scaled = dataclasses.replace(architecture, **{field: factor * getattr(architecture, field)})
    before = architecture.forward_flops_terms(embeddings=True)
    after = scaled.forward_flops_terms(embeddings=True)
    assert list(before) == list(POWERS)
    for label, powers in POWERS.items():
        assert after[label] == pytest.approx(before[label] * factor ** powers[position], rel=1e-14), label


@given(heads=st.integers(1, 2000), layers=st.integers(1, 200), sequence=st.integers(1, 200_000))
def test_excess_over_6nd_is_attention_over_width(heads: int, layers: int, sequence: int) -> None:
    """The usual shape (feed-forward 4 d, heads of 128 that fill d): ratio = 1 + s/(6 d) (1 + 3/(4 x 128))."""
    width = 128 * heads
    architecture = Architecture(
        layers=layers,
        width=width,
        feed_forward=4 * width,
        heads=heads,
        head_size=128,
        vocabulary=1,
        sequence=sequence,
    )
    ratio = architecture.ratio_to_6nd(architecture.parameters(embeddings=False), embeddings=False)
    assert ratio == pytest.approx(1 + sequence / (6 * width) * (1 + 3 / (4 * 128)), rel=1e-12)


def test_exact_count_approaches_6nd_as_the_width_grows() -> None:
    ratios = []
    for heads in (8, 16, 32, 64, 96, 128, 1024):
        width = 128 * heads
        architecture = Architecture(
            layers=80, width=width, feed_forward=4 * width, heads=heads, head_size=128, vocabulary=32_000
        )
        ratios.append(architecture.ratio_to_6nd(architecture.parameters(embeddings=False), embeddings=False))
    assert ratios == sorted(ratios, reverse=True)
    # Measured at sequence 2048: 1.335 at width 1024, 1.0419 at 8192 (Chinchilla), 1.0279 at 12288,
    # 1.0026 at 131072.
    assert ratios[0] == pytest.approx(1.335, rel=0, abs=5e-4)
    assert ratios[3] == pytest.approx(1.0419, rel=0, abs=5e-5)
    assert ratios[4] < 1.028
    assert 1 < ratios[-1] < 1.003


def test_approximations() -> None:
    # Chinchilla, 70B on 1.4T; Sardana et al. 2024 count 2 N for every token served.
    assert training_flops(70e9, 1.4e12) == pytest.approx(5.88e23, rel=1e-15)
    assert inference_flops(70e9, 1.4e12) == pytest.approx(5.88e23 / 3, rel=1e-15)
    assert isinstance(training_flops(70e9, 1.4e12), float)


def test_approximations_broadcast_and_do_not_overflow() -> None:
    params = np.array([10**9, 10**11])  # int64: 6 x 1e11 x 1e13 would overflow
    tokens = np.array([[10**10], [10**12], [10**13]])
    grid = training_flops(params, tokens)
    assert np.shape(grid) == (3, 2)
    np.testing.assert_allclose(grid, 6.0 * params.astype(float) * tokens.astype(float), rtol=1e-15)
    np.testing.assert_allclose(inference_flops(params, tokens), np.asarray(grid) / 3, rtol=1e-15)


def test_exact_training_flops_broadcast() -> None:
    architecture = _architecture(TABLE_A4["1.6B"])
    tokens = np.array([1e9, 1e12])
    exact = architecture.training_flops(tokens, embeddings=True)
    single = [architecture.training_flops(float(count), embeddings=True) for count in tokens]
    np.testing.assert_array_equal(exact, single)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(InputError) as caught:
        Architecture(
            layers=0,
            width=-1,
            feed_forward=2.5,
            heads=True,
            head_size=64,
            vocabulary="32K",
            sequence=math.nan,
        )
    for part in (
        "layers = 0",
        "width = -1",
        "feed_forward = 2.5",
        "heads = True",
        "vocabulary = '32K'",
        "= nan",
    ):
        assert part in str(caught.value)
    assert "head_size" not in str(caught.value)


def test_whole_numbers_of_any_type_are_counts() -> None:
    row = TABLE_A4["6.8B"]
    plain = _architecture(row)
    numpy_counts = dataclasses.replace(plain, width=np.int32(plain.width), vocabulary=32e3)
    assert numpy_counts == plain
    assert numpy_counts.forward_flops_terms(embeddings=True) == plain.forward_flops_terms(embeddings=True)


def test_embeddings_must_be_stated() -> None:
    with pytest.raises(TypeError, match="embeddings"):
        _architecture(TABLE_A4["73M"]).parameters()


@pytest.mark.parametrize("params", [0.0, -1e9, math.nan, math.inf])
def test_ratio_needs_a_size(params: float) -> None:
    with pytest.raises(InputError, match="positive finite"):
        _architecture(TABLE_A4["73M"]).ratio_to_6nd(params, embeddings=False)


def test_shared_heads_gates_untied_embeddings_and_norms_by_hand() -> None:
    # Two groups of heads: keys and values are 2 x 11 wide.
    tiny = Architecture(
        layers=2, width=3, feed_forward=5, heads=6, kv_heads=2, head_size=11, vocabulary=13, sequence=17,
        gated=True, tied=False,
    )  # fmt: skip
    assert (tiny.attention_width, tiny.kv_width, tiny.feed_forward_matrices) == (66, 22, 3)
    blocks = 2 * 3 * (2 * 66 + 2 * 22 + 3 * 5)
    assert tiny.parameters(embeddings=False) == blocks
    assert tiny.parameters(embeddings=True) == blocks + 2 * 13 * 3
    assert tiny.parameters(embeddings=False, norms=True) == blocks + (2 * 2 + 1) * 3
    terms = tiny.forward_flops_terms(embeddings=False)
    assert terms["query_key_value"] == 2 * 2 * 17 * 3 * (66 + 2 * 22)
    assert terms["feed_forward"] == 2 * 2 * 17 * 3 * 3 * 5
    assert tiny.training_flops(17 * 4, embeddings=False) == pytest.approx(3 * 4 * sum(terms.values()), rel=1e-14)
    assert tiny.ratio_to_6nd(7.0, embeddings=False) == pytest.approx(3 * sum(terms.values()) / (6 * 7 * 17), rel=1e-14)
    with pytest.raises(InputError, match="architecture: heads = 6 do not share kv_heads = 4 evenly"):
        dataclasses.replace(tiny, kv_heads=4)
    with pytest.raises(InputError, match=r"architecture: layers = 0, kv_heads = 0.5: every field is a whole number"):
        dataclasses.replace(tiny, layers=0, kv_heads=0.5)  # type: ignore[arg-type]
    plain = Architecture(layers=1, width=1, feed_forward=1, heads=1, head_size=1, vocabulary=1)
    assert (plain.sequence, plain.kv_heads, plain.gated, plain.tied) == (2048, None, False, True)


@pytest.mark.parametrize("params", [0.0, -1.0, math.inf, math.nan])
def test_a_ratio_to_no_parameters(params: float) -> None:
    tiny = Architecture(layers=1, width=1, feed_forward=1, heads=1, head_size=1, vocabulary=1)
    with pytest.raises(InputError, match="the N of 6 N D is a positive finite number of parameters"):
        tiny.ratio_to_6nd(params, embeddings=False)
