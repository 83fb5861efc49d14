"""Energy and emissions of a plan."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from beyond_chinchilla.analyse.deployment import Deployment
from beyond_chinchilla.costs.energy import Energy
from beyond_chinchilla.costs.hardware import Accelerator
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.fields import chip_of
from beyond_chinchilla.units import HOURS_PER_MONTH


@dataclass(frozen=True, kw_only=True)
class PhaseEnergy:
    """What one phase takes.

    Attributes
    ----------
    phase : str
        ``"training"``, ``"development"`` or ``"serving"``.
    hardware : str
    gpu_hours : float
        Paid hours, busy or idle.
    kwh : float
        At the meter.
    tonnes_co2e : float or None
        None where the grid's intensity is not stated.
    """

    phase: str
    hardware: str
    gpu_hours: float
    kwh: float
    tonnes_co2e: float | None


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Energy and emissions by phase.

    Attributes
    ----------
    energy : Energy
        What was assumed.
    phases : tuple of PhaseEnergy
    """

    energy: Energy
    phases: tuple[PhaseEnergy, ...]

    @property
    def kwh(self) -> float:
        """Of all phases."""
        return math.fsum(phase.kwh for phase in self.phases)

    @property
    def tonnes_co2e(self) -> float | None:
        """Of all phases; None where the grid's intensity is not stated."""
        return self.energy.tonnes_co2e(self.kwh)

    def to_dict(self) -> dict[str, Any]:
        """Return the footprint as JSON holds it."""
        return {
            "pue": self.energy.pue,
            "grid_kg_per_kwh": self.energy.grid,
            "power_per_gpu_kw": self.energy.power_per_gpu,
            "phases": [asdict(phase) for phase in self.phases],
            "kwh": self.kwh,
            "tonnes_co2e": self.tonnes_co2e,
        }


def footprint(deployment: Deployment) -> Footprint:
    """Return energy and emissions of a plan.

    Experiments before the final run count as hours of the same chip, in proportion to what they cost; idle serving
    GPUs as busy ones. Energy of the chips' making is left out.

    Raises
    ------
    InputError
        The scenario has no section on energy, or a chip's power is not published.
    """
    energy = deployment.scenario.energy()
    if energy is None:
        raise InputError(f"{deployment.scenario.name}: no energy section; give energy: {{pue: 1.2, grid: 0.35 kg/kWh}}")
    training, service = deployment.monthly.training, deployment.service
    trains, hours = chip_of(training.hardware), deployment.training_gpu_hours
    use = service.fleet.use(*deployment.seconds, whole_replicas=True)
    served = HOURS_PER_MONTH * float((use.on + use.spot).sum())
    phases = [_phase(energy, "training", trains, hours)]
    if training.development:
        phases.append(_phase(energy, "development", trains, hours * training.development))
    phases.append(_phase(energy, "serving", service.use.chip, served))
    return Footprint(energy=energy, phases=tuple(phases))


def _phase(energy: Energy, phase: str, chip: Accelerator, hours: float) -> PhaseEnergy:
    kwh = energy.kwh(hours, chip)
    return PhaseEnergy(phase=phase, hardware=chip.name, gpu_hours=hours, kwh=kwh, tonnes_co2e=energy.tonnes_co2e(kwh))
