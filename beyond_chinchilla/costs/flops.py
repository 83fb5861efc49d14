"""FLOPs of a dense transformer: 6 N D, 2 N per token, and the exact count that they stand for.

The planner works with 6 N D and 2 N. The exact count says how far off they are for one architecture.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass, fields
from typing import overload

import numpy as np
import numpy.typing as npt

from beyond_chinchilla.errors import InputError

TRAINING_FLOPS_PER_PARAMETER_TOKEN = 6.0
INFERENCE_FLOPS_PER_PARAMETER_TOKEN = 2.0
BACKWARD_PER_FORWARD = 2.0
# The fields of an architecture that are no counts.
_SWITCHES = ("gated", "tied")


@overload
def training_flops(N: float, D: float) -> float: ...
@overload
def training_flops(N: npt.ArrayLike, D: npt.ArrayLike) -> float | npt.NDArray[np.float64]: ...
def training_flops(N: npt.ArrayLike, D: npt.ArrayLike) -> float | npt.NDArray[np.float64]:
    """Approximate training compute, C = 6 N D.

    Kaplan et al. 2020, Section 2.1; Hoffmann et al. 2022, Section 3.3 and Appendix F.

    Parameters
    ----------
    N : numeric
        Parameters [parameters].
    D : numeric
        Training tokens [tokens].

    Returns
    -------
    numeric
        Forward and backward pass over all tokens [FLOP], of the broadcast shape of N and D.

    Examples
    --------
    Chinchilla itself, 70B parameters on 1.4T tokens:

    >>> training_flops(70e9, 1.4e12)
    5.88e+23
    """
    return _product(TRAINING_FLOPS_PER_PARAMETER_TOKEN, N, D)


@overload
def inference_flops(N: float, tokens: float) -> float: ...
@overload
def inference_flops(N: npt.ArrayLike, tokens: npt.ArrayLike) -> float | npt.NDArray[np.float64]: ...
def inference_flops(N: npt.ArrayLike, tokens: npt.ArrayLike) -> float | npt.NDArray[np.float64]:
    """Approximate inference compute, 2 N per token, prefill and decode alike.

    Kaplan et al. 2020, Section 2.1; Sardana et al. 2024, Section 2.

    Parameters
    ----------
    N : numeric
        Parameters [parameters].
    tokens : numeric
        Tokens served, input and output together [tokens].

    Returns
    -------
    numeric
        Forward passes over all tokens [FLOP], of the broadcast shape of N and tokens.

    Examples
    --------
    >>> inference_flops(7e9, 2e12)
    2.8e+22
    """
    return _product(INFERENCE_FLOPS_PER_PARAMETER_TOKEN, N, tokens)


def _product(factor: float, left: npt.ArrayLike, right: npt.ArrayLike) -> float | npt.NDArray[np.float64]:
    # Floats before the product: int64 overflows at 9.2e18, and N D does not stop there.
    product = factor * np.asarray(left, dtype=np.float64) * np.asarray(right, dtype=np.float64)
    return float(product) if np.ndim(product) == 0 else np.asarray(product)


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """Shape of a dense decoder-only transformer, and its exact parameters and FLOPs.

    Weights only, as in Hoffmann et al. 2022, Appendix F: biases and positional weights are left out, norms
    too unless asked for. Whether embeddings count is a keyword that must be given: the literature does both.

    Parameters
    ----------
    layers : int
        Transformer layers.
    width : int
        Residual width, d_model.
    feed_forward : int
        Hidden width of the feed-forward block.
    heads : int
        Attention heads.
    head_size : int
        Width of one head's keys, queries and values. `heads` x `head_size` may differ from `width`.
    vocabulary : int
        Entries of the token embedding.
    sequence : int, default 2048
        Tokens per training sequence [tokens].
    kv_heads : int, optional
        Heads of keys and values, which groups of query heads share (Ainslie et al. 2023); it divides `heads`.
        By default each head has its own.
    gated : bool, default False
        Whether the feed-forward block has a third matrix, the gate (SwiGLU; Shazeer 2020).
    tied : bool, default True
        Whether the token embedding is the output projection too, so that it is counted once as parameters.

    Raises
    ------
    InputError
        If a count is not a whole number of at least 1 (every such field is named), or the heads do not share
        out evenly.

    Examples
    --------
    The smallest row of Hoffmann et al. 2022, Table A4, which prints a ratio of 1.03:

    >>> small = Architecture(
    ...     layers=10, width=640, feed_forward=2560, heads=10, head_size=64, vocabulary=32_000
    ... )
    >>> small.parameters(embeddings=False)
    49152000.0
    >>> round(small.ratio_to_6nd(73e6, embeddings=False), 3)
    1.037
    """

    layers: int
    width: int
    feed_forward: int
    heads: int
    head_size: int
    vocabulary: int
    sequence: int = 2048
    kv_heads: int | None = None
    gated: bool = False
    tied: bool = True

    def __post_init__(self) -> None:
        mistakes = []
        for field in fields(self):
            value: object = getattr(self, field.name)
            if field.name in _SWITCHES or (field.name == "kv_heads" and value is None):
                continue
            if _is_count(value):
                # Python integers do not overflow, numpy's do.
                object.__setattr__(self, field.name, int(value))  # type: ignore[call-overload]
            else:
                mistakes.append(f"{field.name} = {value!r}")
        if mistakes:
            raise InputError(f"architecture: {', '.join(mistakes)}: every field is a whole number of at least 1")
        if self.heads % (self.kv_heads or self.heads):
            raise InputError(f"architecture: heads = {self.heads} do not share kv_heads = {self.kv_heads} evenly")

    @property
    def attention_width(self) -> int:
        """Width of all heads together, `heads` x `head_size`."""
        return self.heads * self.head_size

    @property
    def kv_width(self) -> int:
        """Width of the keys, and of the values: `attention_width` unless heads share them."""
        return (self.kv_heads or self.heads) * self.head_size

    @property
    def feed_forward_matrices(self) -> int:
        """Matrices of a feed-forward block: up, down and, where it is gated, the gate."""
        return 3 if self.gated else 2

    def parameters(self, *, embeddings: bool, norms: bool = False) -> float:
        """Count the weights.

        Parameters
        ----------
        embeddings : bool
            Whether to count the token embedding, vocabulary x width: once where it is tied, else twice.
        norms : bool, default False
            Whether to count the gains of two norms in each layer and of the last one.

        Returns
        -------
        float
            N = layers width (2 attention_width + 2 kv_width + 2 or 3 feed_forward) [parameters], and the rest.

        Examples
        --------
        >>> large = Architecture(
        ...     layers=40, width=3584, feed_forward=14336, heads=28, head_size=128, vocabulary=32_000
        ... )
        >>> large.parameters(embeddings=False), large.parameters(embeddings=True)
        (6165626880.0, 6280314880.0)
        """
        attention = 2 * self.attention_width + 2 * self.kv_width
        columns = self.layers * (attention + self.feed_forward_matrices * self.feed_forward)
        if embeddings:
            columns += self.vocabulary * (1 if self.tied else 2)
        if norms:
            columns += 2 * self.layers + 1
        return float(columns * self.width)

    def forward_flops_terms(self, *, embeddings: bool) -> dict[str, float]:
        """Forward FLOPs of one sequence, term by term, over all layers.

        Hoffmann et al. 2022, Appendix F. With s the sequence, d the width, a the attention width, k that of
        the keys (a unless heads share them), f the feed-forward width, h the heads and V the vocabulary:
        embedding 2 s V d; in each layer query_key_value 2 s d (a + 2 k), attention_logits 2 s s a, softmax
        3 h s s, attention_values 2 s s a, projection 2 s a d, feed_forward 4 s d f (6 s d f where gated);
        logits 2 s d V.

        Parameters
        ----------
        embeddings : bool
            Whether the terms `embedding` and `logits` are present. Appendix F lists both, but Table A4
            can be reproduced only without them. The logits are work that a real model does; the
            embedding is a table look-up which Appendix F counts as a product with one-hot vectors.

        Returns
        -------
        dict of str to float
            FLOPs by label, in the order of the forward pass [FLOP per sequence].

        Examples
        --------
        >>> small = Architecture(
        ...     layers=10, width=640, feed_forward=2560, heads=10, head_size=64, vocabulary=32_000
        ... )
        >>> small.forward_flops_terms(embeddings=False)["softmax"]
        1258291200.0
        """
        s, d, attention = self.sequence, self.width, self.attention_width
        per_layer = {
            "query_key_value": 2 * s * d * (attention + 2 * self.kv_width),
            "attention_logits": 2 * s * s * attention,
            "softmax": 3 * self.heads * s * s,
            "attention_values": 2 * s * s * attention,
            "projection": 2 * s * attention * d,
            "feed_forward": 2 * s * self.feed_forward_matrices * d * self.feed_forward,
        }
        terms = {label: float(self.layers * flops) for label, flops in per_layer.items()}
        if not embeddings:
            return terms
        vocabulary = float(2 * s * self.vocabulary * d)
        return {"embedding": vocabulary, **terms, "logits": vocabulary}

    def forward_flops_per_sequence(self, *, embeddings: bool) -> float:
        """Forward FLOPs of one sequence: the sum of `forward_flops_terms`.

        Parameters
        ----------
        embeddings : bool
            Whether to count the embedding and the logits.

        Returns
        -------
        float
            Forward FLOPs [FLOP per sequence].

        Examples
        --------
        >>> small = Architecture(
        ...     layers=10, width=640, feed_forward=2560, heads=10, head_size=64, vocabulary=32_000
        ... )
        >>> small.forward_flops_per_sequence(embeddings=False)
        309959065600.0
        """
        return sum(self.forward_flops_terms(embeddings=embeddings).values())

    @overload
    def training_flops(self, tokens: float, *, embeddings: bool) -> float: ...
    @overload
    def training_flops(self, tokens: npt.ArrayLike, *, embeddings: bool) -> float | npt.NDArray[np.float64]: ...
    def training_flops(self, tokens: npt.ArrayLike, *, embeddings: bool) -> float | npt.NDArray[np.float64]:
        """Exact training compute: three times the forward pass (the backward pass costs two).

        Hoffmann et al. 2022, Appendix F.

        Parameters
        ----------
        tokens : numeric
            Training tokens [tokens], in full sequences.
        embeddings : bool
            Whether to count the embedding and the logits.

        Returns
        -------
        numeric
            Training compute [FLOP], of the shape of `tokens`.

        Examples
        --------
        >>> small = Architecture(
        ...     layers=10, width=640, feed_forward=2560, heads=10, head_size=64, vocabulary=32_000
        ... )
        >>> f"{small.training_flops(1.5e9, embeddings=False):.4g}"
        '6.811e+17'
        """
        forward = self.forward_flops_per_sequence(embeddings=embeddings)
        return _product(1.0 + BACKWARD_PER_FORWARD, forward / self.sequence, tokens)

    def ratio_to_6nd(self, params: float, *, embeddings: bool) -> float:
        """Divide the exact training compute by 6 N D (the tokens cancel).

        Hoffmann et al. 2022, Table A4, column "FLOP Ratio (Ours/6ND)".

        Parameters
        ----------
        params : float
            The N of 6 N D [parameters]: a nominal size, or `parameters(embeddings=...)`.
        embeddings : bool
            Whether the exact count has the embedding and the logits.

        Returns
        -------
        float
            exact / (6 N D), dimensionless.

        Raises
        ------
        InputError
            If `params` is not a positive finite number.

        Examples
        --------
        The row of Table A4 that prints 0.99:

        >>> large = Architecture(
        ...     layers=40, width=3584, feed_forward=14336, heads=28, head_size=128, vocabulary=32_000
        ... )
        >>> round(large.ratio_to_6nd(6.8e9, embeddings=False), 3)
        0.994
        """
        if not (np.isfinite(params) and params > 0):
            raise InputError(f"params = {params!r}: the N of 6 N D is a positive finite number of parameters")
        tokens = float(self.sequence)
        return self.training_flops(tokens, embeddings=embeddings) / training_flops(params, tokens)


def _is_count(value: object) -> bool:
    """Whether a value is a whole number of at least 1; 32e3 is one, True is not."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        return False
    number = float(value)
    return number.is_integer() and number >= 1
