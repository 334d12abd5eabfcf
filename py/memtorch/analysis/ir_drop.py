"""The voltage that wires take from each device of a tile."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from memtorch._wire_ops import device_voltages
from memtorch.analysis._circuit import Circuit, circuit
from memtorch.bh.crossbar import Crossbar

__all__ = ["IRDrop", "ir_drop", "solve"]


@dataclass(frozen=True)
class IRDrop:
    """A tile under one input vector.

    Attributes:
        voltages: Across the devices (V) [rows, columns].
        ideal: The same with ideal wires.
        currents: Into the sense ends (A) [columns].
        ideal_currents: The same with ideal wires.
        device_power: Dissipated in each device (W) [rows, columns].
        wire_power: Dissipated in all wires together (W).
    """

    voltages: Tensor
    ideal: Tensor
    currents: Tensor
    ideal_currents: Tensor
    device_power: Tensor
    wire_power: float

    @property
    def drop(self) -> Tensor:
        """Voltage that each device lacks (V) [rows, columns]."""
        return self.ideal - self.voltages

    @property
    def worst(self) -> tuple[int, int]:
        """Row and column of the device that lacks most."""
        row, column = divmod(int(self.drop.abs().argmax()), self.drop.shape[1])
        return row, column

    def plot(self) -> None:
        """Draws the lost voltage of every device on the current axes."""
        import matplotlib.pyplot as plt

        axes = plt.gca()
        image = axes.imshow(self.drop.numpy(), aspect="auto", interpolation="nearest", cmap="magma")
        plt.gcf().colorbar(image, ax=axes, label="Lost voltage (V)")
        axes.set(title="IR drop", xlabel="Bit line", ylabel="Word line")
        # Headless canvases name no framework; showing them would only raise a warning.
        if getattr(plt.gcf().canvas, "required_interactive_framework", None) is not None:
            plt.show()


def ir_drop(
    array: Crossbar | Tensor,
    v: Tensor,
    source_resistance: float | tuple[float, float] | None = None,
    line_resistance: float | tuple[float, float] | None = None,
    tile: int = 0,
) -> IRDrop:
    """Solves one tile under one input vector, every device of it.

    Args:
        array: A ``Crossbar``, or conductances (S) [rows, columns].
        v: Voltages (V) [rows] of all word lines of ``array``; bit lines are sensed at 0 V.
        source_resistance: Between a source and its line (ohm), or a pair: at the word lines, at the bit lines.
        line_resistance: Of a line between neighbouring cells (ohm), or a pair: of word lines, of bit lines.
        tile: Which tile of the crossbar; its padding is part of it.

    Returns:
        Voltages, currents and power with the wires and without, float64 on the CPU.

    Raises:
        InvalidArgument: Shapes that do not fit, or values out of range.
    """
    return solve(circuit("ir_drop", array, v, source_resistance, line_resistance, tile))


def solve(tile: Circuit) -> IRDrop:
    """The solution of a checked circuit."""
    g, v, wires = tile
    columns = g.shape[1]
    solution = device_voltages(g, v.unsqueeze(0), v.new_zeros(1, columns), wires.tensor())
    across, amperes = (part[0] for part in solution)
    ideal = v.unsqueeze(1).expand(-1, columns)
    device_power = amperes * across
    along = amperes.flip(1).cumsum(1).flip(1).square()  # through the segment before each cell
    down = amperes.cumsum(0).square()  # through the segment behind each cell
    wire_power = wires.source * along[:, 0].sum() + wires.word * along[:, 1:].sum()
    wire_power = wire_power + wires.load * down[-1].sum() + wires.bit * down[:-1].sum()
    return IRDrop(across, ideal, amperes.sum(0), v @ g, device_power, wire_power.item())
