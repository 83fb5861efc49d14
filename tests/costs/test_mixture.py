"""Mixtures in service: what a batch touches, its tangents and chords, and a replica that reads it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import floats, log_floats

from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY, IDEAL
from beyond_chinchilla.costs.hardware import accelerator
from beyond_chinchilla.costs.kv_cache import kv_of_shape
from beyond_chinchilla.costs.mixture import Mixture
from beyond_chinchilla.costs.serving import Replica
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.posynomial import Term

# 671B of which 37B are active, 8 of 256 experts
DEEPSEEK = Mixture(experts=256, active=8, total_per_active=671 / 37)


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    experts = draw(st.integers(2, 512))
    active = draw(st.integers(1, experts - 1))
    share = draw(floats(0.01, 1.0))
    return Mixture(experts=experts, active=active, total_per_active=1.0 + share * (experts / active - 1.0))


def serving(mixture: Mixture | None, **changes: Any) -> Replica:
    chip = accelerator("h200-sxm")
    base = Replica(
        chip=chip, precision="fp8", gpus=8, input_tokens=1000.0, output_tokens=1000.0, kv=kv_of_shape(60, 8, 128)
    )
    return replace(base, mixture=mixture, **changes)


def test_what_a_batch_touches_is_counted_by_hand() -> None:
    # Four experts, one each: two tokens meet 4 (1 - (3/4)^2) = 1.75 of them
    mixture = Mixture(experts=4, active=1, total_per_active=3.0)
    assert float(mixture.touched(2)) * 4 == pytest.approx(1.75, rel=1e-12)
    # The mean over all equally likely ways of three tokens to be sent to two experts each of four
    pairs = list(itertools.combinations(range(4), 2))
    ways = [len(set().union(*chosen)) for chosen in itertools.product(pairs, repeat=3)]
    two = Mixture(experts=4, active=2, total_per_active=1.5)
    assert float(two.touched(3)) * 4 == pytest.approx(sum(ways) / len(ways), rel=1e-12)


@given(mixtures())
def test_one_sequence_reads_the_active_parameters_and_very_many_read_all(mixture: Mixture) -> None:
    assert float(mixture.read(1)) == pytest.approx(1.0, rel=1e-9)
    assert float(mixture.read(1e9)) == pytest.approx(mixture.total_per_active, rel=1e-12)
    assert mixture.shared >= 0.0
    assert mixture.shared + mixture.routed == pytest.approx(mixture.total_per_active, rel=1e-9)


def test_the_shares_of_a_published_mixture() -> None:
    # 58 layers of 256 experts of 3 x 7168 x 2048 parameters are 654B of 671B
    experts = 58 * 256 * 3 * 7168 * 2048
    assert 37e9 * DEEPSEEK.routed == pytest.approx(experts, rel=0.01)


@given(mixtures(), log_floats(0.5, 1e5), log_floats(0.5, 1e5))
def test_a_tangent_touches_and_is_nowhere_below(mixture: Mixture, at: float, batch: float) -> None:
    coefficient, power = mixture.tangent(at)
    assert coefficient * at**power == pytest.approx(float(mixture.touched(at)), rel=1e-9)
    assert coefficient * batch**power >= float(mixture.touched(batch)) * (1 - 1e-9)
    assert 0.0 <= power <= 1.0


@given(mixtures(), log_floats(0.5, 1e4), floats(1.01, 100.0), floats(0.0, 1.0))
def test_a_chord_meets_both_ends_and_is_nowhere_above(mixture: Mixture, low: float, ratio: float, part: float) -> None:
    high = low * ratio
    coefficient, power = mixture.chord(low, high)
    for end in (low, high):
        assert coefficient * end**power == pytest.approx(float(mixture.touched(end)), rel=1e-9)
    between = low * ratio**part
    assert coefficient * between**power <= float(mixture.touched(between)) * (1 + 1e-9)
    endless, flat = mixture.chord(low, math.inf)
    assert flat == 0.0
    assert endless <= float(mixture.touched(high)) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"experts": 2.5}, "experts must be a whole number of at least 1, not 2.5"),
        ({"active": 0}, "active must be a whole number of at least 1, not 0"),
        ({"experts": math.inf}, "experts must be a whole number"),
        ({"active": 8}, "8 of 8 experts active leaves none idle; it is dense"),
        ({"total_per_active": 9.0}, "9 parameters for each active one; 1 of 8 experts allow above 1 and at most 8"),
        ({"total_per_active": 1.0}, "allow above 1"),
        ({"total_per_active": math.nan}, "allow above 1"),
    ],
)
def test_a_mixture_that_no_model_can_be_is_refused(counts: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Mixture(**({"experts": 8, "active": 1, "total_per_active": 5.8} | counts))


# A replica


@given(mixtures(), log_floats(1e9, 1e11), log_floats(1.0, 1e5))
def test_a_step_written_out(mixture: Mixture, N: float, batch: float) -> None:
    replica = serving(mixture, efficiency=replace(IDEAL, experts=0.5))
    chip = replica.chip
    # Of a token's parameters those of routed experts take twice as long, and so everything takes so much longer.
    stretch = 1.0 + (1.0 - mixture.shared)
    reading = (mixture.shared + mixture.routed * float(mixture.touched(batch))) * N / (8 * chip.bandwidth)
    cache = batch * 1500 * 60 * 2 * 8 * 128 / (8 * chip.bandwidth)
    compute = 2 * N * batch / (8 * chip.peak["fp8"])
    expected = (max(compute, reading) + cache) * stretch
    assert float(replica.step_time(N, batch)) == pytest.approx(expected, rel=1e-9)


@given(mixtures(), log_floats(1e9, 1e11), log_floats(1.0, 1e5), log_floats(1.0, 1e5))
def test_relations_bound_the_step_and_meet_it_where_they_are_drawn(
    mixture: Mixture, N: float, batch: float, at: float
) -> None:
    for drawn in (at, math.inf):
        compute, weights, _ = serving(mixture, touching=mixture.tangent(drawn)).relations()
        point = {"params": N, "batch": batch, "step_time": 1.0}
        bound = max(float(compute.value(point)), float(weights.value(point)))
        assert bound >= float(serving(mixture).step_time(N, batch)) * (1 - 1e-9)
    compute, weights, _ = serving(mixture, touching=mixture.tangent(batch)).relations()
    bound = max(float(compute.value(point)), float(weights.value(point)))
    assert bound == pytest.approx(float(serving(mixture).step_time(N, batch)), rel=1e-9)


@given(mixtures(), log_floats(1e9, 3e10), log_floats(1e-4, 1.0))
def test_the_best_batch_fills_memory_or_time(mixture: Mixture, N: float, limit: float) -> None:
    replica = serving(mixture)
    batch, largest = float(replica.best_batch(N, limit)), float(replica.largest_batch(N))
    assert batch <= largest * (1 + 1e-12)
    if 1e-3 < batch < largest * (1 - 1e-9):
        assert float(replica.step_time(N, batch)) == pytest.approx(limit, rel=1e-9)
    assert float(replica.best_batch(N)) == largest


def test_arrays_are_their_elements() -> None:
    replica, sizes = serving(DEEPSEEK), np.array([5e9, 2e10, 3.7e10])
    np.testing.assert_allclose(replica.best_batch(sizes, 0.03), [float(replica.best_batch(n, 0.03)) for n in sizes])
    np.testing.assert_array_equal(replica.step_time(sizes, 64.0), [float(replica.step_time(n, 64.0)) for n in sizes])


@given(mixtures(), log_floats(1e9, 1e11))
def test_from_the_critical_batch_on_products_bind(mixture: Mixture, N: float) -> None:
    replica = serving(mixture)
    critical = replica.critical_batch
    point = {"params": N, "step_time": 1.0}

    def parts(batch: float) -> tuple[float, float]:
        compute, weights, _ = replace(replica, touching=mixture.tangent(batch)).relations()
        here = point | {"batch": batch}
        return compute.totals(here)["compute"], weights.totals(here)["weights"]

    compute, weights = parts(critical)
    assert compute == pytest.approx(weights, rel=1e-6)
    compute, weights = parts(2.0 * critical)
    assert compute > weights


def test_memory_holds_all_parameters_and_tokens_pay_for_the_active_ones() -> None:
    mixture, dense = serving(DEEPSEEK), serving(None)
    N = 37e9
    assert mixture.memory_used().totals({"params": N, "batch": 1.0})["weights"] == pytest.approx(671.0, rel=1e-12)
    stretch = 1 + (1 - DEEPSEEK.shared) * (1 / DEFAULT_EFFICIENCY.experts - 1)
    quick, slow = (float(one.prefill_seconds().terms[0].coefficient) for one in (dense, mixture))  # type: ignore[arg-type]
    assert slow == pytest.approx(stretch * quick, rel=1e-12)
    step = float(mixture.step_time(N, 64.0))
    figures = mixture.describe(N, 64.0, step)
    cache = 64 * 1500 * 60 * 2 * 8 * 128
    read = float(DEEPSEEK.read(64)) * N
    assert figures["decode_mbu"] == pytest.approx((read + cache) / (8 * step * mixture.chip.bandwidth), rel=1e-9)
    assert figures["decode_mfu"] == pytest.approx(2 * N * 64 / (8 * step * mixture.chip.peak["fp8"]), rel=1e-9)


def test_weights_may_be_kept_in_fewer_bits_than_they_are_multiplied_in() -> None:
    wide, narrow = serving(None, precision="bf16"), serving(None, precision="bf16", weights="fp4")
    point = {"params": 70e9, "batch": 1.0}
    assert narrow.memory_used().totals(point)["weights"] == wide.memory_used().totals(point)["weights"] / 4
    assert narrow.memory_used().totals(point)["cache"] == wide.memory_used().totals(point)["cache"]
    assert narrow.prefill_seconds() == wide.prefill_seconds()
    assert narrow.critical_batch == pytest.approx(wide.critical_batch / 4)
    with pytest.raises(InputError, match="no precision 'fp5'; did you mean 'fp"):
        serving(None, weights="fp5")


def test_shares_by_hand() -> None:
    # 8 experts, 2 active, 3 times as many parameters as active ones: routed 8 x 2/6, shared the rest
    mixture = Mixture(experts=8, active=2, total_per_active=3.0)
    assert (mixture.routed, mixture.shared) == (pytest.approx(8 / 3), pytest.approx(1 / 3))
    assert mixture.touched([1.0, 2.0]).tolist() == pytest.approx([0.25, 1 - 0.75**2], rel=1e-14)
    assert mixture.read(1.0) == pytest.approx(1.0)
    assert mixture.read(1e9) == pytest.approx(3.0)
    c, p = mixture.tangent(2.0)
    # d ln touched / d ln batch = -b ln(.75) .75^b / (1 - .75^b)
    assert p == pytest.approx(-2 * math.log(0.75) * 0.75**2 / (1 - 0.75**2), rel=1e-12)
    assert c * 2.0**p == pytest.approx(1 - 0.75**2, rel=1e-12)
    assert mixture.tangent(math.inf) == (1.0, 0.0)
    assert mixture.tangent(1e6) == (1.0, 0.0)
    c, p = mixture.chord(1.0, 2.0)
    assert (c, p) == (pytest.approx(0.25), pytest.approx(math.log((1 - 0.75**2) / 0.25) / math.log(2.0)))


def test_reading_by_hand() -> None:
    mixture = Mixture(experts=8, active=2, total_per_active=3.0)
    weights = Term(label="weights", coefficient=6.0, powers={"params": 1.0})
    shares = [(term.coefficient, dict(term.powers)) for term in mixture.reading(weights, (0.5, 0.25))]
    assert shares == [(pytest.approx(8.0), {"params": 1.0, "batch": 0.25}), (pytest.approx(2.0), {"params": 1.0})]
    flat = mixture.reading(weights, (1.0, 0.0))
    assert [(term.coefficient, dict(term.powers)) for term in flat] == [
        (pytest.approx(16.0), {"params": 1.0}), (pytest.approx(2.0), {"params": 1.0}),
    ]  # fmt: skip
    # Of E/k times as many nothing is shared.
    bare = Mixture(experts=8, active=2, total_per_active=4.0)
    assert bare.shared == 0.0
    assert len(bare.reading(weights, (1.0, 0.0))) == 1


def test_batches_that_are_read_in_time() -> None:
    mixture = Mixture(experts=8, active=2, total_per_active=3.0)
    wanted = np.array([0.0, 0.5, 3.0, 40.0, 1e4])
    experts, each = 2e-3, 1e-5
    time = (1 - 0.75**wanted) * experts + wanted * each
    found = mixture.batch_read_in(time, np.array(experts), np.array(each))
    assert found.tolist() == pytest.approx(wanted.tolist(), rel=1e-9, abs=1e-12)
    ends = mixture.batch_read_in(np.array([-1.0, math.inf]), np.array(experts), np.array(each))
    assert ends.tolist() == [0.0, math.inf]
    # Where products take b/dense of reading the active parameters: b = dense x read(b)
    for dense in (0.5, 2.0, 100.0):
        batch = mixture.critical_batch(dense)
        assert batch == pytest.approx(dense * float(mixture.read(batch)), rel=1e-12)
        assert dense * float(mixture.read(1.01 * batch)) < 1.01 * batch
