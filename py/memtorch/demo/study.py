"""What the crossbars cost in accuracy, one physical effect at a time."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from memtorch.analysis import ir_drop
from memtorch.bh.memristor import VTEAM, Data_Driven, Data_Driven2021, LinearIonDrift, Memristor, Stanford_PKU
from memtorch.bh.nonideality import NonIdeality, apply_nonidealities
from memtorch.bh.StochasticParameter import StochasticParameter
from memtorch.demo.data import Digits, SmallCnn, isolated, load_digits, train
from memtorch.mn.Module import patch_model

MODELS: tuple[type[Memristor], ...] = (LinearIonDrift, VTEAM, Stanford_PKU, Data_Driven, Data_Driven2021)
DRAWS = 20
QUICK_DRAWS = 5


@dataclass(frozen=True)
class StudyOptions:
    """What to simulate.

    Attributes:
        model: device model of every cell, with its default parameters.
        tile_shape: rows and columns of one crossbar tile.
        seed: of everything random.
        epochs: passes over the training images.
        draws: how many times the devices are drawn anew for each strength of variability.
        adc_bits: resolutions of the converter at the end of each tile's columns.
        quant_method: how that converter rounds; one of ``memtorch.bh.Quantize.quant_methods``.
        variability: standard deviations of r_on and r_off, in percent of their means.
        states: numbers of conductance states a device can be left in.
        line_resistance: of a word or bit line between neighbouring cells, and at its end, ohm.
        wire_tiles: sides of the square tiles for which each of these is solved.
    """

    model: type[Memristor] = VTEAM
    tile_shape: tuple[int, int] = (128, 128)
    seed: int = 0
    epochs: int = 20
    draws: int = DRAWS
    adc_bits: Sequence[int] = (8, 6, 4)
    quant_method: str = "linear"
    variability: Sequence[float] = (10, 30, 50)
    states: Sequence[int] = (10, 4)
    line_resistance: Sequence[float] = (0.01, 0.03, 0.1)
    wire_tiles: Sequence[int] = (32, 64, 128)


@dataclass(frozen=True)
class Experiment:
    """One row of the final table: a kind of effect and its strength, in bits, percent, states or ohm where it has one.

    Wires have the side of their tiles too.
    """

    kind: str
    setting: float | None = None
    tile: int | None = None

    @property
    def label(self) -> str:
        """The experiment in words."""
        match self.kind:
            case "digital":
                return "digital network"
            case "ideal":
                return "ideal crossbars"
            case "tuned":
                return "the same, after tune_"
            case "adc":
                return f"{self.setting:g}-bit ADC"
            case "variability":
                return f"variability {self.setting:g} %"
            case "wires":
                return f"wire {self.setting:g} ohm {self.tile}x{self.tile}"
            case _:
                return f"{self.setting:g} conductance states"


@dataclass(frozen=True)
class Draw:
    """The outcome of one evaluation over all test images.

    Attributes:
        experiment: what was evaluated.
        index: of the draw within the experiment, from 0.
        accuracy: percent of the test images that were recognised.
        deviation: root mean square difference from the digital logits, relative to their root mean square.
        conductance: [n] siemens, the used cells of the largest layer; on each experiment's first draw only.
        drop: [rows, columns] voltage that each device of a tile of the largest layer lacks, in volts for 1 V on every
            word line; with wires only.
    """

    experiment: Experiment
    index: int
    accuracy: float
    deviation: float
    conductance: NDArray[np.float64] | None = None
    drop: NDArray[np.float64] | None = None


class Study:
    """The experiments of `StudyOptions`, evaluated one draw after the other."""

    def __init__(self, options: StudyOptions) -> None:
        self.options = options
        self.experiments = [
            Experiment("digital"),
            Experiment("ideal"),
            Experiment("tuned"),
            *(Experiment("adc", bits) for bits in dict.fromkeys(options.adc_bits)),
            *(Experiment("variability", percent) for percent in dict.fromkeys(options.variability)),
            *(Experiment("states", count) for count in dict.fromkeys(options.states)),
            *(
                Experiment("wires", ohm, side)
                for ohm in dict.fromkeys(options.line_resistance)
                for side in dict.fromkeys(options.wire_tiles)
            ),
        ]

    def draws_of(self, experiment: Experiment) -> int:
        """How many draws an experiment takes: one, unless it is random."""
        return self.options.draws if experiment.kind == "variability" else 1

    @property
    def evaluations(self) -> int:
        """How many draws the study yields."""
        return sum(self.draws_of(experiment) for experiment in self.experiments)

    @property
    def steps(self) -> int:
        """Training passes and evaluations together, as a progress bar counts them."""
        return self.options.epochs + self.evaluations

    def run(self, on_step: Callable[[str], None] = lambda label: None) -> Iterator[Draw]:
        """Trains the network, then yields the draws as they are finished.

        The random state and the number of threads of torch are left as they were found.

        Args:
            on_step: called with a label before each of the `steps`.
        """
        digits = load_digits(self.options.seed)
        network = train(digits, self.options.seed, self.options.epochs, lambda: on_step("training the network"))
        with isolated(self.options.seed):
            reference = _logits(network, digits)
        for experiment in self.experiments:
            for index in range(self.draws_of(experiment)):
                on_step(experiment.label)
                yield self._draw(experiment, index, network, digits, reference)

    def _draw(self, experiment: Experiment, index: int, network: SmallCnn, digits: Digits, reference: Tensor) -> Draw:
        conductance = drop = None
        # The same draw of every strength starts from the same random numbers: the same chip, made less well. The
        # differences between strengths then are the physics, not the luck of the draw.
        with isolated(_seed_of_draw(self.options.seed, index)):
            degraded = self._build(experiment, network)
            if degraded is not network and index == 0:
                conductance = largest_layer_conductance(degraded)
            if experiment.kind == "wires":
                drop = largest_layer_drop(degraded, experiment.setting or 0)
            logits = _logits(degraded, digits)
        correct = (logits.argmax(1) == digits.test_labels).sum().item()
        deviation = ((logits - reference).square().mean() / reference.square().mean()).sqrt().item()
        return Draw(experiment, index, 100 * correct / len(digits.test_labels), deviation, conductance, drop)

    def _build(self, experiment: Experiment, network: SmallCnn) -> nn.Module:
        """The network with one effect and no other."""
        match experiment.kind:
            case "digital":
                return network
            case "ideal":
                return self._patch(network)
            case "tuned":
                patched = self._patch(network)
                patched.tune_()
                return patched
            case "adc":
                return self._patch(network, ADC_resolution=experiment.setting, quant_method=self.options.quant_method)
            case "variability":
                return self._patch(network, variable_bounds(self.options.model, experiment.setting or 0))
            case "states":
                patched = self._patch(network)
                limit_states(patched, int(experiment.setting or 0))
                return patched
            case "wires":
                ohm, side = experiment.setting, experiment.tile
                patched = self._patch(network, source_resistance=ohm, line_resistance=ohm, tile_shape=(side, side))
                patched.tune_()  # what is left is more than a loss of gain
                return patched
            case kind:
                raise AssertionError(f"unreachable: {kind}")

    def _patch(self, network: SmallCnn, params: dict[str, Any] | None = None, **circuit: Any) -> Any:
        return patch_model(
            copy.deepcopy(network),
            self.options.model,
            params or {},
            module_parameters_to_patch=[nn.Conv2d, nn.Linear],
            verbose=False,
            **{"tile_shape": self.options.tile_shape, **circuit},
        )


def variable_bounds(model: Callable[[], Any], percent: float) -> dict[str, Any]:
    """Parameters that give each device its own r_on and r_off, drawn from normal distributions.

    The geometric mean of the two means keeps them apart: r_on is cut off above it and r_off below, so that every device
    has a range left. r_on is also cut off below half its mean, so that it stays positive and, with Stanford_PKU, above
    the resistance of a closed gap; no weight asks for so little, so this changes no result.

    Args:
        model: device model whose default r_on and r_off are the means.
        percent: standard deviation, percent of the mean. At 0 no parameter is set.
    """
    if percent == 0:
        return {}
    device = model()
    middle = math.sqrt(device.r_on * device.r_off)
    fraction = percent / 100
    return {
        "r_on": StochasticParameter(
            loc=device.r_on, scale=fraction * device.r_on, min=0.5 * device.r_on, max=0.999 * middle
        ),
        "r_off": StochasticParameter(loc=device.r_off, scale=fraction * device.r_off, min=1.001 * middle),
    }


def limit_states(patched: nn.Module, count: int) -> None:
    """Moves every device to the nearest of `count` conductances, equally spaced from 1/r_off to 1/r_on."""
    apply_nonidealities(patched, [NonIdeality.FiniteConductanceStates], conductance_states=count)


def largest_layer_conductance(patched: nn.Module) -> NDArray[np.float64]:
    """Conductances [n], siemens, of the layer with the most weights. Cells of a tile that hold none are left out."""
    crossbars = _largest(patched)
    return np.concatenate([crossbar.matrix().flatten().double().numpy() for crossbar in crossbars])


def largest_layer_drop(patched: nn.Module, ohm: float) -> NDArray[np.float64]:
    """Voltage [rows, columns] that the devices of the largest layer's first tile lack, of 1 V on every word line."""
    crossbar = _largest(patched)[0]
    return ir_drop(crossbar, torch.ones(crossbar.rows, dtype=torch.float64), ohm, ohm).drop.numpy()


def _largest(patched: nn.Module) -> Any:
    """The crossbars of the layer with the most weights."""
    layers: list[Any] = [module.crossbars for module in patched.modules() if hasattr(module, "crossbars")]
    return max(layers, key=lambda crossbars: sum(crossbar.rows * crossbar.columns for crossbar in crossbars))


@torch.no_grad()
def _logits(network: nn.Module, digits: Digits) -> Tensor:
    return network(digits.test_images)


def _seed_of_draw(seed: int, index: int) -> int:
    # Draws of neighbouring seeds must not coincide: a prime far above any number of draws keeps them apart.
    return seed * 1_000_003 + index
