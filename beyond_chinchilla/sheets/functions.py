"""Worksheet functions for spreadsheets that call Python: xlwings, PyXLL, LibreOffice, Python in Excel.

Each takes numbers or ranges and gives back a number or a range of the broadcast shape: a column of demands beside one
price is a column of plans, a column against a row is a table. Ranges may be lists, lists of rows, tuples or arrays;
a flat list is a row. Text such as ``"1B"`` or ``"50%"`` is a number, too.

Nothing raises: a cell that has no answer holds a short text that begins with ``#``, as a spreadsheet's own errors do,
and such a text that comes in goes out again. Nothing is remembered, read or written.

A law is a name of the catalogue or a range of the five constants E, A, alpha, B, beta. Rates are US dollars per
parameter and token (`TRAIN_RATE`) and per parameter (`SERVE_RATE`), or FLOPs: 6, and 2 x tokens.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.costs.flops import INFERENCE_FLOPS_PER_PARAMETER_TOKEN, TRAINING_FLOPS_PER_PARAMETER_TOKEN
from beyond_chinchilla.costs.hardware import FLOP_PER_TFLOP
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.units import SECONDS_PER_HOUR, parse_number

# A cell, or a range: what the products hand over differs, and so does what they want back.
Range: TypeAlias = Any
Array: TypeAlias = NDArray[np.float64]

DEFAULT_LAW = "sardana-2024"
_LAW_CONSTANTS = ("E", "A", "alpha", "B", "beta")
_LONGEST_ERROR = 80
_STATUS = {
    universal.Status.INVALID: "#invalid: rates must be above zero",
    universal.Status.OUT_OF_REACH: "#target at or below the law's floor E",
    universal.Status.UNBOUNDED: "#training is free: no least cost",
}


def LOSS(params: Range, tokens: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return the loss [nats/token] of a model of `params` parameters trained on `tokens` tokens.

    L = E + A N^-alpha + B D^-beta (Hoffmann et al. 2022, Eq. 2).

    >>> round(LOSS("70B", "1.4T"), 4)
    1.9323
    """
    return _with_law(law, lambda known, N, D: known.loss(N, D), params=params, tokens=tokens)


def CHINCHILLA_LOSS(params: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return the loss [nats/token] of the compute-optimal model of `params` parameters.

    >>> round(CHINCHILLA_LOSS("30B"), 3)
    1.958
    """
    return _with_law(law, lambda known, N: known.compute_optimal(params=N).loss, params=params)


def CHINCHILLA_PARAMS(target_loss: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return the parameters of the compute-optimal model of a loss [nats/token]."""
    return _with_law(law, lambda known, L: known.compute_optimal(loss=L).params, target_loss=target_loss)


def CHINCHILLA_TOKENS(target_loss: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return the training tokens of the compute-optimal model of a loss [nats/token]."""
    return _with_law(law, lambda known, L: known.compute_optimal(loss=L).tokens, target_loss=target_loss)


def TOKENS_FOR(params: Range, target_loss: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return the training tokens with which a model of `params` parameters reaches a loss [nats/token]."""
    return _with_law(law, lambda known, N, L: known.tokens_for(N, L), params=params, target_loss=target_loss)


def TRAIN_RATE(price: Range, peak_tflops: Range, mfu: Range) -> Range:
    """Return what training costs per parameter and token [USD]: 6 x price / (3600 x peak x MFU).

    Sardana et al. 2024, Eq. 5 and 6. `price` in USD per GPU-hour, `peak_tflops` dense, `mfu` from 0 to 1.

    >>> f"{TRAIN_RATE(1.50, 312, '50%'):.4g}"
    '1.603e-17'
    """
    return _over(
        lambda price, peak, mfu: TRAINING_FLOPS_PER_PARAMETER_TOKEN * _usd_per_flop(price, peak, mfu),
        price=price,
        peak_tflops=peak_tflops,
        mfu=mfu,
    )


def SERVE_RATE(
    requests: Range,
    input_tokens: Range,
    output_tokens: Range,
    price: Range,
    peak_tflops: Range,
    prefill_mfu: Range,
    decode_mfu: Range,
) -> Range:
    """Return what serving the whole demand costs per parameter [USD]: 2 x tokens at the price of a FLOP, by phase.

    Sardana et al. 2024, Eq. 6. Tokens are means per request, `price` in USD per GPU-hour, `peak_tflops` dense.

    >>> f"{SERVE_RATE('1B', 70, 215, 1.10, 624, 0.5, 0.01):.4g}"
    '2.119e-05'
    """

    def rate(requests: Array, read: Array, written: Array, price: Array, peak: Array, mfu: Array, slow: Array) -> Array:
        use = read * _usd_per_flop(price, peak, mfu) + written * _usd_per_flop(price, peak, slow)
        return np.asarray(INFERENCE_FLOPS_PER_PARAMETER_TOKEN * requests * use)

    return _over(
        rate,
        requests=requests,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        price=price,
        peak_tflops=peak_tflops,
        prefill_mfu=prefill_mfu,
        decode_mfu=decode_mfu,
    )


def OPTIMAL_PARAMS(target_loss: Range, train_rate: Range, serve_rate: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return the parameters of least lifetime cost at a loss.

    >>> f"{OPTIMAL_PARAMS(CHINCHILLA_LOSS('13B'), 6, 4e12):.4g}"
    '6.969e+09'
    """
    return _plan(law, lambda best, _: best.params, target_loss, train_rate, serve_rate)


def OPTIMAL_TOKENS(target_loss: Range, train_rate: Range, serve_rate: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return the training tokens of least lifetime cost at a loss."""
    return _plan(law, lambda best, _: best.tokens, target_loss, train_rate, serve_rate)


def SPEND_RATIO(target_loss: Range, train_rate: Range, serve_rate: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return what serving costs over what training costs, at the plan of least lifetime cost."""
    return _plan(law, lambda best, _: best.spend_ratio, target_loss, train_rate, serve_rate)


def KAPPA(target_loss: Range, train_rate: Range, serve_rate: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return what serving costs over what training costs for the Chinchilla model: below 0.05 it is the plan.

    >>> KAPPA(2.0, 6, 0)
    0.0
    """
    return _plan(law, lambda best, _: best.kappa, target_loss, train_rate, serve_rate)


def LIFETIME_COST(target_loss: Range, train_rate: Range, serve_rate: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return the least lifetime cost at a loss, in the unit of the rates."""
    return _plan(law, _least_cost, target_loss, train_rate, serve_rate)


def CHINCHILLA_COST(target_loss: Range, train_rate: Range, serve_rate: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return the lifetime cost of the Chinchilla model of a loss, in the unit of the rates."""
    return _plan(
        law,
        lambda best, rates: _least_cost(best, rates) / np.exp(_log_ratio(best)),
        target_loss,
        train_rate,
        serve_rate,
    )


def SAVINGS(target_loss: Range, train_rate: Range, serve_rate: Range, law: Range = DEFAULT_LAW) -> Range:
    """Return the share of the Chinchilla model's lifetime cost that the plan saves, exact however small.

    >>> f"{SAVINGS(CHINCHILLA_LOSS('13B'), 6, 4e12):.5f}"
    '0.17447'
    """
    return _plan(law, lambda best, _: -np.expm1(_log_ratio(best)), target_loss, train_rate, serve_rate)


def MODEL_COST(params: Range, tokens: Range, train_rate: Range, serve_rate: Range) -> Range:
    """Return the lifetime cost of any model, a N D + b N, in the unit of the rates."""
    return _over(
        lambda N, D, a, b: a * N * D + b * N, params=params, tokens=tokens, train_rate=train_rate, serve_rate=serve_rate
    )


def _usd_per_flop(price: Array, peak_tflops: Array, mfu: Array) -> Array:
    return np.asarray(price / (SECONDS_PER_HOUR * peak_tflops * FLOP_PER_TFLOP * mfu))


def _least_cost(best: universal.Optimum, rates: tuple[Array, Array]) -> Array:
    return np.asarray(best.params * (rates[0] * best.tokens + rates[1]))


def _log_ratio(best: universal.Optimum) -> Array:
    return np.asarray(universal.log_cost_ratio(best.spend_ratio, best.law.alpha, best.law.beta))


def _plan(
    law: Range,
    figure: Callable[[universal.Optimum, tuple[Array, Array]], Array],
    target_loss: Range,
    train_rate: Range,
    serve_rate: Range,
) -> Range:
    """Return one figure of the plan of each cell."""

    def solve(known: LossLaw, loss: Array, train: Array, serve: Array) -> tuple[Array, NDArray[np.object_]]:
        best = universal.optimum(known, loss, train, serve)
        says = np.full(best.status.shape, "", dtype=object)
        for status, error in _STATUS.items():
            says[best.status == status] = error
        return figure(best, (train, serve)), says

    return _with_law(
        law, solve, zero=("serve_rate",), target_loss=target_loss, train_rate=train_rate, serve_rate=serve_rate
    )


def _with_law(law: Range, compute: Callable[..., Any], zero: tuple[str, ...] = (), **arguments: Range) -> Range:
    """Compute over ranges with a law, or return why there is none."""
    try:
        known = _law(law)
    except InputError as error:
        return _short(str(error))
    return _over(functools.partial(compute, known), zero=zero, **arguments)


def _law(choice: Range) -> LossLaw:
    """Return a law by name, or of a range of five constants."""
    cells = np.asarray(choice, dtype=object).reshape(-1)
    if cells.size == 1:
        law = catalogue.law(str(cells[0]))
        if law.counts != "total":
            raise InputError(f"law {law.name} counts no embeddings: use bc-opt")
        return law
    if cells.size != len(_LAW_CONSTANTS):
        raise InputError(f"law: a name, or the 5 cells {', '.join(_LAW_CONSTANTS)}; not {cells.size}")
    read = [_number(cell, f"law {name}", name == "E") for name, cell in zip(_LAW_CONSTANTS, cells, strict=True)]
    for _, error in read:
        if error:
            raise InputError(error.removeprefix("#"))
    E, A, alpha, B, beta = (number for number, _ in read)
    return LossLaw(E=E, A=A, alpha=alpha, B=B, beta=beta)


def _over(
    compute: Callable[..., Any], zero: tuple[str, ...] = ("input_tokens", "output_tokens"), **arguments: Range
) -> Range:
    """Compute cell by cell over the broadcast shape; `zero` names the arguments that may be zero."""
    ranges = {name: np.asarray(argument, dtype=object) for name, argument in arguments.items()}
    try:
        shape = np.broadcast_shapes(*(cells.shape for cells in ranges.values()))
    except ValueError:
        sizes = ", ".join(f"{name} {'x'.join(map(str, cells.shape))}" for name, cells in ranges.items() if cells.ndim)
        return _short(f"ranges of different sizes: {sizes}")
    says = np.full(shape, "", dtype=object)
    numbers = []
    for name, cells in ranges.items():
        # numpy minds a number too large for a double, which is reported in its cell.
        with np.errstate(all="ignore"):
            read, errors = np.frompyfunc(lambda cell, name=name: _number(cell, name, name in zero), 1, 2)(cells)
        numbers.append(np.asarray(read, dtype=float))
        says = np.where(says == "", np.broadcast_to(np.asarray(errors, dtype=object), shape), says)
    with np.errstate(all="ignore"):
        found = compute(*numbers)
    if isinstance(found, tuple):
        found, more = found
        says = np.where(says == "", np.broadcast_to(more, shape), says)
    found = np.broadcast_to(np.asarray(found, dtype=float), shape)
    says = np.where((says == "") & ~np.isfinite(found), "#out of reach", says)
    return np.where(says == "", found.astype(object), says).tolist()


def _number(cell: Any, name: str, zero: bool) -> tuple[float, str]:
    """Return the number of a cell, or what is wrong with it; 1 then stands in."""
    if isinstance(cell, str) and cell.startswith("#"):
        return 1.0, cell
    if cell is None or cell == "":
        return 1.0, _short(f"{name} is empty")
    if isinstance(cell, (bool, np.bool_)):
        return 1.0, _short(f"{name} is not a number")
    try:
        number = parse_number(cell if isinstance(cell, str) else float(cell))
    except (InputError, TypeError, ValueError):
        return 1.0, _short(f"{name} is not a number: {cell}")
    if number < 0 or (number == 0 and not zero):
        return 1.0, _short(f"{name} must be {'zero or more' if zero else 'above zero'}: {cell}")
    return number, ""


def _short(text: str) -> str:
    """Return an error that fits a cell."""
    line = f"#{' '.join(text.split())}"
    return line if len(line) <= _LONGEST_ERROR else f"{line[: _LONGEST_ERROR - 3]}..."
