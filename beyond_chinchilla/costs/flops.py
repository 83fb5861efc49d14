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

    Weights only: biases, layer norms and positional weights are left out, as in Hoffmann et al. 2022,
    Appendix F. The token embedding is tied to the output projection, so it is counted once as
    parameters. Whether embeddings count is a keyword that must be given: the literature does both.

    Parameters
    ----------
    layers : int
        Transformer layers.
    width : int
        Residual width, d_model.
    feed_forward : int
        Hidden width of the feed-forward block.
    heads : int
        Attention heads; each has its own keys and values (no grouping).
    head_size : int
        Width of one head's keys, queries and values. `heads` x `head_size` may differ from `width`.
    vocabulary : int
        Entries of the token embedding.
    sequence : int, default 2048
        Tokens per training sequence [tokens].

    Raises
    ------
    InputError
        If a field is not a whole number of at least 1; every such field is named.

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

    def __post_init__(self) -> None:
        mistakes = []
        for field in fields(self):
            value: object = getattr(self, field.name)
            if _is_count(value):
                # Python integers do not overflow, numpy's do.
                object.__setattr__(self, field.name, int(value))  # type: ignore[call-overload]
            else:
                mistakes.append(f"{field.name} = {value!r}")
        if mistakes:
            raise InputError(f"architecture: {', '.join(mistakes)}: every field is a whole number of at least 1")

    @property
    def attention_width(self) -> int:
        """Width of all heads together, `heads` x `head_size`."""
        return self.heads * self.head_size

    def parameters(self, *, embeddings: bool) -> float:
        """Count the weights.

        Parameters
        ----------
        embeddings : bool
            Whether to count the token embedding, vocabulary x width, once (it is tied).

        Returns
        -------
        float
            N = layers (4 width attention_width + 2 width feed_forward) [parameters], and the embedding.

        Examples
        --------
        >>> large = Architecture(
        ...     layers=40, width=3584, feed_forward=14336, heads=28, head_size=128, vocabulary=32_000
        ... )
        >>> large.parameters(embeddings=False), large.parameters(embeddings=True)
        (6165626880.0, 6280314880.0)
        """
        per_layer = 4 * self.width * self.attention_width + 2 * self.width * self.feed_forward
        return float(self.layers * per_layer + (self.vocabulary * self.width if embeddings else 0))

    def forward_flops_terms(self, *, embeddings: bool) -> dict[str, float]:
        """Forward FLOPs of one sequence, term by term, over all layers.

        Hoffmann et al. 2022, Appendix F. With s the sequence, d the width, a the attention width, f the
        feed-forward width, h the heads and V the vocabulary: embedding 2 s V d; in each layer
        query_key_value 6 s d a, attention_logits 2 s s a, softmax 3 h s s, attention_values 2 s s a,
        projection 2 s a d, feed_forward 4 s d f; logits 2 s d V.

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
            "query_key_value": 2 * 3 * s * d * attention,
            "attention_logits": 2 * s * s * attention,
            "softmax": 3 * self.heads * s * s,
            "attention_values": 2 * s * s * attention,
            "projection": 2 * s * attention * d,
            "feed_forward": 2 * s * 2 * d * self.feed_forward,
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
