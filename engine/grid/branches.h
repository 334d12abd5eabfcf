// Currents through every element of a crossbar with resistive wires, and what they dissipate.
#ifndef MEMTORCH_ENGINE_GRID_BRANCHES_H_
#define MEMTORCH_ENGINE_GRID_BRANCHES_H_

#include "engine/grid/grid.h"
#include "engine/grid/nodes.h"

namespace memtorch {

// For one vector, without gaps, amperes. They follow from the currents of the devices by Kirchhoff's laws, not from
// differences of potentials, so that ideal wires have currents too.
struct GridBranches {
  double* word;  // [rows, cols + 1]: rightwards, through the segment left of each node; at the end into the open or
                 // second driver
  double* bit;   // [rows + 1, cols]: downwards, through the segment above each node; at the end into the sense
};

// Watts, each the sum over its elements.
struct GridPower {
  double devices, word, bit, source, load;
  double delivered;  // by the drivers and senses; the sum of the others
};

// Branches of device currents [rows, cols], from word to bit line, amperes. In a loop of ideal wires only, which leaves
// them open, the current is what equal resistances would make it.
void SolveBranches(int64_t rows, int64_t cols, const double* device, const Wires& wires, const GridSources& sources,
                   const GridBranches& branches);

// Power of vector `vector` of the sources, with the potentials [rows, cols] that SolveNodes found.
GridPower PowerOf(int64_t rows, int64_t cols, const double* device, const double* word_nodes, const double* bit_nodes,
                  const Wires& wires, const GridSources& sources, int64_t vector, const GridBranches& branches);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_BRANCHES_H_
