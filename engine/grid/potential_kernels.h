// From the potentials around a block of a grid to those inside, for many vectors at a time; one table per instruction
// set (engine/simd.h) and element type.
//
// What a joint eliminated is at w = K^-1 F times the potentials of the outer ports: weights that are positive and add
// up to 1, so that nothing is subtracted here either.
#ifndef MEMTORCH_ENGINE_GRID_POTENTIAL_KERNELS_H_
#define MEMTORCH_ENGINE_GRID_POTENTIAL_KERNELS_H_

#include <cstdint>

#include "engine/grid/leaf_kernels.h"
#include "engine/grid/merge_kernels.h"

namespace memtorch {

// A joint whose factors are kept, their outer columns turned into w. Potentials of the ports of a block are
// [panels, ports, MergeKernels::panel], the vectors side by side.
template <class T>
struct JointPotentials {
  Merge<T> merge;  // `child` and `out` are not used
  int64_t panels;
  const T* ports;
  T* child_ports[2];  // written
  int64_t child_count[2];
  T* scratch;  // SharedRows(shared) x panel elements
};

template <class T>
struct LeafPotentials {
  Leaves<T> leaves;       // `out` is not used; `scratch` holds PotentialKernels::leaf_scratch() elements
  const T* const* ports;  // [count]
  int64_t first;          // vector, a multiple of the lanes
  T* const* bit;          // [count]: potentials of the bit line at every cell, [lanes, rows, kLeafSize]
};

template <class T>
struct PotentialKernels {
  // Turns the outer columns of a joint's factors into w.
  void (*substitute)(const Merge<T>& merge);
  void (*joint)(const JointPotentials<T>& joint);
  int64_t (*leaf_scratch)(int rows, int cols);
  // Joins the leaves, and leaves the weights of all their joints in the scratch.
  void (*join_leaves)(const Leaves<T>& leaves);
  // Afterwards, as many vectors as there are lanes.
  void (*leaf)(const LeafPotentials<T>& leaf);
};

namespace baseline {
extern const PotentialKernels<float> kPotentialFloat;
extern const PotentialKernels<double> kPotentialDouble;
}  // namespace baseline
namespace avx2 {
extern const PotentialKernels<float> kPotentialFloat;
extern const PotentialKernels<double> kPotentialDouble;
}  // namespace avx2
namespace avx512 {
extern const PotentialKernels<float> kPotentialFloat;
extern const PotentialKernels<double> kPotentialDouble;
}  // namespace avx512

template <class T>
const PotentialKernels<T>& ActivePotentialKernels() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return Select(baseline::kPotentialFloat, avx2::kPotentialFloat, avx512::kPotentialFloat);
  } else {
    return Select(baseline::kPotentialDouble, avx2::kPotentialDouble, avx512::kPotentialDouble);
  }
}

}  // namespace memtorch

#endif  // MEMTORCH_ENGINE_GRID_POTENTIAL_KERNELS_H_
