// The smallest blocks of a grid, many at a time, one table per instruction set (engine/simd.h) and element type.
#ifndef MEMTORCH_ENGINE_GRID_LEAF_KERNELS_H_
#define MEMTORCH_ENGINE_GRID_LEAF_KERNELS_H_

#include <cstdint>

#include "engine/simd.h"

namespace memtorch {

constexpr int kMostLanes = 16;  // of any instruction set and element type

// Blocks of equal shape, one in each lane of a vector. Arrays hold the lanes of an element side by side.
template <class T>
struct Leaves {
  int rows, cols;
  const T* g;     // [rows, cols, lanes] conductances of the devices, siemens; aligned to 64 bytes as all arrays here
  const T* word;  // [cols, lanes] of the word segments left of each column
  const T* bit;   // [rows, lanes] of the bit segments below each row
  T* scratch;     // LeafKernels::scratch(rows, cols) elements
  int count;      // lanes that are wanted
  T* const* out;  // [count] matrices between the ports, both triangles; sides in the order of Side (merge_plan.h)
  int64_t out_stride;  // a multiple of the lanes
};

template <class T>
struct LeafKernels {
  int lanes;
  int64_t (*scratch)(int rows, int cols);
  void (*solve)(const Leaves<T>& leaves);
};

namespace baseline {
extern const LeafKernels<float> kLeafFloat;
extern const LeafKernels<double> kLeafDouble;
}  // namespace baseline
namespace avx2 {
extern const LeafKernels<float> kLeafFloat;
extern const LeafKernels<double> kLeafDouble;
}  // namespace avx2
namespace avx512 {
extern const LeafKernels<float> kLeafFloat;
extern const LeafKernels<double> kLeafDouble;
}  // namespace avx512

template <class T>
const LeafKernels<T>& ActiveLeafKernels() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return Select(baseline::kLeafFloat, avx2::kLeafFloat, avx512::kLeafFloat);
  } else {
    return Select(baseline::kLeafDouble, avx2::kLeafDouble, avx512::kLeafDouble);
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_LEAF_KERNELS_H_
