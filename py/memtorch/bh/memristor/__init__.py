"""Memristor models and window functions."""

from memtorch.bh.memristor import window
from memtorch.bh.memristor.Data_Driven import Data_Driven
from memtorch.bh.memristor.Data_Driven2021 import Data_Driven2021
from memtorch.bh.memristor.LinearIonDrift import LinearIonDrift
from memtorch.bh.memristor.Memristor import Memristor
from memtorch.bh.memristor.Stanford_PKU import Stanford_PKU
from memtorch.bh.memristor.VTEAM import VTEAM

__all__ = ["VTEAM", "Data_Driven", "Data_Driven2021", "LinearIonDrift", "Memristor", "Stanford_PKU", "window"]
