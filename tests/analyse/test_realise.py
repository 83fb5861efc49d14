"""From a plan to decoders: published counts to the last parameter, targets met, and the cost of rounding recomputed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import log_floats, powered_laws

from beyond_chinchilla.analyse.realise import (
    DEAR,
    NEAR,
    Realisation,
    aspect_band,
    feed_forward_width,
    realise,
    round_up,
)
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.flops import Architecture
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import locate
from beyond_chinchilla.posynomial import monomial

SARDANA = published("sardana-2024")


def _problem(loss: float, tokens: float, law: LossLaw = SARDANA) -> Problem:
    """Appendix B's prices of Sardana et al. 2024: three served tokens in four are written."""
    demand = Demand(prefill_tokens=0.25 * tokens, decode_tokens=0.75 * tokens)
    bill = lifetime_cost(
        training=HiredCompute(price=1.50, peak=312e12),
        training_mfu=0.5,
        serving=HiredCompute(price=1.10, peak=624e12),
        prefill_mfu=0.5,
        decode_mfu=0.01,
        demand=demand,
    )
    return Problem(law=law, target_loss=loss, cost=bill, flops=lifetime_flops(demand))


def _problem_with_optimum(params: float) -> Problem:
    """Ask for the quality at which a model of `params`, serving as many tokens as it reads, is the optimum."""
    low, high = params, 1e3 * params
    for _ in range(60):
        middle = math.sqrt(low * high)
        problem = _problem_at(middle)
        low, high = (middle, high) if locate(problem).params < params else (low, middle)
    return problem


def _problem_at(size: float) -> Problem:
    point = SARDANA.compute_optimal(params=size)
    # Decoding at 1% is dear: a hundredth of the training tokens already moves the plan.
    return _problem(float(point.loss), 0.01 * float(point.tokens))


def _size(problem: Problem) -> float:
    return float(problem.law.total_params(locate(problem).params))


# Published models, every parameter

LLAMA = {
    "llama-2-7b": (32, 4096, 11008, 32, 32, 128, 32_000, False, 6_738_415_616),
    "llama-2-13b": (40, 5120, 13824, 40, 40, 128, 32_000, False, 13_015_864_320),
    "llama-2-70b": (80, 8192, 28672, 64, 8, 128, 32_000, False, 68_976_648_192),
    "llama-3-8b": (32, 4096, 14336, 32, 8, 128, 128_256, False, 8_030_261_248),
    "llama-3.1-405b": (126, 16384, 53248, 128, 8, 128, 128_256, False, 405_853_388_800),
    "llama-3.2-1b": (16, 2048, 8192, 32, 8, 64, 128_256, True, 1_235_814_400),
    "llama-3.2-3b": (28, 3072, 8192, 24, 8, 128, 128_256, True, 3_212_749_824),
}


@pytest.mark.parametrize("name", LLAMA)
def test_llama_to_the_last_parameter(name: str) -> None:
    layers, width, feed_forward, heads, kv_heads, head_size, vocabulary, tied, params = LLAMA[name]
    shape = Architecture(
        layers=layers,
        width=width,
        feed_forward=feed_forward,
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        vocabulary=vocabulary,
        gated=True,
        tied=tied,
    )
    assert shape.parameters(embeddings=True, norms=True) == params
    embeddings = vocabulary * width * (1 if tied else 2)
    assert shape.parameters(embeddings=False, norms=True) == params - embeddings
    assert shape.parameters(embeddings=True) == params - (2 * layers + 1) * width
    low, high = aspect_band(params)
    assert low <= width / layers <= high


def test_gpt_2_but_for_positions_and_biases() -> None:
    small = Architecture(
        layers=12, width=768, feed_forward=3072, heads=12, head_size=64, vocabulary=50_257, gated=False, tied=True
    )
    positions = 1024 * 768
    # Of the projections to queries, keys, values and back, of both feed-forward matrices, and of the norms.
    biases = 12 * (4 * 768 + 3072 + 768) + 25 * 768
    assert small.parameters(embeddings=True, norms=True) + positions + biases == 124_439_808


# Hoffmann et al. 2022's 73M, GPT-2, LLaMA 33B, Chinchilla, GPT-3, PaLM
@pytest.mark.parametrize(
    ("params", "width", "layers"),
    [(73e6, 640, 10), (124e6, 768, 12), (32.5e9, 6656, 60), (7e10, 8192, 80), (175e9, 12288, 96), (540e9, 18432, 118)],
)
def test_the_band_holds_published_decoders(params: float, width: int, layers: int) -> None:
    low, high = aspect_band(params)
    assert low <= width / layers <= high


def test_the_gated_block_of_the_llamas_and_the_plain_one_of_gpt() -> None:
    assert [feed_forward_width(width, gated=True) for width in (4096, 5120, 6656, 8192)] == [11008, 13824, 17920, 22016]
    assert feed_forward_width(768, gated=False) == 3072


def test_gating_and_grouped_keys_in_flops() -> None:
    """Each matrix costs two FLOPs per weight and token, whatever its shape."""
    plain = Architecture(layers=3, width=256, feed_forward=1024, heads=4, head_size=64, vocabulary=7, sequence=11)
    for shape in (
        plain,
        replace(plain, gated=True),
        replace(plain, kv_heads=1),
        replace(plain, kv_heads=2, gated=True),
    ):
        terms = shape.forward_flops_terms(embeddings=False)
        products = terms["query_key_value"] + terms["projection"] + terms["feed_forward"]
        assert products == 2 * 11 * shape.parameters(embeddings=False)


def test_heads_share_out_evenly() -> None:
    with pytest.raises(InputError, match="heads = 12 do not share kv_heads = 8 evenly"):
        Architecture(layers=1, width=768, feed_forward=1, heads=12, head_size=64, vocabulary=1, kv_heads=8)
    with pytest.raises(InputError, match="kv_heads = 0"):
        Architecture(layers=1, width=768, feed_forward=1, heads=12, head_size=64, vocabulary=1, kv_heads=0)


# What every proposal keeps


def _check(found: list[Realisation], problem: Problem, params: float) -> None:
    law = problem.law
    D = float(law.tokens_for(law.counted_params(params), problem.target_loss))
    least = float(problem.cost.value({"params": params, "tokens": D}))
    totals = [r.candidate.total for r in found]
    assert totals == sorted(totals)
    assert len({r.architecture for r in found}) == len(found)
    for r in found:
        shape = r.architecture
        # Size, from the matrices themselves.
        matrices = [(shape.width, shape.attention_width)] * 2 + [(shape.width, shape.kv_width)] * 2
        matrices += [(shape.width, shape.feed_forward)] * (3 if shape.gated else 2)
        core = shape.layers * (sum(rows * columns for rows, columns in matrices) + 2 * shape.width) + shape.width
        assert r.non_embedding_params == core
        assert r.params == core + shape.vocabulary * shape.width * (1 if shape.tied else 2)
        assert r.size_fraction == pytest.approx(r.params / params - 1, rel=1e-9, abs=1e-12)
        assert 1 / NEAR <= r.params / params <= NEAR
        # Shape.
        assert shape.heads * shape.head_size == shape.width
        assert shape.head_size in (64, 128)
        assert shape.width % (64 if shape.width < 1024 else 128) == 0
        assert shape.layers % 2 == 0 or shape.layers < 24
        low, high = aspect_band(params)
        assert low <= r.aspect_ratio <= high
        # Quality, and not a round number more than it takes.
        counted = float(law.counted_params(r.params))
        assert float(law.loss(counted, r.tokens)) <= problem.target_loss
        assert r.candidate.loss == float(law.loss(counted, r.tokens))
        assert r.tokens == float(f"{r.tokens:.2e}")
        # Which may be one step more where a last bit of the loss says so.
        assert r.tokens <= 1.0100001 * float(law.tokens_for(counted, problem.target_loss)) + 1
        # Bill.
        total = float(problem.cost.value({"params": r.params, "tokens": r.tokens}))
        assert r.candidate.total == pytest.approx(total, rel=1e-9)
        assert r.candidate.total == pytest.approx(math.fsum(r.candidate.terms.values()), rel=1e-12)
        assert r.rounding == pytest.approx(total - least, rel=1e-6, abs=1e-9 * least)
        assert r.rounding_fraction == pytest.approx(total / least - 1, rel=1e-6, abs=1e-9)
        assert r.rounding_fraction >= -1e-9


@pytest.mark.parametrize(
    ("params", "vocabulary"), [(50e6, 32_000), (7e9, 32_000), (17.4e9, 32_000), (70e9, 128_256), (500e9, 128_256)]
)
@pytest.mark.parametrize("gated", [True, False])
def test_five_proposals_on_both_sides(params: float, vocabulary: int, gated: bool) -> None:
    problem = _problem_with_optimum(params)
    assert _size(problem) == pytest.approx(params, rel=1e-6)
    found = realise(problem, _size(problem), vocabulary=vocabulary, gated=gated)
    _check(found, problem, _size(problem))
    assert len(found) == 5
    assert min(r.size_fraction for r in found) < 0 <= max(r.size_fraction for r in found)
    assert len({r.architecture.width for r in found}) >= 3
    # Depth comes in whole layers, and tokens in three digits: together they cost less than half a percent.
    assert found[0].rounding_fraction < 0.005
    assert all(r.architecture.gated == gated and r.architecture.vocabulary == vocabulary for r in found)


@given(log_floats(3e7, 2e12), log_floats(1e9, 1e14), st.booleans(), st.integers(1, 12))
def test_any_plan(size: float, served: float, gated: bool, count: int) -> None:
    problem = _problem(float(SARDANA.compute_optimal(params=size).loss), served)
    params = _size(problem)
    assume(params > 2e7)  # Smaller ones have no shape with this vocabulary: see below.
    found = realise(problem, params, vocabulary=16_000, gated=gated, count=count)
    assert 1 <= len(found) <= count
    _check(found, problem, params)


@given(powered_laws(), log_floats(1e8, 1e12))
def test_any_plan_of_a_law_that_counts_no_embeddings(law: LossLaw, size: float) -> None:
    problem = _problem(float(law.compute_optimal(params=size).loss), 1e10, law)
    params = _size(problem)
    assume(params > 2e7)
    _check(realise(problem, params, vocabulary=16_000), problem, params)


def test_the_cheapest_comes_first_and_stays_when_fewer_are_asked_for() -> None:
    problem = _problem_with_optimum(17.4e9)
    params = _size(problem)
    every = realise(problem, params, vocabulary=32_000, count=1000)
    for count in (1, 2, 3, 5):
        some = realise(problem, params, vocabulary=32_000, count=count)
        assert len(some) == count
        assert some[0] == every[0]
        assert {r.architecture for r in some} <= {r.architecture for r in every}
    two = realise(problem, params, vocabulary=32_000, count=2)
    for side in (False, True):
        cheapest = next(r for r in every if (r.size_fraction < 0) == side)
        assert cheapest in two


def test_new_widths_before_second_depths() -> None:
    problem = _problem_with_optimum(50e9)
    params = _size(problem)
    every = realise(problem, params, vocabulary=32_000, count=1000)
    some = realise(problem, params, vocabulary=32_000)
    cheap = {r.architecture.width for r in every if r.candidate.total <= DEAR * every[0].candidate.total}
    assert len({r.architecture.width for r in some}) >= min(len(cheap), 4)


def test_grouped_keys_are_smaller_and_divide_the_heads() -> None:
    problem = _problem_with_optimum(17.4e9)
    found = realise(problem, _size(problem), vocabulary=128_256, kv_heads=8)
    _check(found, problem, _size(problem))
    assert all(r.architecture.kv_heads == 8 and r.architecture.heads % 8 == 0 for r in found)


def test_ties_follow_the_llamas_unless_told() -> None:
    for params, tied in ((1e9, True), (7e9, False)):
        problem = _problem_with_optimum(params)
        assert {r.architecture.tied for r in realise(problem, _size(problem), vocabulary=32_000)} == {tied}
        other = realise(problem, _size(problem), vocabulary=32_000, tied=not tied)
        assert {r.architecture.tied for r in other} == {not tied}
        _check(other, problem, _size(problem))


def test_tokens_in_whole_steps() -> None:
    problem, batch = _problem_with_optimum(7e9), 4 * 1024 * 1024
    for r in realise(problem, _size(problem), vocabulary=32_000, batch_tokens=batch):
        assert r.tokens % batch == 0
        assert r.candidate.loss <= problem.target_loss
        assert float(SARDANA.loss(r.params, r.tokens - 2 * batch)) > problem.target_loss


def test_more_digits_cost_less() -> None:
    problem = _problem_with_optimum(7e9)
    coarse, fine = (realise(problem, _size(problem), vocabulary=32_000, token_digits=n)[0] for n in (1, 6))
    assert 0 <= fine.rounding < coarse.rounding
    assert coarse.tokens == float(f"{coarse.tokens:.0e}")


@given(st.floats(1, 1e18), st.integers(1, 15))
def test_round_up(tokens: float, digits: int) -> None:
    rounded = round_up(tokens, digits)
    assert rounded >= tokens
    assert len(str(rounded).rstrip("0")) <= digits
    assert rounded - tokens < max(10.0 ** (math.floor(math.log10(rounded)) + 1 - digits), 1.0) * 1.0000001
    assert round_up(rounded, digits) == rounded


# Limits


def test_only_what_is_allowed() -> None:
    problem = _problem_with_optimum(7e9)
    found = realise(problem, _size(problem), vocabulary=32_000, allowed=lambda c: c.params <= 7e9)
    assert found
    assert all(r.params <= 7e9 for r in found)
    with pytest.raises(InputError, match="meets the target and the limits"):
        realise(problem, _size(problem), vocabulary=32_000, allowed=lambda c: False)


def _limit(label: str, side: str, bound: float, powers: dict[str, float]) -> Limit:
    return Limit(label=label, side=side, quantity=monomial(label, 1.0, powers), bound=bound, unit="", each="one")


def test_ceilings_hold() -> None:
    problem = _problem_with_optimum(7e9)
    ceiling = _limit("params", "max", 6.9e9, {"params": 1.0})
    for r in realise(replace(problem, limits=(ceiling,)), 6.9e9, vocabulary=32_000):
        assert r.params <= 6.9e9
        assert r.rounding_fraction > 0


@pytest.mark.parametrize("label", ["tokens", "tokens_per_param"])
def test_floors_hold_and_belong_to_the_plan(label: str) -> None:
    """Above the tokens that the target takes, a floor sets those of plan and proposals alike."""
    problem = _problem_with_optimum(7e9)
    needed = float(SARDANA.tokens_for(7e9, problem.target_loss))
    bound, powers = 2 * needed, {"tokens": 1.0}
    if label == "tokens_per_param":
        bound, powers = bound / 7e9, powers | {"params": -1.0}
    limited = replace(problem, limits=(_limit(label, "min", bound, powers),))
    for r in realise(limited, 7e9, vocabulary=32_000):
        assert r.plan.tokens == pytest.approx(2 * needed, rel=1e-12)
        assert (r.tokens if label == "tokens" else r.tokens / r.params) >= bound
        assert r.candidate.loss < problem.target_loss


# Out


def test_dictionary_is_json_and_carries_every_figure() -> None:
    problem = _problem_with_optimum(7e9)
    best = realise(problem, _size(problem), vocabulary=32_000)[0]
    row = json.loads(json.dumps(best.to_dict(), allow_nan=False))
    assert row["params"] == best.params
    assert row["non_embedding_params"] == best.non_embedding_params
    assert row["tokens"] == best.tokens
    assert row["total"] == pytest.approx(sum(term["value"] for term in row["terms"]), rel=1e-12)
    assert row["rounding"] == {"absolute": best.rounding, "fraction": best.rounding_fraction}
    assert row["unit"] == "USD"
    shape = row["architecture"]
    assert shape["width"] / shape["layers"] == shape["aspect_ratio"]
    assert (shape["kv_heads"], shape["vocabulary"]) == (shape["heads"], 32_000)


# Bad input


@pytest.mark.parametrize("vocabulary", [0, -5, 2.5, math.nan])
def test_a_vocabulary_is_a_count(vocabulary: float) -> None:
    with pytest.raises(InputError, match="vocabulary = "):
        realise(_problem_with_optimum(7e9), 7e9, vocabulary=vocabulary)  # type: ignore[arg-type]


def test_every_wrong_count_is_named() -> None:
    with pytest.raises(InputError) as caught:
        realise(_problem_at(7e9), 7e9, vocabulary=0, count=0, kv_heads=-1, token_digits=0, batch_tokens=0)
    for name in ("vocabulary = 0", "count = 0", "kv_heads = -1", "token_digits = 0", "batch_tokens = 0"):
        assert name in str(caught.value)


@pytest.mark.parametrize("params", [0.0, -1.0, math.nan, math.inf])
def test_a_size_is_positive(params: float) -> None:
    with pytest.raises(InputError, match="positive finite number of parameters"):
        realise(_problem_at(7e9), params, vocabulary=32_000)


def test_a_size_out_of_reach_of_the_target() -> None:
    problem = _problem_at(7e9)
    least = float(SARDANA.params_for(math.inf, problem.target_loss))
    with pytest.raises(InputError, match=r"no number of tokens brings it to the target loss .* more than 682M"):
        realise(problem, 0.9 * least, vocabulary=32_000)


def test_no_shape_near() -> None:
    problem = _problem(float(SARDANA.loss(1e6, 1e9)), 1e9)
    with pytest.raises(
        InputError, match=r"width/layers of 40 to 110, exists; use a smaller vocabulary or a size near 4"
    ):
        realise(problem, 1e6, vocabulary=32_000)
    # Two embeddings of 128k entries alone are more than that.
    small = _problem_with_optimum(27e6)
    with pytest.raises(InputError, match="or tied embeddings or a size near 33"):
        realise(small, _size(small), vocabulary=128_256, tied=False)


def test_heads_that_never_divide() -> None:
    problem = _problem_with_optimum(7e9)
    with pytest.raises(InputError, match="other than 17"):
        realise(problem, _size(problem), vocabulary=32_000, kv_heads=17)
