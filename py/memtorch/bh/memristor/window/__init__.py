"""Window functions: factors that slow a state variable down near its bounds."""

from memtorch.bh.memristor.window.Biolek import Biolek
from memtorch.bh.memristor.window.Jogelkar import Jogelkar, Joglekar
from memtorch.bh.memristor.window.Prodromakis import Prodromakis

__all__ = ["Biolek", "Jogelkar", "Joglekar", "Prodromakis"]
