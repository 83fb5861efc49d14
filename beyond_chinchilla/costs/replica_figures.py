"""What an engineer asks about a replica at a point: rates, latencies, shares of its peaks, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from beyond_chinchilla.costs.fixed_use import use_of

if TYPE_CHECKING:
    from beyond_chinchilla.costs.serving import Replica

# Prompts are read in passes of so many tokens (TensorRT-LLM's default budget), each of which reads the weights once.
PREFILL_PASS_TOKENS = 8192.0


def figures_of(
    replica: Replica, N: float, batch: float, step_time: float, *, price: float | None = None
) -> dict[str, float]:
    """Return what a replica does; see `Replica.describe`."""
    point = {"params": N, "batch": batch, "step_time": step_time}
    prefill = float(replica.prefill_seconds().value(point))
    decode = float(replica.decode_seconds().value(point))
    cache = float(replica.kv.bytes_per_token(N, replica.precision))
    weights = replica.bytes_per_param * N
    read = 1.0 if replica.mixture is None else float(replica.mixture.read(batch))
    pass_bytes = weights * replica.total_per_active / PREFILL_PASS_TOKENS + cache
    step_bytes = weights * read + batch * replica.mean_context * cache
    busy = replica.input_tokens * (1.0 - replica.cached_share) * prefill + replica.output_tokens * decode
    figures = {
        "gpus": float(replica.gpus),
        "batch": batch,
        "time_per_output_token_ms": float(replica.time_per_output_token().value(point)),
        "time_to_first_token_ms": float(replica.time_to_first_token().value(point)),
        "prefill_tokens_per_second": 1.0 / prefill,
        "decode_tokens_per_second": 1.0 / decode,
        "output_tokens_per_second": replica.output_tokens / busy if busy > 0 else 0.0,
        "prefill_mbu": pass_bytes / (prefill * replica.chip.bandwidth),
        "decode_mbu": step_bytes / (replica.gpus * step_time * replica.chip.bandwidth),
        "memory_used_gb": float(replica.memory_used().value(point)),
        "memory_available_gb": replica.memory_available,
    }
    return figures | use_of(N, replica.chip.peak_flops(replica.precision), prefill, decode, price)
