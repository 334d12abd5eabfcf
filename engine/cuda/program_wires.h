// Programming where voltages are solved: engine/program_wires.h on a GPU.
#ifndef MEMTORCH_ENGINE_CUDA_PROGRAM_WIRES_H_
#define MEMTORCH_ENGINE_CUDA_PROGRAM_WIRES_H_

#include <string>

#include "engine/cuda/cell_writer.h"

namespace memtorch::cuda {

struct WiredProgram {
  ProgramJob job;
  TileShape shape;
  const uint8_t* selected;
  double* residual;    // [tiles]
  uint32_t* failures;  // how many tiles are not solved
  double* memory;      // WiredProgramBytes
};

int64_t WiredProgramBytes(const TileShape& shape);

// Programs all tiles; where one is not solved, all is put back. Checks nothing but the size of a tile.
void ProgramThroughWires(const std::string& model, const WiredProgram& program, void* stream);

}  // namespace memtorch::cuda

#endif  // MEMTORCH_ENGINE_CUDA_PROGRAM_WIRES_H_
