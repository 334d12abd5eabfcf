// What SolveNodes asks of its arguments before it looks at values, on the CPU and on a GPU.
#ifndef MEMTORCH_ENGINE_GRID_NODE_CHECKS_H_
#define MEMTORCH_ENGINE_GRID_NODE_CHECKS_H_

#include <cmath>

#include "engine/grid/nodes.h"

namespace memtorch {

inline void CheckVoltsShape(const char* op, const char* name, const MatrixView<const double>& v, int64_t vectors,
                            int64_t lines) {
  if (v.rows != vectors || v.cols != lines) {
    Invalid(op, name, " ([", v.rows, ", ", v.cols, "]) must have shape [", vectors, ", ", lines, "]");
  }
}

inline void CheckNodeShapes(const char* op, int64_t rows, int64_t cols, const Wires& wires, const GridSources& sources,
                            const NodeOptions& options) {
  CheckGridShape(op, rows, cols, wires);
  CheckVoltsShape(op, "word", sources.word, sources.word.rows, rows);
  if (sources.bit.data != nullptr) CheckVoltsShape(op, "bit", sources.bit, sources.word.rows, cols);
  if (!(options.tolerance > 0)) Invalid(op, "tolerance (", options.tolerance, ") must be above 0");
}

inline void CheckSteepness(double steepness) {
  if (!(steepness > 0 && std::isfinite(steepness))) {
    Invalid("sinh_curve", "steepness (", steepness, " 1/V) must be finite and above 0");
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_NODE_CHECKS_H_
