// Checks of the arguments of read.h, shared by read.cc and its CUDA front.
#ifndef MEMTORCH_ENGINE_READ_CHECKS_H_
#define MEMTORCH_ENGINE_READ_CHECKS_H_

#include "engine/tile.h"

namespace memtorch {

template <class T>
void CheckReadShapes(const char* op, const TileGrid& grid, const MatrixView<const T>& v, const MatrixView<T>& i) {
  CheckGrid(op, grid);
  if (v.cols != grid.rows) {
    Invalid(op, "v ([", v.rows, ", ", v.cols, "]) must have shape [inputs, ", grid.rows, "]");
  }
  if (i.rows != v.rows || i.cols != grid.cols) {
    Invalid(op, "i ([", i.rows, ", ", i.cols, "]) must have shape [", v.rows, ", ", grid.cols, "]");
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_READ_CHECKS_H_
