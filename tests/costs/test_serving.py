"""A replica against published roofline examples, its own formulas written out, and what must hold of any chip."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import floats, log_floats, mfus

from beyond_chinchilla.costs.decoders import stream_law
from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY, IDEAL, Efficiency
from beyond_chinchilla.costs.hardware import BYTES_PER_PARAMETER, Accelerator, accelerator, names
from beyond_chinchilla.costs.kv_cache import kv_constant, kv_family, kv_of_shape
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost
from beyond_chinchilla.costs.serving import FixedUse, Replica
from beyond_chinchilla.costs.shortfall import explain_latency, explain_memory
from beyond_chinchilla.errors import InputError

LLAMA_8B, LLAMA_70B = 8.03e9, 70.6e9
KV_8B, KV_70B = kv_of_shape(32, 8, 128), kv_of_shape(80, 8, 128)
H100 = accelerator("h100-sxm")
LINKED = [name for name in names() if accelerator(name).scale_up is not None]


def chat(**changes: object) -> Replica:
    """Return two H100 that serve requests of 1000 + 500 tokens."""
    base = Replica(chip=H100, precision="fp8", gpus=2, input_tokens=1000.0, output_tokens=500.0)
    return replace(base, **changes)  # type: ignore[arg-type]


@st.composite
def efficiencies(draw: st.DrawFn) -> Efficiency:
    return Efficiency(
        prefill=draw(floats(0.05, 1.0)),
        decode=draw(floats(0.05, 1.0)),
        bandwidth=draw(floats(0.05, 1.0)),
        memory=draw(floats(0.5, 1.0)),
        link=draw(st.one_of(floats(0.05, 1.0), st.just(math.inf))),
        step_overhead=draw(st.one_of(st.just(0.0), log_floats(1e-6, 1e-2))),
        reserve=draw(floats(0.0, 5e9)),
    )


@st.composite
def replicas(draw: st.DrawFn) -> Replica:
    chip = accelerator(draw(st.sampled_from(LINKED)))
    tokens_in, tokens_out = draw(st.one_of(st.just(0.0), log_floats(1e-3, 1e5))), draw(floats(0.5, 1e5))
    return Replica(
        chip=chip,
        precision=draw(st.sampled_from(sorted(chip.peak))),
        gpus=draw(st.integers(1, 16)),
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        context=draw(st.one_of(st.none(), floats(tokens_in + tokens_out, 1e6))),
        cached_share=draw(floats(0.0, 1.0)),
        kv=draw(st.sampled_from([kv_family("llama-3"), kv_family("gqa"), kv_constant(3e5), KV_70B])),
        efficiency=draw(efficiencies()),
    )


def models() -> st.SearchStrategy[float]:
    return log_floats(1e8, 1e13)


def batches() -> st.SearchStrategy[float]:
    return log_floats(1.0, 1e5)


# Published examples: no overheads, context 1500, bf16 (computed after Austin et al. 2025, chapter 7)


@pytest.mark.parametrize(
    ("params", "kv", "gpus", "batch", "rate", "half_digit", "mfu", "mfu_digit"),
    [
        (LLAMA_8B, KV_8B, 1, 1, 206, 0.5, 0.3, 0.05),
        (LLAMA_8B, KV_8B, 1, 16, 2.8e3, 50, 4.5, 0.05),
        (LLAMA_8B, KV_8B, 1, 64, 7.5e3, 50, 12, 0.5),
        (LLAMA_8B, KV_8B, 1, 256, 12.9e3, 50, 21, 0.5),
        (LLAMA_70B, KV_70B, 4, 64, 1.24e3, 5, None, None),
        (LLAMA_70B, KV_70B, 4, 256, 3.2e3, 50, None, None),
    ],
)
def test_decode_rates_of_the_published_examples(
    params: float, kv: object, gpus: int, batch: int, rate: float, half_digit: float, mfu: float, mfu_digit: float
) -> None:
    replica = chat(precision="bf16", gpus=gpus, kv=kv, efficiency=IDEAL, input_tokens=1500.0, output_tokens=0.0)
    figures = replica.describe(params, batch, float(replica.step_time(params, batch)))
    assert figures["decode_tokens_per_second"] == pytest.approx(rate, abs=half_digit)
    if mfu is not None:
        assert 100 * figures["decode_mfu"] == pytest.approx(mfu, abs=mfu_digit)


def test_the_example_of_256_sequences_needs_66_gb() -> None:
    replica = chat(precision="bf16", gpus=1, kv=KV_8B, efficiency=IDEAL, input_tokens=1500.0, output_tokens=0.0)
    used = replica.memory_used()
    assert used.unit == "GB"
    assert float(used.value({"params": LLAMA_8B, "batch": 256.0})) == pytest.approx(66, abs=0.5)
    assert replica.memory_available == 80.0


@pytest.mark.parametrize(
    ("chip", "expected"),
    [
        # Austin et al. 2025, chapter 7: FLOPS x bytes / (2 BW) at two bytes; they round v5e's bandwidth to 820 GB/s.
        (H100, 295),
        (replace(accelerator("tpu-v5e"), bandwidth=820e9), 240),
    ],
)
def test_the_batch_where_a_step_turns_from_weights_to_products(chip: Accelerator, expected: float) -> None:
    replica = chat(chip=chip, precision="bf16", gpus=1, efficiency=IDEAL)
    assert replica.critical_batch == pytest.approx(expected, abs=0.5)
    compute, weights, _ = replica.relations()
    point = {"params": LLAMA_8B, "batch": 1.0, "step_time": 1.0}
    assert weights.totals(point)["weights"] / compute.totals(point)["compute"] == pytest.approx(expected, abs=0.5)


# The formulas, written out


@given(replicas(), models(), batches(), log_floats(1e-4, 10.0))
def test_relations_are_the_step_written_out(replica: Replica, N: float, batch: float, step: float) -> None:
    chip, share, gpus = replica.chip, replica.efficiency, replica.gpus
    width = BYTES_PER_PARAMETER[replica.precision]
    kv = replica.kv.coefficient * N**replica.kv.power * max(width, 1.0) / 2.0
    cache = (
        batch * (replica.input_tokens + 0.5 * replica.output_tokens) * kv / (gpus * chip.bandwidth * share.bandwidth)
    )
    weights = width * N / (gpus * chip.bandwidth * share.bandwidth)
    compute = 2.0 * N * batch / (gpus * chip.peak[replica.precision] * share.decode)
    # Two all-reduces a layer of bf16 values, of each of which a chip sends 2 (g - 1)/g.
    stream = stream_law().coefficient * N ** stream_law().power
    assert chip.scale_up is not None
    link = batch * 2 * 2 * (gpus - 1) / gpus * 2 * stream / (chip.scale_up * share.link)
    rest = cache + link + share.step_overhead
    by_compute, by_weights, one = replica.relations()
    point = {"params": N, "batch": batch, "step_time": step}
    assert float(by_compute.value(point)) == pytest.approx((compute + rest) / step, rel=1e-12)
    assert float(by_weights.value(point)) == pytest.approx((weights + rest) / step, rel=1e-12)
    assert float(one.value(point)) == pytest.approx(1.0 / batch, rel=1e-15)
    assert float(replica.step_time(N, batch)) == pytest.approx(max(compute, weights) + rest, rel=1e-12)
    assert by_compute.unit == by_weights.unit == one.unit == ""


@given(replicas(), models(), batches(), log_floats(1e-4, 10.0))
def test_seconds_memory_and_latencies_written_out(replica: Replica, N: float, batch: float, step: float) -> None:
    chip, share, gpus = replica.chip, replica.efficiency, replica.gpus
    point = {"params": N, "batch": batch, "step_time": step}
    stream = stream_law().coefficient * N ** stream_law().power
    assert chip.scale_up is not None
    # 2 N for the weights; 4 p width a layer for the attention of position p, whose mean is half the prompt and, where
    # the first part is cached, the middle of the rest.
    position = replica.input_tokens * (1 + replica.cached_share) / 2
    flops = 2 * N + 4 * position * stream
    talk = gpus * 8 * (gpus - 1) / gpus * stream / (chip.scale_up * share.link)
    prefill = flops / (chip.peak[replica.precision] * share.prefill) + talk
    assert float(replica.prefill_seconds().value(point)) == pytest.approx(prefill, rel=1e-12)
    assert set(replica.prefill_seconds().labels) == {"prefill"}
    assert float(replica.decode_seconds().value(point)) == pytest.approx(gpus * step / batch, rel=1e-12)
    first = step + replica.input_tokens * (1 - replica.cached_share) * prefill / gpus
    assert float(replica.time_to_first_token().value(point)) == pytest.approx(1e3 * first, rel=1e-12)
    assert float(replica.time_per_output_token().value(point)) == pytest.approx(1e3 * step, rel=1e-12)
    held = replica.input_tokens + replica.output_tokens if replica.context is None else replica.context
    width = BYTES_PER_PARAMETER[replica.precision]
    cache = batch * held * float(replica.kv.bytes_per_token(N, replica.precision))
    assert float(replica.memory_used().value(point)) == pytest.approx((width * N + cache) / 1e9, rel=1e-12)
    assert replica.memory_available == pytest.approx(gpus * (chip.memory * share.memory - share.reserve) / 1e9)


# What must hold of any replica


@given(replicas(), models(), st.lists(batches(), min_size=2, max_size=6), floats(1.0, 100.0), floats(1.0, 100.0))
def test_a_step_never_gets_faster_with_batch_size_or_context(
    replica: Replica, N: float, batch: list[float], larger: float, longer: float
) -> None:
    steps = replica.step_time(N, np.sort(batch))
    assert np.all(np.diff(steps) >= -1e-12 * steps[:-1])
    assert float(replica.step_time(N * larger, batch[0])) >= float(replica.step_time(N, batch[0])) * (1 - 1e-12)
    stretched = replace(replica, input_tokens=replica.input_tokens * longer, context=None)
    assert float(stretched.step_time(N, batch[0])) >= float(replica.step_time(N, batch[0])) * (1 - 1e-12)
    assert float(replica.fastest_step(N)) <= float(steps[0]) * (1 + 1e-12)


@given(replicas(), models(), st.lists(batches(), min_size=2, max_size=6))
def test_tokens_per_second_and_gpu_never_fall_with_the_batch(replica: Replica, N: float, batch: list[float]) -> None:
    ordered = np.sort(batch)
    seconds = replica.decode_seconds().value({"batch": ordered, "step_time": replica.step_time(N, ordered)})
    assert np.all(np.diff(1.0 / seconds) >= -1e-12 / seconds[:-1])


@given(replicas(), models(), batches())
def test_settling_keeps_the_price_of_a_token_and_never_slows_it(replica: Replica, N: float, batch: float) -> None:
    settled = replica.settle(N, batch)
    step = float(replica.step_time(N, batch))
    assert 1.0 <= settled["batch"] <= batch
    assert settled["step_time"] <= step * (1 + 1e-12)
    assert settled["step_time"] / settled["batch"] == pytest.approx(step / batch, rel=1e-9)
    if replica.efficiency.step_overhead == 0.0:
        assert settled["batch"] <= max(replica.critical_batch, 1.0)


@given(replicas(), models(), batches(), floats(1.0, 10.0))
def test_a_better_chip_is_never_slower(replica: Replica, N: float, batch: float, factor: float) -> None:
    chip = replica.chip
    assert chip.scale_up is not None
    step = float(replica.step_time(N, batch))
    prefill = float(replica.prefill_seconds().value({"params": N}))
    for better in (
        replace(chip, bandwidth=chip.bandwidth * factor),
        replace(chip, peak={precision: rate * factor for precision, rate in chip.peak.items()}),
        replace(chip, scale_up=chip.scale_up * factor),
        replace(chip, memory=chip.memory * factor),
    ):
        other = replace(replica, chip=better)
        assert float(other.step_time(N, batch)) <= step * (1 + 1e-12)
        assert float(other.prefill_seconds().value({"params": N})) <= prefill * (1 + 1e-12)
        assert float(other.largest_batch(N)) >= float(replica.largest_batch(N)) * (1 - 1e-12)


@given(replicas(), models())
def test_memory_is_full_at_the_largest_batch_and_the_start_is_feasible(replica: Replica, N: float) -> None:
    largest = float(replica.largest_batch(N))
    weights = BYTES_PER_PARAMETER[replica.precision] * N / 1e9
    if weights >= replica.memory_available:
        assert largest == 0.0
    else:
        full = float(replica.memory_used().value({"params": N, "batch": largest}))
        assert full == pytest.approx(replica.memory_available, rel=1e-9)
    start = replica.start(N)
    point = {"params": N, **start}
    assert start["batch"] >= 1.0
    assert all(float(relation.value(point)) <= 1.0 for relation in replica.relations())
    if largest > 1.0:
        assert float(replica.memory_used().value(point)) <= replica.memory_available * (1 + 1e-12)


@given(replicas(), models(), floats(0.5, 50.0))
def test_the_best_batch_fills_the_memory_or_the_time(replica: Replica, N: float, times: float) -> None:
    limit = times * float(replica.fastest_step(N))
    batch, largest = float(replica.best_batch(N, limit)), float(replica.largest_batch(N))
    assert float(replica.best_batch(N)) == largest
    assert batch <= largest
    if 0.0 < batch < largest * (1 - 1e-9):
        assert float(replica.step_time(N, batch)) == pytest.approx(limit, rel=1e-9)
    if times < 1.0:
        assert batch < 1.0


@given(replicas(), st.lists(st.tuples(models(), batches()), min_size=1, max_size=5))
def test_arrays_are_their_elements(replica: Replica, points: list[tuple[float, float]]) -> None:
    N, batch = (np.array(column) for column in zip(*points, strict=True))
    np.testing.assert_array_equal(replica.step_time(N, batch), [float(replica.step_time(n, b)) for n, b in points])
    np.testing.assert_array_equal(replica.largest_batch(N), [float(replica.largest_batch(n)) for n in N])
    np.testing.assert_array_equal(replica.best_batch(N, 0.1), [float(replica.best_batch(n, 0.1)) for n in N])


def test_more_chips_read_weights_faster_but_talk_more() -> None:
    sizes = [chat(gpus=gpus) for gpus in (1, 2, 4, 8)]
    steps = [float(replica.fastest_step(LLAMA_70B)) for replica in sizes]
    assert all(one > two for one, two in pairwise(steps))
    prefill = [float(replica.prefill_seconds().value({"params": LLAMA_70B})) for replica in sizes]
    assert all(one < two for one, two in pairwise(prefill))
    silent = [replace(replica, efficiency=replace(DEFAULT_EFFICIENCY, link=math.inf)) for replica in sizes]
    assert len({float(replica.prefill_seconds().value({"params": LLAMA_70B})) for replica in silent}) == 1


# What a report shows


def test_the_description_adds_up() -> None:
    replica = chat(cached_share=0.25)
    batch, price = 64.0, 2.69
    step = float(replica.step_time(LLAMA_70B, batch))
    figures = replica.describe(LLAMA_70B, batch, step, price=price)
    prefill = float(replica.prefill_seconds().value({"params": LLAMA_70B}))
    decode = 2 * step / batch
    assert figures["prefill_tokens_per_second"] == pytest.approx(1 / prefill)
    assert figures["decode_tokens_per_second"] == pytest.approx(1 / decode)
    assert figures["output_tokens_per_second"] == pytest.approx(500 / (750 * prefill + 500 * decode))
    assert figures["usd_per_million_input"] == pytest.approx(1e6 * price / 3600 * prefill)
    assert figures["usd_per_million_output"] == pytest.approx(1e6 * price / 3600 * decode)
    assert figures["prefill_mfu"] == pytest.approx(2 * LLAMA_70B / (1979e12 * prefill))
    assert figures["decode_mfu"] == pytest.approx(2 * LLAMA_70B / (1979e12 * decode))
    kv = float(replica.kv.bytes_per_token(LLAMA_70B, "fp8"))
    assert figures["decode_mbu"] == pytest.approx((LLAMA_70B + 64 * 1250 * kv) / (2 * 3.35e12 * step))
    assert figures["prefill_mbu"] == pytest.approx((LLAMA_70B / 8192 + kv) / (3.35e12 * prefill))
    assert figures["time_per_output_token_ms"] == pytest.approx(1e3 * step)
    assert figures["time_to_first_token_ms"] == pytest.approx(1e3 * (step + 750 * prefill / 2))
    assert (figures["gpus"], figures["batch"]) == (2.0, 64.0)
    assert figures["memory_used_gb"] < figures["memory_available_gb"] == pytest.approx(2 * (80 * 0.9 - 3.5))
    assert not {"usd_per_million_input", "usd_per_million_output"} & set(replica.describe(LLAMA_70B, batch, step))


@given(replicas(), models(), batches())
def test_no_use_passes_its_share_of_the_peak(replica: Replica, N: float, batch: float) -> None:
    figures = replica.describe(N, batch, float(replica.step_time(N, batch)))
    assert 0.0 < figures["decode_mfu"] <= replica.efficiency.decode * (1 + 1e-9)
    assert figures["decode_mbu"] <= replica.efficiency.bandwidth * (1 + 1e-9)
    assert figures["prefill_mfu"] <= replica.efficiency.prefill * (1 + 1e-9)


def test_requests_of_one_phase_only() -> None:
    reading = chat(output_tokens=0.0)
    assert (reading.mean_context, reading.held_context) == (1000.0, 1000.0)
    assert reading.describe(LLAMA_8B, 8.0, 0.1)["output_tokens_per_second"] == 0.0
    writing = chat(input_tokens=0.0)
    assert (writing.mean_context, writing.held_context) == (250.0, 500.0)
    assert writing.time_to_first_token().labels == ("running step",)
    cached = chat(cached_share=1.0)
    assert cached.time_to_first_token().labels == ("running step",)
    assert cached.mean_context == 1250.0


def test_a_longer_context_is_held_but_not_read() -> None:
    short, long = chat(), chat(context=8192.0)
    assert long.held_context == 8192.0
    assert float(long.step_time(LLAMA_8B, 32)) == float(short.step_time(LLAMA_8B, 32))
    assert float(long.largest_batch(LLAMA_8B)) == pytest.approx(float(short.largest_batch(LLAMA_8B)) * 1500 / 8192)


# The fixed utilisation of the paper


@given(mfus(), mfus(), floats(0.1, 20.0), models(), log_floats(1.0, 1e13), log_floats(1.0, 1e13))
def test_fixed_use_is_the_papers_bill(
    prefill_mfu: float, decode_mfu: float, price: float, N: float, read: float, written: float
) -> None:
    chip = accelerator("a100-40gb-sxm")
    use = FixedUse(chip=chip, precision="int8", prefill_mfu=prefill_mfu, decode_mfu=decode_mfu)
    bill = lifetime_cost(
        training=HiredCompute(price=1.0, peak=1e15),
        training_mfu=0.5,
        serving=HiredCompute(price=price, peak=chip.peak_flops("int8")),
        prefill_mfu=prefill_mfu,
        decode_mfu=decode_mfu,
        demand=Demand(prefill_tokens=read, decode_tokens=written),
    ).totals({"params": N, "tokens": 1.0})
    point = {"params": N}
    assert read * float(use.prefill_seconds().value(point)) * price / 3600 == pytest.approx(bill["prefill"])
    assert written * float(use.decode_seconds().value(point)) * price / 3600 == pytest.approx(bill["decode"])
    figures = use.describe(N, price=price)
    assert (figures["prefill_mfu"], figures["decode_mfu"]) == pytest.approx((prefill_mfu, decode_mfu))
    assert figures["usd_per_million_output"] * written / 1e6 == pytest.approx(bill["decode"])
    assert (use.relations(), use.start(N), use.settle(N, 1.0), use.gpus, use.label) == (
        (),
        {},
        {},
        1,
        "a100-40gb-sxm int8",
    )


# Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "fp4"}, "h100-sxm has no fp4 peak"),
        ({"gpus": 0}, "gpus per replica: 0 is not a whole number of at least 1"),
        ({"gpus": 1.5}, "gpus per replica: 1.5 is not a whole number"),
        ({"gpus": math.nan}, "gpus per replica: nan is not a whole number"),
        ({"gpus": math.inf}, "gpus per replica: inf is not a whole number"),
        ({"gpus": True}, "gpus per replica: True is not a whole number"),
        ({"input_tokens": -1.0}, "input_tokens must be 0, or from 0.001 to 1e+09, not -1.0"),
        ({"output_tokens": math.inf}, "output_tokens must be 0, or from 0.001 to 1e+09, not inf"),
        ({"input_tokens": 0.0, "output_tokens": 0.0}, "a request has no tokens"),
        ({"cached_share": 1.5}, "cached_share must lie between 0 and 1, not 1.5"),
        ({"cached_share": math.nan}, "cached_share must lie between 0 and 1, not nan"),
        ({"input_tokens": 1e-300}, "input_tokens must be 0, or from 0.001 to 1e+09, not 1e-300"),
        ({"context": math.nan}, "a context of nan tokens does not hold"),
        ({"context": 1000.0}, "a context of 1000 tokens does not hold a mean request of 1500"),
        ({"chip": accelerator("rtx-4090")}, "rtx-4090: the bandwidth between chips is not known; serve with 1 GPU"),
        ({"efficiency": Efficiency(reserve=80e9)}, "h100-sxm: nothing is left of 80 GB: 90% of it may be used"),
    ],
)
def test_what_no_replica_can_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        chat(**changes)


def test_a_whole_number_of_chips_may_be_written_as_a_float() -> None:
    assert chat(gpus=4.0).label == "h100-sxm fp8 x 4"
    assert chat(chip=accelerator("rtx-4090"), gpus=1).gpus == 1


def test_every_wrong_share_is_named() -> None:
    with pytest.raises(InputError) as refused:
        Efficiency(prefill=50.0, decode=0.0, bandwidth=math.nan, link=0.0, step_overhead=-1.0, reserve=math.inf)
    lines = str(refused.value).splitlines()
    assert [line.split()[1] for line in lines] == ["prefill", "decode", "bandwidth", "link", "step_overhead", "reserve"]
    assert lines[0] == "efficiency: prefill must be above 0 and at most 1, not 50.0; write it like 50%"


@pytest.mark.parametrize("mfu", [0.0, -0.5, 1.01, math.nan])
def test_a_fixed_use_is_a_share(mfu: float) -> None:
    with pytest.raises(InputError, match="decode_mfu must be above 0 and at most 1"):
        FixedUse(chip=H100, precision="bf16", prefill_mfu=0.5, decode_mfu=mfu)


def test_a_context_beyond_memory_names_what_would_hold_it() -> None:
    replica = chat(precision="bf16", gpus=1, input_tokens=30000.0, output_tokens=1000.0)
    candidates = [
        replica,
        replace(replica, gpus=2),
        replace(replica, gpus=4),
        replace(replica, gpus=8),
        replace(replica, precision="fp8"),
        replace(replica, chip=accelerator("h200-sxm")),
        replace(replica, chip=accelerator("b200-sxm")),
    ]
    line = explain_memory(replica, 60e9, candidates)
    assert line == (
        "h100-sxm bf16 x 1 has 68.5 GB for a model of 60B (120 GB) and a context of 31,000 tokens (8.64 GB); "
        "h100-sxm bf16 x 2 or h100-sxm fp8 x 1 or b200-sxm bf16 x 1 would hold it"
    )
    assert explain_memory(replica, 7e9, candidates) is None


def test_ways_out_are_asked_for_the_same_request() -> None:
    replica = chat(precision="bf16", gpus=1, context=2e6)
    line = explain_memory(replica, 8e9, [chat(gpus=1)])
    assert line is not None
    assert line.endswith("none of the candidates would hold it: serve a smaller model, or a shorter context")
    alone = explain_memory(replica, 8e9)
    assert alone is not None
    assert "a context of 2,000,000 tokens (274 GB); h100-sxm bf16 x 8 would hold it" in alone
    nothing = explain_memory(replica, 1e15)
    assert nothing is not None
    assert "nothing in the catalogue with up to 8 chips would hold it" in nothing


@settings(max_examples=10)
@given(replicas(), models())
def test_what_is_named_really_holds(replica: Replica, N: float) -> None:
    line = explain_memory(replica, N)
    assert (line is None) == (float(replica.largest_batch(N)) >= 1.0)
    if line is None or "nothing" in line:
        return
    for label in line.split("; ")[1].removesuffix(" would hold it").split(" or "):
        name, precision, _, gpus = label.split()
        other = replace(replica, chip=accelerator(name), precision=precision, gpus=int(gpus))
        assert float(other.largest_batch(N)) >= 1.0


def test_a_latency_below_one_read_of_the_weights_names_the_least() -> None:
    replica = chat()
    least = 1e3 * float(replica.fastest_step(LLAMA_70B))
    # 70.6 GB over two chips at 60% of 3.35 TB/s
    assert least == pytest.approx(1e3 * 70.6e9 / (2 * 0.6 * 3.35e12), rel=0.01)
    line = explain_latency(replica, LLAMA_70B, 5.0, [chat(gpus=4), chat(gpus=8)])
    assert line is not None
    assert line.startswith(f"70.6B parameters on h100-sxm fp8 x 2: a token takes {least:.1f} ms at least, ")
    assert line.endswith("not 5 ms; h100-sxm fp8 x 8 would do")
    assert explain_latency(replica, LLAMA_70B, least * 1.001) is None
    # Fast enough but too small to hold it: not named.
    small = explain_latency(replica, LLAMA_70B, 5.0, [chat(chip=replace(H100, bandwidth=1e15), gpus=1)])
    assert small is not None
    assert "none of the candidates would do" in small


def test_two_changes_at_once_are_no_way_out_beside_one() -> None:
    # b300 has fewer chips and another name: more of one thing and less of another.
    replica = chat(precision="bf16", gpus=4)
    more, other = replace(replica, gpus=8), replace(replica, chip=accelerator("b300-sxm"), gpus=2)
    line = explain_memory(replica, 150e9, [other, more])
    assert line is not None
    assert line.endswith("; h100-sxm bf16 x 8 would hold it")
    # Alone it is named all the same, and of many the smallest three.
    alone = explain_memory(replica, 150e9, [other])
    assert alone is not None
    assert alone.endswith("; b300-sxm bf16 x 2 would hold it")
    sizes = [replace(other, gpus=gpus) for gpus in (16, 3, 2, 8)]
    several = explain_memory(replica, 150e9, sizes)
    assert several is not None
    assert several.endswith("; b300-sxm bf16 x 2 or b300-sxm bf16 x 3 or b300-sxm bf16 x 8 would hold it")


def test_what_exactly_holds_and_is_exactly_in_time_is_none_the_worse() -> None:
    replica = chat()
    N = 70e9
    least = 1e3 * float(replica.fastest_step(N))
    assert explain_latency(replica, N, least) is None
    assert explain_latency(replica, N, float(np.nextafter(least, 0.0)), [replica]) is not None


def test_hours_of_a_decode_step_by_hand() -> None:
    # Two chips at 8B in fp8, 16 sequences of 1000 + 250 tokens; a fixed overhead of 2 ms
    replica = chat(gpus=2, efficiency=replace(DEFAULT_EFFICIENCY, step_overhead=2e-3))
    N, batch = 8e9, 16.0
    bandwidth, rate = 2 * 3.35e12 * 0.6, 2 * 1979e12 * 0.34
    cache = batch * 1250.0 * float(replica.kv.bytes_per_token(N, "fp8")) / bandwidth
    stream = stream_law()
    exchanged = batch * 4.0 * stream.coefficient * N**stream.power / (450e9 * 0.8)
    weights, compute = N / bandwidth, 2 * N * batch / rate
    assert float(replica.step_time(N, batch)) == pytest.approx(max(weights, compute) + cache + exchanged + 2e-3)
    # With an overhead to share, the largest batch is the cheapest; without, no more than the critical one.
    assert replica.settle(N, 1e4)["batch"] == 1e4
    assert chat(gpus=2).settle(N, 1e4)["batch"] == chat(gpus=2).critical_batch
    start = replica.start(N)
    assert start["batch"] == pytest.approx(math.sqrt(float(replica.largest_batch(N))), rel=1e-12)
    assert start["step_time"] == pytest.approx(1.01 * float(replica.step_time(N, start["batch"])), rel=1e-12)
    # Too large for the memory, it starts with one sequence.
    assert replica.start(1e13)["batch"] == 1.0


@pytest.mark.parametrize(("N", "gpus"), [(40e9, 2), (100e9, 4), (200e9, 8)])
def test_without_candidates_replicas_of_up_to_eight_chips_are_tried(N: float, gpus: int) -> None:
    # 68.5 GB a chip for 2 bytes a parameter
    line = explain_memory(chat(precision="bf16", gpus=1), N)
    assert line is not None
    assert f"; h100-sxm bf16 x {gpus} " in line


def test_the_share_of_the_bandwidth_that_a_prompt_takes() -> None:
    # A pass of 8192 tokens reads the weights once, and each token writes its keys and values.
    replica = chat(gpus=1)
    N, batch, step = 8e9, 16.0, 0.02
    prefill = float(replica.prefill_seconds().value({"params": N}))
    figures = replica.describe(N, batch, step)
    cache = float(replica.kv.bytes_per_token(N, "fp8"))
    assert figures["prefill_mbu"] == pytest.approx((N / 8192 + cache) / (prefill * 3.35e12), rel=1e-12)
    assert figures["prefill_mfu"] == pytest.approx(2 * N / (prefill * 1979e12), rel=1e-12)
    assert figures["decode_mbu"] == pytest.approx((N + batch * 1250 * cache) / (step * 3.35e12), rel=1e-12)
    assert figures["decode_mfu"] == pytest.approx(2 * N * batch / (step * 1979e12), rel=1e-12)
    assert figures["output_tokens_per_second"] == pytest.approx(500 / (1000 * prefill + 500 * step / batch), rel=1e-12)
    assert figures["time_to_first_token_ms"] == pytest.approx(1e3 * (step + 1000 * prefill), rel=1e-12)
    assert "usd_per_million_input" not in figures
    dear = replica.describe(N, batch, step, price=3.6)
    assert dear["usd_per_million_output"] == pytest.approx(1e3 * step / batch, rel=1e-12)
    # Of a token at p of a prompt 4 p width FLOPs a layer, half the prompt's length in the mean; half of it cached,
    # the others stand behind.
    stream = stream_law()
    for cached in (0.0, 0.5):
        work = 2 * N + 4 * (1 + cached) * 500 * stream.coefficient * N**stream.power
        seconds = chat(gpus=1, cached_share=cached).prefill_seconds().value({"params": N})
        assert float(seconds) == pytest.approx(work / (1979e12 * 0.54), rel=1e-12)


def test_one_chip_exchanges_nothing() -> None:
    alone = Replica(chip=accelerator("h100-sxm"), precision="fp8", gpus=1, input_tokens=1000.0, output_tokens=500.0)
    assert alone._link_seconds == 0.0
    assert replace(alone, gpus=2)._link_seconds > 0.0
