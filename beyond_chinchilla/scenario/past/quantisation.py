"""What a scenario says of precision: whose constants tell what fewer bits cost, and the bits of its own sections."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from beyond_chinchilla.costs.hardware import BYTES_PER_PARAMETER
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.precision import FULL_BITS, Precision, names, precision
from beyond_chinchilla.laws.quantisation import Quantisation
from beyond_chinchilla.scenario.fields import Name, Quantity, Section, Text

if TYPE_CHECKING:
    from beyond_chinchilla.scenario.schema import ScenarioFile

PrecisionName = Annotated[str, Name("law of precision", precision, names)]

_BITS_PER_BYTE = 8.0


class InlineQuantisation(Section):
    """What rounding weights adds, in constants of one's own: C_T D^gamma_D / N^gamma_N e^(-bits/gamma_post).

    With the others also what training in few bits costs (Kumar et al. 2024, sections 3 and 4).
    """

    C_T: Annotated[float, Quantity("", "Coefficient [nats/token].", "0.0598")]
    gamma_D: Annotated[float, Quantity("", "Exponent of the training tokens.", "0.5068")]
    gamma_N: Annotated[float, Quantity("", "Exponent of the parameters.", "0.3439")]
    gamma_post: Annotated[float, Quantity("", "Bits that divide the loss by e.", "0.5907")]
    gamma_w: Annotated[float, Quantity("", "Sensitivity of training to the bits of the weights.", "2.6745")] | None = (
        None
    )
    gamma_i: (
        Annotated[float, Quantity("", "Sensitivity of training to the bits of the activations.", "2.2102")] | None
    ) = None
    C_w: Annotated[float, Quantity("", "How soon weights trained in few bits stop losing, per bit.", "1.1")] | None = (
        None
    )
    name: Annotated[str, Text("What to call the constants.")] = "inline"
    source: Annotated[str, Text("Where they come from.")] = "written in the scenario"


def constants_of(choice: str | InlineQuantisation) -> Precision:
    """Return the law of precision that a scenario names or writes out."""
    return precision(choice) if isinstance(choice, str) else Precision(**choice.model_dump())


def bits_of(name: str) -> float:
    """Return the bits of a weight in a precision.

    >>> bits_of("bf16"), bits_of("int4")
    (16.0, 4.0)
    """
    return _BITS_PER_BYTE * BYTES_PER_PARAMETER[name]


def counted(file: ScenarioFile, law: LossLaw) -> LossLaw:
    """Return the law with all parameters for those that it counts, where quantisation extends it.

    The constants of precision and a law of the same fit count no embeddings; these are few in any model to plan for.
    """
    if file.quantisation is None or law.counts == "total" or law.power != 1.0:
        return law
    return replace(law, counts="total")


def trained(file: ScenarioFile, law: LossLaw) -> LossLaw:
    """Return the law of training in the bits that a scenario trains in: weights and activations alike."""
    if file.quantisation is None or file.training is None:
        return law
    return constants_of(file.quantisation).trained_at(law, **_training_bits(file))


def trained_share(file: ScenarioFile) -> float:
    """Return the share of its parameters for which a model counts that is trained in the scenario's bits."""
    return 1.0 if file.quantisation is None else constants_of(file.quantisation).params_share(**_training_bits(file))


def lever(file: ScenarioFile, serving_precision: str | None = None) -> Quantisation | None:
    """Return what serving in fewer bits than training adds to the loss; None where nothing is rounded.

    Parameters
    ----------
    file : ScenarioFile
    serving_precision : str, optional
        Of the chips that serve; by default the first that the scenario lists.
    """
    if file.quantisation is None or file.serving is None:
        return None
    served = serving_precision or file.serving.precisions[0]
    return constants_of(file.quantisation).quantised(bits_of(served), **_training_bits(file))


def offers(file: ScenarioFile) -> Sequence[tuple[str, ScenarioFile]]:
    """Return a file for each precision that a scenario may serve in at fixed utilisations, by its name.

    Where batch and step time are chosen, precisions go with chips and replicas (`scenario.services`).
    """
    serving = file.serving
    if serving is None or serving.codesign or len(serving.precisions) < 2:
        return (("", file),)
    return [
        (name, file.model_copy(update={"serving": serving.model_copy(update={"precision": name})}))
        for name in serving.precisions
    ]


def notes_of(file: ScenarioFile, serving_precision: str | None = None) -> list[str]:
    """Return what a plan should say of the constants; see `lever` for the precision."""
    if file.quantisation is None:
        return []
    constants, own = constants_of(file.quantisation), _own_law(file)
    found = []
    rounded = lever(file, serving_precision)
    if isinstance(file.quantisation, str) and not own and (rounded is not None or _training_bits(file)):
        found.append(
            f"what few bits cost is taken from {constants.name}, fitted on other data and another architecture than "
            "the law's: its authors say that the constants do not carry over; measure it on a model of your own"
        )
    if own:
        found.append(f"law {file.law} counts no embeddings; beside quantisation its N stands for all parameters")
    return found


def _own_law(file: ScenarioFile) -> bool:
    """Say whether the plain law was fitted together with the constants."""
    return isinstance(file.quantisation, str) and file.law == file.quantisation


def _training_bits(file: ScenarioFile) -> dict[str, float]:
    """Return the bits of training that are less than full, as `laws.precision` takes them."""
    found: dict[str, float] = {}
    bits = FULL_BITS if file.training is None else bits_of(file.training.precision)
    if bits < FULL_BITS:
        found |= {"weights_bits": bits, "activation_bits": bits}
    if _own_law(file):
        found["reference_bits"] = math.inf
    return found
