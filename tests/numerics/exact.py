"""Plans and losses at 60 digits, by another road than the package takes: bisection on mpmath's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath as mp

DIGITS = 60
_STEPS = 2000
# There a term's share of the loss is 1 to nine digits.
_END = 20


@dataclass(frozen=True)
class Curve:
    """All models of one loss: z is the logit of the model term's share."""

    A: Any
    alpha: Any
    B: Any
    beta: Any
    log_R: Any

    @classmethod
    def of(cls, law: Mapping[str, float], loss: float) -> Curve:
        """Return the curve of a law's constants."""
        gap = mp.mpf(loss) - mp.mpf(law["E"])
        log_R = mp.log(gap) / mp.mpf(law.get("power", 1.0))
        return cls(*(mp.mpf(law[name]) for name in ("A", "alpha", "B", "beta")), log_R)

    def at(self, z: Any) -> tuple[Any, Any]:
        """Return ln N and ln D."""
        log_u, log_rest = -mp.log1p(mp.exp(-z)), -mp.log1p(mp.exp(z))
        return (mp.log(self.A) - self.log_R - log_u) / self.alpha, (mp.log(self.B) - self.log_R - log_rest) / self.beta

    def slopes(self, z: Any) -> tuple[Any, Any]:
        """Return d ln N / dz and d ln D / dz."""
        u = 1 / (1 + mp.exp(-z))
        return -1 / ((1 + mp.exp(z)) * self.alpha), u / self.beta


def log_cost(terms: Sequence[Sequence[float]], n: Any, d: Any) -> Any:
    """Return ln of a bill of (coefficient, power of N, power of D) at ln N and ln D."""
    logs = [mp.log(mp.mpf(c)) + mp.mpf(p) * n + mp.mpf(r) * d for c, p, r in terms]
    peak = max(logs)
    return peak + mp.log(mp.fsum(mp.exp(each - peak) for each in logs))


def optimum(curve: Curve, terms: Sequence[Sequence[float]]) -> Any:
    """Return the z of least cost; -inf or +inf where the bill falls for ever towards large or small models."""
    if not any(r for _, _, r in terms):
        return mp.inf
    if not any(p for _, p, _ in terms):
        return -mp.inf
    start = mp.log(curve.beta / curve.alpha)
    reach = abs(_balance(curve, terms, start)) + 1
    low, high = start - reach, start + reach
    left, right = _balance(curve, terms, low), _balance(curve, terms, high)
    while not left < 0 < right:
        reach *= 2
        low, high = start - reach, start + reach
        left, right = _balance(curve, terms, low), _balance(curve, terms, high)
    for step in range(_STEPS):
        # The balance is nearly a straight line: regula falsi, halved where it stays on one side, and bisection.
        z = (low + high) / 2 if step % 4 == 3 else low - left * (high - low) / (right - left)
        here = _balance(curve, terms, z)
        if here < 0:
            low, left, right = z, here, right / 2
        else:
            high, right, left = z, here, left / 2
        if high - low <= mp.mpf(10) ** -(DIGITS - 15) or here == 0:
            return z
    raise ArithmeticError("no root to the digits asked")


def _balance(curve: Curve, terms: Sequence[Sequence[float]], z: Any) -> Any:
    """Return z + ln(alpha E[r]) - ln(beta E[p]), which has the sign of d ln cost/dz and rises; all powers are >= 0."""
    n, d = curve.at(z)
    logs = [mp.log(mp.mpf(c)) + mp.mpf(p) * n + mp.mpf(r) * d for c, p, r in terms]
    peak = max(logs)
    weights = [mp.exp(each - peak) for each in logs]
    in_n = mp.fsum(weight * mp.mpf(p) for weight, (_, p, _) in zip(weights, terms, strict=True))
    in_d = mp.fsum(weight * mp.mpf(r) for weight, (_, _, r) in zip(weights, terms, strict=True))
    return z + mp.log(curve.alpha * in_d) - mp.log(curve.beta * in_n)


@dataclass(frozen=True)
class Least:
    """The cheapest model within bounds, in logs; `near` says that rounding may decide whether there is one."""

    found: bool
    n: Any = None
    d: Any = None
    log_cost: Any = None
    near: bool = False


def least(curve: Curve, terms: Sequence[Sequence[float]], bounds: Mapping[str, float]) -> Least | None:
    """Return the cheapest model of the curve within bounds, or the corner of floors that beat its loss.

    `bounds` may hold ``params_min``, ``params_max``, ``tokens_min`` and ``tokens_max``. None where the bill falls for
    ever and no bound stops it.
    """
    logs = {name: mp.log(mp.mpf(bound)) for name, bound in bounds.items()}
    # N falls in z and D rises: each bound is one on z.
    highs = [_z_of_params(curve, logs["params_min"])] if "params_min" in logs else []
    highs += [_z_of_tokens(curve, logs["tokens_max"])] if "tokens_max" in logs else []
    lows = [_z_of_params(curve, logs["params_max"])] if "params_max" in logs else []
    lows += [_z_of_tokens(curve, logs["tokens_min"])] if "tokens_min" in logs else []
    low, high = max(lows, default=-mp.inf), min(highs, default=mp.inf)
    near = not mp.isinf(low) and not mp.isinf(high) and abs(high - low) <= mp.mpf("1e-7") * (1 + abs(low))
    # Next to an end of the curve one digit of a bound is worth any number of tokens or params.
    near = near or any(_END < abs(z) < mp.inf for z in (low, high))
    # Floors and ceilings that meet leave it to rounding as well.
    near = near or any(
        abs(logs[a] - logs[b]) <= mp.mpf("1e-8")
        for a, b in (("params_min", "params_max"), ("tokens_min", "tokens_max"))
        if a in logs and b in logs
    )
    if low > high:
        n, d = logs.get("params_min"), logs.get("tokens_min")
        if n is None or d is None or not _reached(curve, n, d):
            return Least(found=False, near=near)
        if n > logs.get("params_max", n) or d > logs.get("tokens_max", d):
            return Least(found=False, near=near)
        return Least(found=True, n=n, d=d, log_cost=log_cost(terms, n, d), near=near)
    z = min(max(optimum(curve, terms), low), high)
    if mp.isinf(z):
        return None
    n, d = curve.at(z)
    return Least(found=True, n=n, d=d, log_cost=log_cost(terms, n, d), near=near)


def _reached(curve: Curve, n: Any, d: Any) -> bool:
    size = mp.log(curve.A) - curve.alpha * n - curve.log_R
    data = mp.log(curve.B) - curve.beta * d - curve.log_R
    return bool(mp.exp(size) + mp.exp(data) <= 1)


def _z_of_params(curve: Curve, n: Any) -> Any:
    """Return z at ln N; +inf where the whole curve has more params."""
    log_u = mp.log(curve.A) - curve.log_R - curve.alpha * n
    return mp.inf if log_u >= 0 else log_u - mp.log(-mp.expm1(log_u))


def _z_of_tokens(curve: Curve, d: Any) -> Any:
    """Return z at ln D; -inf where the whole curve has more tokens."""
    log_rest = mp.log(curve.B) - curve.log_R - curve.beta * d
    return -mp.inf if log_rest >= 0 else mp.log(-mp.expm1(log_rest)) - log_rest
