"""A non-ideality of one's own: devices age by a random share of their conductance, and some cells are stuck already."""

import torch

import memtorch
from memtorch.bh.nonideality import NonIdeality, apply_nonidealities

DEVICES = {"r_on": 1e3, "r_off": 1e4}  # ohm


def ageing(layer: torch.nn.Module) -> None:
    """Every conductance falls by up to a fifth; stuck cells and the devices' own bounds hold without further care."""
    for crossbar in layer.crossbars:
        g = crossbar.conductance_matrix
        crossbar.devices.set_conductance(g * (1 - 0.2 * torch.rand_like(g)))


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    x = torch.rand(100, 64)
    digital = network(x)
    patched = memtorch.mn.patch_model(network, memtorch.bh.memristor.VTEAM, DEVICES, verbose=False)
    print(f"ideal devices: error of the outputs {error(patched(x), digital):.1f} %")
    faults = {"lrs_proportion": 0.01, "hrs_proportion": 0.02, "electroform_proportion": 0.0}
    apply_nonidealities(patched, [NonIdeality.DeviceFaults], **faults)
    print(f"with faults: error of the outputs {error(patched(x), digital):.1f} %")
    apply_nonidealities(patched, [ageing])
    print(f"aged: error of the outputs {error(patched(x), digital):.1f} %")
    stuck = sum(int(crossbar.devices.stuck.sum()) for layer in (patched[0], patched[2]) for crossbar in layer.crossbars)
    print(f"stuck: {stuck} devices")


def error(outputs: torch.Tensor, wanted: torch.Tensor) -> float:
    """Norm of the difference, percent of the norm of what is wanted."""
    return float(100 * (outputs - wanted).norm() / wanted.norm())


if __name__ == "__main__":
    main()
