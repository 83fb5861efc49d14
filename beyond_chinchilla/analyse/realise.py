"""From a plan's number of parameters to decoders that one can train, and what that rounding costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from beyond_chinchilla.analyse.committed import given, hold_at, planned, whole_of
from beyond_chinchilla.costs.flops import Architecture
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.lever import Lever
from beyond_chinchilla.laws.shape import ASPECT
from beyond_chinchilla.optimise.plan import Candidate
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.units import format_number

# A proposal's size lies within this factor of the plan's.
NEAR = 1.2
# Proposals that cost this much more than the cheapest are no longer wanted for their shape's sake.
DEAR = 1.01
# Width / layers of published decoders, widening with size. Quality hardly depends on it (Kaplan et al. 2020,
# Section 3.1; the conversion of Pearce & Song 2024 stands on Kaplan's own 39.2), but decoders keep to a band:
# GPT-2 124M 64, Llama-3.2 1B 128 and 3B 110, Llama-2 7B and 13B 128, 70B 102, GPT-3 175B 128, Llama-3.1 405B 130,
# PaLM 540B 156. So 40 to 110 up to 100M parameters and 90 to 160 from 100B, straight in ln N between.
ASPECT_OF_SMALL = (40.0, 110.0)
ASPECT_OF_LARGE = (90.0, 160.0)
SMALL, LARGE = 1e8, 1e11
# Under a law of shape the band lies around the plan's own aspect ratio, by this factor to both sides.
NEAR_ASPECT = 1.15
# Up to here decoders tie the output projection to the embedding (Llama-3.2 1B and 3B do, Llama-3 8B does not).
LARGEST_TIED = 4e9
# Heads of 64 below this width, of 128 from here on.
FIRST_WIDTH_OF_LARGE_HEADS = 2048
# Deep decoders have an even number of layers, which pipeline stages share out.
FIRST_EVEN_LAYERS = 24
FEWEST_LAYERS = 2
# The gated block has 8/3 of the width, so that its three matrices weigh what two of four times the width do;
# rounded up to a multiple of 256 (Touvron et al. 2023: 11008 for a width of 4096, 13824 for 5120).
FEED_FORWARD_MULTIPLE = 256


@dataclass(frozen=True, kw_only=True)
class Realisation:
    """A decoder near a plan, trained until it meets the plan's target.

    Attributes
    ----------
    architecture : Architecture
        Its shape.
    params : int
        All its parameters: weights, embeddings and the gains of the norms.
    non_embedding_params : int
        The same without the token embedding and the output projection.
    candidate : Candidate
        Its tokens, the loss that they reach and its bill. Where a law counts parameters without embeddings, its
        own conversion from `params` is used, as for every other cost.
    plan : Candidate
        The plan that was rounded.
    """

    architecture: Architecture
    params: int
    non_embedding_params: int
    candidate: Candidate
    plan: Candidate

    @property
    def tokens(self) -> float:
        """Training tokens, rounded up."""
        return self.candidate.tokens

    @property
    def aspect_ratio(self) -> float:
        """Width / layers."""
        return self.architecture.width / self.architecture.layers

    @property
    def size_fraction(self) -> float:
        """By which share the model is larger than the plan; below 0 it is smaller."""
        return self.params / self.plan.params - 1.0

    @property
    def rounding(self) -> float:
        """What the rounding of size and tokens costs over the plan [unit of the bill]."""
        return self.candidate.total - self.plan.total

    @property
    def rounding_fraction(self) -> float:
        """The same as a share of the plan's bill."""
        return self.rounding / self.plan.total

    def to_dict(self) -> dict[str, Any]:
        """Return the proposal as JSON holds it: the keys of a plan, the shape, and what rounding costs."""
        shape = self.architecture
        return {
            "architecture": {
                "layers": shape.layers,
                "width": shape.width,
                "heads": shape.heads,
                "head_size": shape.head_size,
                "kv_heads": shape.kv_heads or shape.heads,
                "feed_forward": shape.feed_forward,
                "gated": shape.gated,
                "vocabulary": shape.vocabulary,
                "tied": shape.tied,
                "aspect_ratio": self.aspect_ratio,
            },
            **self.candidate.to_dict(),
            "params": self.params,
            "non_embedding_params": self.non_embedding_params,
            "size_fraction": self.size_fraction,
            "rounding": {"absolute": self.rounding, "fraction": self.rounding_fraction},
        }


def realise(
    problem: Problem,
    params: float,
    *,
    vocabulary: int,
    count: int = 5,
    gated: bool = True,
    kv_heads: int | None = None,
    tied: bool | None = None,
    token_digits: int = 3,
    batch_tokens: int | None = None,
    allowed: Callable[[Candidate], bool] | None = None,
) -> list[Realisation]:
    """Propose decoders near a plan that meet its target, cheapest first.

    The cheapest on either side of the plan are always among them. After these every width comes once, at its
    best depth, before any comes twice, as long as it costs at most 1% more than the cheapest: the optimum is
    flat, so a choice of shapes is worth more than the last tenth of a percent.

    Parameters
    ----------
    problem : Problem
        Its limits hold for every proposal.
    params : float
        N*, the plan's total parameters. Costs of rounding are against this size on just enough tokens: they are
        never negative where it is the optimum.
    vocabulary : int
        Entries of the token embedding; the layout of the tokenizer, padding included.
    count : int
        Proposals at most.
    gated : bool
        A gated feed-forward block (SwiGLU) of 8/3 the width, else GELU of four times the width.
    kv_heads : int, optional
        Heads of keys and values, as in grouped-query attention; by default as many as of queries.
    tied : bool, optional
        Whether the embedding is the output projection too; by default up to 4B parameters.
    token_digits : int
        Significant digits of the token count, which is rounded up.
    batch_tokens : int, optional
        Tokens per step. Tokens are then rounded up to whole steps, not to digits.
    allowed : callable, optional
        Whether a candidate is admitted, beyond the problem's limits.

    Raises
    ------
    InputError
        A count that is no whole number of at least 1, a size out of reach of the target, no shape nearby, or a mixture
        of experts.

    Examples
    --------
    >>> from beyond_chinchilla.costs.demand import Demand
    >>> from beyond_chinchilla.costs.lifetime import lifetime_flops
    >>> from beyond_chinchilla.laws.catalogue import law
    >>> flops = lifetime_flops(Demand(prefill_tokens=2e12, decode_tokens=0.0))
    >>> problem = Problem(law=law("sardana-2024"), target_loss=2.045, cost=flops, flops=flops)
    >>> best = realise(problem, 6.98e9, vocabulary=32_000)[0]
    >>> best.architecture.layers, best.architecture.width, best.params, best.tokens, f"{best.rounding_fraction:.2%}"
    (34, 4096, 7143182336, 1210000000000.0, '0.06%')
    """
    _check(
        params,
        {
            "vocabulary": vocabulary,
            "count": count,
            "kv_heads": kv_heads,
            "token_digits": token_digits,
            "batch_tokens": batch_tokens,
        },
    )
    if problem.experts is not None and problem.experts.count > 1:
        raise InputError(
            f"{problem.name}: decoders are proposed for dense models; {problem.experts.count} experts are none: give "
            "experts: 1, or leave --realise out"
        )
    chosen, shape_law = planned(problem), _shape_law(problem)
    asked, problem = problem, hold_at(problem, chosen)
    counted = float(problem.law.counted_params(params))
    tokens = _least_tokens(problem, params)
    if not math.isfinite(tokens):
        least = float(problem.law.total_params(problem.law.params_for(math.inf, problem.target_loss)))
        raise InputError(
            f"params = {format_number(params)}: no number of tokens brings it to the target loss "
            f"{problem.target_loss:.4g}; that takes more than {format_number(least)}"
        )
    plan = given(problem, counted, tokens)
    tie = params <= LARGEST_TIED if tied is None else tied

    proposals: list[Realisation] = []
    sizes: list[int] = []
    band = aspect_band(params) if shape_law is None else _band_around(shape_law, chosen[shape_law.kind])
    for shape in _shapes(params, band, vocabulary=vocabulary, gated=gated, kv_heads=kv_heads, tied=tie):
        size = int(shape.parameters(embeddings=True, norms=True))
        sizes.append(size)
        if shape_law is not None:
            # Each loses what its own shape does.
            problem = hold_at(asked, {**chosen, shape_law.kind: shape.width / shape.layers})
        trained = _train(problem, size, token_digits, batch_tokens) if _ratio(size, params) <= NEAR else None
        if trained is not None and (allowed is None or allowed(trained)):
            core = int(shape.parameters(embeddings=False, norms=True))
            proposals.append(
                Realisation(architecture=shape, params=size, non_embedding_params=core, candidate=trained, plan=plan)
            )
    if not proposals:
        nearest = min(sizes, key=lambda size: _ratio(size, params), default=None)
        raise InputError(_nothing_near(params, band, vocabulary, kv_heads, tie, nearest))
    return _choose(proposals, count)


def aspect_band(params: float) -> tuple[float, float]:
    """Return the least and the largest width / layers of a sane decoder of a size.

    >>> aspect_band(1e8), aspect_band(1e11)
    ((40.0, 110.0), (90.0, 160.0))
    """
    share = min(max(math.log(params / SMALL) / math.log(LARGE / SMALL), 0.0), 1.0)
    low, high = (
        (1.0 - share) * small + share * large for small, large in zip(ASPECT_OF_SMALL, ASPECT_OF_LARGE, strict=True)
    )
    return low, high


def feed_forward_width(width: int, *, gated: bool) -> int:
    """Return the hidden width of the feed-forward block.

    >>> feed_forward_width(4096, gated=True), feed_forward_width(4096, gated=False)
    (11008, 16384)
    """
    if not gated:
        return 4 * width
    return math.ceil(8 * width / (3 * FEED_FORWARD_MULTIPLE)) * FEED_FORWARD_MULTIPLE


def round_up(tokens: float, digits: int) -> int:
    """Round a number of tokens up to so many significant digits.

    >>> round_up(1.2341e12, 3), round_up(1.23e12, 3), round_up(9.999e12, 3)
    (1240000000000, 1230000000000, 10000000000000)
    """
    whole = math.ceil(tokens)
    step: int = 10 ** max(len(str(whole)) - digits, 0)
    return -(-whole // step) * step


def _shape_law(problem: Problem) -> Lever | None:
    return next((lever for lever in problem.levers if lever.variable == ASPECT), None)


def _band_around(shape: Lever, aspect: float) -> tuple[float, float]:
    """Return the aspect ratios near a plan's own, within those that the law of shape allows."""
    low, high = max(aspect / NEAR_ASPECT, shape.low), min(aspect * NEAR_ASPECT, shape.high)
    # Of one shape alone whole numbers of layers and heads leave some room.
    return (low, high) if low < high else (aspect / NEAR_ASPECT, aspect * NEAR_ASPECT)


def _check(params: float, counts: Mapping[str, int | None]) -> None:
    if not (math.isfinite(params) and params > 0):
        raise InputError(f"params = {params!r}: the plan's size is a positive finite number of parameters")
    given = {name: value for name, value in counts.items() if value is not None}
    wrong = [f"{name} = {value!r}" for name, value in given.items() if not (value >= 1 and float(value).is_integer())]
    if wrong:
        raise InputError(f"realise: {', '.join(wrong)}: give a whole number of at least 1")


def _ratio(size: float, params: float) -> float:
    return max(size / params, params / size)


def _widths() -> Iterator[int]:
    """Go through widths in steps of 64, and of an eighth of the power of two below them from 1024 on.

    Such a width has a number of heads that grows more divisible with size: 4 from 4096 on, 8 from 8192 on.
    """
    width = 64
    while True:
        yield width
        width += max(64, 2 ** (width.bit_length() - 1) // 8)


def _shapes(
    params: float, band: tuple[float, float], *, vocabulary: int, gated: bool, kv_heads: int | None, tied: bool
) -> Iterator[Architecture]:
    """Go through the shapes within a band of aspects whose sizes surround N*, a few for each width."""
    low, high = band
    for width in _widths():
        head_size = 64 if width < FIRST_WIDTH_OF_LARGE_HEADS else 128
        heads = width // head_size
        divides = heads % (kv_heads or heads) == 0
        one = Architecture(
            layers=1,
            width=width,
            feed_forward=feed_forward_width(width, gated=gated),
            heads=heads,
            head_size=head_size,
            vocabulary=vocabulary,
            # Where the heads do not share out, the width is passed over; its least size says when to stop.
            kv_heads=kv_heads if divides else 1,
            gated=gated,
            tied=tied,
        )
        first = one.parameters(embeddings=True, norms=True)
        layer = replace(one, layers=2).parameters(embeddings=True, norms=True) - first
        fewest, most = max(math.ceil(width / high), FEWEST_LAYERS), math.floor(width / low)
        # A few depths on either side of N*: where it is just missed, the next may be cheaper.
        exact = int(min(max(1.0 + (params - first) / layer, fewest), most))
        for layers in range(max(exact - 3, fewest), min(exact + 4, most) + 1):
            if divides and (layers < FIRST_EVEN_LAYERS or layers % 2 == 0):
                yield replace(one, layers=layers)
        # From here on even the shallowest is too large.
        if fewest <= most and first + (fewest - 1) * layer > NEAR * params:
            return


def _least_tokens(problem: Problem, size: float) -> float:
    """Return the fewest tokens with which a model of this size meets the target and every floor; nan without one."""
    needed = float(whole_of(problem).tokens_for(problem.law.counted_params(size), problem.target_loss))
    for limit in problem.limits:
        if limit.side == "min" and limit.label in ("tokens", "tokens_per_param"):
            needed = max(needed, limit.bound * (1.0 if limit.label == "tokens" else size))
    return needed


def _train(problem: Problem, size: int, digits: int, batch: int | None) -> Candidate | None:
    """Return a model of this size on the least round number of tokens that serves; None where none does."""
    counted = float(problem.law.counted_params(size))
    needed = _least_tokens(problem, size)
    if not math.isfinite(needed):
        return None
    # A count that is round already may miss the target by a last bit: then the next one.
    for least in (needed, needed * (1.0 + 1e-9)):
        tokens = float(round_up(least, digits) if batch is None else math.ceil(least / batch) * batch)
        if float(whole_of(problem).loss(counted, tokens)) <= problem.target_loss:
            candidate = given(problem, counted, tokens)
            return None if candidate.breaks else candidate
    return None


def _choose(proposals: list[Realisation], count: int) -> list[Realisation]:
    """Return the cheapest on either side, then one for each width, then the rest; cheapest first."""

    def bill(proposal: Realisation) -> tuple[float, int]:
        return proposal.candidate.total, proposal.params

    ranked = sorted(proposals, key=bill)
    wanted: list[Realisation] = []
    for smaller in (True, False):
        wanted += [r for r in ranked if (r.size_fraction < 0.0) == smaller][:1]
    wanted.sort(key=bill)
    repeats = []
    for proposal in ranked:
        fresh = proposal.architecture.width not in {r.architecture.width for r in wanted}
        if fresh and proposal.candidate.total <= DEAR * ranked[0].candidate.total:
            wanted.append(proposal)
        elif proposal not in wanted:
            repeats.append(proposal)
    return sorted((wanted + repeats)[:count], key=bill)


def _nothing_near(
    params: float,
    band: tuple[float, float],
    vocabulary: int,
    kv_heads: int | None,
    tied: bool,
    nearest: int | None,
) -> str:
    low, high = band
    wanted = (
        f"no decoder within {NEAR:g}x of {format_number(params)} parameters, with a vocabulary of {vocabulary} and "
        f"width/layers of {low:.0f} to {high:.0f},"
    )
    if nearest is not None and _ratio(nearest, params) <= NEAR:
        return f"{wanted} meets the target and the limits; loosen a limit or start from a larger size"
    ways = ["a smaller vocabulary"]
    if not tied:
        ways.append("tied embeddings")
    if kv_heads is not None:
        ways.append(f"a number of key/value heads other than {kv_heads}")
    if nearest is not None:
        ways.append(f"a size near {format_number(nearest)}")
    return f"{wanted} exists; use {' or '.join(ways)}"
