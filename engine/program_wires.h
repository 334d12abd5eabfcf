// Pulses on the cells of a tile whose device voltages are solved, because its wires resist or its other lines are open.
#ifndef MEMTORCH_ENGINE_PROGRAM_WIRES_H_
#define MEMTORCH_ENGINE_PROGRAM_WIRES_H_

#include "engine/program_kernels.h"

namespace memtorch {

// Programs the selected cells of one tile, one after the other. REQUIRES checked arguments and a solved job. Throws
// std::runtime_error if the circuit is not solved, with some devices changed.
void ProgramSolvedTile(int model, const ProgramJob& job, const TileShape& shape, int64_t tile, const uint8_t* selected);

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_PROGRAM_WIRES_H_
