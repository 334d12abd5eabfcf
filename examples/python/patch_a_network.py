"""Trains a small network on handwritten digits, patches it onto crossbars and lowers its converters' resolution."""

import copy

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

import memtorch
from memtorch.mn.Module import patch_model


def main() -> None:
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, test_size=0.25, stratify=labels, random_state=0)
    x, x_test = (torch.tensor(part, dtype=torch.float32) for part in split[:2])
    y, y_test = (torch.tensor(part) for part in split[2:])

    network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()

    @torch.no_grad()
    def accuracy(model: nn.Module) -> float:
        return 100 * (model(x_test).argmax(1) == y_test).double().mean().item()

    print(f"digital           {accuracy(network):6.2f} %")
    for bits in (None, 8, 6, 4, 2):
        patched = patch_model(
            copy.deepcopy(network),  # patching works in place
            memtorch.bh.memristor.VTEAM,
            {"r_on": 1e3, "r_off": 1e5},  # ohm
            module_parameters_to_patch=[nn.Linear],
            tile_shape=(32, 32),
            ADC_resolution=bits,
            quant_method=None if bits is None else "linear",
            verbose=False,
        )
        print(f"{'no ADC' if bits is None else f'{bits}-bit ADC':<17} {accuracy(patched):6.2f} %")


if __name__ == "__main__":
    main()
