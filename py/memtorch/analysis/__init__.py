"""What wires do to crossbars and networks: maps of lost voltage, tables per layer, netlists for ngspice."""

from memtorch.analysis.ir_drop import IRDrop, ir_drop
from memtorch.analysis.spice import ngspice_difference, spice_netlist
from memtorch.analysis.wire_report import WiredLayer, WireReport, wire_report

__all__ = ["IRDrop", "WireReport", "WiredLayer", "ir_drop", "ngspice_difference", "spice_netlist", "wire_report"]
