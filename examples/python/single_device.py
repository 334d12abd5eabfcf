"""Writes to one memristor with voltage pulses, reads it back, and plots its hysteresis loop to single_device.png."""

import sys

import matplotlib.pyplot as plt
import numpy as np

from memtorch.bh.memristor import VTEAM


def main(picture: str = "single_device.png") -> None:
    device = VTEAM(time_series_resolution=1e-11)
    print(f"fresh:                   {device.get_resistance():7.1f} ohm")
    for number in range(1, 4):
        device.simulate(np.full(1000, 1.0))  # 1 V for 10 ns; VTEAM's resistance rises with positive voltages
        print(f"after {number} pulse(s) of 1 V:   {device.get_resistance():7.1f} ohm")
    device.set_conductance(1 / 500)
    print(f"set to 2 mS:             {device.get_resistance():7.1f} ohm")
    current = device.simulate([0.01], return_current=True)  # below both thresholds: a read leaves the state alone
    print(f"current at 10 mV:        {1e6 * current[0]:7.2f} uA")

    VTEAM().plot_hysteresis_loop()
    plt.savefig(picture, dpi=120)
    print(f"hysteresis loop in {picture}")


if __name__ == "__main__":
    main(*sys.argv[1:])
