"""A matrix product on a crossbar whose devices differ: how far the currents are off, for growing differences."""

import torch

import memtorch
from memtorch.bh.crossbar import Crossbar
from memtorch.bh.memristor import VTEAM

R_ON, R_OFF = 1e3, 1e4  # ohm
ROWS, COLUMNS = 256, 64


def main() -> None:
    torch.manual_seed(0)
    target = torch.empty(COLUMNS, ROWS).uniform_(1 / R_OFF, 1 / R_ON)  # siemens, outputs first as in torch.nn.Linear
    voltages = torch.empty(100, ROWS).uniform_(-0.1, 0.1)
    ideal = voltages @ target.T

    print("std of r_on and r_off   error of the currents")
    for percent in (0, 5, 10, 20, 40):
        params = {}
        for name, mean in (("r_on", R_ON), ("r_off", R_OFF)):
            std = percent / 100 * mean
            params[name] = memtorch.bh.StochasticParameter(loc=mean, scale=std, min=mean / 10) if percent else mean
        crossbar = Crossbar(VTEAM, params, shape=(COLUMNS, ROWS), tile_shape=(128, 64))  # two tiles
        crossbar.write_conductance_matrix(target)  # each device reaches what lies within its own bounds
        error = (crossbar.read(voltages) - ideal).norm() / ideal.norm()
        print(f"{percent:18} %   {100 * error:19.2f} %")


if __name__ == "__main__":
    main()
