"""What GPU-hours take from the grid, and what the grid emits for it.

    kWh per GPU-hour = chip TDP x server multiplier x average draw x PUE

Server multipliers (server power over the TDP of its chips: H100 1.82, A100 2.03, TPU 1.56, others 1.8), average draw
(0.75 of GPUs, 0.43 of TPUs) and PUE (1.1 at hyperscalers, 1.25 elsewhere) are those of Epoch AI's training cost
script, 2026-04. Model reports may state less: Olmo-3's 146 MWh for 234 thousand H100-hours are 0.62 kW a
GPU, BLOOM's 433 MWh for 1.08 million A100-hours the bare TDP, as if the
accelerator alone had been counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.costs.hardware import Accelerator
from beyond_chinchilla.errors import InputError

Real = TypeVar("Real", float, NDArray[np.float64])

# By how the chip's catalogue name begins; a chip of one's own is an "else".
SERVER_MULTIPLIER = {"h100": 1.82, "a100": 2.03, "tpu": 1.56}
OTHER_SERVER_MULTIPLIER = 1.8
GPU_DRAW = 0.75
TPU_DRAW = 0.43
# The catalogue's default prices are those of GPU clouds, which are no hyperscalers.
DEFAULT_PUE = 1.25

WATTS_PER_KILOWATT = 1e3
KILOGRAMS_PER_TONNE = 1e3
# Beyond them a number was written in W or g: coal emits about 1 kg/kWh.
_MOST_KILOWATTS = 20.0
_DIRTIEST_GRID = 2.0


def server_power(chip: Accelerator) -> float:
    """Return the mean power of a chip in use with its share of the server, without cooling [kW].

    Raises
    ------
    InputError
        The chip's maker publishes no power.

    >>> from beyond_chinchilla.costs.hardware import accelerator
    >>> round(server_power(accelerator("h100-sxm")), 4)
    0.9555
    """
    if chip.power is None:
        raise InputError(f"{chip.name}: its power is not published; give energy: {{power_per_gpu: 0.9 kW}}")
    draw = TPU_DRAW if chip.name.startswith("tpu") else GPU_DRAW
    multipliers = (factor for name, factor in SERVER_MULTIPLIER.items() if chip.name.startswith(name))
    return chip.power / WATTS_PER_KILOWATT * next(multipliers, OTHER_SERVER_MULTIPLIER) * draw


@dataclass(frozen=True, kw_only=True)
class Energy:
    """How GPU-hours become kilowatt-hours and tonnes.

    Parameters
    ----------
    pue : float
        Power usage effectiveness of the building, 1 to 5.
    grid : float or None
        Carbon intensity of its electricity [kg CO2e/kWh], 0 to 2; None: emissions are not reckoned. There is no
        default: grids differ thirtyfold.
    power_per_gpu : float or None
        Mean power of one GPU in use with its share of the server, without cooling [kW]; None takes
        `server_power` of the chip.

    Raises
    ------
    InputError
        Values out of range, one line each.
    """

    pue: float = DEFAULT_PUE
    grid: float | None = None
    power_per_gpu: float | None = None

    def __post_init__(self) -> None:
        mistakes = []
        if not 1.0 <= self.pue <= 5.0:
            mistakes.append(f"pue must be from 1 (no cooling at all) to 5, not {self.pue}; write {DEFAULT_PUE}")
        if self.grid is not None and not 0.0 <= self.grid <= _DIRTIEST_GRID:
            mistakes.append(
                f"grid must be from 0 to {_DIRTIEST_GRID:g} kg CO2e/kWh, not {self.grid}; 350 g/kWh is 0.35"
            )
        if self.power_per_gpu is not None and not (
            math.isfinite(self.power_per_gpu) and 0.0 < self.power_per_gpu <= _MOST_KILOWATTS
        ):
            mistakes.append(
                f"power_per_gpu must be above 0 and at most {_MOST_KILOWATTS:g} kW, not {self.power_per_gpu}; "
                "900 W is 0.9"
            )
        if mistakes:
            raise InputError("\n".join(f"energy: {mistake}" for mistake in mistakes))

    def kwh(self, gpu_hours: Real, chip: Accelerator) -> Real:
        """Return the energy at the meter [kWh] of hours of one chip.

        Raises
        ------
        InputError
            The chip's power is not published and `power_per_gpu` not given.

        >>> from beyond_chinchilla.costs.hardware import accelerator
        >>> round(Energy().kwh(1000.0, accelerator("h100-sxm")), 1)
        1194.4
        """
        power = server_power(chip) if self.power_per_gpu is None else self.power_per_gpu
        return gpu_hours * (power * self.pue)

    def tonnes_co2e(self, kwh: Real) -> Real | None:
        """Return what the grid emits for an energy [t CO2e]; None where the grid's intensity is not stated.

        >>> round(Energy(grid=0.057).tonnes_co2e(433_196.0), 2)
        24.69
        """
        return None if self.grid is None else kwh * (self.grid / KILOGRAMS_PER_TONNE)
